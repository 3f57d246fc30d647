"""Is a difference more than chance? Predictions that flipped, McNemar's test of them, and Holm's adjustment."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from numpy.typing import ArrayLike
from scipy import stats

from helpers.environment import InputError
from helpers.scores.metrics import TASK_METRICS, checked, metrics

__all__ = ["Flips", "flips", "holm", "mcnemar", "p_value"]


class Flips(NamedTuple):
    """How many of `n` predictions two models differ in: wrong to right, right to wrong, and all, wrong to wrong too."""

    gained: int
    lost: int
    changed: int
    n: int


def flips(task: str, predictions: ArrayLike, reference_predictions: ArrayLike, references: ArrayLike) -> Flips | None:
    """Count what changed from `reference_predictions` to `predictions`, `[n]` each; None for scores (stsb).

    A pair of accuracies hides it: a model may keep its score and answer a tenth of the rows otherwise.

    >>> flips("rte", [1, 1, 0], [1, 0, 1], [1, 1, 1])
    Flips(gained=1, lost=1, changed=2, n=3)
    """
    if metrics(task) == TASK_METRICS["stsb"]:
        return None
    ours, truth = checked(task, predictions, references)
    theirs, _ = checked(task, reference_predictions, references)
    right, was_right = ours == truth, theirs == truth
    gained, lost, changed = (int(each.sum()) for each in (right & ~was_right, was_right & ~right, ours != theirs))
    return Flips(gained, lost, changed, len(truth))


def mcnemar(gained: int, lost: int) -> float:
    """Return the exact p-value, on two sides, of as uneven a split of flips or a more uneven one (McNemar 1947).

    >>> mcnemar(1, 5)  # 2 * (1 + 6) / 2**6
    0.21875
    >>> mcnemar(0, 0)
    1.0
    """
    if gained < 0 or lost < 0:
        raise InputError(f"{gained} and {lost} are no numbers of flips: give two that are 0 or more.")
    return float(stats.binomtest(gained, gained + lost).pvalue) if gained + lost else 1.0


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values adjusted for their number, in the order given (Holm 1979): the smallest times all, and so on.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    if not all(0 <= p <= 1 for p in p_values):
        raise InputError(f"{list(p_values)} are not all p-values: give numbers from 0 to 1.")
    adjusted, highest = [0.0] * len(p_values), 0.0
    for passed, place in enumerate(sorted(range(len(p_values)), key=lambda place: p_values[place])):
        highest = max(highest, min(1.0, (len(p_values) - passed) * p_values[place]))
        adjusted[place] = highest
    return adjusted


def p_value(difference: float, low: float, high: float, *, degrees: int | None = None, level: float = 0.95) -> float:
    """Return the p-value, on two sides, of a difference whose interval is that of a normal or, with `degrees`, a t.

    Its half towards zero says what the standard error is: below 0.05 where a 95 % interval leaves zero out, and above
    where it does not. 1 where there is no difference.

    >>> round(p_value(1.96, 0.0, 3.92), 3)
    0.05
    """
    if math.isnan(low) or math.isnan(high) or not low <= difference <= high:
        raise InputError(f"[{low}, {high}] is no interval of {difference}: give its two ends, the lower first.")
    if difference == 0:
        return 1.0
    spread = stats.norm if degrees is None else stats.t(degrees)
    towards_zero = difference - low if difference > 0 else high - difference
    error = towards_zero / spread.ppf((1 + level) / 2)
    return float(2 * spread.sf(abs(difference) / error)) if error else 0.0
