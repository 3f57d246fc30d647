"""Tables made from records: the report's two, differences, latency block by block, and retention.

Every function takes records and returns a pandas DataFrame of printed cells; a dash is what was not measured.
Each raises InputError when there is no record at all.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import pandas as pd

from helpers.labels import ARMS, METRICS, SHAPES, task_label
from helpers.report import cells, differences, summary
from helpers.report import reported as own
from helpers.report.cells import DASH, NOISE, NOTEBOOK
from helpers.report.significance import COMPARED
from helpers.report.summary import Records

__all__ = ["difference_table", "latency_table", "markdown", "retention_table", "table1", "table2"]

_PROSE = 50  # letters: a column with a longer cell is text, not numbers


def table1(records: Records, *, reported: bool = True, all_of_report: bool = True) -> pd.DataFrame:
    """Return size and scores per system; below them the report's own rows, labelled so.

    There is a column for each of the report's tasks, or with `all_of_report=False` for those measured only.

    Size is the file that loads back into the model, in MB (10**6 bytes); the state dict is the report's way,
    so its own sizes stand in that column. A score is `value [low, high]` (one seed: 95 % bootstrap interval
    over examples) or `mean ± half-width (k seeds)` (t interval), marked where the paired difference to the
    row's reference is inside noise.
    """
    summary.require(records)
    columns = {
        f"{task_label(task)} {METRICS.get(metric, metric)}": (task, metric)
        for task in summary.tasks_of(records, all_of_report=all_of_report)
        for metric in summary.metrics_of(records, task)
    }
    rows = {}
    for arm in (*SHAPES, "teacher", "control", "student", "pruned", "int8"):
        note = " (size only)" if arm in SHAPES else " (baseline)" if arm == "teacher" else ""
        rows[ARMS[arm] + note] = {
            "Size (MB)": cells.megabytes(records, arm, "file"),
            "State dict (MB)": cells.megabytes(records, arm, "state_dict"),
            **{column: cells.score(records, task, arm, metric) for column, (task, metric) in columns.items()},
            NOTEBOOK: cells.made_in(records, arm),
        }
    rows |= _reported_scores(columns) if reported else {}
    return _frame(rows, ["Size (MB)", "State dict (MB)", *columns, NOTEBOOK])


def table2(records: Records, *, reported: bool = True) -> pd.DataFrame:
    """Return seconds for the whole validation set at batch 32, and the factor to BERT-base's shape.

    A cell is `seconds s (factor x)`; `≈` leads seconds that were scaled from a part of the batches.
    """
    summary.require(records)
    kept, _ = summary.timed(records)
    tasks = summary.tasks_of(records)
    rows = {
        ARMS[arm] + (" (baseline)" if arm == "bert_base_shape" else ""): {
            **{task_label(task): cells.seconds(kept, task, arm) for task in tasks},
            NOTEBOOK: cells.made_in(kept, arm),
        }
        for arm in (*SHAPES, "teacher", "student", "pruned", "int8")
    }
    rows |= _reported_seconds(tasks) if reported else {}
    return _frame(rows, [*(task_label(task) for task in tasks), NOTEBOOK])


def difference_table(records: Records) -> pd.DataFrame:
    """Return each compressed model's paired difference to its reference (main metric), with interval."""
    summary.require(records)
    tasks = summary.tasks_of(records)
    rows = {}
    for arm in COMPARED:
        references = {found[0]: None for task in tasks if (found := differences.difference(records, task, arm))}
        against = " or ".join(ARMS.get(name, name) for name in references) or "?"
        if references:
            row = {task_label(task): cells.change(records, task, arm) for task in tasks}
            rows[f"{ARMS[arm]} - {against}"] = row | {NOTEBOOK: cells.made_in(records, arm)}
    return _frame(rows, [*(task_label(task) for task in tasks), NOTEBOOK])


