"""Load the text corpus: generated, from a folder, or from the hub."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from datasets import Dataset

from helpers import hub, mini_glue
from helpers.environment import InputError, RunError
from helpers.tasks.parquet import STRINGS, hash_rows, read_parquet

__all__ = ["Text", "load_text"]


@dataclass(frozen=True, eq=False)
class Text:
    """A corpus: a dataset with the column `text`, and its origin."""

    rows: Dataset
    source: str
    fingerprint: str
    revision: str | None = None

    def describe(self) -> dict[str, object]:
        """Return the `text` part of a record."""
        return {
            "source": self.source,
            "revision": self.revision,
            "fingerprint": self.fingerprint,
            "lines": len(self.rows),
        }


def load_text(text: str, *, seed: int = 0) -> Text:
    """Load the text: `"generated"`, a folder of parquet files with a column `text`, or owner/name/folder on the hub.

    Lines without letters or numbers, as wiki text has them between paragraphs, are left out. Raises `InputError` for a
    text that is missing, empty or not UTF-8.
    """
    if text == "generated":
        rows = mini_glue.text(seed=seed)
        return Text(rows, "generated", hash_rows(rows))
    revision = None
    if Path(text).is_dir():
        folder, source = Path(text), Path(text).name
    elif text.startswith((".", "/", "~")) or text.count("/") != 2:
        raise InputError(f"The text folder {text} does not exist; give text=... a folder with train-*.parquet.")
    else:
        repository, _, inside = text.rpartition("/")
        try:
            found, revision = hub.snapshot(repository, patterns=[f"{inside}/train-*.parquet"], kind="dataset")
        except (InputError, RunError) as error:
            raise type(error)(f"There is no text folder {text} here. {error}") from error
        folder, source = found / inside, text
    rows = read_parquet(folder, "train")
    if "text" not in rows.column_names:
        raise InputError(f"The files in {text} have no column 'text'; they have {', '.join(rows.column_names)}.")
    rows = rows.select_columns(["text"])
    if rows.features["text"].dtype not in STRINGS or rows.data.column("text").null_count:
        raise InputError(f"The files in {text} have rows without text in the column 'text'; remove those.")
    lines = rows["text"][:]
    kept = [i for i, line in enumerate(lines) if any(letter.isalnum() for letter in line)]
    if not kept:
        raise InputError(f"The files in {text} hold no text; give a folder with some.")
    rows = rows if len(kept) == len(lines) else rows.select(kept)
    return Text(rows, source, hash_rows(rows), revision)
