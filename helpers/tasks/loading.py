"""Load tasks from the hub, from a folder in its layout, or generated."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from datasets import Dataset

from helpers import hub, mini_glue
from helpers.environment import InputError
from helpers.tasks.glue import NLI, TASKS, Task
from helpers.tasks.parquet import STRINGS, read_parquet, read_split

__all__ = ["TaskData", "Text", "fetch", "load", "load_nli", "load_text"]

HELDOUT_SHARE = 10  # one row in ten of train is held out, for every choice that is not the final score


@dataclass(frozen=True, eq=False)
class TaskData:
    """One task's rows and where they come from. Columns: the task's text columns and `label`."""

    task: Task
    train: Dataset
    heldout: Dataset
    validation: Dataset
    source: str  # generated, folder or hub
    name: str
    revision: str | None
    fingerprint: str
    note: str | None = None

    def labels(self, split: str) -> np.ndarray:
        """Return a split's labels, shape (n,)."""
        return np.asarray(getattr(self, split)["label"])

    def describe(self) -> dict[str, object]:
        """Return the `data` part of a record."""
        rows = {split: len(getattr(self, split)) for split in ("train", "heldout", "validation")}
        return {
            "source": self.source,
            "name": self.name,
            "revision": self.revision,
            "fingerprint": self.fingerprint,
            "rows": rows,
            "note": self.note,
        }


@dataclass(frozen=True, eq=False)
class Text:
    """A corpus: a dataset with the column `text`, and its origin."""

    rows: Dataset
    source: str
    fingerprint: str


def load(task: str, *, data: str, revision: str | None = None, seed: int = 0) -> TaskData:
    """Load one task and hold a tenth of its training rows out.

    `data` is `"generated"`, a folder in the layout of the hub's `nyu-mll/glue`, or a hub id. `seed` belongs to
    generated data; the held-out rows do not depend on a run's seed, so that all runs see the same data.
    Raises `InputError` for an unknown task, and for missing, broken, unlabelled or differently labelled rows.
    """
    if task not in TASKS:
        raise InputError(f"There is no task {task!r}; known are {', '.join(TASKS)}.")
    known = TASKS[task]
    if data == "generated":
        if task not in mini_glue.TASKS:
            raise InputError(
                f"There is no generated {task!r}; generated are {', '.join(mini_glue.TASKS)}. Give data=..."
            )
        splits, source, commit = mini_glue.load(task, seed=seed), "generated", None
        train, validation = splits["train"], splits["validation"]
    else:
        folder, source, commit = fetch(data, task, revision=revision)
        train, validation = read_split(known, folder, "train"), read_split(known, folder, known.validation)
    fingerprint = _hash_rows(train, validation)
    train = train.select_columns([*known.text, "label"])
    order = np.random.default_rng(0).permutation(len(train))
    held = len(train) // HELDOUT_SHARE
    if not held:
        raise InputError(f"{task}/train has {len(train)} rows; it needs {HELDOUT_SHARE} at least to hold a tenth out.")
    return TaskData(
        known,
        train.select(np.sort(order[held:])),
        train.select(np.sort(order[:held])),
        validation.select_columns([*known.text, "label"]),
        source,
        "mini_glue" if source == "generated" else Path(data).name if source == "folder" else data,
        commit,
        fingerprint,
        _note(task, source, len(train)),
    )


def load_nli(data: str) -> TaskData:
    """Load inference pairs for the stage before `rte`: a folder of `train-*` and `validation-*`, or the hub's MNLI."""
    if Path(data).is_dir():
        known, folder, source, commit = NLI, Path(data), "folder", None
    else:
        known = TASKS["mnli"]
        folder, source, commit = fetch(data, "mnli")
    train, validation = read_split(known, folder, "train"), read_split(known, folder, known.validation)
    columns = [*known.text, "label"]
    train, validation = train.select_columns(columns), validation.select_columns(columns)
    name = Path(data).name if source == "folder" else data
    return TaskData(
        known,
        train,
        validation,
        validation,
        source,
        name,
        commit,
        _hash_rows(train, validation),
        "an intermediate stage",
    )


def load_text(text: str, *, seed: int = 0) -> Text:
    """Load the text corpus: `"generated"`, or a folder of parquet files with a column `text`."""
    if text == "generated":
        rows, source = mini_glue.text(seed=seed), "generated"
    else:
        if not Path(text).is_dir():
            raise InputError(f"The text folder {text} does not exist; give text=... a folder with train-*.parquet.")
        rows, source = read_parquet(Path(text), "train"), Path(text).name
        if "text" not in rows.column_names:
            raise InputError(f"The files in {text} have no column 'text'; they have {', '.join(rows.column_names)}.")
        rows = rows.select_columns(["text"])
        if not len(rows) or rows.data.column("text").null_count or rows.features["text"].dtype not in STRINGS:
            raise InputError(
                f"The files in {text} have no rows or rows without text in the column 'text'; remove those."
            )
    return Text(rows, source, _hash_rows(rows))


def fetch(data: str, task: str, *, revision: str | None = None) -> tuple[Path, str, str | None]:
    """Return (folder with the task's parquet files, "folder" or "hub", commit on the hub)."""
    if Path(data).is_dir():
        if not (Path(data) / task).is_dir():
            raise InputError(f"The data folder {data} has no folder {task!r}; it must hold {task}/train-*.parquet.")
        return Path(data) / task, "folder", None
    if data.startswith((".", "/", "~")) or data.count("/") != 1:
        raise InputError(f"The data folder {data} does not exist; give data=... a folder, a hub id or 'generated'.")
    folder, commit = hub.snapshot(data, patterns=[f"{task}/*.parquet"], kind="dataset", revision=revision)
    return folder / task, "hub", commit


def _hash_rows(*splits: Dataset) -> str:
    """Hash what the rows say, not how the file stores them."""
    total = hashlib.sha256()
    for rows in splits:
        for column in sorted(set(rows.column_names) - {"idx", "source"}):
            total.update(f"{column} {len(rows)}".encode())
            total.update(repr(rows[column][:]).encode())
    return total.hexdigest()[:16]


def _note(task: str, source: str, rows: int) -> str | None:
    if source == "generated":
        return "generated rows: scores say nothing about GLUE"
    if task == "qnli" and rows < 104_743:
        return f"train is a part: {rows:,} of 104,743 rows"
    return None
