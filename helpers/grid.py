"""Plan a grid of notebooks, tasks and seeds, check its input before any work, and run it under papermill."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nbformat
import papermill
import yaml

from helpers import profiles, tasks
from helpers.arms import results_folder
from helpers.artifacts import default_folder, digest
from helpers.compress.chain import Chain
from helpers.environment import InputError, RunError
from helpers.records import path as record_path

__all__ = ["Job", "NOTEBOOKS", "plan", "run"]

NOTEBOOKS = profiles.ROOT / "notebooks"


@dataclass(frozen=True)
class Job:
    """One papermill execution of one notebook."""

    notebook: Path
    profile: str
    task: str | None
    seed: int | None
    values: Mapping[str, Any] = field(hash=False)
    state: (
        str  # what went in: notebook, parameters, helpers and data; a finished job with the same state is not run again
    )
    alone: bool
    threads: int

    def __str__(self) -> str:
        where = f" {self.task} seed {self.seed}" if self.task else ""
        return f"{self.notebook.stem}{where}"

    @property
    def output(self) -> Path:
        """The executed notebook."""
        name = ".".join([self.notebook.stem, *([self.task, f"seed{self.seed}"] if self.task else []), "ipynb"])
        return default_folder() / "runs" / self.profile / name

    @property
    def note(self) -> Path:
        """What is remembered of a finished run: its state and its seconds."""
        return self.output.with_suffix(".json")

    def remembered(self) -> dict[str, Any]:
        """Return the note, or nothing if there is none."""
        try:
            return json.loads(self.note.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}

    def done(self) -> bool:
        """Tell whether this very run has finished and its record is there, unchanged."""
        note = self.remembered()
        return note.get("state") == self.state and note.get("record") == _record_digest(self)


def _record_digest(job: Job) -> str | None:
    if job.task is None:
        return None
    file = record_path(results_folder(job.profile), job.notebook.stem, job.task, job.seed)
    return hashlib.sha256(file.read_bytes()).hexdigest() if file.exists() else "missing"


def plan(
    profile: str,
    *,
    tasks: Sequence[str] | None = None,
    seeds: Sequence[int] | None = None,
    notebooks: Sequence[str] | None = None,
    inputs: Mapping[str, str | None] | None = None,
    parameters: Mapping[str, Any] | None = None,
    workers: int | None = None,
) -> tuple[list[Job], int]:
    """Return the jobs in order and how many may run at a time. All input is read and checked here, before any training.

    Raises `InputError` for anything unknown, missing or malformed, `RunError` for a hub out of reach or a full disk.
    """
    usual = profiles.settings(profile)["study"]
    chosen = _choose(notebooks)
    wanted = list(tasks or usual.get("tasks", []))
    inputs = {name: _near(value) for name, value in (inputs or {}).items() if value}
    parameters = dict(parameters or {})
    for name in parameters:
        if name not in profiles.FIELDS or name in ("profile", "task", "seed"):
            raise InputError(f"There is no parameter {name!r} to set; known are {', '.join(profiles.FIELDS)}.")
    _check_disk(usual.get("disk_gb", 1))
    helpers_digest = digest(
        {f.name: f.read_text(encoding="utf-8") for f in sorted(Path(__file__).parent.rglob("*.py"))}
    )
    jobs: list[Job] = []
    fingerprints: dict[str, str] = {}
    for notebook in chosen:
        book = nbformat.read(notebook, as_version=4)
        about = book.metadata.get("study", {})
        declared = _declared(notebook)
        per_task = "task" in declared
        code = digest([cell.source for cell in book.cells if cell.cell_type == "code"])
        cells = (
            [(task, seed) for seed in seeds or usual.get("seeds", [0]) for task in wanted]
            if per_task
            else [(None, None)]
        )
        for task, seed in cells:
            recipe = None
            values: dict[str, Any] = {"profile": profile}
            if task is not None:
                recipe = profiles.load(profile, task=task, seed=seed, **inputs, **parameters)
                if task not in fingerprints:
                    fingerprints[task] = _check_input(recipe)
                own = {name: getattr(recipe, name) for name in declared if name in profiles.FIELDS}
                rest = {name: value for name, value in parameters.items() if name not in declared}
                values |= own | ({"overrides": rest} if "overrides" in declared else {})
            state = digest([code, values, helpers_digest, fingerprints.get(task), per_task or time.time()])
            threads = (
                recipe.threads if recipe and not about.get("alone") else max(1, getattr(recipe, "latency_threads", 1))
            )
            jobs.append(
                Job(
                    notebook,
                    profile,
                    task,
                    seed,
                    values,
                    state,
                    bool(about.get("alone")) or not per_task,
                    threads,
                )
            )
    return jobs, workers or usual.get("workers", 1)


def _choose(names: Sequence[str] | None) -> list[Path]:
    found = sorted(NOTEBOOKS.glob("[0-9][0-9]_*.ipynb"))
    if not found:
        raise InputError(f"There are no notebooks in {NOTEBOOKS}.")
    if not names:
        return found
    unknown = [name for name in names if not any(f.stem == name or f.stem[:2] == name for f in found)]
    if unknown:
        raise InputError(f"There is no notebook {unknown[0]!r}; there are {', '.join(f.stem for f in found)}.")
    return [f for f in found if f.stem in names or f.stem[:2] in names]


def _near(path: str) -> str:
    """A folder as seen from the notebooks, where they run; anything else as it is."""
    return os.path.relpath(path, NOTEBOOKS) if Path(path).is_dir() else path


def _declared(notebook: Path) -> list[str]:
    """Return the names in a notebook's parameters cell; each must be one that profiles know."""
    names = list(papermill.inspect_notebook(str(notebook)))
    unknown = [name for name in names if name not in profiles.FIELDS and name != "overrides"]
    if unknown or "profile" not in names:
        wrong = unknown[0] if unknown else "profile (missing)"
        raise InputError(
            f"{notebook.name}: the parameters cell declares {wrong}; profiles know {', '.join(profiles.FIELDS)}."
        )
    return names


