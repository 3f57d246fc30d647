"""How time, memory and disk of a study grow, `make growth`: studies of 1 to 64 runs, and reports of many records.

Each study begins with nothing, in a copy of the tree, and has the machine to itself. What was measured is written row
by row, so a measurement that was stopped goes on with the next row; `--again` measures all of them anew.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "faults")]

from studies import Study, ended  # noqa: E402

from helpers import records  # noqa: E402
from helpers.environment import describe, git_state, load  # noqa: E402

RESULT = ROOT / "results" / "growth" / "growth.json"
KINDS = ("study", "plan", "report")
PROFILE = "mini"
NOTEBOOKS = ("01", "02", "03", "04")  # the chain of the report: four runs for each task and seed
TASKS = ("cola", "rte", "stsb", "qnli")  # SST-2's 01 compares much more than the others'
SIZES = ((1, 1, 1), (1, 1, 4), (4, 1, 4), (4, 4, 4))  # tasks, seeds, notebooks
WORKERS = (1, 2)
SEEDS = (1, 4, 16, 63)  # of all tasks and notebooks: 16 to 1,008 runs, which are planned and reported, not run
PATIENCE = 3 * 3600.0  # seconds for a command
PAUSE = 120  # seconds until the load of the last minute is not the last row's own
QUIET = 0.5  # the most that others may do on this machine


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure what is not measured yet, print a line for each; return 1 if the machine is not quiet."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--most", type=int, default=64, help="the most runs of a study")
    parser.add_argument("--again", action="store_true", help="measure all of it anew")
    given = parser.parse_args(arguments)
    wanted: list[tuple[dict[str, Any], Callable[..., dict[str, Any]], tuple[Any, ...]]] = [
        ({"kind": "study", "runs": t * s * n, "workers": workers}, study, (t, s, n, workers))
        for t, s, n in SIZES
        if t * s * n <= given.most
        for workers in WORKERS
    ]
    for kind, function in (("plan", plan), ("report", report)):
        wanted += [({"kind": kind, "runs": s * len(TASKS) * len(NOTEBOOKS)}, function, (s,)) for s in SEEDS]
    for name, function, values in wanted:
        if not given.again and any(name.items() <= row.items() for row in _rows()):
            continue
        if (others := load()) > QUIET:
            print(f"error: other processes are at work here (load {others:.1f}); wait until they end.", file=sys.stderr)
            return 1
        with tempfile.TemporaryDirectory(prefix="growth-") as folder:
            found = name | function(Path(folder), *values)
        _write(found)
        print(", ".join(f"{key} {found[key]}" for key in (*name, "seconds", "memory_mb")), flush=True)
        time.sleep(PAUSE)
    return 0


def study(folder: Path, tasks: int, seeds: int, notebooks: int, workers: int) -> dict[str, Any]:
    """Run a study from its beginning to its tables; return what that took."""
    chosen = ["--tasks", ",".join(TASKS[:tasks]), "--seeds", ",".join(map(str, range(seeds)))]
    one = Study(
        folder,
        notebooks=",".join(NOTEBOOKS[:notebooks]),
        more=[*chosen, "--workers", str(workers)],
        profile=PROFILE,
    )
    took = _watched(one.start())
    notes = [json.loads(path.read_text(encoding="utf-8")) for path in (one.artifacts / "runs").glob("*/*.json")]
    made = one.tree / "results" / PROFILE
    if len(list(made.glob("records/*.json"))) != tasks * seeds * notebooks:
        raise SystemExit(f"error: not one record for each of {tasks * seeds * notebooks} runs.")
    return {
        "tasks": tasks,
        "seeds": seeds,
        "notebooks": notebooks,
        **took,
        "run_seconds": round(sum(note["seconds"] for note in notes), 1),  # without waiting for a turn to measure
        "models_mb": _megabytes(path for path in one.artifacts.iterdir() if path.name != "runs"),
        "notebooks_mb": _megabytes([one.artifacts / "runs"]),
        "results_mb": _megabytes([made, one.tree / "figures"]),
    }


PLAN = """
from helpers.study import graph, planning
jobs, _ = planning.plan({profile!r}, tasks={tasks!r}, seeds=range({seeds}), notebooks={notebooks!r})
graph.beginnings(graph.made_from(jobs))
assert len(jobs) == {seeds} * {tasks!r}.__len__() * {notebooks!r}.__len__()
"""


def plan(folder: Path, seeds: int) -> dict[str, Any]:
    """Plan a study of so many seeds, as far as what its runs share; run nothing."""
    one = Study(folder, profile=PROFILE)
    command = PLAN.format(profile=PROFILE, tasks=TASKS, seeds=seeds, notebooks=NOTEBOOKS)
    return {"seeds": seeds, **_watched(_start(one, "-c", command))}


def report(folder: Path, seeds: int) -> dict[str, Any]:
    """Make tables, figures and page of the published records, copied as those of so many seeds."""
    one = Study(folder, profile=PROFILE)
    to = one.tree / "results" / PROFILE / "records"
    every = records.read_all(ROOT / "results" / PROFILE / "records")
    published = [each for each in every if each["notebook"][:2] in NOTEBOOKS and each["task"] in TASKS]
    for seed in range(seeds):
        for record in (each for each in published if each["seed"] == seed % 3):
            copy = record | {"seed": seed, "parameters": record["parameters"] | {"seed": seed}}
            records.write_text(records.path(to, record["notebook"], record["task"], seed), json.dumps(copy))
    if len(list(to.iterdir())) != seeds * len(TASKS) * len(NOTEBOOKS):
        raise SystemExit("error: not one published record for each task, notebook and seed.")
    return {"seeds": seeds, **_watched(_start(one, "-m", "helpers.study", "report"))}


def _start(one: Study, *command: str) -> subprocess.Popen[str]:
    surroundings = os.environ | {"OMP_NUM_THREADS": "1", "STUDY_PROGRESS": "0", "STUDY_ARTIFACTS": str(one.artifacts)}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "start_new_session": True}
    return subprocess.Popen([sys.executable, *command], cwd=one.tree, env=surroundings, **pipes)


def _watched(process: subprocess.Popen[str]) -> dict[str, Any]:
    """Wait for a command; return what it took, and what it was measured on."""
    began = time.monotonic()
    with Watch(process.pid) as watch:
        code, _, error = ended(process, patience=PATIENCE)
    seconds = time.monotonic() - began
    if code:
        raise SystemExit(f"error: what was measured ended with {code}: {error[-600:]}")
    return {
        "seconds": round(seconds, 1),
        "memory_mb": round(watch.most / 1e6, 1),
        "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "code": git_state(ROOT, ignore=["results"]),
        "environment": describe(),
    }


class Watch:
    """Looks each second how much memory a process and all those below it have, while it is entered.

    Counted is what would be free without them (USS and their part of what they share, PSS), where the system tells it.
    """

    def __init__(self, number: int, *, pause: float = 1.0) -> None:
        self.process, self.pause, self.most = psutil.Process(number), pause, 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        while True:
            self.most = max(self.most, memory(self.process))
            if self._over.wait(self.pause):
                return


def memory(process: psutil.Process) -> int:
    """Return the bytes that a process and those below it have."""
    total = 0
    try:
        every = [process, *process.children(recursive=True)]
    except psutil.Error:
        return 0
    for one in every:
        try:
            found = one.memory_full_info()
        except psutil.Error:  # it has ended
            continue
        total += getattr(found, "pss", found.rss)
    return total


def _megabytes(places: Iterable[Path]) -> float:
    files = [file for place in places for file in ([place] if place.is_file() else place.rglob("*"))]
    return round(sum(file.stat().st_size for file in files if file.is_file()) / 1e6, 2)


def _rows() -> list[dict[str, Any]]:
    return json.loads(RESULT.read_text(encoding="utf-8"))["rows"] if RESULT.exists() else []


def _write(row: dict[str, Any]) -> None:
    """Put a row in the place of an earlier one of the same size."""
    rows = {(KINDS.index(one["kind"]), one["runs"], one.get("workers", 0)): one for one in [*_rows(), row]}
    ordered = [rows[name] for name in sorted(rows)]
    records.write_text(RESULT, json.dumps({"rows": ordered}, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    sys.exit(main())
