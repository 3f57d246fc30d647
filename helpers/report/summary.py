"""What tables and figures ask of records: one arm over all seeds, its spread, the machine that timed it.

Pure functions of a list of records (`records.read_all`); nothing is read from anywhere else.
"""

from __future__ import annotations

import fnmatch
import math
from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean, median
from typing import Any, NamedTuple

from helpers import scores
from helpers.environment import InputError
from helpers.labels import ARMS, FILES, ORDERS, REPORT_METRICS, SPEEDS, STUDY, SYSTEMS, TASKS

__all__ = [
    "Summary",
    "arms_of",
    "floor",
    "is_at_floor",
    "machine",
    "matching",
    "metrics_of",
    "over_seeds",
    "require",
    "retention",
    "score",
    "seeds_of",
    "spread",
    "sweep",
    "tasks_of",
    "timed",
    "title",
    "wider",
]

Records = Sequence[Mapping[str, Any]]


class Summary(NamedTuple):
    """A value with its 95 % interval: over examples when `seeds` is 1 (bootstrap), else over seeds (t)."""

    value: float
    low: float
    high: float
    seeds: int


def require(records: Records) -> None:
    """Raise InputError when there is no record at all: every other gap only leaves a dash."""
    if not records:
        raise InputError(
            "There is no record to report on: results/<profile>/records is empty. "
            "Make them with `make study PROFILE=<profile>`."
        )


def tasks_of(records: Records, *, all_of_report: bool = True) -> list[str]:
    """Return the tasks to show: the report's five (or only those measured), then any other."""
    measured = {record["task"] for record in records}
    first = [task for task in TASKS if task in measured or (all_of_report and task in REPORT_METRICS)]
    return first + sorted(measured - set(TASKS))


def metrics_of(records: Records, task: str) -> tuple[str, ...]:
    """Return a task's metrics, the main one first."""
    for record in records:
        if record["task"] == task:
            return tuple(record["metrics"])
    return REPORT_METRICS.get(task, ())


def seeds_of(records: Records) -> list[int]:
    """Return all seeds, sorted."""
    return sorted({record["seed"] for record in records})


def arms_of(records: Records, name: str, *, task: str | None = None) -> list[tuple[Mapping, Mapping]]:
    """Return (record, arm) per task and seed that has the arm, from the first notebook that does."""
    chosen: dict[tuple[str, int], tuple[Mapping, Mapping]] = {}
    for record in sorted(records, key=lambda record: record["notebook"]):
        if record["notebook"] not in STUDY + SYSTEMS + FILES + SPEEDS + ORDERS or task not in (None, record["task"]):
            continue
        for arm in record["arms"]:
            if arm["arm"] == name:
                chosen.setdefault((record["task"], record["seed"]), (record, arm))
    return [chosen[key] for key in sorted(chosen)]


def matching(records: Records, patterns: Sequence[str]) -> list[str]:
    """Return the arms that records have of some names, in this order; `albert_*` is every arm that begins so.

    Those of one star are in the order of the record that has the most.
    """
    fullest = sorted(records, key=lambda record: -len(record["arms"]))
    there = list(dict.fromkeys(arm["arm"] for record in fullest for arm in record["arms"]))
    return [arm for pattern in patterns for arm in there if fnmatch.fnmatchcase(arm, pattern)]


def title(records: Records, arm: str) -> str:
    """Return what readers know an arm by: the study's name for it, or, where its name holds a number, the record's."""
    return ARMS.get(arm) or next(one["title"] for _, one in arms_of(records, arm))


def score(records: Records, task: str, arm: str, metric: str | None = None) -> Summary | None:
    """Return an arm's score (the main metric unless named), or None where there is none."""
    return over_seeds(_scores(records, task, arm, metric))


def is_at_floor(records: Records, task: str, arm: str) -> bool:
    """Tell whether an arm's interval reaches down to the floor, over seeds or over examples, whichever is wider."""
    found, lowest = _scores(records, task, arm), floor(records, task)
    summary = over_seeds(found)
    return summary is not None and lowest is not None and wider(summary, found).low <= lowest


def _scores(records: Records, task: str, arm: str, metric: str | None = None) -> list[tuple[float, float, float]]:
    metric = metric or next(iter(metrics_of(records, task)), None)
    found = [one["scores"][metric] for _, one in arms_of(records, arm, task=task) if metric in (one["scores"] or ())]
    return [(one["value"], one["low"], one["high"]) for one in found]


