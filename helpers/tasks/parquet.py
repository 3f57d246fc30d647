"""Read rows from parquet files, check a task's (columns, labels, text), and tell what they say by a hash."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pyarrow
import pyarrow.parquet
from datasets import ClassLabel, Dataset, concatenate_datasets

from helpers.environment import InputError
from helpers.tasks.glue import GLUE, Task
from helpers.wording import reason

__all__ = ["STRINGS", "hash_rows", "read_parquet", "read_split"]

STRINGS = ("string", "large_string", "string_view")


def read_split(task: Task, folder: Path, split: str) -> Dataset:
    rows = read_parquet(folder, split)
    where = f"{folder.name}/{split}"
    missing = [column for column in (*task.text, "label") if column not in rows.column_names]
    if missing:
        there = ", ".join(rows.column_names)
        raise InputError(
            f"{where} has no column {missing[0]!r}; its columns are {there}; add it, as in the hub's files."
        )
    if not len(rows):
        raise InputError(f"{where} has no rows; copy the files again.")
    labels = list(rows["label"])
    unlabelled = sum(label is None or label == -1 or label != label for label in labels)
    if unlabelled:
        raise InputError(
            f"{where} has {unlabelled} rows without a label (GLUE's test split has none); use labelled rows."
        )
    kind = rows.features["label"]
    if isinstance(kind, ClassLabel) and tuple(kind.names) != task.labels:
        wanted = f"{', '.join(task.labels)} in this order" if task.labels else "scores from 0 to 5"
        raise InputError(f"{where} names its labels {', '.join(kind.names)}; {task.name} needs {wanted}.")
    if not all(isinstance(label, int | float) for label in labels):
        raise InputError(
            f"{where} has labels that are no numbers, like {labels[0]!r}; they must be as in the hub's {GLUE}."
        )
    if task.labels and not all(label in range(len(task.labels)) for label in set(labels)):
        raise InputError(f"{where} has labels outside 0 to {len(task.labels) - 1}: {sorted(set(labels))[:5]}.")
    if not task.labels and not all(0 <= label <= 5 for label in labels):
        raise InputError(f"{where} has scores outside 0 to 5, from {min(labels)} to {max(labels)}.")
    if any(not isinstance(text, str) or not text.strip() for column in task.text for text in rows[column]):
        raise InputError(f"{where} has rows without text; remove them.")
    return rows


def read_parquet(folder: Path, split: str) -> Dataset:
    files = sorted(folder.glob(f"{split}-*.parquet"))
    if not files:
        raise InputError(f"There is no file {split}-*.parquet in {folder}; the layout is that of the hub's {GLUE}.")
    try:
        tables = [pyarrow.parquet.read_table(file) for file in files]
        for table in tables:
            table.validate(full=True)
        return concatenate_datasets([Dataset(table) for table in tables])
    except (pyarrow.ArrowException, OSError, ValueError) as error:  # ValueError: files whose columns do not agree
        if "UTF8" in str(error):
            raise InputError(f"The files in {folder} hold text that is not UTF-8; save it as such.") from error
        where = f"{folder.name}/{split}-*.parquet"
        raise InputError(f"{where} cannot be read ({reason(error)}); copy the files again.") from error


def hash_rows(*splits: Dataset) -> str:
    """Hash what the rows say, not how the file stores them."""
    total = hashlib.sha256()
    for rows in splits:
        for column in sorted(set(rows.column_names) - {"idx", "source"}):
            total.update(f"{column} {len(rows)}".encode())
            total.update(repr(rows[column][:]).encode())
    return total.hexdigest()[:16]
