"""What answers a claim: a measure of the records with its interval, and the same of the report's own tables."""

from __future__ import annotations

import math
import operator
from collections.abc import Mapping
from fractions import Fraction
from statistics import fmean
from typing import Any

from helpers.labels import REPORT_METRICS
from helpers.report import differences, summary
from helpers.report import reported as own
from helpers.report.differences import Run, Triple
from helpers.report.summary import Records, Summary

__all__ = ["MEASURES", "measured", "reported", "tasks_in"]

MEASURES = {  # name: (unit, in words)
    "share_of_score": ("%", "score of the {arm} in percent of that of the {of}"),
    "points": ("points", "score of the {arm} less that of the {of}"),
    "share_of_bytes": ("%", "file of the {arm} in percent of that of the {of}"),
    "bytes_saved": ("%", "bytes that the {arm} saves of the {of}"),
    "time_saved": ("%", "time of a batch of 32 that the {arm} saves of the {of}"),
    "share_of_parts": ("%", "weights of {arm} in percent of the {of}"),
    "millions": ("million", "weights of {arm} of the {of}"),
}


def tasks_in(records: Records, measure: Mapping[str, Any]) -> list[str]:
    """Return the tasks that a measure is about: those it names, or all that have its arm, on one machine if timed."""
    arm = _arm(measure)
    if _name(measure) == "time_saved":
        records, _ = summary.timed(records)
    named = measure.get("tasks", summary.tasks_of(records, all_of_report=False))
    return [task for task in named if not isinstance(arm, str) or summary.arms_of(records, arm, task=task)]


def measured(records: Records, measure: Mapping[str, Any]) -> Summary | None:
    """Return a measure of the records with its interval, or None where they cannot tell.

    Scores and times are means over tasks; their interval is over examples or batches, or over seeds, whichever is
    wider. Bytes and weights are exact.
    """
    name, arm, of = _name(measure), _arm(measure), measure["of"]
    if name in ("share_of_parts", "millions"):
        return _parts(records, name, arm, of)
    if name in ("share_of_bytes", "bytes_saved"):
        found = {run: (value, value, value) for run, value in _bytes(records, arm, of).items()}
    else:
        found = {"share_of_score": _shares, "points": _points, "time_saved": _times}[name](records, arm, of)
    tasks = tasks_in(records, measure)
    mean = differences.mean_over_tasks(found, tasks) if tasks else None
    if mean is None or name != "bytes_saved":
        return mean
    return Summary(100 - mean.value, 100 - mean.high, 100 - mean.low, mean.seeds)


def _name(measure: Mapping[str, Any]) -> str:
    return next(name for name in measure if name in MEASURES)


def _arm(measure: Mapping[str, Any]) -> Any:
    return measure[_name(measure)]


def _parts(records: Records, name: str, parts: Mapping[str, Any], of: str) -> Summary | None:
    """Count the weights of some parts of a model, each so many times: a shape that has fewer of its layers."""
    whole = next((one for _, one in summary.arms_of(records, of)), None)
    if whole is None:
        return None
    kept = sum(Fraction(str(share)) * whole["bytes"][part] for part, share in parts.items()) / 4
    value = float(kept) / 1e6 if name == "millions" else 100 * float(kept) / whole["parameters"]
    return Summary(value, value, value, seeds=1)


def _bytes(records: Records, arm: str, of: str) -> dict[Run, float]:
    whole = {_run(record): one["bytes"]["file"] for record, one in summary.arms_of(records, of)}
    found = {_run(record): one["bytes"]["file"] for record, one in summary.arms_of(records, arm)}
    return {run: size / whole[run] for run, size in found.items() if run in whole}


def _points(records: Records, arm: str, of: str) -> dict[Run, Triple]:
    """Return the paired differences of an arm to its reference; of another arm than that, none."""
    return {
        _run(record): (versus["difference"], versus["low"], versus["high"])
        for record, one in summary.arms_of(records, arm)
        if (versus := one["versus"]) and versus["arm"] == of
    }


def _shares(records: Records, arm: str, of: str) -> dict[Run, Triple]:
    """Return an arm's score over another's; where they were not compared in pairs, with the wider interval of both."""
    whole = {_run(record): (record, one) for record, one in summary.arms_of(records, of) if one["scores"]}
    paired, found = _points(records, arm, of), {}
    for record, one in summary.arms_of(records, arm):
        run, metric = _run(record), record["metrics"][0]
        if run not in whole or not one["scores"]:
            continue
        score, other = one["scores"][metric], whole[run][1]["scores"][metric]
        value, low, high = paired.get(run) or _apart(score, other)
        if other["value"] > 0:
            found[run] = tuple(1 + each / other["value"] for each in (value, low, high))
    return found


def _apart(one: Mapping[str, float], other: Mapping[str, float]) -> Triple:
    """Return the difference of two scores as if they were of other examples, which is too wide and never too narrow."""
    value = one["value"] - other["value"]
    below = math.hypot(one["value"] - one["low"], other["high"] - other["value"])
    above = math.hypot(one["high"] - one["value"], other["value"] - other["low"])
    return value, value - below, value + above


def _times(records: Records, arm: str, of: str) -> dict[Run, Triple]:
    """Return the share of another's time that an arm saves, from how fast both are beside the same baseline."""
    kept, _ = summary.timed(records)
    whole = {_run(record): one for record, one in summary.arms_of(kept, of) if _speed(one)}
    found = {}
    for record, one in summary.arms_of(kept, arm):
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


# ---- the report's own tables


def reported(measure: Mapping[str, Any]) -> float | None:
    """Return the same measure of the report's own tables, single runs, or None where they do not have it."""
    name, arm, of = _name(measure), _arm(measure), measure["of"]
    if not isinstance(arm, str) or arm not in own.SYSTEMS:
        return None
    ours, theirs = own.SYSTEMS[arm], own.SYSTEMS[of]

    def both(number: int, column: str) -> tuple[float, float]:
        return tuple(float(own.table(number).loc[system, column]) for system in (ours, theirs))

    tasks = measure.get("tasks", REPORT_METRICS)
    if name in ("share_of_bytes", "bytes_saved"):
        share = 100 * operator.truediv(*both(1, "size_mb"))
        return share if name == "share_of_bytes" else 100 - share
    if name == "time_saved":
        return 100 * (1 - fmean(operator.truediv(*both(2, task)) for task in tasks))
    scores = [both(1, own.column(task, REPORT_METRICS[task][0])) for task in tasks]
    return 100 * fmean(a / b if name == "share_of_score" else a - b for a, b in scores)
