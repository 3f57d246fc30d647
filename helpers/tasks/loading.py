"""Load tasks from the hub, from a folder in its layout, or generated."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow.parquet
from datasets import Dataset, concatenate_datasets

from helpers import hub, mini_glue
from helpers.environment import InputError
from helpers.tasks.glue import NLI, TASKS, Task
from helpers.tasks.parquet import hash_rows, read_split

__all__ = ["VARIANTS", "TaskData", "fetch", "load", "load_nli", "read_variants", "with_variants"]

VARIANTS = "variants.parquet"  # in the folder of augmented rows
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


def load(task: str, *, data: str, revision: str | None = None, seed: int = 0, train_rows: int = 0) -> TaskData:
    """Load one task and hold a tenth of its training rows out.

    `data` is `"generated"`, a folder in the layout of the hub's `nyu-mll/glue`, or a hub id. `seed` belongs to
    generated data; the held-out rows do not depend on a run's seed, so that all runs see the same data. Above 0,
    `train_rows` is how many of the other rows are trained on at the most, drawn at random and for all runs the same.
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
    fingerprint = hash_rows(train, validation)
    train = train.select_columns([*known.text, "label"])
    order = np.random.default_rng(0).permutation(len(train))
    held = len(train) // HELDOUT_SHARE
    if not held:
        raise InputError(f"{task}/train has {len(train)} rows; it needs {HELDOUT_SHARE} at least to hold a tenth out.")
    kept, note = order[held:], _note(task, source, len(train))
    if 0 < train_rows < len(kept):
        told = f"models are trained on {train_rows:,} of {len(kept):,} rows"
        kept, note = kept[:train_rows], f"{note}; {told}" if note else told
        fingerprint = hashlib.sha256(f"{fingerprint}, {train_rows} rows".encode()).hexdigest()[: len(fingerprint)]
    return TaskData(
        known,
        train.select(np.sort(kept)),
        train.select(np.sort(order[:held])),
        validation.select_columns([*known.text, "label"]),
        source,
        "mini_glue" if source == "generated" else Path(data).name if source == "folder" else data,
        commit,
        fingerprint,
        note,
    )


def read_variants(folder: Path) -> Dataset:
    """Read augmented rows: a task's columns of text, the copied `label`, and `row`, the training row they come from."""
    return Dataset(pyarrow.parquet.read_table(folder / VARIANTS))


def with_variants(data: TaskData, folder: Path) -> TaskData:
    """Return a task's data with augmented rows behind its training rows."""
    added = read_variants(folder).select_columns([*data.task.text, "label"]).cast(data.train.features)
    return replace(data, train=concatenate_datasets([data.train, added]))


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
        hash_rows(train, validation),
        "an intermediate stage",
    )


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


def _note(task: str, source: str, rows: int) -> str | None:
    if source == "generated":
        return "generated rows: scores say nothing about GLUE"
    if task == "qnli" and rows < 104_743:
        return f"train is a part: {rows:,} of 104,743 rows"
    return None
