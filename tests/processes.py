"""Run a test's function in a fresh process that may be killed, as a study may be.

The processes fork from one server that has imported torch once, so a test does not pay the import each time. The server
itself never trains: a fork after training would inherit its threads.
"""

import multiprocessing
import os
import signal
import socket
import time
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


def _numbered(surroundings: dict[str, str], errors: Path, function: Callable[..., None], arguments: dict) -> None:
    os.environ.update(surroundings)
    _quietly(errors, function, arguments)


def run_together(function: Callable[..., None], *, errors: Path, count: int = 2, **arguments: Any) -> list[int]:
    """Run `function(**arguments)` in several processes that know of each other as `torchrun` tells them."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        common = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1])}
    common |= {"WORLD_SIZE": str(count), "LOCAL_WORLD_SIZE": str(count)}
    numbers = [common | {"RANK": str(number), "LOCAL_RANK": str(number)} for number in range(count)]
    started = [
        _context.Process(target=_numbered, args=(one, errors.with_suffix(f".{one['RANK']}"), function, arguments))
        for one in numbers
    ]
    for process in started:
        process.start()
    end = time.monotonic() + 90
    while any(process.is_alive() for process in started) and time.monotonic() < end:
        if any(process.exitcode for process in started):  # as torchrun does: the others would wait for it
            time.sleep(1)
            break
        time.sleep(0.05)
    for process in started:
        process.kill()
        process.join()
    return [process.exitcode for process in started]


def die() -> None:
    """End this process as `kill -9` does: nothing is flushed, no handler runs."""
    os.kill(os.getpid(), signal.SIGKILL)
