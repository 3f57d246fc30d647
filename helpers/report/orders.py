"""Chains in other orders: how they differ where they end in as many bytes, over all tasks and seeds."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean, median
from typing import Any, NamedTuple

from helpers.labels import ORDERS
from helpers.report import summary
from helpers.report.summary import Records, Summary
from helpers.scores import mean_interval

__all__ = [
    "Swap",
    "beside",
    "best",
    "chains",
    "front",
    "has_orders",
    "milliseconds",
    "minutes",
    "of_orders",
    "points",
    "swap_points",
    "swaps",
    "tasks_of",
    "to_student",
    "trees",
    "weights_mb",
]

# the usual place of each kind of step; a swap is told as what it puts before what usually comes first
USUAL = ("teacher", "low rank", "distil", "train", "prune", "recover", "recover labels", "quantize")
Triple = tuple[float, float, float]  # a difference and the ends of its interval


def of_orders(records: Records) -> list[Mapping[str, Any]]:
    """Return the records of the study of orders."""
    return [record for record in records if record["notebook"] in ORDERS and record.get("orders")]


def has_orders(records: Records) -> bool:
    """Tell whether any record is of the study of orders."""
    return bool(of_orders(records))


def trees(records: Records) -> dict[str, Mapping[str, Any]]:
    """Return what records say of each node of the tree, by arm, in the order in which they were built."""
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
    timed_as = trees(records)[arm]["timed_as"]
    times = [
        one["latency"]["batch32_true"]["median_ms"] / record["latency_setup"]["batch_size"]
        for record, one in summary.arms_of(kept, timed_as or arm)
        if (one["latency"] or {}).get("batch32_true")
    ]
    return median(times) if times else None


def minutes(records: Records, arm: str) -> float:
    """Return how long all steps of a chain take to build from student's start and teacher: the median."""
    nodes = [node for record in of_orders(records) for node in record["orders"]["nodes"] if node["arm"] == arm]
    return median(node["seconds"] for node in nodes) / 60


def tasks_of(records: Records) -> list[str]:
    """Return the tasks of the study of orders."""
    return summary.tasks_of(of_orders(records), all_of_report=False)


def _mean(found: Mapping[tuple[int, str], Triple]) -> Summary | None:
    """Return the mean over tasks of differences by seed and task, in points, with an interval.

    Seeds count that have all tasks that any has. The interval is that of examples, of tasks that are independent, or,
    if it is wider, the t interval over seeds.
    """
    tasks = {task for _, task in found}
    seeds = [seed for seed in {seed for seed, _ in found} if all((seed, task) in found for task in tasks)]
    if not seeds:
        return None
    values, below, above = [], [], []
    for seed in seeds:
        triples = [found[seed, task] for task in tasks]
        values.append(100 * fmean(value for value, *_ in triples))
        below.append(100 * math.hypot(*(value - low for value, low, _ in triples)) / len(tasks))
        above.append(100 * math.hypot(*(high - value for value, _, high in triples)) / len(tasks))
    value = fmean(values)
    low, high = value - fmean(below), value + fmean(above)
    if len(seeds) > 1:
        over_seeds = mean_interval(values)
        low, high = min(low, over_seeds.low), max(high, over_seeds.high)
    return Summary(value, low, high, len(seeds))


def to_student(records: Records, arm: str, *, task: str | None = None) -> Summary | None:
    """Return a model's mean difference to the whole distilled student, in points."""
    measured = summary.arms_of(records, arm, task=task)
    return _mean(
        {(record["seed"], record["task"]): _triple(one["versus"]) for record, one in measured if one["versus"]}
    )


def points(records: Records, one: str, other: str, *, task: str | None = None) -> Summary | None:
    """Return the mean difference of two chains of a budget, `one` minus `other`, in points."""
    return _mean(_differences(records, one, other, task))


def _triple(found: Mapping[str, Any]) -> Triple:
    return found["difference"], found["low"], found["high"]


