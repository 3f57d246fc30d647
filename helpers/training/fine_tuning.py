"""Fine-tune a classifier on labels, and apply one."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from datasets import Dataset
from torch import Tensor, nn

from helpers import models, tasks
from helpers.artifacts import step
from helpers.environment import device
from helpers.training.loop import Batch, Training, fit

__all__ = ["fine_tune", "logits_of", "read_curve", "task_loss", "write_curve"]


def task_loss(model: nn.Module, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
    """Cross-entropy to the labels, or squared error when the labels are scores."""
    logits = model(**{name: batch[name] for name in batch if name != "labels"}).logits.float()
    if batch["labels"].is_floating_point():
        return nn.functional.mse_loss(logits.squeeze(-1), batch["labels"]), {}
    return nn.functional.cross_entropy(logits, batch["labels"]), {}


@torch.inference_mode()
def logits_of(model: nn.Module, rows: Dataset, *, batch_size: int = 32, on: torch.device | None = None) -> np.ndarray:
    """Apply a classifier to rows: float32 logits (n, C) in the rows' order, computed in batches of similar length."""
    on = on or device()
    model = model.to(on).eval()
    data = [{name: row[name] for name in row if name != "labels"} for row in rows]
    order = np.argsort([len(row["input_ids"]) for row in data], kind="stable")
    parts = []
    for start in range(0, len(order), batch_size):
        batch = tasks.collate([data[i] for i in order[start : start + batch_size]])
        parts.append(model(**{name: value.to(on) for name, value in batch.items()}).logits.float().cpu().numpy())
    logits = np.concatenate(parts)
    return logits[np.argsort(order)]


@step(version=1)
def fine_tune(
    folder: Path,
    *,
    start: Path,
    data: tasks.TaskData,
    training: Training,
    max_length: int,
    head: bool = False,
    variants: Path | None = None,
    max_steps: int | None = None,
    first_epoch: int = 0,
) -> None:
    """Fine-tune a checkpoint's encoder on a task's training rows, with a new head, or with `head=True` with its own.

    `variants` of the rows, with their copied labels, join them; `max_steps` takes the place of the epochs, and
    `first_epoch` numbers the first of them (see `fit`).
    """
    words = models.tokenizer(start)
    model = models.classifier(models.read(start), outputs=data.task.outputs, seed=training.seed, head=head)
    if variants is not None:
        data = tasks.with_variants(data, variants)
    rows = tasks.encode(data.train, data.task, words, max_length=max_length)
    length = {"max_steps": max_steps, "first_epoch": first_epoch}
    write_curve(folder, fit(model, rows, loss=task_loss, training=training, folder=folder, **length))
    models.save(model, words, folder)


def write_curve(folder: Path, curve: list[dict[str, float]]) -> None:
    """Store a learning curve beside the model it belongs to."""
    (folder / "curve.json").write_text(json.dumps(curve), encoding="utf-8")


def read_curve(folder: Path) -> list[dict[str, float]]:
    """Read the learning curve of a trained model; empty if it was not trained here."""
    file = folder / "curve.json"
    return json.loads(file.read_text(encoding="utf-8")) if file.exists() else []
