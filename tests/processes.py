"""Run a test's function in a fresh process that may be killed, as a study may be.

The processes fork from one server that has imported torch once, so a test does not pay the import each time. The server
itself never trains: a fork after training would inherit its threads.
"""

import multiprocessing
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(["helpers.compress.chain"])


def _quietly(errors: Path, function: Callable[..., None], arguments: dict[str, Any]) -> None:
    import torch

    with open(errors, "wb") as file:
        os.dup2(file.fileno(), 2)
    torch.set_num_threads(1)
    function(**arguments)


def run(function: Callable[..., None], *, errors: Path, seconds: float = 60, **arguments: Any) -> int:
    """Return how `function(**arguments)` ended: 0, 1 after an exception, -9 after SIGKILL. Stderr goes to `errors`."""
    process = _context.Process(target=_quietly, args=(errors, function, arguments))
    process.start()
    process.join(seconds)
    if process.is_alive():
        process.kill()
        process.join()
        raise TimeoutError(f"{function.__name__} took more than {seconds} seconds.")
    return process.exitcode


def die() -> None:
    """End this process as `kill -9` does: nothing is flushed, no handler runs."""
    os.kill(os.getpid(), signal.SIGKILL)
