"""How fast a student learns: examples per second of intermediate distillation, the plain way and with each speed-up."""

from __future__ import annotations

import functools
import itertools
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean

import numpy as np
import torch
from datasets import Dataset
from torch import nn

from helpers import latency, tasks
from helpers.compress.losses import IntermediateLoss
from helpers.compress.teacher_outputs import TeacherOutputs, with_outputs
from helpers.environment import InputError, device
from helpers.profiles import MOST_LADDER_STEPS
from helpers.training import Training, fit, sum_of_parts

__all__ = [
    "PLAIN",
    "SPEED_UPS",
    "Way",
    "check",
    "factor",
    "measure",
    "seconds_per_example",
    "ways",
    "with_factors",
]

WARMUP_STEPS = 2
EPOCHS = {"first_epoch": 1, "ten_epochs": 10}
TOGETHER = "all together"
LARGER = "all together, 128 rows a step"  # another training: a quarter of the steps, so it is shown, not counted as one


@dataclass(frozen=True, kw_only=True)
class Way:
    """One way of training. The defaults are the plain one."""

    padded_to: int | None = 128  # tokens of every row; None: a batch's longest row, rows of similar length together
    precision: str = "float32"
    optimizer: str = "adamw_torch"
    stored: bool = False  # the teacher's outputs, read and not computed again
    batch_size: int = 32


PLAIN = Way()
SPEED_UPS = {
    "true lengths": {"padded_to": None},
    "bf16": {"precision": "bf16"},
    "fused optimizer": {"optimizer": "adamw_torch_fused"},
    "stored outputs": {"stored": True},
}


def ways(names: Sequence[str] = tuple(SPEED_UPS)) -> dict[str, Way]:
    """Return the ladder: the plain way, each speed-up alone, all together, and that with larger batches."""
    alone = {name: replace(PLAIN, **SPEED_UPS[name]) for name in names}
    together = functools.reduce(lambda way, name: replace(way, **SPEED_UPS[name]), names, PLAIN)
    return {"plain": PLAIN, **alone, TOGETHER: together, LARGER: replace(together, batch_size=128)}


def measure(
    rows: Dataset,
    *,
    teacher: Callable[[], nn.Module],
    student: Callable[[], nn.Module],
    layers: Sequence[int],
    steps: int,
    folder: Path,
    ladder: Mapping[str, Way] | None = None,
) -> dict[str, dict[str, float]]:
    """Time every way on rows drawn from `rows`; return the rungs: steps, examples per second, factors.

    The ways take turns, forwards and then backwards, so that a machine that slows down slows all of them. Short steps
    are many: where rows keep their lengths `MOST_LADDER_STEPS` are timed. All together is timed once, in between:
    it stores the outputs of all rows, as a study would, and reads from among them; the other ways store those of the
    drawn rows only. Larger batches are left out where there are not enough rows. Nothing else of a study runs beside.
    Files go under `folder`, which is emptied. Raises `InputError` for too few rows, `RunError` if the disk has no room.
    """
    ladder = ladder or ways()
    check(len(rows), steps=steps, batch_size=ladder["plain"].batch_size)
    if LARGER in ladder and len(rows) < (WARMUP_STEPS + 1) * ladder[LARGER].batch_size:
        ladder = {name: way for name, way in ladder.items() if name != LARGER}
    most = {name: min(MOST_LADDER_STEPS, len(rows) // way.batch_size - WARMUP_STEPS) for name, way in ladder.items()}
    counts = {name: steps if way.padded_to else most[name] for name, way in ladder.items()}
    latency.wait_for_turn()
    shutil.rmtree(folder, ignore_errors=True)  # what a run that was killed left
    seconds: dict[str, dict[str, list[float]]] = {name: {} for name in ladder}
    for name in [*ladder, *(name for name in reversed(ladder) if name != TOGETHER)]:
        way = ladder[name]
        some = rows if name == TOGETHER else _drawn(rows, way.batch_size * (counts[name] + WARMUP_STEPS))
        options = {"layers": layers, "steps": counts[name], "folder": folder}
        for part, value in seconds_per_example(way, teacher(), student(), some, **options).items():
            seconds[name].setdefault(part, []).append(value)
    rates = {name: {part: 1 / fmean(values) for part, values in found.items()} for name, found in seconds.items()}
    return {name: {"steps": counts[name], **rung} for name, rung in with_factors(rates).items()}


def _drawn(rows: Dataset, count: int) -> Dataset:
    return rows.select(np.sort(np.random.default_rng(0).permutation(len(rows))[:count]))


def check(rows: int, *, steps: int, batch_size: int = PLAIN.batch_size) -> None:
    """Raise `InputError` if so many rows are too few for `steps` timed steps, or `steps` are too many."""
    if batch_size * (steps + WARMUP_STEPS) > rows or not 1 <= steps <= MOST_LADDER_STEPS:
        raise InputError(
            f"{steps} steps of {batch_size} rows are to be timed, after {WARMUP_STEPS} more; there are {rows} "
            f"rows, and steps may be 1 to {MOST_LADDER_STEPS}: set ladder_steps."
        )


def seconds_per_example(
    way: Way,
    teacher: nn.Module,
    student: nn.Module,
    rows: Dataset,
    *,
    layers: Sequence[int],
    steps: int,
    folder: Path,
) -> dict[str, float]:
    """Train the student for a while on rows drawn from a set and time `steps` steps, after two that do not count.

    Returns `training`, the seconds per example of these steps, and, where outputs are stored, `storing`: those of the
    pass before it, over all rows. Raises `InputError` for too few rows.
    """
    check(len(rows), steps=steps, batch_size=way.batch_size)
    part = _drawn(rows.add_column("row", range(len(rows))), way.batch_size * (steps + WARMUP_STEPS))
    settings = Training(
        epochs=1, learning_rate=1e-5, batch_size=way.batch_size, precision=way.precision, device=device().type
    )
    found: dict[str, float] = {}
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as name:
        place = Path(name)
        loss = IntermediateLoss(student, teacher, layers, seed=0)
        collator = functools.partial(tasks.collate, length=way.padded_to)
        if way.stored:
            began = time.perf_counter()
            outputs = TeacherOutputs(teacher, list(rows), layers, place / "teacher", precision=way.precision)
            found["storing"] = (time.perf_counter() - began) / len(rows)
            collator = with_outputs(outputs.batch, length=way.padded_to)
        ended: list[float] = []
        fit(
            loss,
            part,
            loss=sum_of_parts,
            training=settings,
            folder=place,
            collator=collator,
            after_step=lambda _: ended.append(_now()),
            optimizer=way.optimizer,
        )
    times = [after - before for before, after in itertools.pairwise(ended)][WARMUP_STEPS - 1 :]
    return {"training": sum(times) / (way.batch_size * len(times)), **found}


def factor(plain: Mapping[str, float], fast: Mapping[str, float], *, epochs: int) -> float:
    """Return how many times as fast `epochs` epochs are, storing included, which is done once."""
    once = 1 / fast["storing"] if "storing" in fast else 0.0
    return (epochs / plain["training"]) / (once + epochs / fast["training"])


def with_factors(rates: Mapping[str, Mapping[str, float]]) -> dict[str, dict[str, float]]:
    """Return the ways with how many times as fast as the plain one they are, in the first epoch and over ten."""
    return {
        name: {**rate, **{words: factor(rates["plain"], rate, epochs=epochs) for words, epochs in EPOCHS.items()}}
        for name, rate in rates.items()
    }


def _now() -> float:
    if device().type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()
