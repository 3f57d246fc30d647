"""What was done to this collection on purpose, and what came of it: tables and numbers from `results/faults`.

`make faults` writes the files there: `bad_inputs.json`, inputs that were spoilt, a row for each kind.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd

from helpers.environment import RunError

__all__ = ["fault_numbers", "render_faults"]

_INPUTS = {
    "name": "Input",
    "tried": "Tried",
    "said": "A sentence",
    "right": "A right result",
    "mishandled": "Mishandled",
}
_READING = (
    "Good input of each kind, spoilt in as many ways: bytes flipped, cut, filled or replaced; values, names and "
    "columns of other kinds; files made to do harm. A sentence: it was refused in one line that says what and where. A "
    "right result: it was let in, and what came of it is what the input says, or, where a checksum guards it, what it "
    "said before. Mishandled is everything else: an error from the depths, a wrong result, code that ran, a file in "
    "another place, much memory, no answer."
)


def render_faults(results: Path) -> dict[str, str]:
    """Return the tables' files by name, Markdown and CSV; nothing if nothing was tried.

    Raises `RunError` for a damaged file.
    """
    found = _read(results / "faults" / "bad_inputs.json")
    if found is None:
        return {}
    table = pd.DataFrame(found["rows"])[list(_INPUTS)].rename(columns=_INPUTS)
    table.loc[len(table)] = ["all", *table[list(_INPUTS.values())[1:]].sum()]
    shown = table.to_markdown(index=False, colalign=["left", *["right"] * (len(_INPUTS) - 1)], intfmt=",")
    below = f"Tried in {found['seconds'] / 60:.0f} minutes on {found['environment']['cpu']['model']} by `make faults`."
    text = f"{shown}\n\n{_READING}\n\n{below}\n"
    return {"bad_inputs.md": text, "bad_inputs.csv": table.to_csv(index=False, lineterminator="\n")}


def fault_numbers(results: Path) -> dict[str, dict[str, Any]]:
    """Return for the headline how many inputs were tried and how many of them mishandled."""
    file = results / "faults" / "bad_inputs.json"
    found = _read(file)
    if found is None:
        return {}
    counted = {name: sum(row[name] for row in found["rows"]) for name in ("tried", "mishandled")}
    source = [f"{results.name}/faults/{file.name}"]
    return {
        f"bad_inputs_{name}": {"value": value, "unit": "inputs", "records": source} for name, value in counted.items()
    }


def _read(file: Path) -> dict[str, Any] | None:
    """Return what a file in `results/faults` holds, None if there is none. Raises `RunError` if it is damaged."""
    if not file.exists():
        return None
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        whole = all(row["tried"] == row["said"] + row["right"] + row["mishandled"] for row in found["rows"])
        whole = whole and isinstance(found["environment"]["cpu"]["model"], str) and found["seconds"] >= 0
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(f"{file} is damaged ({error}); run `make faults` again.") from error
    if not whole:
        raise RunError(f"{file} is damaged: its parts do not add up; run `make faults` again.")
    return found
