"""The machine, versions, seeds and threads of a run, and the two errors that every other module raises."""

import importlib.metadata
import os
import platform
import random
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch

from helpers.wording import one_line

__all__ = [
    "ROOT",
    "InputError",
    "RunError",
    "cores",
    "cpu_flags",
    "describe",
    "device",
    "git_state",
    "load",
    "precision",
    "quiet",
    "set_seed",
    "set_threads",
    "threads",
    "threads_for_all",
]

ROOT = Path(__file__).resolve().parents[1]  # the repository
# The flags that decide how fast int8 and bf16 matrix products are: the usual spelling -> torch's.
_FLAGS = {
    "amx_bf16": "amx_bf16",
    "amx_int8": "amx_int8",
    "avx2": "avx2",
    "avx512_bf16": "avx512_bf16",
    "avx512_vnni": "avx512_vnni",
    "avx512f": "avx512_f",
    "avx_vnni": "avx_vnni",
}
_PACKAGES = ("torch", "transformers", "datasets", "evaluate", "numpy", "accelerate")
_PRECISIONS = ("auto", "bf16", "float32")
_WIDE = 256  # a hidden size from which more threads pay


class InputError(ValueError):
    """Bad input: the message is a sentence that says what, where and what to do; exit code 2."""

    def __init__(self, message: str) -> None:
        super().__init__(one_line(message))


class RunError(RuntimeError):
    """A run that failed: the message is a sentence that says what, where and what to do; exit code 1."""

    def __init__(self, message: str) -> None:
        super().__init__(one_line(message))


def device() -> torch.device:
    """Return the device that everything runs on: CUDA where there is one, the CPU otherwise."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def cpu_flags() -> list[str]:
    """Return those instruction sets of this CPU that decide int8 and bf16 speed, sorted."""
    capabilities = torch.cpu.get_capabilities()
    return sorted(flag for flag, name in _FLAGS.items() if capabilities.get(name, False))


def precision(requested: str = "auto") -> str:
    """Return `"bf16"` or `"float32"`: what training computes in.

    `"auto"` means bf16 only where the hardware multiplies bf16 matrices itself; elsewhere bf16 is emulated
    and slower than float32. An explicit request is honoured as it is. Raises InputError for any other word.
    """
    if requested not in _PRECISIONS:
        raise InputError(f"The precision {requested!r} is not known: choose one of {', '.join(_PRECISIONS)}.")
    if requested != "auto":
        return requested
    if device().type == "cuda":
        fast = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        fast = not {"avx512_bf16", "amx_bf16"}.isdisjoint(cpu_flags())
    return "bf16" if fast else "float32"


def set_threads(n: int) -> None:
    """Let torch use `n` threads inside one operation. Raises InputError unless `n` is a whole number >= 1."""
    if isinstance(n, bool) or not isinstance(n, int) or n < 1:
        raise InputError(f"The number of threads is {n!r}: give a whole number from 1 on.")
    torch.set_num_threads(n)


@contextmanager
def threads(n: int) -> Iterator[None]:
    """Let torch use `n` threads inside the block, and as many as before after it. Raises InputError as above."""
    before = torch.get_num_threads()
    set_threads(n)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def threads_for_all(hidden_size: int) -> int:
    """Return the threads for a stage that all other work waits for: a wide model takes the other workers' cores, too.

    A narrow one keeps its own threads, with which its published results were made.
    """
    own = torch.get_num_threads()
    return own if hidden_size < _WIDE else max(own, min(4, cores()))


def cores() -> int:
    """Return how many cores this process may take: as many as it has, beside those it trains together with."""
    return max(1, (psutil.cpu_count() or 1) // int(os.environ.get("LOCAL_WORLD_SIZE", "1")))


def set_seed(seed: int) -> None:
    """Seed `random`, numpy and torch (all devices). Raises InputError unless 0 <= seed < 2**32 (as numpy)."""
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or not 0 <= seed < 2**32:
        raise InputError(f"The seed is {seed!r}: give a whole number from 0 to {2**32 - 1}.")
    random.seed(int(seed))
    np.random.seed(int(seed))
    torch.manual_seed(int(seed))


def describe() -> dict[str, Any]:
    """Return what a record must say about machine and versions, ready for JSON; never the machine's own name.

    Memory is in GB (10**9 bytes), rounded to 0.1.
    """
    capabilities = torch.cpu.get_capabilities()
    libc = "".join(platform.libc_ver())
    where = device()
    return {
        "python": platform.python_version(),
        # platform.platform() carries the kernel's build name, which can name the machine's owner
        "platform": " ".join(part for part in (platform.system(), platform.machine(), libc) if part),
        "device": where.type,
        "accelerator": torch.cuda.get_device_name(where) if where.type == "cuda" else None,
        "cpu": {
            "model": str(capabilities.get("cpu_name") or platform.processor() or platform.machine()).strip(),
            # psutil says None inside some containers
            "cores_physical": psutil.cpu_count(logical=False) or capabilities.get("num_physical_cores"),
            "cores_logical": psutil.cpu_count(logical=True),
            "flags": cpu_flags(),
        },
        "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
        "threads": torch.get_num_threads(),
        "quantized_engine": torch.backends.quantized.engine,
        "versions": {name: _version(name) for name in _PACKAGES},
    }


def load() -> float:
    """Return the mean number of busy processes over the last minute (1.0 = one core fully used)."""
    return float(psutil.getloadavg()[0])


def git_state(folder: str | Path, *, ignore: Sequence[str] = ()) -> dict[str, str | bool | None]:
    """Return `{"commit": …, "clean": …}` of the repository around `folder`; None where git cannot tell.

    `ignore` names paths, relative to `folder`, that may differ without making the tree unclean: a study that
    writes its own results into the tree would otherwise call itself unclean from its first record on. A file
    that is neither committed nor git-ignored makes the tree unclean. Never raises.
    """
    status = _git(folder, "status", "--porcelain", "--", ".", *(f":(exclude){path}" for path in ignore))
    commit = _git(folder, "rev-parse", "--verify", "--quiet", "HEAD^{commit}")
    return {"commit": commit or None, "clean": None if status is None else status == ""}


def quiet() -> None:
    """Lower the libraries' logging to errors and switch off their progress bars: stderr stays empty."""
    # Imported here: reading a machine's description does not need these slow imports.
    import datasets
    import evaluate
    import huggingface_hub
    import transformers

    for library in (datasets, evaluate, transformers, huggingface_hub):
        library.logging.set_verbosity_error()
    datasets.disable_progress_bars()
    evaluate.disable_progress_bar()
    transformers.logging.disable_progress_bar()
    huggingface_hub.utils.disable_progress_bars()


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _git(folder: str | Path, *arguments: str) -> str | None:
    # --no-optional-locks: asking for the state must not write into the repository (two runs may ask at once).
    command = ["git", "--no-optional-locks", "-C", str(folder), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=30, check=False)
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
