"""What records say of an arm beside its reference: the paired difference, how likely chance makes it, what flipped."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from helpers import scores
from helpers.report.summary import Records, Summary, arms_of, over_seeds, wider

__all__ = ["Run", "Triple", "by_run", "difference", "flips", "mean_over_tasks", "p_value"]

Triple = tuple[float, float, float]  # a difference and the ends of its interval
Run = tuple[int, str]  # a seed and a task


def difference(records: Records, task: str, arm: str) -> tuple[str, Summary] | None:
    """Return (reference arm, paired difference of the main metric to it), or None where none was measured.

    Over several seeds the interval is, on each side, the wider of two: the t interval over seeds and the mean
    of the seeds' paired bootstrap intervals over examples. Either noise alone can make a difference
    undecidable.
    """
    found = _versus(records, task, arm)
    triples = [(one["difference"], one["low"], one["high"]) for one in found]
    summary = over_seeds(triples)
    return None if summary is None else (found[0]["arm"], wider(summary, triples))


def by_run(records: Records, arm: str, *, of: str | None = None) -> dict[Run, Triple]:
    """Return an arm's paired differences to its reference by seed and task; those that are undefined are left out.

    With `of`, only those to that arm.
    """
    found = {(record["seed"], record["task"]): one["versus"] for record, one in arms_of(records, arm) if one["versus"]}
    triples = {
        run: (versus["difference"], versus["low"], versus["high"])
        for run, versus in found.items()
        if of in (None, versus["arm"])
    }
    return {run: triple for run, triple in triples.items() if None not in triple}


def p_value(records: Records, task: str, arm: str) -> float | None:
    """Return the p-value, on two sides, of such a difference: over examples or over seeds, whichever is larger."""
    found = _versus(records, task, arm)
    if not found or any(one[end] is None for one in found for end in ("low", "high")):
        return None
    over_examples = scores.p_value(*(fmean(one[part] for one in found) for part in ("difference", "low", "high")))
    if len(found) == 1:
        return over_examples
    seeds = scores.mean_interval([one["difference"] for one in found])
    return max(over_examples, scores.p_value(*seeds, degrees=len(found) - 1))


def flips(records: Records, task: str, arm: str) -> list[Mapping[str, int]]:
    """Return per seed how many answers changed beside the arm's reference.

    None where answers are scores, or where not every seed's record counted them.
    """
    found = _versus(records, task, arm)
    return [one["flips"] for one in found] if all(one.get("flips") for one in found) else []


def _versus(records: Records, task: str, arm: str) -> list[Mapping[str, Any]]:
    """Return per seed what was found beside an arm's reference; a seed with another reference is left out."""
    found = [one["versus"] for _, one in arms_of(records, arm, task=task) if one["versus"] is not None]
    return [one for one in found if one["arm"] == found[0]["arm"] and one["difference"] is not None]


def mean_over_tasks(found: Mapping[Run, Triple], tasks: Sequence[str]) -> Summary | None:
    """Return the mean over tasks of differences by seed and task, in points, with an interval.

    Only seeds count that have all of the tasks. The interval is that of examples, of tasks that are independent, or,
    if it is wider, the t interval over seeds.
    """
    seeds = [seed for seed in sorted({seed for seed, _ in found}) if all((seed, task) in found for task in tasks)]
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
        over_seeds = scores.mean_interval(values)
        low, high = min(low, over_seeds.low), max(high, over_seeds.high)
    return Summary(value, low, high, len(seeds))
