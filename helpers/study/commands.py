"""Run the notebooks: a grid of tasks and seeds under papermill, resumable. `python -m helpers.study --help`."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import yaml

from helpers import profiles, report
from helpers.artifacts import default_folder
from helpers.environment import InputError, RunError
from helpers.records import read_all
from helpers.runs import results_folder
from helpers.study import books, grid, jobs, planning, stored
from helpers.study.pages import write_page
from helpers.study.publish import publish
from helpers.study.submission import MODELS, submit

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Carry out one command; return the exit code: 0, 1 for a run that failed, 2 for bad input."""
    try:
        given = _parser().parse_args(arguments)
        given.words = list(sys.argv[1:] if arguments is None else arguments)
        return given.command(given)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except RunError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Interrupted; the same command goes on where this one stopped.", file=sys.stderr)
        return 1


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are one line, as all others."""

    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message}; see python -m helpers.study --help.")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="python -m helpers.study", description=__doc__, allow_abbrev=False)
    commands = parser.add_subparsers(required=True, metavar="command")

    run = commands.add_parser("run", help="run the notebooks of a profile", allow_abbrev=False)
    run.add_argument("--profile", default="mini", help="a file of notebooks/params (default: mini)")
    run.add_argument("--tasks", type=_words, help="tasks, with commas (default: the profile's)")
    run.add_argument("--seeds", type=_words, help="seeds, with commas (default: the profile's)")
    run.add_argument("--notebooks", type=_words, help="notebooks by number or name, with commas (default: all)")
    run.add_argument("--data", help="a folder in the layout of the hub's nyu-mll/glue, or a hub id")
    run.add_argument("--text", help="a folder of parquet files with a column `text`")
    run.add_argument("--nli", help="a folder of inference pairs, or a hub id with mnli")
    run.add_argument("--workers", type=int, help="runs at a time; each is alone while it measures time, in any case")
    run.add_argument("--again", action="store_true", help="run notebooks again whose results are there already")
    run.add_argument(
        "-p",
        dest="parameters",
        nargs=2,
        action="append",
        metavar=("NAME", "VALUE"),
        default=[],
        help="set a parameter of the profile to a YAML value; may be repeated",
    )
    run.set_defaults(command=_run)

    status = commands.add_parser("status", help="tell what is stored: artifacts by step, small files")
    status.add_argument("--each", action="store_true", help="list every artifact")
    status.set_defaults(command=_status)
    remake = commands.add_parser(
        "report", help="write tables, headline.json, the README's numbers and pages from records"
    )
    remake.add_argument("--check", action="store_true", help="only tell whether they are up to date")
    remake.set_defaults(command=_report)
    outputs = commands.add_parser(
        "outputs", help="run the notebooks in place with their defaults, to commit what they show"
    )
    outputs.set_defaults(command=_outputs)
    hand_in = commands.add_parser(
        "submit", help="write the files that GLUE's leaderboard takes, for tasks with a test split", allow_abbrev=False
    )
    hand_in.add_argument("--profile", required=True, help="a file of notebooks/params")
    hand_in.add_argument("--tasks", type=_words, help="tasks, with commas (default: the profile's)")
    hand_in.add_argument("--seed", type=int, default=0, help="whose model (default: 0)")
    hand_in.add_argument("--model", default="student", help=f"{', '.join(MODELS)} (default: student)")
    hand_in.add_argument("--data", help="a folder in the layout of the hub's nyu-mll/glue, or a hub id")
    hand_in.add_argument("--text", help="a folder of parquet files with a column `text`")
    hand_in.add_argument("--nli", help="a folder of inference pairs, or a hub id with mnli")
    hand_in.set_defaults(command=_submit)
    clean = commands.add_parser("clean", help="remove artifacts that no record refers to")
    clean.set_defaults(command=_clean)
    return parser


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def _run(given: argparse.Namespace) -> int:
    wrong = [seed for seed in given.seeds or () if not seed.isdecimal()]
    if wrong:
        raise InputError(f"--seeds takes whole numbers from 0, with commas, not {wrong[0]!r}.")
    seeds = None if given.seeds is None else [int(seed) for seed in given.seeds]
    try:
        parameters = {name: yaml.safe_load(value) for name, value in given.parameters}
    except yaml.YAMLError as error:
        raise InputError(f"-p takes a name and a YAML value: {' '.join(str(error).split())}.") from error
    jobs, workers = planning.plan(
        given.profile,
        tasks=given.tasks,
        seeds=seeds,
        notebooks=given.notebooks,
        inputs={"data": given.data, "text": given.text, "nli": given.nli},
        parameters=parameters,
        workers=given.workers,
    )
    failures = grid.run(jobs, workers=workers, again=given.again)
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


def _submit(given: argparse.Namespace) -> int:
    changes = planning.changed({"data": given.data, "text": given.text, "nli": given.nli}, {})
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
