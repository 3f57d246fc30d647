"""What may be given to `python -m helpers.study`: its commands and their options."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any, NoReturn

from helpers import yaml_text
from helpers.environment import InputError
from helpers.study.submission import MODELS as SUBMITTED
from helpers.study.trials import MODELS as TRIED

__all__ = ["parameters", "parse", "places", "seeds"]

DESCRIPTION = "Run the notebooks: a grid of tasks and seeds under papermill, resumable; and what goes with that."


def parse(words: Sequence[str] | None) -> argparse.Namespace:
    """Return the options of one command, and its name as `command`. Raises `InputError` for anything else."""
    return _parser().parse_args(words)


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are one line, as all others."""

    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message}; see python -m helpers.study --help.")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="python -m helpers.study",
        description=DESCRIPTION,
        allow_abbrev=False,
    )
    commands = parser.add_subparsers(required=True, metavar="command")

    run = commands.add_parser("run", help="run the notebooks of a profile", allow_abbrev=False)
    run.add_argument("--profile", default="mini", help="a file of notebooks/params (default: mini)")
    run.add_argument("--tasks", type=_words, help="tasks, with commas (default: the profile's)")
    run.add_argument("--seeds", type=_words, help="seeds, with commas (default: the profile's)")
    run.add_argument("--notebooks", type=_words, help="notebooks by number or name, with commas (default: all)")
    _inputs(run)
    run.add_argument("--workers", type=int, help="runs at a time; each is alone while it measures time, in any case")
    run.add_argument(
        "--dask", metavar="ADDRESS", help="run on a Dask cluster: a scheduler's address, or local:N workers"
    )
    run.add_argument("--shared", metavar="ADDRESS", help="a folder or bucket where machines keep what all of them need")
    run.add_argument("--again", action="store_true", help="run notebooks again whose results are there already")
    _settings(run)
    run.set_defaults(command="run")

    beginning = commands.add_parser(
        "begin", help="build what all tasks and seeds begin with from text; also under torchrun", allow_abbrev=False
    )
    beginning.add_argument("--profile", default="mini", help="a file of notebooks/params (default: mini)")
    beginning.add_argument("--notebooks", type=_words, help="for notebooks by number or name (default: all)")
    _inputs(beginning)
    _settings(beginning)
    beginning.set_defaults(command="begin")

    status = commands.add_parser("status", help="tell what is stored: artifacts by step, small files")
    status.add_argument("--each", action="store_true", help="list every artifact")
    status.set_defaults(command="status")
    remake = commands.add_parser(
        "report", help="write tables, headline.json, the README's numbers and pages from records"
    )
    remake.add_argument("--check", action="store_true", help="only tell whether they are up to date")
    remake.set_defaults(command="report")
    outputs = commands.add_parser(
        "outputs", help="run the notebooks in place with their defaults, to commit what they show"
    )
    outputs.set_defaults(command="outputs")
    attempt = commands.add_parser(
        "try", help="build a model with other settings and score it on held-out rows", allow_abbrev=False
    )
    attempt.add_argument("--profile", required=True, help="a file of notebooks/params")
    attempt.add_argument("--tasks", type=_words, help="tasks, with commas (default: the profile's)")
    attempt.add_argument("--seeds", type=_words, default=["0"], help="seeds, with commas (default: 0)")
    attempt.add_argument("--model", default="student", help=f"{', '.join(TRIED)} (default: student)")
    _inputs(attempt)
    _settings(attempt)
    attempt.set_defaults(command="try")
    hand_in = commands.add_parser(
        "submit", help="write the files that GLUE's leaderboard takes, for tasks with a test split", allow_abbrev=False
    )
    hand_in.add_argument("--profile", required=True, help="a file of notebooks/params")
    hand_in.add_argument("--tasks", type=_words, help="tasks, with commas (default: the profile's)")
    hand_in.add_argument("--seed", type=int, default=0, help="whose model (default: 0)")
    hand_in.add_argument("--model", default="student", help=f"{', '.join(SUBMITTED)} (default: student)")
    _inputs(hand_in)
    hand_in.set_defaults(command="submit")
    clean = commands.add_parser("clean", help="remove artifacts that no record refers to")
    clean.set_defaults(command="clean")
    return parser


def _inputs(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", help="a folder in the layout of the hub's nyu-mll/glue, or a hub id")
    parser.add_argument("--text", help="a folder of parquet files with a column `text`")
    parser.add_argument("--nli", help="a folder of inference pairs, or a hub id with mnli")


def _settings(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-p",
        dest="parameters",
        nargs=2,
        action="append",
        metavar=("NAME", "VALUE"),
        default=[],
        help="set a parameter of the profile to a YAML value; may be repeated",
    )


def parameters(given: argparse.Namespace) -> dict[str, Any]:
    """Return what `-p` sets, by name. Raises `InputError` for a value that is no YAML."""
    return {name: yaml_text.parse(value, f"-p {name}") for name, value in given.parameters}


def places(given: argparse.Namespace) -> dict[str, str | None]:
    """Return where data, text and inference pairs come from, as it was given."""
    return {"data": given.data, "text": given.text, "nli": given.nli}


def seeds(given: argparse.Namespace) -> list[int] | None:
    """Return the seeds given, as numbers. Raises `InputError` for one that is none."""
    wrong = [seed for seed in given.seeds or () if not seed.isdecimal()]
    if wrong:
        raise InputError(f"--seeds takes whole numbers from 0, with commas, not {wrong[0]!r}.")
    return None if given.seeds is None else [int(seed) for seed in given.seeds]


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]
