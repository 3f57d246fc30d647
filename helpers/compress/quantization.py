"""Dynamic quantization: int8 weights in linear layers, activations quantized as they come (the report, section 4.4)."""

from __future__ import annotations

import copy

import torch
from torch import nn
from torch.ao.quantization import quantize_dynamic

from helpers import models
from helpers.storage.packing import quiet_quantization

__all__ = ["quantize", "quantized_layers"]


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
