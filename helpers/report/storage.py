"""The ladder of files: megabytes, where they are, and what is lost, for each rung over all tasks and seeds."""

from __future__ import annotations

import math
from collections.abc import Mapping
from statistics import fmean, median
from typing import Any

import pandas as pd

from helpers.labels import FILES, METRICS, task_label
from helpers.report import cells, summary
from helpers.report.cells import DASH
from helpers.report.summary import Records, Summary
from helpers.scores import mean_interval

__all__ = ["FIRST", "chosen", "has_files", "mean_loss", "rungs", "storage_table"]

FIRST = "stored_float32"  # what the others are compared with
PARTS = ("embedding", "encoder", "head", "tokenizer")


def has_files(records: Records) -> bool:
    """Tell whether any record is of the ladder of files."""
    return any(record["notebook"] in FILES for record in records)


def rungs(records: Records) -> list[str]:
    """Return the arms of the ladder, in their order."""
    return summary.matching([record for record in records if record["notebook"] in FILES], ["stored_*"])


def mean_loss(records: Records, arm: str, *, split: str = "validation") -> Summary | None:
    """Return the mean difference to the float32 file over tasks, in points (hundredths), over seeds.

    A seed counts if it has all tasks that any has. `split` is `validation` or `heldout`.
    """
    measured = summary.arms_of(records, arm)
    tasks = {record["task"] for record, _ in measured}
    found: dict[int, dict[str, float]] = {}
    for record, one in measured:
        first = next(each for each in record["arms"] if each["arm"] == FIRST)
        lost = 100 * (_score(record, one, split) - _score(record, first, split))
        found.setdefault(record["seed"], {})[record["task"]] = lost
    values = [fmean(losses.values()) for losses in found.values() if losses.keys() == tasks]
    if len(values) > 1:
        return Summary(*mean_interval(values), seeds=len(values))
    return Summary(values[0], math.nan, math.nan, 1) if values else None


def _score(record: Mapping[str, Any], arm: Mapping[str, Any], split: str) -> float:
    metric = record["metrics"][0]
    return arm["heldout_scores"][metric] if split == "heldout" else arm["scores"][metric]["value"]


def chosen(records: Records, *, points: float) -> str | None:
    """Return the smallest file that loses no more than `points` on held-out rows, on the mean over tasks and seeds."""
    losses = {arm: mean_loss(records, arm, split="heldout") for arm in rungs(records)}
    allowed = [arm for arm, loss in losses.items() if loss is not None and loss.value >= -points]
    return min(allowed, key=lambda arm: _megabytes(records, arm, "file"), default=None)


def _megabytes(records: Records, arm: str, kind: str) -> float:
    return median(one["bytes"].get(kind, 0) / 1e6 for _, one in summary.arms_of(records, arm))


def storage_table(records: Records) -> pd.DataFrame:
    """Return each file's megabytes and their parts, the mean difference over tasks in points, and the scores."""
    summary.require(records)
    tasks = [task for task in summary.tasks_of(records, all_of_report=False) if _has(records, task)]
    metrics = {task: summary.metrics_of(records, task)[0] for task in tasks}
    whole = _megabytes(records, FIRST, "file")
    rows: dict[str, dict[str, str]] = {}
    for arm in rungs(records):
        loss = mean_loss(records, arm)
        row = {"File (MB)": _sizes(records, arm, "file")}
        row["Smaller by"] = f"{whole / _megabytes(records, arm, 'file'):.1f}x"
        row |= {f"{part} (MB)": _sizes(records, arm, part) for part in PARTS}
        row["Mean difference (points)"] = DASH if arm == FIRST or loss is None else _points(loss)
        for task in tasks:
            label = task_label(task)
            row[f"{label} {METRICS.get(metrics[task], metrics[task])}"] = cells.plain(summary.score(records, task, arm))
            row[f"{label}: difference"] = DASH if arm == FIRST else cells.change(records, task, arm)
        rows[summary.title(records, arm)] = row
    return pd.DataFrame.from_dict(rows, orient="index").fillna(DASH).rename_axis("System")


def _has(records: Records, task: str) -> bool:
    return any(record["task"] == task and record["notebook"] in FILES for record in records)


def _sizes(records: Records, arm: str, kind: str) -> str:
    """Return megabytes with three digits, a range where tasks differ: a task has a vocabulary of its own."""
    found = [one["bytes"].get(kind, 0) / 1e6 for _, one in summary.arms_of(records, arm)]
    low, high = cells.number(min(found)), cells.number(max(found))
    return low if low == high else f"{low} to {high}"


def _points(loss: Summary) -> str:
    """Return `-0.41 ± 0.20 (3 seeds)`."""
    half = f" ± {loss.high - loss.value:.2f} ({loss.seeds} seeds)" if loss.seeds > 1 else ""
    return f"{cells.signed(loss.value, 2)}{half}"
