"""What nothing else beats: models, files and programs together, by score, bytes and speed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from statistics import median
from typing import NamedTuple

from helpers.labels import SPEEDS, STUDY, SYSTEMS
from helpers.report import summary, systems
from helpers.report.summary import Records, Summary

__all__ = ["Point", "front", "has_choices", "points", "tasks"]

BASE = "bert_base_shape"
PATTERNS = ("stored_*", "speed_*")


class Point(NamedTuple):
    """One choice on one task: its file in MB, how many times as fast as BERT-base it answers, its score."""

    megabytes: float
    factor: float | None
    score: Summary


def has_choices(records: Records) -> bool:
    """Tell whether any record is of files or of programs: without them there are only systems."""
    return bool(summary.matching(records, PATTERNS))


def tasks(records: Records) -> list[str]:
    """Return the tasks that have files or programs."""
    there = {record["task"] for record in records if summary.matching([record], PATTERNS)}
    return [task for task in summary.tasks_of(records, all_of_report=False) if task in there]


def points(records: Records, task: str) -> dict[str, Point]:
    """Return every choice that has a score on a task: the systems, the files, the programs.

    Times are for batches of 32 rows at true lengths. A file has its model's time, the student's in PyTorch's float32:
    it is decoded when it is loaded. A program has the student's bytes in float32, from which it starts.
    """
    kept, _ = summary.timed(records, notebooks=STUDY + SYSTEMS + SPEEDS)
    timed = [record for record in kept if record["task"] == task]
    teacher = _median(systems.factor(record, "teacher", beside=BASE) for record in timed)
    found = {
        arm: Point(one.megabytes, one.factor * teacher if one.factor and teacher else None, one.score)
        for arm, one in systems.of_task(records, task).items()
        if one.score is not None
    }
    student = found["student"].factor if "student" in found else None
    for arm in summary.matching(records, PATTERNS):
        score, measured = summary.score(records, task, arm), summary.arms_of(records, arm, task=task)
        if score is None:
            continue
        size = median(one["bytes"]["file"] for _, one in measured) / 1e6
        own = _median(systems.factor(record, arm, beside=BASE) for record in timed)
        found[arm] = Point(size, student if arm.startswith("stored_") else own, score)
    return found


def front(found: Mapping[str, tuple[float, float]]) -> list[str]:
    """Return the names that no other beats, by descending first value; more is better in both.

    >>> front({"a": (3.0, 1.0), "b": (2.0, 2.0), "c": (1.0, 2.0), "d": (2.0, 1.5)})
    ['a', 'b']
    """
    kept: list[str] = []
    for name in sorted(found, key=lambda name: found[name], reverse=True):
        if not kept or found[name][1] > found[kept[-1]][1]:
            kept.append(name)
    return kept


def _median(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return median(known) if known else None