def _differences(records: Records, one: str, other: str, task: str | None) -> dict[tuple[int, str], Triple]:
    found = {}
    for record in of_orders(records):
        if task not in (None, record["task"]):
            continue
        pairs = {tuple(pair["arms"]): _triple(pair) for pair in record["orders"]["pairs"]}
        where = (record["seed"], record["task"])
        if (one, other) in pairs:
            found[where] = pairs[one, other]
        elif (other, one) in pairs:
            value, low, high = pairs[other, one]
            found[where] = (-value, -high, -low)
    return found


class Swap(NamedTuple):
    """Two steps of which the second usually comes after the first, and chains that differ in their order alone."""

    first: str
    second: str
    pairs: tuple[tuple[str, str], ...]  # (second before first, first before second), by arm

    @property
    def told(self) -> str:
        """Say what the swap is, as in `prune before distil`."""
        return f"{self.second} before {self.first}"


def kinds(chain: str) -> tuple[str, ...]:
    """Return the kinds of a chain's steps.

    >>> kinds("low_rank 0.5 > distil > prune 0.598 > recover labels > int4")
    ('low rank', 'distil', 'prune', 'recover labels', 'quantize')
    """
    found = []
    for step in chain.split(" > "):
        name = step.split()[0].replace("_", " ")
        found.append(step if step == "recover labels" else name if name in USUAL else "quantize")
    return tuple(found)


def swaps(records: Records) -> list[Swap]:
    """Return the swaps of two neighbouring steps that some chains of a budget differ in."""
    nodes = trees(records)
    found: dict[tuple[str, str], dict[tuple[str, str], None]] = {}
    for some in chains(records).values():
        steps = {arm: tuple(nodes[arm]["chain"].split(" > ")) for arm in some.values()}
        for arm, chain in steps.items():
            for place in range(len(chain) - 1):
                turned = (*chain[:place], chain[place + 1], chain[place], *chain[place + 2 :])
                first, second = kinds(" > ".join(chain))[place : place + 2]
                other = next((each for each, its in steps.items() if its == turned), None)
                if other and USUAL.index(first) < USUAL.index(second):
                    found.setdefault((first, second), {})[other, arm] = None
    return [Swap(first, second, tuple(pairs)) for (first, second), pairs in found.items()]


def swap_points(records: Records, swap: Swap, *, task: str | None = None) -> Summary | None:
    """Return what a swap changes, in points: the mean over its pairs of chains, which share rows and seeds."""
    every = [_differences(records, one, other, task) for one, other in swap.pairs]
    common = functools.reduce(lambda a, b: a & b, (set(each) for each in every))
    mean = {key: tuple(fmean(each[key][part] for each in every) for part in range(3)) for key in common}
    return _mean(mean)


def best(records: Records, arms: Iterable[str]) -> str | None:
    """Return the arm with the highest score on held-out rows, on the mean over tasks and seeds."""
    found = {}
    for arm in arms:
        measured = summary.arms_of(records, arm)
        found[arm] = fmean(one["heldout_scores"][record["metrics"][0]] for record, one in measured)
    return max(found, key=lambda arm: found[arm], default=None)


def beside(records: Records, arms: Sequence[str], arm: str) -> str | None:
    """Return the first other of some arms that has the same steps in another order, if there is one."""
    steps = {each: sorted(trees(records)[each]["chain"].split(" > ")) for each in arms}
    return next((each for each in arms if each != arm and steps[each] == steps[arm]), None)


def front(records: Records) -> list[str]:
    """Return the models that no other beats in score, bytes and time at once, the largest first."""
    found = {}
    for arm, node in trees(records).items():
        difference = to_student(records, arm) if node["timed_as"] else None
        if difference is not None:
            found[arm] = (difference.value, -weights_mb(records, arm), -(milliseconds(records, arm) or 0.0))
    kept = [
        arm
        for arm, own in found.items()
        if not any(other != own and all(a >= b for a, b in zip(other, own, strict=True)) for other in found.values())
    ]
    return sorted(kept, key=lambda arm: found[arm][1])
