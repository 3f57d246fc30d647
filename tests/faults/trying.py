"""Try spoilt inputs, each in a folder of its own, in processes that may hang or die."""

from __future__ import annotations

import contextlib
import io
import multiprocessing
import re
import resource
import shutil
import time
import traceback
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from tempfile import mkdtemp

from doors import DOORS
from mutations import CANARY

from helpers.environment import InputError, RunError

__all__ = ["MISHANDLED", "Outcome", "try_door", "try_one"]

MISHANDLED = {
    "no sentence": "an error whose message is no sentence",
    "traceback": "an error from the depths",
    "wrong": "a result that no input should have",
    "executed": "code in the input ran",
    "outside": "a file outside of the input's folder",
    "memory": "more memory than any such input needs",
    "hung": "no answer",
    "died": "the process died",
}
PATIENCE = 30.0  # seconds for one input
MEMORY = 3 * 2**30  # bytes that an input of a few kilobytes may make the process grow by
LONGEST = 1500  # characters of a sentence


@dataclass(frozen=True)
class Outcome:
    """What came of one input: `said` (a sentence), `right` (a result), or else what went wrong."""

    door: str
    number: int
    kind: str
    what: str


def try_one(door: str, number: int, folder: Path) -> Outcome:
    """Spoil a good input in the `number`-th way and bring it in."""
    one, inside = DOORS[door], folder / "input"
    inside.mkdir()
    one.make(inside)
    one.spoil(inside, Random(f"{door} {number}"))
    around = sorted(path.name for path in folder.iterdir())
    try:
        with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            result = one.enter(inside)
            one.check(inside, result)
        kind, what = "right", ""
    except (InputError, RunError) as error:
        what = str(error)
        kind = "said" if _is_sentence(what) else "no sentence"
    except AssertionError as error:
        kind, what = "wrong", str(error) or traceback.format_exc(limit=-1)
    except Exception:
        kind, what = "traceback", traceback.format_exc(limit=-3)
    if (inside / CANARY).exists():
        kind = "executed"
    left = set(path.name for path in folder.iterdir()) - {*around, "undamaged"}
    if left:
        kind, what = "outside", f"{left} beside the input"
    return Outcome(door, number, kind, what)


def _is_sentence(text: str) -> bool:
    """One line, from a capital letter, a path or a name to a full stop, and not without end."""
    return "\n" not in text and bool(re.search(r"\w.*[.?]$", text)) and len(text) <= LONGEST


def try_door(door: str, numbers: list[int]) -> Iterator[Outcome]:
    """Try many inputs of a door in another process, a new one after each that hangs or dies."""
    context = multiprocessing.get_context("fork")
    left = list(numbers)
    while left:
        ours, theirs = context.Pipe()
        worker = context.Process(target=_work, args=(door, left, theirs))
        worker.start()
        theirs.close()
        while left:
            began = time.monotonic()
            try:
                said = ours.recv() if ours.poll(PATIENCE) else None
            except EOFError:
                said = Outcome(door, left[0], "died", f"after {time.monotonic() - began:.0f} s")
            if said is None:
                said = Outcome(door, left[0], "hung", f"more than {PATIENCE:.0f} s")
            left.pop(0)
            yield said
            if said.kind in ("died", "hung"):
                break
        worker.kill()
        worker.join()


def _work(door: str, numbers: list[int], connection) -> None:
    for number in numbers:
        folder = Path(mkdtemp(prefix="fault-"))
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        outcome = try_one(door, number, folder)
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
        if grown > MEMORY:
            outcome = Outcome(door, number, "memory", f"{grown / 2**30:.1f} GiB")
        shutil.rmtree(folder, ignore_errors=True)
        connection.send(outcome)
