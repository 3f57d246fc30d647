"""Structured pruning: whole heads, feed-forward neurons and layers go, and the matrices really shrink.

Heads and neurons go by importance, the mean size of the loss's gradient with respect to a gate of one on them (Michel
et al. 2019, section 4.1), layers by their influence, by how much the loss grows without them.
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from datasets import Dataset
from torch import Tensor, nn
from transformers import BertForSequenceClassification

from helpers import models, tasks
from helpers.artifacts import step
from helpers.environment import InputError, device
from helpers.training import Batch, task_loss

__all__ = ["Importance", "Kept", "choose", "count_removed", "importance", "influence", "remove", "shrink"]

BATCH = 32
ROWS = 1024  # of the training rows; importance changes little beyond some hundreds


@dataclass(frozen=True)
class Importance:
    """How much the loss depends on each head, `heads[layer]` (A,), and each neuron, `neurons[layer]` (F,)."""

    heads: list[Tensor]
    neurons: list[Tensor]


@dataclass(frozen=True)
class Kept:
    """What stays: of each layer that stays, in order, its number from 0, its heads and its neurons."""

    layers: list[int]
    heads: list[list[int]]
    neurons: list[list[int]]


def head_size(model: nn.Module) -> int:
    """Return the width of one head, which pruning leaves as it is."""
    return model.config.hidden_size // model.config.num_attention_heads


@contextlib.contextmanager
def _gates(model: nn.Module, rows: int) -> Iterator[tuple[list[Tensor], list[Tensor]]]:
    """Put a gate of one behind every head and neuron, for each of a batch's rows its own: (rows, A) and (rows, F)."""
    heads, neurons, hooks = [], [], []
    size = head_size(model)
    for layer in model.bert.encoder.layer:
        for gates, dense, width in (
            (heads, layer.attention.output.dense, size),
            (neurons, layer.output.dense, 1),
        ):
            gate = torch.ones(rows, dense.in_features // width, device=dense.weight.device, requires_grad=True)
            gates.append(gate)

            def scaled(_: nn.Module, inputs: tuple[Tensor], gate: Tensor = gate, width: int = width) -> tuple[Tensor]:
                return (inputs[0] * gate.repeat_interleave(width, dim=1)[:, None, :],)

            hooks.append(dense.register_forward_pre_hook(scaled))
    try:
        yield heads, neurons
    finally:
        for hook in hooks:
            hook.remove()


def _batches(rows: Dataset, where: torch.device) -> Iterator[Batch]:
    for start in range(0, len(rows), BATCH):
        batch = tasks.collate([rows[i] for i in range(start, min(start + BATCH, len(rows)))])
        yield {name: value.to(where) for name, value in batch.items()}


def importance(model: nn.Module, rows: Dataset) -> Importance:
    """Return the importance of heads and neurons on rows with labels: the mean over rows of |d loss / d gate|.

    The gates are each row's own, so that rows that pull in opposite directions do not cancel.
    """
    where = device()
    model = copy.deepcopy(model).to(where).eval().requires_grad_(False)
    totals: list[Tensor] | None = None
    for batch in _batches(rows, where):
        count = len(batch["labels"])
        with _gates(model, count) as (heads, neurons):
            loss, _ = task_loss(model, batch)
            gradients = torch.autograd.grad(count * loss, [*heads, *neurons])
        sums = [gradient.abs().sum(dim=0).cpu() for gradient in gradients]
        totals = sums if totals is None else [a + b for a, b in zip(totals, sums, strict=True)]
    if totals is None:
        raise InputError("Importance needs rows; give some.")
    means = [total / len(rows) for total in totals]
    depth = len(means) // 2
    return Importance(means[:depth], means[depth:])


@torch.no_grad()
def mean_loss(model: nn.Module, rows: Dataset) -> float:
    """Return the mean loss of a classifier on rows with labels."""
    where, total = device(), 0.0
    model = model.to(where).eval()
    for batch in _batches(rows, where):
        loss, _ = task_loss(model, batch)
        total += loss.item() * len(batch["labels"])
    return total / len(rows)


def influence(model: nn.Module, rows: Dataset) -> list[float]:
    """Return for each layer how much larger the mean loss on rows with labels is when that layer alone is left out."""
    whole, depth = mean_loss(copy.deepcopy(model), rows), model.config.num_hidden_layers
    if depth == 1:
        raise InputError("A model of one layer has none to leave out.")
    others = ([i for i in range(depth) if i != gone] for gone in range(depth))
    return [mean_loss(shrink(model, layers=layers), rows) - whole for layers in others]


def count_removed(total: int, share: float, *, layers: int) -> int:
    """Return how many of a model's heads or neurons a share is; each of its layers must be left one.

    Raises `InputError` for a share outside 0 to below 1, or one that would leave layers empty.
    """
    if not 0 <= share < 1:
        raise InputError(f"The share that goes is from 0 to below 1, not {share}: something must stay.")
    count = round(share * total)
    if total - count < layers:
        raise InputError(
            f"To remove {count} of {total} would leave one of the {layers} layers with none; take a smaller share."
        )
    return count


def choose(scores: Sequence[Tensor], removed: float) -> list[list[int]]:
    """Return what stays of each layer when a share of all goes, the least important first, over all layers together.

    Scores are divided by their layer's root of summed squares, as gradients of other layers have other sizes (Michel et
    al. 2019, section 4.1). The most important of each layer stays in any case, so that no layer is left empty. Raises
    `InputError` for a share outside 0 to below 1, or one that would leave layers empty.
    """
    count = count_removed(sum(len(each) for each in scores), removed, layers=len(scores))
    scores = [each / each.norm().clamp(min=1e-30) for each in scores]
    safe = {(layer, int(each.argmax())) for layer, each in enumerate(scores)}
    order = sorted((float(value), layer, i) for layer, each in enumerate(scores) for i, value in enumerate(each))
    gone = {(layer, i) for _, layer, i in [entry for entry in order if entry[1:] not in safe][:count]}
    return [[i for i in range(len(each)) if (layer, i) not in gone] for layer, each in enumerate(scores)]


def shrink(
    model: nn.Module,
    *,
    layers: Sequence[int] | None = None,
    heads: Sequence[Sequence[int]] | None = None,
    neurons: Sequence[Sequence[int]] | None = None,
) -> BertForSequenceClassification:
    """Return a smaller copy that keeps these layers (0..L-1) and, of every layer of the model, these heads and neurons.

    Left out, all stay. The result is what the model computes with the others' outputs set to zero.
    """
    compact = dict(getattr(model.config, "compact", None) or {})
    if compact.get("sharing", "none") != "none" or compact.get("ranks"):
        raise InputError("Layers that share weights or have low ranks are not shrunk; shrink the model before that.")
    old = list(model.bert.encoder.layer)
    size = head_size(model)
    layers = list(range(len(old))) if layers is None else list(layers)
    if not layers:
        raise InputError("All layers would go; keep one at least.")
    found = [layer.attention.self.query.out_features // size for layer in old]
    heads = [list(range(count)) for count in found] if heads is None else [list(each) for each in heads]
    widths = [layer.intermediate.dense.out_features for layer in old]
    neurons = [list(range(count)) for count in widths] if neurons is None else [list(each) for each in neurons]
    kept = Kept(layers, [heads[i] for i in layers], [neurons[i] for i in layers])
    small = models.build(type(model), _config(model, kept)).eval()
    small.config._attn_implementation = model.config._attn_implementation
    same = {name: tensor for name, tensor in model.state_dict().items() if not name.startswith("bert.encoder.")}
    small.load_state_dict(same, strict=False)
    for new, number, some, cells in zip(small.bert.encoder.layer, kept.layers, kept.heads, kept.neurons, strict=True):
        columns = [head * size + place for head in some for place in range(size)]
        _copy(new, old[number], columns, cells)
    return small


def _config(model: nn.Module, kept: Kept) -> object:
    config = copy.deepcopy(model.config)
    config.num_hidden_layers = len(kept.layers)
    compact = dict(getattr(config, "compact", None) or {})
    compact |= {"heads": [len(each) for each in kept.heads], "neurons": [len(each) for each in kept.neurons]}
    full = {"heads": config.num_attention_heads, "neurons": config.intermediate_size}
    compact = {name: value for name, value in compact.items() if name not in full or set(value) != {full[name]}}
    config.compact = compact
    return config


@torch.no_grad()
def _copy(new: nn.Module, old: nn.Module, columns: list[int], cells: list[int]) -> None:
    """Copy a layer's weights but those of heads and neurons that go."""
    for name in ("query", "key", "value"):
        ours, theirs = getattr(new.attention.self, name), getattr(old.attention.self, name)
        ours.weight.copy_(theirs.weight[columns])
        ours.bias.copy_(theirs.bias[columns])
    new.attention.output.dense.weight.copy_(old.attention.output.dense.weight[:, columns])
    new.attention.output.dense.bias.copy_(old.attention.output.dense.bias)
    new.intermediate.dense.weight.copy_(old.intermediate.dense.weight[cells])
    new.intermediate.dense.bias.copy_(old.intermediate.dense.bias[cells])
    new.output.dense.weight.copy_(old.output.dense.weight[:, cells])
    new.output.dense.bias.copy_(old.output.dense.bias)
    for ours, theirs in (
        (new.attention.output.LayerNorm, old.attention.output.LayerNorm),
        (new.output.LayerNorm, old.output.LayerNorm),
    ):
        ours.load_state_dict(theirs.state_dict())


def sample(data: tasks.TaskData, words: object, *, max_length: int) -> Dataset:
    """Return the training rows that importance is measured on, as tokens: the same for every seed, none held out."""
    order = np.random.default_rng(0).permutation(len(data.train))[:ROWS]
    return tasks.encode(data.train.select(np.sort(order)), data.task, words, max_length=max_length)


@step(version=1)
def remove(
    folder: Path, *, model: Path, data: tasks.TaskData, max_length: int, heads: float, neurons: float, layers: int
) -> None:
    """Remove a share of all heads and of all neurons, by importance on training rows, then `layers` layers.

    Of several layers the one with the least influence goes first; the others' influence is then measured again.
    """
    words, small = models.tokenizer(model), models.load(model)
    if not 0 <= layers < small.config.num_hidden_layers:
        raise InputError(
            f"{layers} of {small.config.num_hidden_layers} layers are to go; one at least must stay, and none is added."
        )
    rows = sample(data, words, max_length=max_length)
    if heads or neurons:
        found = importance(small, rows)
        small = shrink(small, heads=choose(found.heads, heads), neurons=choose(found.neurons, neurons))
    for _ in range(layers):
        least = int(np.argmin(influence(small, rows)))
        small = shrink(small, layers=[i for i in range(small.config.num_hidden_layers) if i != least])
    models.save(small, words, folder)
