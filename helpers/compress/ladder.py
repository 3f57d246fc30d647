"""How fast a student learns: examples per second of intermediate distillation, the plain way and with each speed-up."""

from __future__ import annotations

import functools
import itertools
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from datasets import Dataset
from torch import nn

from helpers import tasks
from helpers.compress.losses import IntermediateLoss
from helpers.compress.teacher_outputs import TeacherOutputs, with_outputs
from helpers.environment import InputError, device
from helpers.training import Training, fit, sum_of_parts

__all__ = ["PLAIN", "SPEED_UPS", "Way", "examples_per_second", "factor", "ways", "with_factors"]

WARMUP_STEPS = 2
EPOCHS = {"first_epoch": 1, "ten_epochs": 10}
MOST_STEPS = 47


@dataclass(frozen=True, kw_only=True)
class Way:
    """One way of training. The defaults are the plain one."""

    padded_to: int | None = 128  # tokens of every row; None: a batch's longest row, rows of similar length together
    precision: str = "float32"
    optimizer: str = "adamw_torch"
    stored: bool = False  # the teacher's outputs, read and not computed again


PLAIN = Way()
SPEED_UPS = {
    "true lengths": {"padded_to": None},
    "bf16": {"precision": "bf16"},
    "fused optimizer": {"optimizer": "adamw_torch_fused"},
    "stored outputs": {"stored": True},
}


def ways(names: Sequence[str] = tuple(SPEED_UPS)) -> dict[str, Way]:
    """Return the ladder: the plain way, each speed-up alone, and all together."""
    alone = {name: replace(PLAIN, **SPEED_UPS[name]) for name in names}
    together = functools.reduce(lambda way, name: replace(way, **SPEED_UPS[name]), names, PLAIN)
    return {"plain": PLAIN, **alone, "all together": together}


def examples_per_second(
    way: Way,
    teacher: nn.Module,
    student: nn.Module,
    rows: Dataset,
    *,
    layers: Sequence[int],
    batch_size: int = 32,
    steps: int,
) -> dict[str, float]:
    """Train the student for a while on rows drawn from a set and time `steps` steps, after two that do not count.

    Returns `training`, the examples per second of these steps, and, where outputs are stored, `storing`: those of the
    pass before it, over all rows. Fifty steps at the most: then a checkpoint would be written. Raises `InputError` for
    too few rows.
    """
    count = batch_size * (steps + WARMUP_STEPS)
    if count > len(rows) or not 1 <= steps <= MOST_STEPS:
        raise InputError(
            f"{steps} steps of {batch_size} rows are to be timed, after {WARMUP_STEPS} more; there are {len(rows)} "
            f"rows, and steps may be 1 to {MOST_STEPS}."
        )
    chosen = np.random.default_rng(0).permutation(len(rows))[:count]
    part = rows.add_column("row", range(len(rows))).select(np.sort(chosen))
    settings = Training(
        epochs=1, learning_rate=1e-5, batch_size=batch_size, precision=way.precision, device=device().type
    )
    found: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        loss = IntermediateLoss(student, teacher, layers, seed=0)
        collator = functools.partial(tasks.collate, length=way.padded_to)
        if way.stored:
            began = time.perf_counter()
            outputs = TeacherOutputs(teacher, list(rows), layers, Path(folder) / "teacher", precision=way.precision)
            found["storing"] = len(rows) / (time.perf_counter() - began)
            collator = with_outputs(outputs.batch, length=way.padded_to)
        ended: list[float] = []
        fit(
            loss,
            part,
            loss=sum_of_parts,
            training=settings,
            folder=Path(folder),
            collator=collator,
            after_step=lambda _: ended.append(_now()),
            optimizer=way.optimizer,
        )
    times = [after - before for before, after in itertools.pairwise(ended)][WARMUP_STEPS - 1 :]
    return {"training": batch_size * len(times) / sum(times), **found}


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
