"""What nothing else beats: models, files and programs together, by score, bytes and speed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from statistics import median
from typing import NamedTuple

from helpers.labels import ORDERS, SPEEDS, STUDY, SYSTEMS
from helpers.report import summary, systems
from helpers.report.speed import BASE
from helpers.report.summary import Records, Summary

__all__ = ["Point", "front", "has_choices", "points", "tasks", "timed"]

INT8_LAYERS = ("stored_int8_linear", "stored_int8")  # loaded, they compute in eight bits
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


def timed(records: Records) -> list[Mapping]:
    """Return the records whose times count, all of one machine; the others' systems and programs have none."""
    return list(summary.timed(records, notebooks=STUDY + SYSTEMS + SPEEDS)[0])


def points(records: Records, task: str) -> dict[str, Point]:
    """Return every choice that has a score on a task: the systems, the files, the programs.

    Scores are means over the seeds that all of them have. Times are for batches of 32 rows at true lengths. A file is
    decoded when it is loaded, and has the student's time in PyTorch's float32, or, where its layers are int8, in
    that. A program has the student's bytes in float32, from which it starts.
    """
    ours = [record for record in records if record["task"] == task and record["notebook"] not in ORDERS]
    some = _of_common_seeds(ours)
    kept = [record for record in timed(records) if record["task"] == task]
    teacher = _median(systems.factor(record, "teacher", beside=BASE) for record in kept)
    found = {
        arm: Point(one.megabytes, one.factor * teacher if one.factor and teacher else None, one.score)
        for arm, one in systems.of_task(some, task, timed=kept).items()
        if one.score is not None
    }
    own = {arm: found[arm].factor if arm in found else None for arm in ("student", "int8")}
    for arm in summary.matching(some, PATTERNS):
        score, measured = summary.score(some, task, arm), summary.arms_of(some, arm, task=task)
        if score is None:
            continue
        size = median(one["bytes"]["file"] for _, one in measured) / 1e6
        if arm.startswith("stored_"):
            factor = own["int8" if arm in INT8_LAYERS else "student"]
        else:
            factor = _median(systems.factor(record, arm, beside=BASE) for record in kept)
        found[arm] = Point(size, factor, score)
    return found


def _of_common_seeds(some: Records) -> Records:
    """Return the records of the seeds that every notebook has, or all if there is none."""
    seeds: dict[str, set[int]] = {}
    for record in some:
        seeds.setdefault(record["notebook"], set()).add(record["seed"])
    common = set.intersection(*seeds.values()) if seeds else set()
    return [record for record in some if record["seed"] in common] or some


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
