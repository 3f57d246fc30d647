"""A model asked by programs of their own: one alone, to see what it takes, or one on each core, to share the rows."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from helpers.backends.programs import title, why_not
from helpers.environment import ROOT, InputError, RunError

__all__ = ["Workers", "deal"]

Rows = Sequence[Mapping[str, list[int]]]


class Workers:
    """Processes that have each loaded one stored model and wait with their share of the batches.

    `facts` has, for each, `first_answer_seconds` (from reading the file to the first answer, whatever the program
    converts or compiles between), `memory_before_mb` (resident once its libraries are loaded) and `peak_memory_mb`
    (after the first answer; 10**6 bytes). To be used in a `with`: the processes end there.
    """

    def __init__(
        self,
        file: Path,
        backend: str,
        shares: Sequence[Sequence[Rows]],
        *,
        examples: Sequence[Rows],
        threads: int,
    ) -> None:
        """Start a process for each share of batches; `file` is a model that `storage.save` wrote.

        `examples` are the batches for `backends.build`. Raises `InputError` for a back end that is not available here,
        `RunError` if a process cannot begin.
        """
        reason = why_not(backend)
        if reason:
            raise InputError(f"{title(backend)} is not available: {reason}.")
        # a waiting thread that spins would take the core of the process that measures
        settings = os.environ | {"OMP_NUM_THREADS": str(threads), "GOMP_SPINCOUNT": "1000"}
        settings["PYTHONPATH"] = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
        command = [sys.executable, "-m", "helpers.backends"]
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
        self._backend = backend
        self._processes = [subprocess.Popen(command, text=True, env=settings, **pipes) for _ in shares]
        try:
            for process, batches in zip(self._processes, shares, strict=True):
                order = {"file": str(file), "backend": backend, "threads": threads}
                order |= {"batches": batches, "examples": examples}
                self._tell(process, json.dumps(order))
            self.facts = [self._heard(process) for process in self._processes]
        except BaseException:
            self.close()
            raise

    def seconds(self) -> float:
        """Let all answer their batches at the same time; return the seconds until the last has."""
        began = time.perf_counter()
        for process in self._processes:
            self._tell(process, "go")
        for process in self._processes:
            self._heard(process)
        return time.perf_counter() - began

    def logits(self) -> list[list[np.ndarray]]:
        """Return each process's answers to its batches, `[B, C]` each."""
        for process in self._processes:
            self._tell(process, "answers")
        return [[np.array(batch) for batch in self._heard(process)["answers"]] for process in self._processes]

    def close(self) -> None:
        """End the processes."""
        for process in self._processes:
            process.kill()
            process.communicate()

    def __enter__(self) -> Workers:
        """Return itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """End the processes."""
        self.close()

    def _tell(self, process: subprocess.Popen[str], line: str) -> None:
        assert process.stdin is not None
        try:
            process.stdin.write(f"{line}\n")
            process.stdin.flush()
        except OSError as error:
            raise self._ended() from error

    def _heard(self, process: subprocess.Popen[str]) -> dict[str, Any]:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            raise self._ended()
        found = dict(json.loads(line))
        if "error" in found:
            raise RunError(found["error"])
        return found

    def _ended(self) -> RunError:
        return RunError(f"A process of {title(self._backend)} ended before it answered; it may have run out of memory.")


def deal(batches: Sequence[Rows], n: int) -> list[list[Rows]]:
    """Deal batches to `n` processes: each next one, the longest first, to the one with the fewest tokens so far.

    >>> rows = [[{"input_ids": [0] * length}] for length in (3, 1, 2)]
    >>> [[len(batch[0]["input_ids"]) for batch in share] for share in deal(rows, 2)]
    [[3], [2, 1]]
    """
    shares: list[list[Rows]] = [[] for _ in range(n)]
    tokens = [0] * n
    for batch in sorted(batches, key=_tokens, reverse=True):
        fewest = tokens.index(min(tokens))
        shares[fewest].append(batch)
        tokens[fewest] += _tokens(batch)
    return shares


def _tokens(batch: Rows) -> int:
    return len(batch) * max(len(row["input_ids"]) for row in batch)
