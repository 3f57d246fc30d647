"""Work and measurement on one machine, by whichever processes: who measures time is alone.

The places are locks of the system (flock), which takes them back from a process that is killed.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

__all__ = ["Place", "at_work"]


class Place:
    """A place on this machine: beside others at first, alone once nobody else works."""

    def __init__(self, file: IO[bytes], gate: IO[bytes]) -> None:
        self._file, self._gate = file, gate
        fcntl.flock(gate, fcntl.LOCK_EX)  # behind those that wait to measure, or they might wait for ever
        fcntl.flock(file, fcntl.LOCK_SH)  # waits for who measures
        fcntl.flock(gate, fcntl.LOCK_UN)

    def alone(self) -> bool:
        """Stop being at work, and tell whether all others have, too, so that this one may measure; never waits."""
        fcntl.flock(self._file, fcntl.LOCK_UN)
        try:
            fcntl.flock(self._gate, fcntl.LOCK_SH | fcntl.LOCK_NB)
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        fcntl.flock(self._gate, fcntl.LOCK_UN)
        return True


@contextmanager
def at_work(folder: Path | None = None) -> Iterator[Place]:
    """Take a place on this machine; wait before that until nobody measures. It is given back at the end."""
    # not the folder for temporary files, of which a cluster gives each job its own
    folder = folder or Path("/tmp") / f"bert-study-{os.getuid()}"  # noqa: S108 - the locks hold nothing
    folder.mkdir(exist_ok=True)
    # closing the files gives the place back
    with open(folder / "machine.lock", "ab") as file, open(folder / "gate.lock", "ab") as gate:
        yield Place(file, gate)
