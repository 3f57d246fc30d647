"""Global magnitude pruning of the report's pool of weights, and training under held masks."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import nn
from torch.nn.utils import prune as torch_prune

from helpers import models, storage, tasks
from helpers.artifacts import step
from helpers.compress.factorization import linear_layers
from helpers.environment import InputError
from helpers.models.compact import LowRank
from helpers.training import Training, fit, task_loss, write_curve

__all__ = ["hold", "holding", "masks", "matrices", "pool", "prune", "recover", "sparsity", "zero"]


def pool(model: nn.Module) -> list[tuple[str, nn.Module]]:
    """Return the report's pool: query, key, value, dense and LayerNorm of every attention module, and all embeddings.

    Feed-forward layers, the pooler, the classifier and all biases are not in it (report, section 4.4). Of a product of
    two matrices (`models.compact.LowRank`) both are.
    """
    attention = ("attention.self.query", "attention.self.key", "attention.self.value")
    attention += ("attention.output.dense", "attention.output.LayerNorm")
    found = []
    for name, module in model.named_modules():
        place, _, last = name.rpartition(".")
        is_factor = isinstance(model.get_submodule(place), LowRank) if last.isdigit() else False
        wanted = (place if is_factor else name).endswith((*attention, "word_embeddings"))
        if isinstance(module, nn.Embedding) or (wanted and not isinstance(module, LowRank)):
            found.append((name, module))
    return found


def prune(model: nn.Module, amount: float, *, of: str = "pool") -> nn.Module:
    """Return a copy without the `amount` (0 to 1) smallest weights, by absolute value over all modules, `of` a part.

    That is the "pool", the "encoder": all linear layers there, which is what structured pruning takes from, or all
    "matrices", embeddings and linear layers; "each" takes as large a share of each matrix by itself, so that none is
    emptied because all of its weights are smaller than another's. Of a rounded model the smallest rounded weights go,
    those that rounding has made zero first, and the others keep their values; which go of many equal ones is not said.
    Raises `InputError` if the amount is outside 0 to 1.
    """
    if not 0 <= amount <= 1:
        raise InputError(f"A pruning amount is a share of the weights, from 0 to 1, not {amount}.")
    codes, model = storage.codes_of(model), copy.deepcopy(model)
    targets = [(module, "weight") for _, module in _modules(model, of)]
    for together in [[target] for target in targets] if of == "each" else [targets]:
        torch_prune.global_unstructured(together, pruning_method=torch_prune.L1Unstructured, amount=float(amount))
    for module, name in targets:
        torch_prune.remove(module, name)
    if codes:
        kept = masks(model, of=of)
        model.codes = {name: coded.keep(kept[name]) if name in kept else coded for name, coded in codes.items()}
    return model


def sparsity(model: nn.Module) -> dict[str, object]:
    """Return the share of zeros, 0 to 1: in the `pool`, in the whole `model`, and per module of the pool (`layers`)."""
    weights = {name: module.weight for name, module in pool(model)}
    zeros = sum(int((weight == 0).sum()) for weight in weights.values())
    everything = list(model.parameters())
    return {
        "pool": zeros / sum(weight.numel() for weight in weights.values()),
        "model": sum(int((p == 0).sum()) for p in everything) / sum(p.numel() for p in everything),
        "layers": {name: float((weight == 0).float().mean()) for name, weight in weights.items()},
    }


def _modules(model: nn.Module, of: str) -> list[tuple[str, nn.Module]]:
    found = {"pool": pool, "encoder": lambda model: list(linear_layers(model).items())}
    found |= dict.fromkeys(("matrices", "each"), matrices)
    if of not in found:
        raise InputError(f"What is pruned is the pool, the encoder, the matrices or each of them, not {of!r}.")
    return found[of](model)


def matrices(model: nn.Module) -> list[tuple[str, nn.Module]]:
    """Return all embeddings and linear layers by name: what can be stored in fewer bits."""
    return [(name, module) for name, module in model.named_modules() if isinstance(module, (nn.Embedding, nn.Linear))]


def masks(model: nn.Module, *, of: str = "pool") -> dict[str, torch.Tensor]:
    """Return, for each weight of a part (as in `prune`), where it is not zero."""
    return {f"{name}.weight": module.weight.detach() != 0 for name, module in _modules(model, of)}


@torch.no_grad()
def hold(model: nn.Module, held: Mapping[str, torch.Tensor]) -> None:
    """Set to zero again what training has grown where `masks` had found zeros."""
    for name, parameter in model.named_parameters():
        if name in held:
            parameter.mul_(held[name].to(parameter.device))


def holding(model: nn.Module, *, of: str = "pool") -> Callable[..., None]:
    """Return what sets to zero again, after each step of training, what is zero now in a part (as in `prune`).

    It holds this model, whatever a training calls it with: what is trained may be a loss that has the model inside.
    """
    # as floats, by which a step multiplies far faster than by truth values
    held = {name: mask.float() for name, mask in masks(model, of=of).items()}
    return lambda *_: hold(model, held)


@step(version=1)
def zero(folder: Path, *, model: Path, amount: float, of: str = "encoder") -> None:
    """Write a model whose encoder, or as in `prune` whose pool, has its `amount` (0 to 1) smallest weights zeroed."""
    models.save(prune(models.load(model), amount, of=of), models.tokenizer(model), folder)


@step(version=1)
def recover(
    folder: Path, *, model: Path, amount: float, data: tasks.TaskData, training: Training, max_length: int
) -> None:
    """Prune, then train on the labels while the zeros are held: without that, training grows the weights back."""
    words = models.tokenizer(model)
    pruned = prune(models.load(model), amount)
    holds = holding(pruned)
    before = sparsity(pruned)["pool"]
    rows = tasks.encode(data.train, data.task, words, max_length=max_length)
    curve = fit(pruned, rows, loss=task_loss, training=training, folder=folder, after_step=holds)
    holds()
    if sparsity(pruned)["pool"] < before:
        raise RuntimeError(f"Recovery lost zeros: {sparsity(pruned)['pool']} of the pool, {before} before.")
    write_curve(folder, curve)
    models.save(pruned, words, folder)
