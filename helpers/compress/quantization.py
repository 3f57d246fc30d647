"""Quantization: the report's int8 linear layers, weights rounded to fewer bits, and training that expects rounding."""

from __future__ import annotations

import contextlib
import copy
from collections import Counter
from typing import Any

import torch
from torch import Tensor, nn
from torch.ao.quantization import quantize_dynamic
from torch.func import functional_call

from helpers import models, storage
from helpers.compress import pruning
from helpers.environment import InputError
from helpers.storage import Coding
from helpers.storage.packing import quiet_quantization

__all__ = ["Rounded", "codings", "quantize", "quantized_layers", "rounded", "straight_through"]


def quantize(model: nn.Module) -> nn.Module:
    """Return a copy, on the CPU, whose `nn.Linear` modules hold int8 weights: symmetric, one scale per matrix.

    Activations are quantized at each call with one scale per batch, so a row's logits depend a little on its batch.
    """
    with quiet_quantization():
        changed = quantize_dynamic(copy.deepcopy(model).cpu().eval(), {nn.Linear}, dtype=torch.qint8)
    return models.share(changed)  # layers that had a matrix in common got one each


def quantized_layers(model: nn.Module) -> dict[str, nn.Module]:
    """Return the modules that hold int8 weights, by name."""
    kind = torch.ao.nn.quantized.dynamic.Linear
    return {name: module for name, module in model.named_modules() if isinstance(module, kind)}


def codings(model: nn.Module, coding: Coding, *, of: str = "all") -> dict[str, Coding]:
    """Return what is rounded: the matrices of `embeddings`, or of linear layers, too (`all`); for bf16 every tensor."""
    if of not in ("embeddings", "all"):
        raise InputError(f"What is rounded is the embeddings or all, not {of!r}.")
    found = pruning.matrices(model)
    names = {f"{name}.weight" for name, module in found if of == "all" or isinstance(module, nn.Embedding)}
    own = models.own_tensors(model)  # what layers share has one name
    every = coding.kind == "bf16" and of == "all"
    return {name: coding for name, tensor in own.items() if name in names or (every and tensor.is_floating_point())}


def rounded(model: nn.Module, kind: str, group: int = 0, *, of: str = "all") -> nn.Module:
    """Return a copy with weights rounded to nearest in fewer bits (`storage.Coding`): what its file will hold.

    The arithmetic stays in float32. Vectors (biases, LayerNorms) are rounded to bf16 only, and else not at all.
    """
    return storage.code(model, codings(model, Coding(kind, group), of=of))


class Rounded(nn.Module):
    """A model that is asked with its weights rounded, while the weights that are trained are not.

    Quantization-aware training. Rounding has no slope; the gradient passes it as if it were not there (the
    straight-through estimator, Bengio et al. 2013).
    """

    def __init__(self, model: nn.Module, coding: Coding) -> None:
        super().__init__()
        self.model, self.coding = model, coding
        names = codings(model, coding)
        owners = Counter(id(own) for module in model.modules() for own in module.parameters(recurse=False))
        # Each row has scales of its own. Of a table that only looks up, the rows that a batch asks for are enough.
        self.tables = [
            name
            for name, module in model.named_modules()
            if f"{name}.weight" in names and isinstance(module, nn.Embedding) and owners[id(module.weight)] == 1
        ]
        self.whole = [name for name in names if name.removesuffix(".weight") not in self.tables]

    def forward(self, **inputs: Any) -> Any:
        """Return what the model returns."""
        weights = {name: straight_through(self.model.get_parameter(name), self.coding) for name in self.whole}
        with contextlib.ExitStack() as hooks:
            for name in self.tables:
                table = self.model.get_submodule(name)
                hooks.callback(table.register_forward_hook(self._round_rows).remove)
            return functional_call(self.model, weights, kwargs=inputs)

    def _round_rows(self, _: nn.Module, __: Any, rows: Tensor) -> Tensor:
        return straight_through(rows.flatten(end_dim=-2), self.coding).view_as(rows)


def straight_through(weight: Tensor, coding: Coding) -> Tensor:
    """Return a weight rounded, whose gradient is that of the weight."""
    return weight + (storage.decode(storage.encode(weight, coding)) - weight).detach()
