"""What answers a claim: a measure of the records with its interval, and the same of the report's own tables."""

from __future__ import annotations

import math
import operator
from collections.abc import Mapping
from fractions import Fraction
from statistics import fmean
from typing import Any, NamedTuple

from helpers.labels import REPORT_METRICS
from helpers.report import differences, summary
from helpers.report import reported as own
from helpers.report.differences import Run, Triple
from helpers.report.summary import Records, Summary

__all__ = ["EXACT", "MEASURES", "Answer", "measured", "name_of", "reported"]

MEASURES = {  # name: (unit, in words)
    "share_of_score": ("%", "score of the {arm} in percent of that of the {of}"),
    "points": ("points", "score of the {arm} less that of the {of}"),
    "share_of_bytes": ("%", "file of the {arm} in percent of that of the {of}"),
    "bytes_saved": ("%", "bytes that the {arm} saves of the {of}"),
    "time_saved": ("%", "time of a batch of 32 that the {arm} saves of the {of}"),
    "share_of_parts": ("%", "weights of {arm} in percent of the {of}"),
    "millions": ("million", "weights of {arm} of the {of}"),
}
OF_PARTS = ("share_of_parts", "millions")  # of parts of a model, each so many times
PARTS = ("embedding", "encoder", "head")
EXACT = ("share_of_bytes", "bytes_saved", *OF_PARTS)  # counted, without an interval


class Answer(NamedTuple):
    """What a measure gives: a value for each of its parts, and the tasks that it is of.

    A part is a task, an amount of pruning, or, named with no letter, the mean over tasks. `floored` are tasks left out,
    because what is compared with has not left the floor there and can lose nothing.
    """

    parts: Mapping[str, Summary]
    tasks: tuple[str, ...] = ()
    floored: tuple[str, ...] = ()


def name_of(measure: Mapping[str, Any]) -> str:
    """Return which of `MEASURES` a measure is."""
    return next(name for name in measure if name in MEASURES)


def measured(records: Records, measure: Mapping[str, Any]) -> Answer | None:
    """Return a measure of the records with its intervals, or None where they cannot tell.

    Scores and times are of each task, or means over tasks; their interval is over examples or batches, or over seeds,
    whichever is wider. Bytes and weights are exact.
    """
    name, arm, of = name_of(measure), measure[name_of(measure)], measure["of"]
    if name in OF_PARTS:
        counted = _parts(records, name, arm, of)
        return Answer({"": counted}) if counted else None
    if name == "time_saved":
        records, _ = summary.timed(records)
    found = {one: _FOUND[name](records, one, of) for one in (arm if isinstance(arm, list) else [arm])}
    there = {task for runs in found.values() for _, task in runs}
    tasks = [task for task in measure.get("tasks", summary.tasks_of(records, all_of_report=False)) if task in there]
    floored = [task for task in tasks if name == "points" and summary.is_at_floor(records, task, of)]
    tasks = [task for task in tasks if task not in floored]
    if not tasks:
        return None
    if isinstance(arm, list):
        parts = {one: differences.mean_over_tasks(runs, tasks) for one, runs in found.items()}
    elif measure.get("over", "mean") == "mean":
        parts = {"": differences.mean_over_tasks(found[arm], tasks)}
    else:
        parts = {task: differences.mean_over_tasks(found[arm], [task]) for task in tasks}
    if None in parts.values():
        return None
    return Answer(parts, tuple(tasks), tuple(floored))


def _parts(records: Records, name: str, parts: Mapping[str, Any], of: str) -> Summary | None:
    """Count the weights of some parts of a model, each so many times: a shape that has fewer of its layers."""
    whole = next((one for _, one in summary.arms_of(records, of)), None)
    if whole is None:
        return None
    kept = sum(Fraction(str(share)) * whole["bytes"][part] for part, share in parts.items()) / 4
    value = float(kept) / 1e6 if name == "millions" else 100 * float(kept) / whole["parameters"]
    return Summary(value, value, value, seeds=1)


def _bytes(records: Records, arm: str, of: str) -> dict[Run, Triple]:
    whole = {_run(record): one["bytes"]["file"] for record, one in summary.arms_of(records, of)}
    found = {_run(record): one["bytes"]["file"] for record, one in summary.arms_of(records, arm)}
    return {run: (size / whole[run],) * 3 for run, size in found.items() if run in whole}


