"""How long models take, so that two times can be compared: same batches, interleaved, threads pinned, none beside."""

import gc
import itertools
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch
from torch import nn

from helpers.environment import InputError, load
from helpers.environment import threads as pinned
from helpers.labels import WARM
from helpers.latency.batches import Batch, Rows, balanced_orders, check_rows, joined, pad, schedule, spread
from helpers.latency.rounds import quotient
from helpers.latency.turns import wait_for_turn
from helpers.tasks import FIELDS

__all__ = ["measure", "peak_memory_mb"]


def measure(
    arms: Mapping[str, nn.Module],
    dataset: Rows,
    *,
    padded_length: int,
    pad_id: int = 0,
    threads: int,
    batch_size: int = 32,
    repeats: int = 30,
    warmup: int = 3,
    baseline: str,
    max_batches: int | None = None,
    blocks: Sequence[str] | None = None,
    lengths: Sequence[int] = (),
) -> dict[str, Any]:
    """Time the forward pass of all `arms` on the same batches, each batch through all arms, in balanced order.

    A row of `dataset` holds unpadded `input_ids`, `token_type_ids`, `attention_mask`. There are four blocks
    of `repeats` passes or more, each after `warmup` untimed ones: `batch1_true` (single examples, spread
    evenly over the set), `batch1_padded` (the same at `padded_length`), `batch<batch_size>_true` (the set's
    own batches in the order given, each padded to its longest row, from the start again while fewer than
    `repeats`) and `batch<batch_size>_padded`. `blocks` names those to measure, all by default; the set's own
    batches are timed in any case. For each of `lengths` there are `batch1_length<n>` and `batch<batch_size>_length<n>`,
    too: rows joined and cut to `n` tokens, so that none is padding. `batch1_length<n>_warm` is the first of them with
    an untimed pass of the same arm right before each timed one: in turns, each arm finds the processor's caches full of
    another's weights; warm, it finds its own, as where one model is asked again and again. A last, smaller batch counts
    in the set's seconds, not in the block's figures.

    `validation_seconds` sums the median time of each of the set's batches. Where there are more than
    `max_batches`, an evenly spaced part is timed and scaled by its tokens, and `validation_estimated` is true.

    Arms stay in eval mode; torch's threads are restored, whatever happens. Returns `{"setup": {…}, "arms":
    {name: {block: {median_ms, p95_ms, repeats, mean_tokens, speedup}, …, validation_seconds,
    validation_estimated}}}`; `mean_tokens` is per batch with padding, `speedup` the median over pairs of
    time(baseline) / time(arm) with its 95 % bootstrap interval. Raises InputError for bad arguments.
    """
    _check_numbers(padded_length, batch_size, repeats, warmup, max_batches, lengths)
    check_rows(dataset, padded_length)
    where = _device(arms, baseline)
    wait_for_turn()
    setup: dict[str, Any] = {
        "threads": threads,
        "repeats": repeats,
        "warmup": warmup,
        "batch_size": batch_size,
        "padded_length": padded_length,
        "baseline": baseline,
        "load_before": load(),
        "device": where.type,
        "precision": "float32",
    }

    rows = [{field: row[field] for field in FIELDS} for row in dataset]
    singles = [[rows[index]] for index in spread(len(rows), repeats)]
    parts = [rows[start : start + batch_size] for start in range(0, len(rows), batch_size)]
    full = [part for part in parts if len(part) == len(parts[0])]
    known = {
        "batch1_true": [pad(part, None, pad_id, where) for part in singles],
        "batch1_padded": [pad(part, padded_length, pad_id, where) for part in singles],
        f"batch{batch_size}_padded": [
            pad(full[index], padded_length, pad_id, where) for index in spread(len(full), repeats)
        ],
    }
    own_block = f"batch{batch_size}_true"
    unknown = set(blocks or ()) - known.keys() - {own_block}
    if unknown:
        raise InputError(f"There is no block {min(unknown)!r}: choose among {', '.join([*known, own_block])}.")
    asked = {name: batches for name, batches in known.items() if blocks is None or name in blocks}
    for length in lengths:
        cut = [pad([row], None, pad_id, where) for row in joined(rows, length, batch_size)]
        asked[f"batch1_length{length}"] = [cut[index] for index in spread(len(cut), repeats)]
        asked[f"batch1_length{length}{WARM}"] = asked[f"batch1_length{length}"]
        asked[f"batch{batch_size}_length{length}"] = [
            pad(joined(rows, length, batch_size), None, pad_id, where)
        ] * repeats
    own = [pad(part, None, pad_id, where) for part in parts]
    models = [arm.eval() for arm in arms.values()]
    first = list(arms).index(baseline)
    measured: dict[str, dict[str, Any]] = {name: {} for name in arms}
    with pinned(threads), _no_garbage_collection(), torch.inference_mode():
        for block, batches in asked.items():
            times = _times(models, batches, warmup, where, warm=block.endswith(WARM))
            for name, row in zip(arms, times, strict=True):
                measured[name][block] = _summary(row, times[first], batches)

        chosen = spread(len(own), min(max_batches or len(own), len(own)))
        order = schedule(own, chosen, repeats)
        times = _times(models, [own[index] for index in order], warmup, where)
    whole = np.array([own[index].examples == own[0].examples for index in order])
    scale = sum(batch.tokens for batch in own) / sum(own[index].tokens for index in chosen)
    timed = [own[index] for index, keep in zip(order, whole, strict=True) if keep]
    for name, row in zip(arms, times, strict=True):
        once = sum(np.median(row[np.equal(order, index)]) for index in chosen)
        measured[name][own_block] = _summary(row[whole], times[first][whole], timed)
        measured[name]["validation_seconds"] = float(once * scale)
        measured[name]["validation_estimated"] = len(chosen) < len(own)
    return {"setup": {**setup, "load_after": load()}, "arms": measured}


