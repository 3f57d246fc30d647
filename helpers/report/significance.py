"""The table of comparisons: how likely chance makes each difference, over all tasks, and what flipped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean

import pandas as pd

from helpers import scores
from helpers.labels import ARMS, task_label
from helpers.report import cells, differences, summary
from helpers.report.cells import DASH, NOTEBOOK
from helpers.report.summary import Records

__all__ = ["COMPARED", "has_comparisons", "significance_table"]

COMPARED = ("control", "student", "pruned", "int8")


def has_comparisons(records: Records) -> bool:
    """Tell whether any of the study's models was compared with another."""
    tasks = summary.tasks_of(records)
    return any(differences.difference(records, task, arm) for arm in COMPARED for task in tasks)


def significance_table(records: Records) -> pd.DataFrame:
    """Return a row for each comparison and task: difference, p-value, that adjusted over the tasks, and the flips.

    Holm's adjustment is over the tasks of one comparison. Flips are means over seeds; McNemar's p-value is that of each
    seed, from the lowest to the highest.
    """
    rows = []
    for arm in COMPARED:
        found = {task: differences.difference(records, task, arm) for task in summary.tasks_of(records)}
        found = {task: versus for task, versus in found.items() if versus is not None}
        p_values = {task: p for task in found if (p := differences.p_value(records, task, arm)) is not None}
        adjusted = dict(zip(p_values, scores.holm(list(p_values.values())), strict=True))
        for task, (reference, versus) in found.items():
            row = {"System": f"{ARMS[arm]} - {ARMS.get(reference, reference)}", "Task": task_label(task)}
            row |= {"Difference": cells.change(records, task, arm), "Seeds": str(versus.seeds)}
            row |= {"p": _p(p_values.get(task)), "p, Holm": _p(adjusted.get(task))}
            row |= _flipped(differences.flips(records, task, arm)) | {NOTEBOOK: cells.made_in(records, arm, task=task)}
            rows.append(row)
    return pd.DataFrame(rows, columns=list(rows[0]) if rows else ["System", "Task"]).set_index(["System", "Task"])


def _flipped(found: Sequence[Mapping[str, int]]) -> dict[str, str]:
    """Return what flipped, in rows and in percent, and how uneven that is."""
    if not found:
        return dict.fromkeys(("Wrong to right", "Right to wrong", "Answers changed", "p, McNemar"), DASH)
    gained, lost, changed = (fmean(one[part] for one in found) for part in ("gained", "lost", "changed"))
    p_values = sorted(scores.mcnemar(one["gained"], one["lost"]) for one in found)
    ends = dict.fromkeys((_p(p_values[0]), _p(p_values[-1])))
    digits = 0 if len(found) == 1 else 1
    return {
        "Wrong to right": f"{gained:.{digits}f}",
        "Right to wrong": f"{lost:.{digits}f}",
        "Answers changed": f"{100 * changed / found[0]['n']:.1f} %",
        "p, McNemar": " to ".join(ends),
    }


def _p(value: float | None) -> str:
    """Return a p-value with three decimals.

    >>> [_p(value) for value in (0.0312, 0.00001, 1.0, None)]
    ['0.031', '< 0.001', '1.000', '—']
    """
    if value is None:
        return DASH
    return "< 0.001" if value < 0.001 else f"{value:.3f}"
