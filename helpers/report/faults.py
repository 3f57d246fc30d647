"""What was done to this collection on purpose, and what came of it: tables and numbers from `results/faults`.

`make faults` writes the files there, with a row for each kind: `bad_inputs.json`, inputs that were spoilt, and
`faults.json`, studies that were broken.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pandas as pd

from helpers.report.measured import read_measured, table_files

__all__ = ["fault_numbers", "render_faults"]

_INPUTS = {
    "name": "Input",
    "tried": "Tried",
    "said": "A sentence",
    "right": "A right result",
    "mishandled": "Mishandled",
}
_FAULTS = {"name": "What was done", "tried": "Times", "survived": "Survived"}
_FAULTS_READING = (
    "A small study of four notebooks, from text to int8, was broken in its middle. It survived if the same command, "
    "given again, ended well, if its records were those of an undisturbed study, times aside, and if nothing that had "
    "been finished was lost or done again. Where the command itself had to end, it had to say so in one line."
)
_READING = (
    "Good input of each kind, spoilt in as many ways: bytes flipped, cut, filled or replaced; values, names and "
    "columns of other kinds; files made to do harm. A sentence: it was refused in one line that says what and where. A "
    "right result: it was let in, and what came of it is what the input says, or, where a checksum guards it, what it "
    "said before. Mishandled is everything else: an error from the depths, a wrong result, code that ran, a file in "
    "another place, much memory, no answer."
)


def render_faults(results: Path) -> dict[str, str]:
    """Return the tables' files by name, Markdown and CSV; nothing of what was not tried.

    Raises `RunError` for a damaged file.
    """
    made: dict[str, str] = {}
    if inputs := _inputs(results):
        minutes, model = inputs["seconds"] / 60, inputs["environment"]["cpu"]["model"]
        below = f"Tried in {minutes:.0f} minutes on {model} by `make faults`."
        made |= table_files("bad_inputs", _table(inputs["rows"], _INPUTS), _READING, below)
    if rows := _faults(results):
        hours, models = sum(row["seconds"] for row in rows) / 3600, {row["environment"]["cpu"]["model"] for row in rows}
        below = f"Tried in {hours:.1f} hours on {', '.join(sorted(models))} by `make faults`. {_stages(rows)}"
        made |= table_files("faults", _table(rows, _FAULTS), _FAULTS_READING, below)
    return made


def fault_numbers(results: Path) -> dict[str, dict[str, Any]]:
    """Return for the headline how much was tried, how many inputs were mishandled and how many faults survived."""
    numbers: dict[str, dict[str, Any]] = {}
    for kind, unit, rows, names in (
        ("bad_inputs", "inputs", (_inputs(results) or {}).get("rows"), ("tried", "mishandled")),
        ("faults", "faults", _faults(results), ("tried", "survived")),
    ):
        for name in names if rows else ():
            source = [f"{results.name}/faults/{kind}.json"]
            numbers[f"{kind}_{name}"] = {"value": sum(row[name] for row in rows), "unit": unit, "records": source}
    return numbers


def _table(rows: list[dict[str, Any]], columns: dict[str, str]) -> pd.DataFrame:
    table = pd.DataFrame(rows)[list(columns)].rename(columns=columns)
    table.loc[len(table)] = ["all", *table[list(columns.values())[1:]].sum()]
    return table


def _stages(rows: list[dict[str, Any]]) -> str:
    """Say in which steps the kills came."""
    met: Counter[str] = Counter()
    for row in rows:
        if "kill" in row["name"]:
            met.update(row["during"])
    steps = sorted(name for name in met if " " not in name)
    return f"Unfinished when something was killed: {', '.join(steps)}." if steps else ""


def _inputs(results: Path) -> dict[str, Any] | None:
    def whole(found: Any) -> bool:
        sums = all(row["tried"] == row["said"] + row["right"] + row["mishandled"] for row in found["rows"])
        return sums and isinstance(found["environment"]["cpu"]["model"], str) and found["seconds"] >= 0

    return read_measured(results / "faults" / "bad_inputs.json", whole, command="make faults")


def _faults(results: Path) -> list[dict[str, Any]]:
    def whole(found: Any) -> bool:
        return all(
            0 <= row["survived"] <= row["tried"]
            and (row["survived"] < row["tried"]) == bool(row["wrong"])
            and row["seconds"] >= 0
            and isinstance(row["environment"]["cpu"]["model"], str)
            and dict(row["during"]) is not None
            for row in found["rows"]
        )

    return (read_measured(results / "faults" / "faults.json", whole, command="make faults") or {"rows": []})["rows"]
