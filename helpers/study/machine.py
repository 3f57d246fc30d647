"""Work and measurement on one machine, by whichever processes: who measures time is alone.

The places are locks of the system (flock), which takes them back from a process that is killed.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

__all__ = ["Place", "at_work"]


class Place:
    """A place on this machine: beside others at first, alone once nobody else works."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        fcntl.flock(file, fcntl.LOCK_SH)  # waits for who measures

    def alone(self) -> bool:
        """Stop being at work, and tell whether all others have, too, so that this one may measure; never waits."""
        fcntl.flock(self._file, fcntl.LOCK_UN)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


@contextmanager
def at_work(folder: Path | None = None) -> Iterator[Place]:
    """Take a place on this machine; wait before that until nobody measures. It is given back at the end."""
    folder = folder or Path(tempfile.gettempdir()) / f"bert-study-{os.getuid()}"
    folder.mkdir(exist_ok=True)
    with open(folder / "machine.lock", "ab") as file:  # closing it gives the place back
        yield Place(file)
