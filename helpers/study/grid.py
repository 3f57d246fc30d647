"""Plan a grid of notebooks, tasks and seeds, check its input before any work, and run its jobs in order."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

import nbformat
import papermill
from filelock import FileLock, Timeout

from helpers import arms, labels, profiles, tasks
from helpers.artifacts import default_folder, digest
from helpers.compress.chain import Chain
from helpers.environment import InputError, RunError
from helpers.study.jobs import Job, execute

__all__ = ["NOTEBOOKS", "plan", "run"]

NOTEBOOKS = profiles.ROOT / "notebooks"
HELPERS = Path(__file__).resolve().parents[1]
# these show records and start notebooks; no record depends on them
SHOWING = ("report", "figures", "study")
HEARTBEAT = 300  # seconds without news after which a line says that work goes on
# parameters that may name a folder, and what else they may say
PLACES = ("data", "text", "nli", "language_model", "teacher", "student_start")
WORDS = ("generated", "built", "fine-tuned", "random", "embeddings")


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
    wanted, numbers = _grid(usual if tasks is None else usual | {"tasks": tasks}, seeds)
    workers = usual.get("workers", 1) if workers is None else workers
    if workers < 1:
        raise InputError(f"The number of workers must be at least 1, not {workers}.")
    changes = _changes(inputs or {}, parameters or {})
    _check_disk(usual.get("disk_gb", 1))
    sources = {str(f.relative_to(HELPERS)): f for f in sorted(HELPERS.rglob("*.py"))}
    helpers_digest = digest(
        {name: f.read_text(encoding="utf-8") for name, f in sources.items() if not name.startswith(SHOWING)}
    )
    jobs: list[Job] = []
    fingerprints: dict[str, str] = {}
    for notebook in chosen:
        book = _read(notebook)
        about = book.metadata.get("study", {})
        declared = _declared(notebook, book)
        per_task = "task" in declared
        code = digest([cell.source for cell in book.cells if cell.cell_type == "code"])
        rest = {name: value for name, value in changes.items() if name not in declared}
        if per_task and rest and "overrides" not in declared:
            raise InputError(f"{notebook.name} has no parameter {next(iter(rest))!r}, and no overrides to take it.")
        cells = [(task, seed) for seed in numbers for task in wanted]
        for task, seed in cells if per_task else [(None, None)]:
            recipe = None
            values: dict[str, Any] = {"profile": profile}
            if task is not None:
                recipe = profiles.load(profile, task=task, seed=seed, **changes)
                if task not in fingerprints:
                    fingerprints[task] = _check_input(recipe)
                own = {name: getattr(recipe, name) for name in declared if name in profiles.FIELDS}
                values |= own | ({"overrides": rest} if "overrides" in declared else {})
            # all of the recipe: what a notebook does not declare still makes the models that it measures
            settings = vars(recipe) if recipe else time.time()
            state = digest([code, values, settings, helpers_digest, fingerprints.get(task)])
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
                    arms.records_folder(recipe) if recipe else None,
                    bool(about.get("required")),
                )
            )
    return jobs, workers


def _grid(usual: Mapping[str, Any], seeds: Sequence[int] | None) -> tuple[list[str], list[int]]:
    """Return the tasks and the seeds, each once: two runs of the same would write the same files."""
    wanted = list(dict.fromkeys(usual.get("tasks", [])))
    numbers = list(dict.fromkeys(usual.get("seeds", [0]) if seeds is None else seeds))
    unknown = [task for task in wanted if task not in labels.TASKS]
    if unknown:
        raise InputError(f"There is no task {unknown[0]!r}; known are {', '.join(labels.TASKS)}.")
    if not wanted or not numbers:
        raise InputError(f"There is no {'task' if not wanted else 'seed'} to run; name one at least.")
    return wanted, numbers


def _changes(inputs: Mapping[str, str | None], parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Put together what is given in place of the profile's values, folders as the notebooks see them."""
    given = {name: value for name, value in inputs.items() if value}
    for name in parameters:
        if name not in profiles.FIELDS or name in ("profile", "task", "seed"):
            known = [field for field in profiles.FIELDS if field not in ("profile", "task", "seed")]
            raise InputError(f"There is no parameter {name!r} to set; known are {', '.join(known)}.")
        if name in given:
            raise InputError(f"{name} is given twice, as --{name} and as -p {name}; give it once.")
    changes = {**given, **parameters}
    return {name: _near(value) if name in PLACES else value for name, value in changes.items()}


def _choose(names: Sequence[str] | None) -> list[Path]:
    found = sorted(NOTEBOOKS.glob("[0-9][0-9]_*.ipynb"))
    if not found:
        raise InputError(f"There are no notebooks in {NOTEBOOKS}.")
    if names is None:
        return found
    if not names:
        raise InputError(f"No notebook is named; there are {', '.join(f.stem for f in found)}.")
    unknown = [name for name in names if not any(f.stem == name or f.stem[:2] == name for f in found)]
    if unknown:
        raise InputError(f"There is no notebook {unknown[0]!r}; there are {', '.join(f.stem for f in found)}.")
    return [f for f in found if f.stem in names or f.stem[:2] in names]


