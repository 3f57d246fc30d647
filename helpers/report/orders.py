"""What records say of chains in many orders: the tree, its budgets, and differences over all tasks and seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean, median
from typing import Any

from helpers.labels import ORDERS
from helpers.report import summary
from helpers.report.differences import Run, Triple, by_run, mean_over_tasks
from helpers.report.summary import Records, Summary

__all__ = [
    "TABLES",
    "chains",
    "has_orders",
    "has_points",
    "milliseconds",
    "minutes",
    "nodes",
    "of_orders",
    "points",
    "points_over",
    "says_nothing",
    "seeds_of",
    "tasks_of",
    "to_student",
    "weights_mb",
]

TABLES = ("order_answer", "orders", "order_methods", "order_pairs", "order_swaps", "order_findings")


def of_orders(records: Records) -> list[Mapping[str, Any]]:
    """Return the records of the study of orders."""
    return [record for record in records if record["notebook"] in ORDERS and record.get("orders")]


def has_orders(records: Records) -> bool:
    """Tell whether any record is of the study of orders."""
    return bool(of_orders(records))


def tasks_of(records: Records) -> list[str]:
    """Return the tasks of the study of orders."""
    return summary.tasks_of(of_orders(records), all_of_report=False)


def seeds_of(records: Records) -> list[int]:
    """Return the seeds that all tasks of the study of orders have: means over tasks are of these alone."""
    there = {task: {r["seed"] for r in of_orders(records) if r["task"] == task} for task in tasks_of(records)}
    return sorted(set.intersection(*there.values())) if there else []


def nodes(records: Records) -> dict[str, Mapping[str, Any]]:
    """Return what records say of each model on the way to a chain's end, by arm, each after what it is made from."""
    return {node["arm"]: node for record in of_orders(records) for node in record["orders"]["nodes"]}


def chains(records: Records) -> dict[str, dict[str, str]]:
    """Return for each budget, the largest first, its chains as they are written, and the arm of each."""
    found: dict[str, dict[str, str]] = {}
    for record in of_orders(records):
        for budget, some in record["orders"]["budgets"].items():
            found.setdefault(budget, {}).update({each["chain"]: each["arm"] for each in some})
    sizes = {budget: max(weights_mb(records, arm) for arm in some.values()) for budget, some in found.items()}
    return {budget: found[budget] for budget in sorted(found, key=lambda budget: -sizes[budget])}


def weights_mb(records: Records, arm: str) -> float:
    """Return the megabytes of a model's weights as they are stored: the median over tasks and seeds."""
    parts = ("embedding", "encoder", "head")
    return median(sum(one["bytes"][part] for part in parts) for _, one in summary.arms_of(records, arm)) / 1e6


def milliseconds(records: Records, arm: str) -> float | None:
    """Return the time per example, in batches of 32 at their true lengths, of a model's shape: the median."""
    kept, _ = summary.timed(records, notebooks=ORDERS)
    timed_as = nodes(records)[arm]["timed_as"]
    times = [
        one["latency"]["batch32_true"]["median_ms"] / record["latency_setup"]["batch_size"]
        for record, one in summary.arms_of(kept, timed_as or arm)
        if (one["latency"] or {}).get("batch32_true")
    ]
    return median(times) if times else None


def minutes(records: Records, arm: str) -> float:
    """Return how long all steps of a chain took from student's start and teacher: the median over tasks and seeds."""
    found = [node for record in of_orders(records) for node in record["orders"]["nodes"] if node["arm"] == arm]
    return median(node["seconds"] for node in found) / 60


# ---- differences


def says_nothing(records: Records, one: str, other: str) -> bool:
    """Tell whether in most runs, each of a task and a seed, neither of two chains has left the floor: all is chance."""
    chance = []
    for record in of_orders(records):
        lows = [arm["scores"][record["metrics"][0]]["low"] for arm in record["arms"] if arm["arm"] in (one, other)]
        if len(lows) == 2 and record["floor"] is not None:
            chance.append(all(low is None or low <= record["floor"] for low in lows))
    return 2 * sum(chance) > len(chance)


def to_student(records: Records, arm: str, *, tasks: Sequence[str] | None = None) -> Summary | None:
    """Return a model's mean difference over tasks to the whole distilled student, in points (hundredths)."""
    found = by_run(of_orders(records), arm)
    return mean_over_tasks(found, tasks_of(records) if tasks is None else tasks)


def has_points(records: Records) -> bool:
    """Tell whether any chain was measured on all tasks of the study of orders."""
    return any(to_student(records, arm) for some in chains(records).values() for arm in some.values())


def points(records: Records, one: str, other: str, *, tasks: Sequence[str] | None = None) -> Summary | None:
    """Return the mean difference over tasks of two chains of a budget, `one` minus `other`, in points (hundredths)."""
    return points_over(records, [(one, other)], tasks=tasks)


def points_over(
    records: Records, pairs: Sequence[tuple[str, str]], *, tasks: Sequence[str] | None = None
) -> Summary | None:
    """Return the mean of several such differences; the interval of examples is the mean of theirs, not narrower."""
    every = [_differences(records, *pair) for pair in pairs]
    if not every:
        return None
    runs = set(every[0]).intersection(*every)
    mean = {run: tuple(fmean(each[run][part] for each in every) for part in range(3)) for run in runs}
    return mean_over_tasks(mean, tasks_of(records) if tasks is None else tasks)


def _triple(found: Mapping[str, Any]) -> Triple:
    return found["difference"], found["low"], found["high"]


def _differences(records: Records, one: str, other: str) -> dict[Run, Triple]:
    found = {}
    for record in of_orders(records):
        pairs = {tuple(pair["arms"]): pair for pair in record["orders"]["pairs"]}
        run = (record["seed"], record["task"])
        if (one, other) in pairs:
            found[run] = _triple(pairs[one, other])
        elif (other, one) in pairs:
            value, low, high = _triple(pairs[other, one])
            found[run] = (-value, -high, -low)
    return found
