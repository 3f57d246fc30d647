"""GLUE's unlabelled test rows, and the files that its leaderboard takes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from datasets import Dataset

from helpers.environment import InputError
from helpers.tasks.glue import TASKS
from helpers.tasks.loading import fetch
from helpers.tasks.parquet import read_parquet

__all__ = ["load_test", "to_tsv"]

# the leaderboard's file of each test split (gluebenchmark.com, FAQ)
_FILES = {
    "cola": {"test": "CoLA.tsv"},
    "rte": {"test": "RTE.tsv"},
    "stsb": {"test": "STS-B.tsv"},
    "qnli": {"test": "QNLI.tsv"},
    "sst2": {"test": "SST-2.tsv"},
    "mrpc": {"test": "MRPC.tsv"},
    "qqp": {"test": "QQP.tsv"},
    "mnli": {"test_matched": "MNLI-m.tsv", "test_mismatched": "MNLI-mm.tsv"},
}
_BY_NAME = ("rte", "qnli", "mnli")  # their answers are names; the others' numbers


def load_test(task: str, *, data: str, revision: str | None = None) -> dict[str, Dataset]:
    """Return a task's test rows by the leaderboard's file name: the columns of text, `idx`, and a `label` that is 0.

    No row of the test split has a label; the column is there because what reads rows expects one.

    Raises `InputError` for an unknown task, generated data, and a folder whose test split is missing or broken.
    """
    if task not in TASKS:
        raise InputError(f"There is no task {task!r}; known are {', '.join(TASKS)}.")
    if data == "generated":
        raise InputError(f"The generated {task} has no test split; give --data a folder or hub id of GLUE.")
    known, (folder, *_) = TASKS[task], fetch(data, task, revision=revision)
    found = {}
    for split, file in _FILES[task].items():
        if not any(folder.glob(f"{split}-*.parquet")):
            raise InputError(f"{folder} has no file {split}-*.parquet, whose rows the leaderboard wants answered.")
        rows = read_parquet(folder, split)
        missing = [column for column in known.text if column not in rows.column_names]
        if missing or not len(rows):
            raise InputError(f"{folder.name}/{split} has {'no column ' + repr(missing[0]) if missing else 'no rows'}.")
        if "idx" not in rows.column_names:
            rows = rows.add_column("idx", list(range(len(rows))))
        rows = rows.select_columns([*known.text, "idx"])
        found[file] = rows.add_column("label", [0] * len(rows))
    return found


def to_tsv(task: str, predictions: Sequence[float] | np.ndarray, indexes: Sequence[int]) -> str:
    r"""Return the text of a leaderboard file: a header, then a row's index and answer.

    >>> to_tsv("rte", [1, 0], [0, 1])
    'index\tprediction\n0\tnot_entailment\n1\tentailment\n'
    """
    if len(predictions) != len(indexes):
        raise InputError(f"{task}: {len(predictions)} answers for {len(indexes)} rows; one of each is needed.")
    return "".join(
        ["index\tprediction\n", *(f"{i}\t{_answer(task, p)}\n" for i, p in zip(indexes, predictions, strict=True))]
    )


def _answer(task: str, prediction: float) -> str:
    labels = TASKS[task].labels
    if not labels:  # the leaderboard refuses scores outside 0 to 5
        return f"{min(max(float(prediction), 0.0), 5.0):.3f}"
    return labels[int(prediction)] if task in _BY_NAME else str(int(prediction))