def _read(notebook: Path) -> nbformat.NotebookNode:
    try:
        return nbformat.read(notebook, as_version=4)
    except (OSError, ValueError) as error:
        raise InputError(f"{notebook} is not a notebook ({type(error).__name__}); restore it.") from error


def _near(value: Any) -> Any:
    """A folder as seen from the notebooks, where they run; anything else as it is."""
    is_folder = isinstance(value, str) and value not in WORDS and Path(value).is_dir()
    return os.path.relpath(value, NOTEBOOKS) if is_folder else value


def _declared(notebook: Path, book: nbformat.NotebookNode) -> list[str]:
    """Return the names in a notebook's parameters cell; each must be one that profiles know."""
    cell = next((c for c in book.cells if "parameters" in c.metadata.get("tags", [])), None)
    for line in cell.source.splitlines() if cell else []:
        if line.count("=") > 1 and not line.lstrip().startswith("#"):  # papermill then passes over this parameter
            raise InputError(
                f"{notebook.name}: write one `=` on each line of the parameters cell, comments included, not {line!r}."
            )
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
            f"{there} has {free:.1f} GB free, this profile wants {needed_gb} GB; free some space or set "
            "STUDY_ARTIFACTS to another folder."
        )


def _check_input(recipe: profiles.Recipe) -> str:
    """Read everything a run will read and return the fingerprint of its rows."""
    before = Path.cwd()
    os.chdir(NOTEBOOKS)  # folders are given as the notebooks see them
    try:
        chain = Chain(recipe)
        chain.check_shapes()
        prints = [chain.data.fingerprint, *(source.fingerprint for source in chain.sources.values())]
        if chain.nli is not None:
            prints.append(chain.nli.fingerprint)
        if recipe.text:
            prints.append(tasks.load_text(recipe.text).fingerprint)
    finally:
        os.chdir(before)
    return digest(prints)


def run(jobs: Sequence[Job], *, workers: int, again: bool = False) -> list[tuple[Job, str]]:
    """Run the jobs that are not done, one study at a time; return those that failed, with the reason (see `_run`).

    Raises `RunError` while another study uses the same artifacts: its work would be inside this one's times.
    """
    folder = default_folder() / "runs"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / ".lock", timeout=0):
            return _run(jobs, workers=workers, again=again)
    except Timeout as error:
        raise RunError(
            f"Another study is at work on the artifacts in {folder.parent}; wait for it, or set STUDY_ARTIFACTS."
        ) from error
    except OSError as error:
        raise RunError(f"{folder} cannot be written ({error.strerror}); make room, or set STUDY_ARTIFACTS.") from error


def _run(jobs: Sequence[Job], *, workers: int, again: bool) -> list[tuple[Job, str]]:
    """Run the jobs that are not done; return those that failed, with the reason.

    Jobs of different tasks or seeds may run side by side; those that measure time are alone. After a failure of a
    notebook that makes the models, that task and seed's others are left out; everything else goes on.
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
                if any((job.task, job.seed) == (bad.task, bad.seed) and bad.required for bad, _ in failures):
                    print(f"           {job}: left out, since it needs what failed", flush=True)
                    continue
                expected = job.remembered().get("seconds")
                hint = f", about {expected:.0f} s" if expected else ""
                print(f"           {job}: started{hint}", flush=True)
                running[pool.submit(execute, job)] = (job, time.monotonic())
            if not running:
                continue
            done = wait(running, timeout=HEARTBEAT, return_when=FIRST_COMPLETED).done
            if not done:
                at_work = ", ".join(f"{job} for {_clock(time.monotonic() - start)}" for job, start in running.values())
                print(f"           still running: {at_work}; {_clock(time.monotonic() - began)} so far", flush=True)
            for future in done:
                job, start = running.pop(future)
                finished += 1
                reason = future.result()
                if reason:
                    failures.append((job, reason))
                spent = time.monotonic() - began
                left = sum(j.remembered().get("seconds", spent / finished) for j in waiting) / max(1, workers)
                total = finished + len(running) + len(waiting)
                print(
                    f"[{finished:3}/{total}] {job}: {'FAILED' if reason else 'done'} in "
                    f"{time.monotonic() - start:.0f} s; {_clock(spent)} so far, about {_clock(left)} left",
                    flush=True,
                )
    return failures


def _may_start(job: Job, running: Sequence[Job], workers: int) -> bool:
    """A run that measures time is alone; another waits for the earlier notebooks of its own task and seed only."""
    if not running:
        return True
    side_by_side = not job.alone and not any(other.alone for other in running)
    own = (job.task, job.seed)
    return side_by_side and len(running) < workers and all((other.task, other.seed) != own for other in running)


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02}"