def latency_table(records: Records) -> pd.DataFrame:
    """Return ms per batch, `median (p95)`, and the speed-up pair by pair, per task and system.

    Two columns per block (batch size; true or padded length). The speed-up is the median of time(baseline) /
    time(system) over batches that both ran one after the other, with its 95 % interval; over several seeds
    the median of the medians, between the lowest and the highest bound.
    """
    summary.require(records)
    kept, _ = summary.timed(records)
    blocks = sorted({b for r in kept for a in r["arms"] for b in a["latency"] or () if "batch" in b}, key=_order)
    rows = []
    for task in summary.tasks_of(kept, all_of_report=False):
        for arm in (*SHAPES, "teacher", "student", "pruned", "int8"):
            found = [one["latency"] for _, one in summary.arms_of(kept, arm, task=task) if one["latency"]]
            row = [task_label(task), ARMS[arm]]
            for block in blocks:
                row += cells.time_and_speedup([one[block] for one in found if block in one])
            rows.append(row)
    titles = [block.replace("batch", "batch ").replace("_", ", ") for block in blocks]
    columns = [f"{title}: {what}" for title in titles for what in ("ms (p95)", "speed-up")]
    return pd.DataFrame(rows, columns=["Task", "System", *columns]).set_index(["Task", "System"])


def retention_table(records: Records) -> pd.DataFrame:
    """Return floor and teacher, then what each model retains: (score - floor) / (teacher - floor)."""
    summary.require(records)
    tasks = {task: task_label(task) for task in summary.tasks_of(records)}
    floors = {task: summary.floor(records, task) for task in tasks}
    rows = {
        "floor (score)": {
            name: DASH if floors[task] is None else f"{floors[task]:.3f}" for task, name in tasks.items()
        },
        f"{ARMS['teacher']} (score)": {
            **{name: cells.plain(summary.score(records, task, "teacher")) for task, name in tasks.items()},
            NOTEBOOK: cells.made_in(records, "teacher"),
        },
    }
    for arm in COMPARED:
        rows[ARMS[arm]] = {name: cells.percent(summary.retention(records, task, arm)) for task, name in tasks.items()}
        rows[ARMS[arm]][NOTEBOOK] = cells.made_in(records, arm)
    return _frame(rows, [*tasks.values(), NOTEBOOK])


def markdown(frame: pd.DataFrame, *, baseline: str = "teacher") -> str:
    """Return a table as Markdown: the baseline bold, *inside noise* and the report's rows in italics."""
    flat = frame.reset_index().astype(str)
    system = flat.columns.get_loc("System") if "System" in flat.columns else 0
    lines = []
    for row in flat.itertuples(index=False, name=None):
        mark = "*" if row[system].startswith("reported: ") else ""
        mark = "**" if re.fullmatch(rf"{re.escape(ARMS.get(baseline, baseline))}( \(.*\))?", row[system]) else mark
        lines.append([_marked(cell, mark) for cell in row])
    body = pd.DataFrame(lines, columns=flat.columns)
    align = ["left"] * frame.index.nlevels
    align += ["left" if frame[name].astype(str).str.len().max() > _PROSE else "right" for name in frame.columns]
    return body.to_markdown(index=False, disable_numparse=True, colalign=align)


def _order(block: str) -> tuple[int, bool]:
    return int(re.search(r"\d+", block).group()), block.endswith("padded")


def _reported_scores(columns: Mapping[str, tuple[str, str]]) -> dict[str, dict[str, str]]:
    rows = {}
    for system, given in own.table(1).iterrows():
        row = {"State dict (MB)": given["size_mb"]}
        row |= {title: given.get(own.column(*which), DASH) for title, which in columns.items()}
        rows[f"reported: {system}"] = row
    return rows


def _reported_seconds(tasks: Sequence[str]) -> dict[str, dict[str, str]]:
    given = own.table(2).astype(float)
    bert = given.loc["fine-tuned BERT"]
    return {
        f"reported: {system}": {
            task_label(task): f"{row[task]:.1f} s ({cells.number(bert[task] / row[task])}x)"
            for task in tasks
            if task in row
        }
        for system, row in given.iterrows()
    }


def _frame(rows: Mapping[str, Mapping[str, str]], columns: Sequence[str]) -> pd.DataFrame:
    frame = pd.DataFrame([rows[name] for name in rows], index=list(rows), columns=list(columns), dtype=object)
    return frame.where(frame.notna(), DASH).rename_axis("System")


def _marked(cell: str, mark: str) -> str:
    if cell == DASH:
        return cell
    return f"{mark}{cell}{mark}" if mark else cell.replace(NOISE, f"*{NOISE}*")
