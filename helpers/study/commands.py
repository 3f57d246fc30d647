"""Run the notebooks: a grid of tasks and seeds under papermill, resumable. `python -m helpers.study --help`."""

from __future__ import annotations

import argparse
import importlib
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from helpers import profiles, report
from helpers.artifacts import SHARED, Mirror, default_folder
from helpers.environment import InputError, RunError
from helpers.records import read_all
from helpers.runs import results_folder
from helpers.study import books, grid, jobs, options, planning, stored
from helpers.study.begin import begin
from helpers.study.pages import write_page
from helpers.study.publish import publish
from helpers.study.submission import submit
from helpers.study.trials import trials_folder, try_settings

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Carry out one command; return the exit code: 0, 1 for a run that failed, 2 for bad input."""
    try:
        given = options.parse(arguments)
        given.words = list(sys.argv[1:] if arguments is None else arguments)
        return _COMMANDS[given.command](given)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except RunError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Interrupted; the same command goes on where this one stopped.", file=sys.stderr)
        return 1


def _cluster() -> ModuleType:
    """Return the module that runs jobs on Dask, an extra. Raises `InputError` if it is not installed."""
    try:
        return importlib.import_module("helpers.study.cluster")
    except ModuleNotFoundError as error:
        raise InputError(
            f"--dask needs {error.name}, which is not installed; run `pip install -r requirements-cluster.txt`."
        ) from error


def _run(given: argparse.Namespace) -> int:
    if given.dask is not None:
        if given.workers is not None:
            raise InputError("--dask says how many workers there are; leave --workers out.")
        _cluster()
    shared = given.shared or os.environ.get(SHARED)
    if shared:
        # a relative folder would be another one where the notebooks run
        os.environ[SHARED] = shared if "://" in shared else os.path.abspath(shared)
        Mirror.named()
    jobs, workers = planning.plan(
        given.profile,
        tasks=given.tasks,
        seeds=options.seeds(given),
        notebooks=given.notebooks,
        inputs=options.places(given),
        parameters=options.parameters(given),
        workers=given.workers,
    )
    if given.dask is None:
        failures = grid.run(jobs, workers=workers, again=given.again)
    else:
        failures = _cluster().run(jobs, address=given.dask, again=given.again)
    made, own = {job.records for job in jobs if job.records}, results_folder(given.profile)
    if (own in made or not made) and read_all(own):
        publish(profiles.ROOT)  # the README quotes some of these records
        _show(given.profile, {job.seed for job in jobs if job.seed is not None})
    failed = {job for job, _ in failures}
    for folder in sorted(made - {own}):
        # runs with other settings share this folder: what another one left is no part of this one's tables
        ran = {(job.notebook.stem, job.task, job.seed) for job in set(jobs) - failed if job.records == folder}
        some = [each for each in read_all(folder) if (each["notebook"], each["task"], each["seed"]) in ran]
        if some:
            _tables(some, command=shlex.join(["python", "-m", "helpers.study", *given.words]))
            print(f"\nNot the profile's settings: the records are in {os.path.relpath(folder)}, not in results/.")
    for job, reason in failures:
        print(f"error: {job}: {reason}", file=sys.stderr)
    if failures:
        return 2 if all(reason.startswith("InputError") for _, reason in failures) else 1
    return 0


def _show(profile: str, seeds: set[int]) -> None:
    """Write the page, print Table 1 and Table 2 with what they rest on, and where everything is.

    A reader of a checkout sees the published seeds, too; those that are not among `seeds`, which were run, are named.
    """
    some = read_all(results_folder(profile))
    write_page(profiles.ROOT, some)
    _tables(some)
    others = [str(seed) for seed in sorted({record["seed"] for record in some} - seeds)]
    if others:
        print(f"\nNot of this run, in these tables: seeds {', '.join(others)}, which were published or made before.")
    for kind in ("results", "figures"):
        print(f"\n{kind}/{profile}: {', '.join(p.name for p in _files(profiles.ROOT / kind / profile))}", end="")
    print(f"\nresults/{profile}/records: what all of these are made from, README.md's numbers too")
    small = default_folder() / "files" / profile
    if small.exists():
        print(f"{os.path.relpath(small)}: one student in small files, which load and classify (README)")
    print(f"{os.path.relpath(default_folder() / 'runs' / profile)}: the executed notebooks")


def _tables(some: list[dict[str, Any]], *, command: str | None = None) -> None:
    texts = report.render_tables(some, command=command)
    for title, name in (("Table 1: size and score", "table1"), ("Table 2: seconds", "table2")):
        if f"{name}.md" in texts:
            print(f"\n{title}\n\n{texts[f'{name}.md'].rstrip()}")


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*") if path.is_file())


def _begin(given: argparse.Namespace) -> int:
    jobs, _ = planning.plan(
        given.profile,
        notebooks=given.notebooks,
        inputs=options.places(given),
        parameters=options.parameters(given),
    )
    for line in begin(jobs):
        print(line, flush=True)
    return 0


def _status(given: argparse.Namespace) -> int:
    print(stored.status(each=given.each))
    return 0


def _report(given: argparse.Namespace) -> int:
    stale = publish(profiles.ROOT, check=given.check)
    if given.check and stale:
        raise RunError(f"These are not what the records say; run `make report`: {', '.join(stale)}.")
    print("; ".join(stale) + " written" if stale else "everything is up to date with the records")
    if not given.check:
        pages = [write_page(profiles.ROOT, some) for some in report.profiles(profiles.ROOT / "results").values()]
        print(f"As pages, each a file for any browser: {', '.join(os.path.relpath(page) for page in pages)}")
    return 0


def _try(given: argparse.Namespace) -> int:
    found = try_settings(
        given.profile,
        tasks=given.tasks,
        seeds=options.seeds(given) or [],
        model=given.model,
        inputs=options.places(given),
        parameters=options.parameters(given),
    )
    for file, line in found:
        print(f"{line}; {os.path.relpath(file)}", flush=True)
    print(f"`make report` lists it in {os.path.relpath(trials_folder(given.profile).with_suffix('.md'))}.")
    return 0


def _submit(given: argparse.Namespace) -> int:
    changes = planning.changed(options.places(given), {})
    written = submit(given.profile, wanted=given.tasks, seed=given.seed, model=given.model, changes=changes)
    print("\n".join(os.path.relpath(file) for file in written))
    return 0


def _outputs(_: argparse.Namespace) -> int:
    for notebook in sorted(books.NOTEBOOKS.glob("*.ipynb")):
        jobs.refresh(notebook)
        print(f"{notebook.name}: outputs of its defaults stored", flush=True)
    return 0


def _clean(_: argparse.Namespace) -> int:
    print(stored.clean())
    return 0


_COMMANDS = {
    "run": _run,
    "begin": _begin,
    "try": _try,
    "status": _status,
    "report": _report,
    "outputs": _outputs,
    "submit": _submit,
    "clean": _clean,
}
