"""How time, memory and disk of a study grow with its runs: measured up to 64, reckoned for 1,000.

`make growth` writes `results/growth/growth.json`: studies of `mini` from their beginning to their tables, on one worker
and on two, and plans and reports of up to 1,000 runs, which were not run.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from helpers.labels import joined
from helpers.report.measured import read_measured, table_files

__all__ = ["FAR", "Line", "growth_rows", "line", "render_growth"]

FAR = 1000  # runs
CLUSTER = (2, 10, 100)  # workers
DAY = 24 * 3600.0
DISK = 100_000.0  # megabytes
_READING = (
    "A run is a notebook, executed for a task and a seed of profile `mini`. Each study began with nothing and had the "
    "machine to itself. Time is that of the command, from its start to its last table; the runs' own time is their "
    "sum, without waiting for a turn to measure. Memory is the most that the command and all its processes had at a "
    "time, what they share counted once."
)


class Line(NamedTuple):
    """A straight line over the number of runs."""

    start: float
    slope: float

    def at(self, runs: float) -> float:
        """Return the value for so many runs."""
        return self.start + self.slope * runs


def growth_rows(results: Path, kind: str = "") -> list[dict[str, Any]]:
    """Return the rows of a kind (`study`, `plan`, `report`), by default of all.

    Raises `RunError` for a damaged file.
    """

    def whole(found: Any) -> bool:
        def right(row: dict[str, Any]) -> bool:
            sizes = ("runs", "seconds", "memory_mb") + (
                ("workers", "run_seconds", "models_mb", "notebooks_mb", "results_mb") if row["kind"] == "study" else ()
            )
            grid = row["tasks"] * row["seeds"] * row["notebooks"] if row["kind"] == "study" else row["runs"]
            return (
                row["kind"] in ("study", "plan", "report")
                and all(row[name] > 0 for name in sizes)
                and grid == row["runs"]
                and isinstance(row["environment"]["cpu"]["model"], str)
            )

        return all(right(row) for row in found["rows"])

    found = read_measured(results / "growth" / "growth.json", whole, command="make growth") or {"rows": []}
    return [row for row in found["rows"] if kind in ("", row["kind"])]


def line(rows: Sequence[dict[str, Any]], value: str) -> Line | None:
    """Return the line through the two largest studies; None unless they have as many notebooks, and one machine."""
    largest = sorted(rows, key=lambda row: row["runs"])[-2:]
    if len(largest) < 2 or len({(row["notebooks"], row["environment"]["cpu"]["model"]) for row in largest}) > 1:
        return None
    few, many = largest
    slope = (many[value] - few[value]) / (many["runs"] - few["runs"])
    return Line(few[value] - slope * few["runs"], slope)


def render_growth(results: Path) -> dict[str, str]:
    """Return the tables' files by name, Markdown and CSV; nothing if nothing was measured."""
    made: dict[str, str] = {}
    if studies := growth_rows(results, "study"):
        said = " ".join(_reckoned(studies, growth_rows(results, "plan"), growth_rows(results, "report")))
        made |= table_files(
            "growth", _studies(studies), _READING, *([said] if said else []), _below(studies), words=(1,)
        )
    if others := [*growth_rows(results, "plan"), *growth_rows(results, "report")]:
        what = (
            "What a study does beside its runs: a plan reads and checks all input and finds what runs share; a report "
            "makes tables, figures and page, here of the published records, copied as those of more seeds."
        )
        made |= table_files("beside", _beside(others), what, _below(others))
    return made


def _studies(rows: Sequence[dict[str, Any]]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "Runs": row["runs"],
            "Tasks x seeds x notebooks": f"{row['tasks']} x {row['seeds']} x {row['notebooks']}",
            "Workers": row["workers"],
            "Minutes": f"{row['seconds'] / 60:.1f}",
            "The runs' own minutes": f"{row['run_seconds'] / 60:.1f}",
            "Memory (MB)": f"{row['memory_mb']:,.0f}",
            "Models (MB)": f"{row['models_mb']:,.0f}",
            "Executed notebooks (MB)": f"{row['notebooks_mb']:.1f}",
            "Results (MB)": f"{row['results_mb']:.1f}",
        }
        for row in rows
    )


def _beside(rows: Sequence[dict[str, Any]]) -> pd.DataFrame:
    names = {"plan": "a plan", "report": "a report"}
    return pd.DataFrame(
        {
            "What": names[row["kind"]],
            "Runs": row["runs"],
            "Seconds": f"{row['seconds']:.0f}",
            "Memory (MB)": f"{row['memory_mb']:,.0f}",
        }
        for row in rows
    )


def _reckoned(
    studies: Sequence[dict[str, Any]], plans: Sequence[dict[str, Any]], reports: Sequence[dict[str, Any]]
) -> Iterator[str]:
    """Say what 1,000 runs would take, along straight lines through the two largest studies of one worker."""
    alone = [row for row in studies if row["workers"] == 1]
    lines = {name: line(alone, name) for name in ("seconds", "memory_mb", "models_mb")}
    time, memory, disk = (lines[name] for name in ("seconds", "memory_mb", "models_mb"))
    if time is None or memory is None or disk is None:
        return
    several = f"{FAR:,} runs"
    few, many = (row["runs"] for row in sorted(alone, key=lambda row: row["runs"])[-2:])
    most = max(memory.at(FAR), *(row["memory_mb"] for row in alone))
    yield (
        f"Reckoned, not measured: along a straight line through {few} and {many} runs on one worker, {several} take "
        f"{time.at(FAR) / 3600:.1f} hours there, {disk.at(FAR) / 1000:.1f} GB for models and {most / 1000:.1f} GB of "
        "memory."
    )
    hours = [(workers, (time.start + time.slope * FAR / workers) / 3600) for workers in CLUSTER]
    yield (
        f"What comes before all others ({max(time.start, 0) / 60:.1f} minutes) is built once, the rest is shared out: "
        f"{joined([f'{workers} workers take {each:.1f} hours' for workers, each in hours])}, if they lose nothing to "
        "each other. What two on one machine lose is above: runs that measure time are alone on it."
    )
    for what, rows in (("The plan", plans), ("The report", reports)):
        if rows:
            last = max(rows, key=lambda row: row["runs"])
            took = f"{last['seconds'] / 60:.1f} minutes and {last['memory_mb']:,.0f} MB of memory"
            yield f"{what} of {last['runs']:,} runs takes {took}."
    ends = {"time": _reaches(time, DAY), "disk": _reaches(disk, DISK)}
    ends["memory"] = _reaches(memory, 1000 * alone[0]["environment"]["memory_gb"])
    first = min(ends, key=lambda name: ends[name])
    never = "" if ends["memory"] < math.inf else "; memory does not grow"
    yield (
        f"On one worker {first} ends it first: a day is over after {ends['time']:,.0f} runs, {DISK / 1000:.0f} GB are "
        f"full after {ends['disk']:,.0f}{never}."
    )


def _reaches(what: Line, limit: float) -> float:
    """Return the number of runs at which a line comes to a limit."""
    return (limit - what.start) / what.slope if what.slope > 0 else math.inf


def _below(rows: Sequence[dict[str, Any]]) -> str:
    machines = sorted(
        {f"{row['environment']['cpu']['model']}, {row['environment']['cpu']['cores_physical']} cores" for row in rows}
    )
    return f"Measured on {'; '.join(machines)} by `make growth`."
