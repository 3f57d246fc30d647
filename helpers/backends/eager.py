"""PyTorch itself: as it is, in bf16, with int8 layers, compiled, and with torchao's int8 layers."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from transformers import BertForSequenceClassification

from helpers.compress import quantization
from helpers.models import Logits

__all__ = ["bf16", "compiled", "compiler", "float32", "int8", "largest", "torchao_int8"]

Batches = Sequence[Mapping[str, Tensor]]


def float32(model: BertForSequenceClassification, threads: int, batches: Batches) -> nn.Module:
    """Return the model itself, on as many threads as torch has."""
    return Logits(model)


def bf16(model: BertForSequenceClassification, threads: int, batches: Batches) -> nn.Module:
    """Return a copy with all weights and all arithmetic in bf16."""
    return Logits(copy.deepcopy(model).bfloat16())


def int8(model: BertForSequenceClassification, threads: int, batches: Batches) -> nn.Module:
    """Return a copy with int8 linear layers, as the report has them."""
    return Logits(quantization.quantize(model))


def compiled(model: BertForSequenceClassification, threads: int, batches: Batches) -> nn.Module:
    """Return a copy that is compiled, at its first call, for batches of any size."""
    return _compile(copy.deepcopy(model))


def torchao_int8(model: BertForSequenceClassification, threads: int, batches: Batches) -> nn.Module:
    """Return a compiled copy with torchao's int8 layers: a scale for each row of weights, and for each token."""
    from torchao.quantization import Int8DynamicActivationInt8WeightConfig, quantize_

    changed = copy.deepcopy(model)
    quantize_(changed, Int8DynamicActivationInt8WeightConfig())
    return _compile(changed)


def compiler() -> str | None:
    """Return the C++ compiler that torch.compile would call, or None."""
    from torch._inductor.cpp_builder import get_cpp_compiler
    from torch._inductor.exc import InvalidCxxCompiler

    try:
        return get_cpp_compiler()
    except InvalidCxxCompiler:
        return None


def largest(batches: Batches) -> Mapping[str, Tensor]:
    """Return the batch of most tokens: an example to follow a model through, where a size of one is taken for fixed."""
    return max(batches, key=lambda batch: batch["input_ids"].numel())


def _compile(model: nn.Module) -> nn.Module:
    wrapped: Any = torch.compile(Logits(model.eval()), dynamic=True)
    return wrapped