def wider(summary: Summary, triples: Iterable[tuple]) -> Summary:
    """Return a summary of several seeds whose interval takes in the mean of the seeds' own intervals, too."""
    if summary.seeds < 2:
        return summary
    triples = _defined(triples)
    lows = [low for _, low, _ in triples if not math.isnan(low)]
    highs = [high for *_, high in triples if not math.isnan(high)]
    low = min(summary.low, fmean(lows)) if lows else summary.low
    high = max(summary.high, fmean(highs)) if highs else summary.high
    return summary._replace(low=low, high=high)


def retention(records: Records, task: str, arm: str) -> Summary | None:
    """Return (score - floor) / (teacher - floor), over seeds; one seed has no interval (nan)."""
    values = [one["retention"] for _, one in arms_of(records, arm, task=task) if one["retention"] is not None]
    return over_seeds([(value, math.nan, math.nan) for value in values])


def sweep(records: Records, task: str) -> list[tuple[float, Summary]]:
    """Return (amount, score) of every pruning amount of a task, smallest first (main metric)."""
    amounts = {
        arm["arm"]: arm["parameter"]["amount"]
        for record in records
        if record["task"] == task and record["notebook"] in STUDY
        for arm in record["arms"]
        if arm["arm"].startswith("pruned_") and arm["parameter"]
    }
    found = [(amount, score(records, task, name)) for name, amount in amounts.items()]
    return sorted((amount, value) for amount, value in found if value is not None)


def floor(records: Records, task: str) -> float | None:
    """Return the score of the majority or mean predictor of a task."""
    return next((r["floor"] for r in records if r["task"] == task and r["floor"] is not None), None)


def machine(record: Mapping[str, Any], *, threads: bool = True) -> str:
    """Return the machine of a record in words: accelerator if used, else processor, and the threads.

    Times of a record whose models trained on an accelerator may be the processor's: its setup says which.
    """
    environment, setup = record["environment"], record["latency_setup"]
    timed_on = environment["device"] if setup is None else setup["device"]
    device = (environment.get("accelerator") if timed_on == "cuda" else None) or environment["cpu"]["model"]
    used = (setup or environment)["threads"]
    return f"{device}, {used} thread{'s' if used != 1 else ''}" if threads else device


def timed(records: Records, *, notebooks: Sequence[str] = STUDY) -> tuple[list[Mapping], list[str]]:
    """Return the records of some notebooks that one machine timed, and the tasks left out because another machine did.

    One table never mixes two machines: the one that timed most tasks is kept, on a draw the one used last.
    """
    machines: dict[str, list[Mapping]] = {}
    for record in records:
        if record["notebook"] in notebooks and record["latency_setup"] is not None:
            where = record["environment"]
            # processors of one name differ in what decides the speed
            kind = (machine(record), where["cpu"].get("flags"), where.get("quantized_engine"), where["versions"])
            machines.setdefault(repr(kind), []).append(record)
    if not machines:
        return [], []
    kept = max(
        machines.values(),
        key=lambda group: (len({r["task"] for r in group}), max(r["created"] for r in group)),
    )
    tasks = {record["task"] for record in kept}
    others = {record["task"] for group in machines.values() for record in group} - tasks
    return kept, sorted(others)


def spread(values: Iterable[float]) -> tuple[float, float, float]:
    """Return (median, lowest, highest)."""
    values = sorted(values)
    return median(values), values[0], values[-1]


def _defined(triples: Iterable[tuple]) -> list[tuple[float, float, float]]:
    """Drop undefined values (null); an undefined bound becomes nan."""
    kept = [triple for triple in triples if triple[0] is not None]
    return [tuple(math.nan if part is None else float(part) for part in triple) for triple in kept]


def over_seeds(triples: Iterable[tuple]) -> Summary | None:
    """Return the mean of (value, low, high) per seed with its t interval; one seed keeps its own; None for none."""
    triples = _defined(triples)
    if not triples:
        return None
    if len(triples) == 1:
        return Summary(*triples[0], seeds=1)
    return Summary(*scores.mean_interval([value for value, *_ in triples]), seeds=len(triples))
