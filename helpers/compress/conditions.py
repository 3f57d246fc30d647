"""Training that goes on from a model as quick steps left it: its zeros held, its weights rounded in each step."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from helpers import models, tasks
from helpers.artifacts import step
from helpers.compress import pruning
from helpers.compress.quantization import Rounded
from helpers.compress.steps import Step, apply
from helpers.storage import Coding
from helpers.training import Training, fit, task_loss, write_curve

__all__ = ["learn_labels", "settle"]


@step(version=1)
def settle(folder: Path, *, model: Path, steps: Sequence[Step]) -> None:
    """Write a model as quick steps leave it, so that training can go on from there."""
    models.save(apply(models.load(model), steps), models.tokenizer(model), folder)


@step(version=1)
def learn_labels(
    folder: Path,
    *,
    model: Path,
    data: tasks.TaskData,
    training: Training,
    max_length: int,
    hold_zeros: str | None = None,
    rounding: Coding | None = None,
) -> None:
    """Train a classifier, with the head that it has, on the labels.

    `hold_zeros` names the part whose zeros stay (`pruning.prune`). With `rounding` the model is asked with its weights
    rounded; those that are stored are not rounded yet.
    """
    words, pupil = models.tokenizer(model), models.load(model)
    rows = tasks.encode(data.train, data.task, words, max_length=max_length)
    asked = pupil if rounding is None else Rounded(pupil, rounding)
    holds = pruning.holding(pupil, of=hold_zeros) if hold_zeros else None
    write_curve(folder, fit(asked, rows, loss=task_loss, training=training, folder=folder, after_step=holds))
    models.save(pupil, words, folder)
