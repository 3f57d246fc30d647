"""A run that measures time waits until the study that started it lets nothing else run beside it."""

from __future__ import annotations

import os
import time
from pathlib import Path

import psutil

from helpers.environment import RunError

__all__ = ["TURN", "wait_for_turn", "waited", "waited_file"]

# The environment variable by which a study tells a run the file to ask with. Its folder has the number of the study's
# process for a name, and is there as long as the study is.
TURN = "STUDY_TURN"
_PAUSE = 0.2  # seconds between two looks
_waited = 0.0


def wait_for_turn() -> None:
    """Wait until nothing else of the study is at work; return at once in a run that no study started.

    The run makes the file that the study named for it. The study takes the file away when all its other runs have ended
    or wait as well, and starts nothing before this run's end. Raises `RunError` if the study itself ends before that.
    """
    global _waited
    place = os.environ.pop(TURN, None)
    if place is None:
        return
    began, file = time.monotonic(), Path(place)
    study = int(file.parent.name)
    ended = RunError("The study that this run belongs to has ended; start it again, it goes on from here.")
    try:
        file.touch()
        while file.exists():
            time.sleep(_PAUSE)
            if not psutil.pid_exists(study):
                raise ended
        _waited = time.monotonic() - began
        waited_file(file).write_text(str(_waited), encoding="utf-8")
    except FileNotFoundError:  # the folder went with the study
        raise ended from None


def waited() -> float:
    """Return the seconds that this process has waited for its turn: no part of what its run took."""
    return _waited


def waited_file(turn: Path) -> Path:
    """Return the file in which a run that has had its turn leaves the seconds it waited."""
    return turn.with_name(f"{turn.name}.waited")
