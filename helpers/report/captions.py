"""What stands beside Figure 1, its caption and alt text, and how an interval of several records is called."""

from __future__ import annotations

from helpers.labels import REPORT_AMOUNTS, joined, task_label
from helpers.report import summary
from helpers.report.provenance import generated, provenance
from helpers.report.summary import Records

__all__ = ["figure1_alt", "figure1_caption", "interval_name", "seeds_per_task"]


def figure1_caption(records: Records) -> str:
    """Return the caption of Figure 1."""
    interval = f"95 % {interval_name(records)}"
    return (
        "Figure 1. Score on the validation split against the share of weights set to zero (global L1 pruning "
        f"of the report's pool, no training afterwards). Bars: {interval}. Shaded: the report's range, "
        f"10 to 40 %. {provenance(records)} {generated(records)}"
    ).strip()


def figure1_alt(records: Records) -> str:
    """Say what Figure 1 shows: per task the score unpruned, at the report's limit and at the far end."""
    parts = []
    for task in summary.tasks_of(records, all_of_report=False):
        points = dict(summary.sweep(records, task))
        if not points:
            continue
        marks = sorted({min(points), max(points)} | (points.keys() & {max(REPORT_AMOUNTS)}))
        values = joined([f"{points[amount].value:.2f} at {100 * amount:.0f} %" for amount in marks])
        teacher = summary.score(records, task, "teacher")
        against = f" (teacher {teacher.value:.2f})" if teacher else ""
        parts.append(f"{task_label(task)} {values}{against}")
    return f"Line charts of score against pruning amount: {'; '.join(parts) or 'nothing measured yet'}."


def seeds_per_task(records: Records) -> set[str]:
    """Return whether tasks have one seed, several, or some the one and some the other."""
    seeds: dict[str, set[int]] = {}
    for record in records:
        seeds.setdefault(record["task"], set()).add(record["seed"])
    return {"several" if len(found) > 1 else "one" for found in seeds.values()}


def interval_name(records: Records) -> str:
    """Say what the intervals of scores are over: seeds, or examples where a task has one seed."""
    names = {"several": "t interval over seeds", "one": "bootstrap interval over examples"}
    kinds = seeds_per_task(records)
    if len(kinds) == 2:
        return f"{names['several']} (a task with one seed: {names['one']})"
    return names[kinds.pop()]
