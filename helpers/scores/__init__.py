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
from helpers.scores.significance import Flips, flips, holm, mcnemar, p_value

__all__ = [
    "Flips",
    "GlueMetric",
    "Interval",
    "TASK_METRICS",
    "check_teacher",
    "flips",
    "floor",
    "floor_score",
    "holm",
    "interval",
    "main_metric",
    "mcnemar",
    "mean_interval",
    "p_value",
    "paired",
    "paired_all",
    "predictions",
    "retention",
    "score",
    "standard_error",
]
