"""What was measured of the collection itself, not of models: files of rows in `results`, and their tables."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from helpers.environment import RunError

__all__ = ["read_measured", "table_files"]


def read_measured(file: Path, whole: Callable[[Any], bool], *, command: str) -> dict[str, Any] | None:
    """Return what a file of measurements holds, None if there is none.

    `whole` tells whether its parts add up; it may fail on what is no such file. Raises `RunError`, which names the
    command that makes it again, if it is damaged.
    """
    if not file.exists():
        return None
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        adds_up = whole(found)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise RunError(f"{file} is damaged ({error}); run `{command}` again.") from error
    if not adds_up:
        raise RunError(f"{file} is damaged: its parts do not add up; run `{command}` again.")
    return found


def table_files(name: str, table: pd.DataFrame, *below: str, words: Sequence[int] = (0,)) -> dict[str, str]:
    """Return a table's files by name, Markdown with the paragraphs below it and CSV; columns of `words` stand left."""
    sides = ["left" if place in words else "right" for place in range(table.shape[1])]
    shown = table.to_markdown(index=False, colalign=sides, intfmt=",")
    text = "\n\n".join([shown, *below]) + "\n"
    return {f"{name}.md": text, f"{name}.csv": table.to_csv(index=False, lineterminator="\n")}
