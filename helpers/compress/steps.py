"""Steps that belong to no single method: bring a published model, apply quick steps to one, ask one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import nn

from helpers import hub, models, storage, tasks
from helpers.artifacts import step
from helpers.compress import pruning, quantization
from helpers.environment import InputError
from helpers.training import logits_of

__all__ = ["Step", "apply", "bring", "predict"]

# A step that takes seconds is applied whenever a model is used; the others are stored as artifacts.
Step = tuple[str | float, ...]


def apply(model: nn.Module, steps: Sequence[Step]) -> nn.Module:
    """Apply quick steps in order to a copy of a model.

    They are `("prune", amount)`, or with what is pruned (`pruning.prune`); `("int8",)`: the report's; `("round", kind,
    group)`: all weights; and `("round_embeddings", kind)`. Raises `InputError` for an unknown step, or one that cannot
    follow what came before.
    """
    for name, *values in steps:
        if quantization.quantized_layers(model):
            raise InputError(f"Step {name!r} cannot follow int8: the weights are no longer floats; put it before.")
        if name == "int8" and any("embeddings" not in weight for weight in storage.codes_of(model)):
            raise InputError("Layers that are rounded cannot be put in int8: round the embeddings alone before.")
        if name == "prune":
            amount, of = (*values, "pool") if len(values) == 1 else values
            model = pruning.prune(model, amount, of=of)
        elif name == "int8":
            model = quantization.quantize(model)
        elif name in ("round", "round_embeddings"):
            model = quantization.rounded(model, *values, of="all" if name == "round" else "embeddings")
        else:
            raise InputError(f"There is no step {name!r}; quick steps are prune, int8, round and round_embeddings.")
    return model


@step(version=1)
def bring(folder: Path, *, source: hub.Source, task: str | None = None, head: bool = False, seed: int = 0) -> None:
    """Copy a published checkpoint into the store: its encoder alone, or with `task` as that task's classifier.

    The classifier has the checkpoint's own head, its outputs in the task's order, or with `head=False` a new one. An
    encoder keeps, with `head=True`, the head that fills masks.
    """
    checkpoint, words = models.read(source.folder), models.tokenizer(source.folder)
    models.check_vocabulary(words, checkpoint.config, str(source.folder))
    if task is None:
        model = models.masked_language_model(source.folder) if head else models.encoder(checkpoint, seed=seed)
    else:
        known = tasks.TASKS[task]
        model = models.classifier(checkpoint, outputs=known.outputs, seed=seed, labels=known.labels, head=head)
    models.save(model, words, folder)


@step(version=1)
def predict(
    folder: Path, *, model: Path, steps: Sequence[Step], data: tasks.TaskData, split: str, max_length: int, on: str
) -> None:
    """Store the float32 logits (n, C) of a model, after quick steps, on a split.

    `on` is the kind of device; for int8, whose kernels exist on CPUs only, the quantized engine with it ("cpu/x86").
    """
    changed = apply(models.load(model), steps)
    rows = tasks.encode(getattr(data, split), data.task, models.tokenizer(model), max_length=max_length)
    np.save(folder / "logits.npy", logits_of(changed, rows, on=torch.device(on.partition("/")[0])))