def _saved(records: Records, arm: str, of: str) -> dict[Run, Triple]:
    return {run: tuple(1 - share for share in shares) for run, shares in _bytes(records, arm, of).items()}


def _shares(records: Records, arm: str, of: str) -> dict[Run, Triple]:
    """Return an arm's score over another's; where they were not compared in pairs, with the wider interval of both."""
    whole = {_run(record): one["scores"] for record, one in summary.arms_of(records, of) if one["scores"]}
    paired, found = differences.by_run(records, arm, of=of), {}
    for record, one in summary.arms_of(records, arm):
        run, metric = _run(record), record["metrics"][0]
        if run not in whole or not one["scores"]:
            continue
        score, other = one["scores"][metric], whole[run][metric]
        if None in (*score.values(), *other.values()) or other["value"] <= 0:
            continue
        value, low, high = paired.get(run) or _apart(score, other)
        found[run] = tuple(1 + each / other["value"] for each in (value, low, high))
    return found


def _apart(one: Mapping[str, float], other: Mapping[str, float]) -> Triple:
    """Return the difference of two scores as if they were of other examples, which is too wide and never too narrow."""
    value = one["value"] - other["value"]
    below = math.hypot(one["value"] - one["low"], other["high"] - other["value"])
    above = math.hypot(one["high"] - one["value"], other["value"] - other["low"])
    return value, value - below, value + above


def _times(records: Records, arm: str, of: str) -> dict[Run, Triple]:
    """Return the share of another's time that an arm saves, from how fast both are beside one baseline in one run."""
    whole = {_run(record): one for record, one in summary.arms_of(records, of) if _speed(one)}
    found = {}
    for record, one in summary.arms_of(records, arm):
        if not _speed(one) or _run(record) not in whole:
            continue
        ours, theirs = _speed(one), _speed(whole[_run(record)])
        ratio = math.log(theirs["median"] / ours["median"])
        half = math.hypot(*(math.log(each["high"] / each["low"]) / 2 for each in (ours, theirs)))
        found[_run(record)] = tuple(1 - math.exp(each) for each in (ratio, ratio + half, ratio - half))
    return found


def _speed(arm: Mapping[str, Any]) -> Mapping[str, float] | None:
    block = (arm["latency"] or {}).get("batch32_true") or {}
    ratio = block.get("speedup")
    return ratio if ratio and None not in ratio.values() else None


def _run(record: Mapping[str, Any]) -> Run:
    return record["seed"], record["task"]


_FOUND = {
    "share_of_score": _shares,
    "points": lambda records, arm, of: differences.by_run(records, arm, of=of),
    "share_of_bytes": _bytes,
    "bytes_saved": _saved,
    "time_saved": _times,
}


# ---- the report's own tables


def reported(measure: Mapping[str, Any], answer: Answer) -> dict[str, float]:
    """Return the same measure of the report's own tables, single runs, for the parts and tasks of an answer.

    What its tables lack is not there: a mean only if they have all of the tasks.
    """
    name, arm, of = name_of(measure), measure[name_of(measure)], measure["of"]
    if not isinstance(arm, str) or arm not in own.SYSTEMS or of not in own.SYSTEMS:
        return {}
    if name in ("share_of_bytes", "bytes_saved"):
        share = 100 * operator.truediv(*_both(1, "size_mb", arm, of))
        return {"": share if name == "share_of_bytes" else 100 - share}
    found = {task: _of_task(name, task, arm, of) for task in answer.tasks if task in REPORT_METRICS}
    if "" not in answer.parts:
        return found
    return {"": fmean(found.values())} if len(found) == len(answer.tasks) else {}


def _of_task(name: str, task: str, arm: str, of: str) -> float:
    if name == "time_saved":
        return 100 * (1 - operator.truediv(*_both(2, task, arm, of)))
    ours, theirs = _both(1, own.column(task, REPORT_METRICS[task][0]), arm, of)
    return 100 * (ours / theirs if name == "share_of_score" else ours - theirs)


def _both(number: int, column: str, arm: str, of: str) -> tuple[float, float]:
    ours, theirs = (float(own.table(number).loc[own.SYSTEMS[each], column]) for each in (arm, of))
    return ours, theirs
