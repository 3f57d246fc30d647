"""GLUE's metrics, their intervals, and the comparisons that a study of small models needs."""

from helpers.scores.intervals import (
    Interval,
    check_teacher,
    floor,
    floor_score,
    interval,
    mean_interval,
    paired,
    paired_all,
    retention,
    standard_error,
)
from helpers.scores.metrics import TASK_METRICS, GlueMetric, main_metric, predictions, score

__all__ = [
    "GlueMetric",
    "Interval",
    "TASK_METRICS",
    "check_teacher",
    "floor",
    "floor_score",
    "interval",
    "main_metric",
    "mean_interval",
    "paired",
    "paired_all",
    "predictions",
    "retention",
    "score",
    "standard_error",
]
