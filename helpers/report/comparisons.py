"""Tables of what the study's own student and teacher are compared with: starts, ablations, augmentation, speed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median

import pandas as pd

from helpers.environment import InputError
from helpers.labels import ABLATIONS, DISTILBERT, task_label
from helpers.report import cells, summary
from helpers.report.cells import DASH
from helpers.report.summary import Records

__all__ = ["COMPARISONS", "FACTORS", "FLOOR", "comparison_table", "ladder_table", "ladders"]

# table: (the row that the others are compared with, the others; a star stands for any ending)
COMPARISONS: Mapping[str, tuple[str, Sequence[str]]] = {
    "starts": ("student", ("start_random", "start_embeddings", "start_projected", "start_general")),
    "teachers": ("teacher_given", ("teacher_continued", "teacher_random")),
    "ablations": ("student", tuple(f"ablation_{name}" for name in ABLATIONS)),
    "augmentation": ("student", ("longer", "augmented", "augmented_gold")),
    "distilbert": ("distilbert", ("distilbert_two_stage", *(f"distilbert_{name}" for name in DISTILBERT))),
    "albert": ("albert", ("albert_sharing_*", "albert_e*", "albert_scratch", "albert_scratch_plain")),
    "low_rank": ("teacher", ("low_rank_*", "factorized")),
    "structured": ("teacher", ("structured_*",)),
}
FLOOR = "majority or mean predictor"  # the last row
FACTORS = ("first_epoch", "ten_epochs")


def comparison_table(records: Records, name: str) -> pd.DataFrame:
    """Return one of `COMPARISONS`: per task that has it the score and the paired difference to the first row.

    The last row is the floor, the score without any learning from the rows. Raises `InputError` if no record has any of
    its arms.
    """
    reference, patterns = COMPARISONS[name]
    others = summary.matching(records, patterns)
    found = {arm: {task for task in summary.tasks_of(records) if summary.score(records, task, arm)} for arm in others}
    tasks = [task for task in summary.tasks_of(records) if any(task in has for has in found.values())]
    if not tasks:
        raise InputError(f"No record has an arm of the table {name}: {', '.join(patterns)}.")
    rows: dict[str, dict[str, str]] = {}
    for arm in (reference, *(arm for arm in others if found[arm])):
        rows[summary.title(records, arm)] = row = {}
        for task in tasks:
            metric = summary.metrics_of(records, task)[0]
            compared = arm != reference
            row[task_label(task)] = cells.plain(summary.score(records, task, arm, metric))
            row[f"{task_label(task)}: difference"] = cells.change(records, task, arm) if compared else DASH
    floors = {task: summary.floor(records, task) for task in tasks}
    rows[FLOOR] = {task_label(task): DASH if value is None else f"{value:.3f}" for task, value in floors.items()}
    return pd.DataFrame.from_dict(rows, orient="index").fillna(DASH).rename_axis("System")


def ladders(records: Records) -> dict[str, tuple[Records, Mapping[str, Mapping[str, float]]]]:
    """Return {task: (records, rungs)} of the machine that measured last: of several seeds each number's median."""
    measured = [record for record in records if record.get("ladder")]
    last = max((record["created"] for record in measured), default=None)
    machines = {summary.machine(record, threads=True) for record in measured if record["created"] == last}
    same = [record for record in measured if summary.machine(record, threads=True) in machines]
    found = {}
    for task in summary.tasks_of(records):
        some = [record for record in same if record["task"] == task]
        if some:
            ladders = [record["ladder"]["rungs"] for record in some]
            found[task] = (some, {name: _medians([one[name] for one in ladders]) for name in ladders[0]})
    return found


def _medians(rungs: Sequence[Mapping[str, float]]) -> dict[str, float]:
    return {part: median(rung[part] for rung in rungs) for part in rungs[0]}


def ladder_table(records: Records) -> pd.DataFrame:
    """Return examples per second of each way to distil, and how many times as fast as the plain way it is, by task.

    The plain way comes first, then the slower before the faster (on the first task).
    Raises `InputError` if no record has a ladder.
    """
    measured = ladders(records)
    if not measured:
        raise InputError("No record has a ladder; run notebook 01_distillation with ladder_steps above 0.")
    rows: dict[str, dict[str, str]] = {}
    for task, (_, rungs) in measured.items():
        label = task_label(task)
        for rung, rate in sorted(rungs.items(), key=lambda item: (item[0] != "plain", item[1]["training"])):
            row = rows.setdefault(rung, {})
            stored = f" (stored at {cells.number(rate['storing'])})" if "storing" in rate else ""
            row[f"{label}: examples/s"] = f"{cells.number(rate['training'])}{stored}"
            for words in FACTORS:
                row[f"{label}: {words.replace('_', ' ')}"] = f"{cells.number(rate[words])}x"
    return pd.DataFrame.from_dict(rows, orient="index").fillna(DASH).rename_axis("System")
