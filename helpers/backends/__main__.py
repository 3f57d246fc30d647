"""One process of `workers.Workers`: JSON lines in, JSON lines out.

The first line in says which model file, back end, threads and batches; then each `go` has the batches answered and each
`answers` returns what was answered.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from typing import Any, TextIO

import psutil
import torch

from helpers import backends, latency, storage, tasks
from helpers.environment import InputError, RunError, quiet, set_threads

__all__ = ["main"]


def main() -> int:
    """Answer until there are no more lines."""
    # what a library prints would stand among the answers
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    try:
        for answer in _answers(json.loads(sys.stdin.readline())):
            _say(out, answer)
    except (InputError, RunError) as error:
        _say(out, {"error": str(error)})
        return 1
    except Exception as error:  # nobody reads this process's stderr
        _say(out, {"error": f"A process that measures failed with {type(error).__name__}: {error}"})
        return 1
    return 0


def _answers(order: dict[str, Any]) -> Iterator[dict[str, Any]]:
    quiet()
    set_threads(order["threads"])
    batches, examples = ([tasks.collate(rows) for rows in order[name]] for name in ("batches", "examples"))
    before = psutil.Process().memory_info().rss / 1e6
    began = time.perf_counter()
    model: Any = storage.load(order["file"])
    program = backends.build(order["backend"], model, threads=order["threads"], batches=examples)
    seconds = time.perf_counter() - began
    with torch.inference_mode():
        answers = [program(**batch) for batch in batches]
        peak = latency.peak_memory_mb()
        yield {"first_answer_seconds": seconds, "memory_before_mb": before, "peak_memory_mb": peak}
        for line in sys.stdin:
            answers = [program(**batch) for batch in batches]
            yield {"answers": [each.tolist() for each in answers]} if line.strip() == "answers" else {}


def _say(out: TextIO, answer: dict[str, Any]) -> None:
    out.write(json.dumps(answer) + "\n")
    out.flush()


if __name__ == "__main__":
    sys.exit(main())
