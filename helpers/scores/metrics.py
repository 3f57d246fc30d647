"""The metrics of GLUE's tasks as an `evaluate.Metric` that needs no network."""

from collections.abc import Callable

import datasets
import evaluate
import numpy as np
from numpy.typing import ArrayLike
from scipy import stats
from sklearn.metrics import f1_score, matthews_corrcoef

from helpers.environment import InputError, RunError

__all__ = ["TASK_METRICS", "GlueMetric", "checked", "main_metric", "metrics", "predictions", "score"]

# the first metric of a task is its main one
TASK_METRICS: dict[str, tuple[str, ...]] = {
    "cola": ("matthews_correlation",),
    "sst2": ("accuracy",),
    "mrpc": ("f1", "accuracy"),
    "stsb": ("pearson", "spearmanr"),
    "qqp": ("f1", "accuracy"),
    "mnli": ("accuracy",),
    "qnli": ("accuracy",),
    "rte": ("accuracy",),
}


class GlueMetric(evaluate.Metric):
    """The hub's `glue` metric without the hub: `GlueMetric(task).compute(predictions=…, references=…)`.

    Differs from it where it gives NaN and a warning: the correlation of constant predictions is 0.
    """

    def _info(self) -> evaluate.MetricInfo:
        kind = "float32" if metrics(self.config_name) == TASK_METRICS["stsb"] else "int64"
        return evaluate.MetricInfo(
            description="The metrics of the GLUE benchmark (Wang et al. 2018).",
            citation="Wang et al. 2018, GLUE: A Multi-Task Benchmark and Analysis Platform for NLU.",
            inputs_description="predictions, references: one number per example.",
            features=datasets.Features({"predictions": datasets.Value(kind), "references": datasets.Value(kind)}),
            format="numpy",
        )

    def _compute(self, predictions: np.ndarray, references: np.ndarray) -> dict[str, float]:
        return {name: float(_WHOLE[name](predictions, references)) for name in metrics(self.config_name)}


def main_metric(task: str) -> str:
    """Return the name of the task's main metric. Raises InputError for an unknown task."""
    return metrics(task)[0]


def predictions(task: str, logits: np.ndarray) -> np.ndarray:
    """Return one prediction per example, `[n]`: the class of the largest of `[n, C]` logits, or stsb's score.

    Raises InputError for another shape, RunError for logits that are not finite (argmax would hide them).
    """
    logits = np.asarray(logits)
    regression = metrics(task) == TASK_METRICS["stsb"]
    if logits.ndim != 2 or (logits.shape[1] != 1 if regression else logits.shape[1] < 2):
        wanted = "[n, 1]" if regression else "[n, C] with C >= 2"
        raise InputError(f"{task}: the logits have shape {logits.shape}, not {wanted}: check the model's classes.")
    if not np.isfinite(logits).all():
        raise RunError(f"{task}: some logits are not finite, so training diverged: lower the learning rate.")
    return logits[:, 0] if regression else logits.argmax(axis=1)


def score(task: str, predictions: ArrayLike, references: ArrayLike) -> dict[str, float]:
    """Return all metrics of the task over `[n]` predictions and references; InputError for bad labels."""
    predictions, references = checked(task, predictions, references)
    metric = GlueMetric(task, keep_in_memory=True)
    return metric.compute(predictions=predictions, references=references)


def metrics(task: str) -> tuple[str, ...]:
    """Return the names of the task's metrics, the main one first. Raises InputError for an unknown task."""
    if task not in TASK_METRICS:
        raise InputError(f"The task {task!r} is not known: choose one of {', '.join(TASK_METRICS)}.")
    return TASK_METRICS[task]


def checked(task: str, predictions: ArrayLike, references: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Return both as `[n]`, integers for classes, floats as GlueMetric keeps them for stsb.

    Raises InputError for numbers that the task cannot have, unlabelled (-1) rows among them.
    """
    predictions, references = np.asarray(predictions), np.asarray(references)
    regression = metrics(task) == TASK_METRICS["stsb"]
    if predictions.ndim != 1 or predictions.shape != references.shape or not len(references):
        shapes = f"{predictions.shape} and {references.shape}"
        raise InputError(f"{task}: predictions and references have shapes {shapes}: give one of each per example.")
    for name, values in (("predictions", predictions), ("references", references)):
        if values.dtype.kind not in "biuf" or not np.isfinite(values).all():
            raise InputError(f"{task}: some {name} are not finite numbers: check the model and the data.")
    if (references < 0).any():
        raise InputError(f"{task}: some labels are negative, as in GLUE's unlabelled test split: use a labelled one.")
    if regression:
        return tuple(values.astype(np.float32).astype(np.float64) for values in (predictions, references))
    whole = tuple(values.astype(np.int64) for values in (predictions, references))
    if (whole[0] != predictions).any() or (whole[1] != references).any() or whole[0].min() < 0:
        raise InputError(f"{task}: some labels are not classes 0, 1, …: check the order of the arguments.")
    if main_metric(task) != "accuracy" and max(whole[0].max(), whole[1].max()) > 1:
        raise InputError(
            f"{task}: some labels are above 1, but {main_metric(task)} is for two classes: check the data."
        )
    return whole


def _varied(function: Callable[..., float]) -> Callable[[np.ndarray, np.ndarray], float]:
    # a correlation with something constant is undefined: the libraries warn and give NaN, here it is 0
    def guarded(predictions: np.ndarray, references: np.ndarray) -> float:
        x, y = (np.asarray(each, dtype=np.float64) for each in (predictions, references))
        return 0.0 if np.ptp(x) == 0 or np.ptp(y) == 0 else function(x, y)

    return guarded


_WHOLE: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "accuracy": lambda predictions, references: np.mean(predictions == references),
    "f1": lambda predictions, references: f1_score(references, predictions, zero_division=0.0),
    "matthews_correlation": _varied(lambda x, y: matthews_corrcoef(y, x)),
    "pearson": _varied(lambda x, y: stats.pearsonr(x, y).statistic),
    "spearmanr": _varied(lambda x, y: stats.spearmanr(x, y).statistic),
}