def peak_memory_mb() -> float:
    """Return the largest resident memory of this process so far, in MB (10**6 bytes)."""
    status = Path("/proc/self/status")
    if status.exists():  # getrusage, there, begins with the memory of the process that started this one
        lines = status.read_text(encoding="utf-8").splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) * 1024 / 1e6
    if sys.platform == "win32":
        return psutil.Process().memory_info().peak_wset / 1e6
    import resource  # not on Windows

    unit = 1 if sys.platform == "darwin" else 1024  # macOS counts in bytes, Linux in KiB
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """Keep the garbage collector from running inside a timed pass."""
    collecting = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


def _times(
    models: Sequence[nn.Module], batches: list[Batch], warmup: int, where: torch.device, *, warm: bool = False
) -> np.ndarray:
    """Return seconds `[arms, batches]`; `warm`, of a second pass each time."""
    for batch in itertools.islice(itertools.cycle(batches), warmup):
        for model in models:
            _seconds(model, batch, where)
    orders = balanced_orders(len(models))
    times = np.empty((len(models), len(batches)))
    for column, batch in enumerate(batches):
        for row in orders[column % len(orders)]:
            if warm:
                _seconds(models[row], batch, where)
            times[row, column] = _seconds(models[row], batch, where)
    return times


def _seconds(model: nn.Module, batch: Batch, where: torch.device) -> float:
    _synchronize(where)
    start = time.perf_counter()
    model(**batch.inputs)
    _synchronize(where)
    return time.perf_counter() - start


def _synchronize(where: torch.device) -> None:
    if where.type == "cuda":
        torch.cuda.synchronize(where)


def _summary(seconds: np.ndarray, baseline: np.ndarray, batches: Sequence[Batch]) -> dict[str, Any]:
    return {
        "median_ms": float(np.median(seconds) * 1e3),
        "p95_ms": float(np.quantile(seconds, 0.95) * 1e3),
        "repeats": len(seconds),
        "mean_tokens": float(np.mean([batch.tokens for batch in batches])),
        "speedup": quotient(baseline, seconds),
    }


def _device(arms: Mapping[str, nn.Module], baseline: str) -> torch.device:
    if baseline not in arms:
        raise InputError(f"The baseline {baseline!r} is not among the arms {', '.join(arms)}: name one of them.")
    devices = {parameter.device for arm in arms.values() for parameter in arm.parameters()}
    if len(devices) > 1:
        names = ", ".join(sorted(map(str, devices)))
        raise InputError(f"The arms are on several devices ({names}): move them to one, or measure them apart.")
    return devices.pop() if devices else torch.device("cpu")


def _check_numbers(
    padded_length: int,
    batch_size: int,
    repeats: int,
    warmup: int,
    max_batches: int | None,
    lengths: Sequence[int],
) -> None:
    for name, value, least in (
        ("padded_length", padded_length, 1),
        ("batch_size", batch_size, 2),  # single examples are measured in any case
        ("repeats", repeats, 1),
        ("warmup", warmup, 0),
        ("max_batches", max_batches, 1),
        *(("a length", length, 1) for length in lengths),
    ):
        if value is not None and value < least:
            raise InputError(f"{name} is {value}: give {least} or more.")
