"""One comparison of all systems: weights, bytes, speed and score, whatever notebook measured them."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import median
from typing import NamedTuple

import pandas as pd

from helpers.labels import METRICS, STUDY, SYSTEMS, task_label
from helpers.report import cells, summary
from helpers.report.cells import DASH
from helpers.report.summary import Records, Summary

__all__ = ["ARMS", "System", "factor", "has_systems", "of_task", "systems_table", "timed_tasks"]

# Bytes and speed alone, of published shapes, then what was trained; a star stands for any ending.
ARMS = (
    "bert_base_shape",
    "albert_base_shape",
    "tinybert_shape",
    "teacher",
    "control",
    "student",
    "augmented",
    "pruned",
    "int8",
    "distilbert",
    "distilbert_two_stage",
    "albert",
    "albert_scratch",
    "low_rank_embeddings_recovered",
    "low_rank_linear_recovered",
    "structured_both_*_recovered",
    "structured_both_*_recovered_int8",
    "structured_layers_*_recovered",
    "structured_layers_*_recovered_int8",
)


class System(NamedTuple):
    """One system on one task: its file in MB, its speed beside the teacher's in the same run, its score."""

    megabytes: float
    factor: float | None
    score: Summary | None


def has_systems(records: Records) -> bool:
    """Tell whether any record is of another system than the report's."""
    return any(record["notebook"] in SYSTEMS for record in records)


def of_task(records: Records, task: str, *, timed: Records | None = None) -> dict[str, System]:
    """Return what is known of each system on a task; times are of `timed`, or of one machine (`summary.timed`)."""
    kept = summary.timed(records, notebooks=STUDY + SYSTEMS)[0] if timed is None else timed
    found = {}
    for arm in summary.matching(records, ARMS):
        measured = summary.arms_of(records, arm, task=task)
        if not measured:
            continue
        of_runs = [factor(record, arm, beside="teacher") for record in kept if record["task"] == task]
        factors = [one for one in of_runs if one is not None]
        found[arm] = System(
            megabytes=median(one["bytes"]["file"] for _, one in measured) / 1e6,
            factor=median(factors) if factors else None,
            score=summary.score(records, task, arm),
        )
    return found


def factor(record: Mapping, arm: str, *, beside: str) -> float | None:
    """Return how many times as fast as another an arm is in one run, in batches of 32 at their true lengths.

    Pair by pair of batches where the run's baseline was the other, else by way of the baseline.
    """
    factors = {
        one["arm"]: one["latency"]["batch32_true"]["speedup"]["median"]
        for one in record["arms"]
        if one["arm"] in (beside, arm) and (one["latency"] or {}).get("batch32_true")
    }
    return factors[arm] / factors[beside] if {beside, arm} <= factors.keys() else None


def systems_table(records: Records) -> pd.DataFrame:
    """Return every system's megabytes, weights, speed beside the teacher's, and its scores.

    The speed is the median over `timed_tasks`.
    """
    summary.require(records)
    tasks = summary.tasks_of(records, all_of_report=False)
    known = {task: of_task(records, task) for task in tasks}
    metrics = {task: summary.metrics_of(records, task)[0] for task in tasks}
    columns = {task: f"{task_label(task)} {METRICS.get(metric, metric)}" for task, metric in metrics.items()}
    arms = summary.matching(records, ARMS)
    common = timed_tasks(records)
    rows = {}
    for arm in arms:
        there = [systems[arm] for systems in known.values() if arm in systems]
        factors = [one.factor for task in common if (one := known[task].get(arm)) and one.factor]
        weights = median(one["parameters"] for _, one in summary.arms_of(records, arm))
        rows[summary.title(records, arm)] = {
            "Size (MB)": f"{median(each.megabytes for each in there):.2f}",
            "Weights (M)": f"{weights / 1e6:.2f}",
            "Speed beside the teacher": f"{cells.number(median(factors))}x" if factors else DASH,
            **{
                column: cells.plain(known[task][arm].score if arm in known[task] else None)
                for task, column in columns.items()
            },
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("System")


def timed_tasks(records: Records) -> list[str]:
    """Return the tasks whose times count: that in which the most systems were timed, and those with the same systems.

    Factors differ with the lengths of a task's rows, so that all are of the same tasks.
    """
    tasks = summary.tasks_of(records, all_of_report=False)
    timed = {task: {arm for arm, one in of_task(records, task).items() if one.factor} for task in tasks}
    most = max(timed.values(), key=len, default=set())
    return [task for task in tasks if most and timed[task] == most]
