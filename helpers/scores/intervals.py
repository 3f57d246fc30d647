"""GLUE's metrics, each with an interval, and the comparisons that a study of small models needs."""

import itertools
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from helpers.environment import InputError, RunError
from helpers.scores import bootstrap
from helpers.scores.metrics import TASK_METRICS, checked, main_metric, metrics, score

__all__ = [
    "Interval",
    "check_teacher",
    "floor",
    "floor_score",
    "interval",
    "mean_interval",
    "paired",
    "paired_all",
    "retention",
    "standard_error",
]


class Interval(NamedTuple):
    """A value and the two ends of its interval."""

    value: float
    low: float
    high: float


def interval(
    task: str,
    predictions: ArrayLike,
    references: ArrayLike,
    *,
    metric: str | None = None,
    level: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
) -> Interval:
    """Return a metric (the main one) with its percentile bootstrap interval over examples."""
    metric = _metric(task, metric)
    values = _resample(task, metric, [predictions], references, resamples, seed)[0]
    return Interval(score(task, predictions, references)[metric], *_ends(values, level))


def paired(
    task: str,
    predictions: ArrayLike,
    reference_predictions: ArrayLike,
    references: ArrayLike,
    *,
    metric: str | None = None,
    level: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
) -> Interval:
    """Return a metric's difference, `predictions` minus `reference_predictions`, on the same resamples."""
    metric = _metric(task, metric)
    pair = [predictions, reference_predictions]
    ours, theirs = _resample(task, metric, pair, references, resamples, seed)
    difference = np.subtract(*(score(task, each, references)[metric] for each in pair))
    return Interval(float(difference), *_ends(ours - theirs, level))


def paired_all(
    task: str,
    predictions: Mapping[str, ArrayLike],
    references: ArrayLike,
    *,
    level: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
) -> dict[tuple[str, str], Interval]:
    """Return, for every two of several models in their order, what `paired` says of the first and the second.

    >>> found = paired_all("sst2", {"a": [1, 1], "b": [1, 0]}, [1, 1])
    >>> found["a", "b"].value
    0.5
    """
    metric = main_metric(task)
    drawn = dict(
        zip(predictions, _resample(task, metric, [*predictions.values()], references, resamples, seed), strict=True)
    )
    values = {name: score(task, each, references)[metric] for name, each in predictions.items()}
    return {
        (one, other): Interval(values[one] - values[other], *_ends(drawn[one] - drawn[other], level))
        for one, other in itertools.combinations(predictions, 2)
    }


def standard_error(
    task: str, predictions: ArrayLike, references: ArrayLike, *, resamples: int = 1000, seed: int = 0
) -> float:
    """Return the bootstrap standard error of the main metric over examples."""
    values = _resample(task, main_metric(task), [predictions], references, resamples, seed)[0]
    return float(values.std(ddof=1))


def mean_interval(values: ArrayLike, level: float = 0.95) -> Interval:
    """Return the mean over seeds with its t interval; NaN ends for one value. Raises InputError for none."""
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 1 or not values.size or not np.isfinite(values).all():
        raise InputError(f"A mean needs one or more finite values, not {values.tolist()}: check the records.")
    mean = float(values.mean())
    if values.size == 1:
        return Interval(mean, float("nan"), float("nan"))
    half = stats.t.ppf(1 - _tail(level), values.size - 1) * values.std(ddof=1) / np.sqrt(values.size)
    return Interval(mean, float(mean - half), float(mean + half))


def floor(task: str, train_labels: ArrayLike) -> int | float:
    """Return what a predictor says that knows the training labels only: their majority, or stsb's mean."""
    labels, _ = checked(task, train_labels, train_labels)
    if metrics(task) == TASK_METRICS["stsb"]:
        return float(labels.mean())
    return int(np.bincount(labels).argmax())


def floor_score(task: str, train_labels: ArrayLike, references: ArrayLike) -> float:
    """Return the main metric of the `floor` predictor: 0 for a correlation, the majority's accuracy."""
    references = np.asarray(references)
    return score(task, np.full(references.shape, floor(task, train_labels)), references)[main_metric(task)]


def retention(score: float, teacher: float, floor: float) -> float:
    """Return the share of the teacher's lead over the floor that is kept; NaN if there is no lead."""
    return (score - floor) / (teacher - floor) if teacher > floor else float("nan")


def check_teacher(task: str, predictions: ArrayLike, references: ArrayLike, floor: float) -> None:
    """Raise RunError unless the teacher's main metric beats the `floor` (a score) by two standard errors."""
    name = main_metric(task)
    value = score(task, predictions, references)[name]
    error = standard_error(task, predictions, references)
    if value <= floor or value - floor < 2 * error:
        raise RunError(
            f"{task}: the teacher's {name} is {value:.3f} (standard error {error:.3f}), which does not "
            f"beat the floor of {floor:.3f} by two standard errors: train it for more epochs, with another "
            f"learning rate, on more data, or from a better language model."
        )


def _metric(task: str, metric: str | None) -> str:
    if metric is not None and metric not in metrics(task):
        raise InputError(f"{task} has no metric {metric!r}: choose one of {', '.join(metrics(task))}.")
    return metric or main_metric(task)


def _resample(
    task: str, metric: str, models: list[ArrayLike], references: ArrayLike, resamples: int, seed: int
) -> np.ndarray:
    if resamples < 2:
        raise InputError(f"A bootstrap of {resamples} resamples says nothing: give 2 or more, 1000 as a rule.")
    pairs = [checked(task, each, references) for each in models]
    drawn = [each for each, _ in pairs]
    return bootstrap.resample(metric, drawn, pairs[0][1], resamples=resamples, seed=seed)


def _ends(values: np.ndarray, level: float) -> tuple[float, float]:
    low, high = np.quantile(values, [_tail(level), 1 - _tail(level)])
    return float(low), float(high)


def _tail(level: float) -> float:
    if not 0 < level < 1:
        raise InputError(f"The level of an interval is {level!r}: give a number between 0 and 1, such as 0.95.")
    return (1 - level) / 2