def _check_disk(needed_gb: float) -> None:
    folder = default_folder()
    there = next(f for f in (folder, *folder.parents) if f.exists())
    free = shutil.disk_usage(there).free / 1e9
    if free < needed_gb:
        raise RunError(
            f"{there} has {free:.1f} GB free, this profile wants {needed_gb} GB; free some space or set STUDY_ARTIFACTS."
        )


def _check_input(recipe: profiles.Recipe) -> str:
    """Read everything a run will read and return the fingerprint of its rows."""
    before = Path.cwd()
    os.chdir(NOTEBOOKS)  # folders are given as the notebooks see them
    try:
        chain = Chain(recipe)
        prints = [chain.data.fingerprint, *(source.fingerprint for source in chain.sources.values())]
        if recipe.nli_epochs and recipe.nli:
            prints.append(tasks.load_nli(recipe.nli).fingerprint)
        if recipe.text:
            prints.append(tasks.load_text(recipe.text).fingerprint)
    finally:
        os.chdir(before)
    return digest(prints)


def run(jobs: Sequence[Job], *, workers: int, again: bool = False) -> list[tuple[Job, str]]:
    """Run the jobs that are not done; return those that failed, with the reason.

    Jobs of one notebook may run side by side; those that measure time are alone. After a failure of a task and seed its
    later notebooks are left out, the others go on.
    """
    waiting = [job for job in jobs if again or not job.done()]
    for job in jobs:
        if job not in waiting:
            print(f"           {job}: done before", flush=True)
    began, finished, failures = time.monotonic(), 0, []
    with ThreadPoolExecutor(max_workers=max(1, workers)) as pool:
        running: dict[Future, tuple[Job, float]] = {}
        while waiting or running:
            while waiting and _may_start(waiting[0], [job for job, _ in running.values()], workers):
                job = waiting.pop(0)
                if any((job.task, job.seed) == (bad.task, bad.seed) for bad, _ in failures) or (
                    failures and not job.task
                ):
                    continue
                expected = job.remembered().get("seconds")
                hint = f", about {expected:.0f} s" if expected else ""
                print(f"           {job}: started{hint}", flush=True)
                running[pool.submit(_execute, job)] = (job, time.monotonic())
            if not running:
                continue
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                job, start = running.pop(future)
                finished += 1
                reason = future.result()
                if reason:
                    failures.append((job, reason))
                spent = time.monotonic() - began
                left = sum(j.remembered().get("seconds", spent / finished) for j in waiting) / max(1, workers)
                print(
                    f"[{finished:3}/{finished + len(running) + len(waiting)}] {job}: {'FAILED' if reason else 'done'} in "
                    f"{time.monotonic() - start:.0f} s; {_clock(spent)} so far, about {_clock(left)} left",
                    flush=True,
                )
    return failures


def _may_start(job: Job, running: Sequence[Job], workers: int) -> bool:
    if not running:
        return True
    side_by_side = not job.alone and not any(other.alone for other in running)
    return side_by_side and len(running) < workers and all(other.notebook == job.notebook for other in running)


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02}"


def _execute(job: Job) -> str:
    """Run one job in its own process; return why it failed, or an empty text."""
    job.output.parent.mkdir(parents=True, exist_ok=True)
    job.note.unlink(missing_ok=True)
    values = job.output.with_suffix(".yaml")
    values.write_text(yaml.safe_dump(dict(job.values)), encoding="utf-8")
    command = [sys.executable, "-m", "papermill", str(job.notebook), str(job.output), "-f", str(values)]
    command += ["--cwd", str(NOTEBOOKS), "--kernel", "python3", "--no-progress-bar"]
    threads = str(job.threads)
    surroundings = os.environ | {
        "OMP_NUM_THREADS": threads,
        "STUDY_PROGRESS": "0",
        "TOKENIZERS_PARALLELISM": "false",
    }
    began = time.monotonic()
    process = subprocess.run(command, capture_output=True, text=True, env=surroundings, check=False)
    if process.returncode:
        return _reason(job, process.stderr)
    note = {"state": job.state, "seconds": round(time.monotonic() - began, 1), "record": _record_digest(job)}
    temporary = job.note.with_suffix(".part")
    temporary.write_text(json.dumps(note), encoding="utf-8")
    os.replace(temporary, job.note)
    return ""


def _reason(job: Job, stderr: str) -> str:
    """Say in one line what went wrong, from the executed notebook or else from what papermill printed."""
    try:
        outputs = [o for c in nbformat.read(job.output, as_version=4).cells for o in c.get("outputs", [])]
        errors = [o for o in outputs if o.output_type == "error"]
        if errors:
            return f"{errors[0].ename}: {' '.join(errors[0].evalue.split())} (see {job.output.name} in artifacts/runs)"
    except (OSError, ValueError):
        pass
    last = [line for line in stderr.strip().splitlines() if line.strip()]
    return f"the notebook did not finish: {last[-1] if last else 'its process was killed'}"
