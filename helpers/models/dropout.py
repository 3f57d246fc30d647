"""Dropout that draws 15 random bits for a value: on a CPU the library's takes much of a training step."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

__all__ = ["Kept", "lighten", "suits"]

DRAWN = 2**15  # of a 64-bit draw's four parts the last has no sign bit


class Kept:
    """Which values of a 16-bit tensor stay when each goes with probability `p` (to 1/32768): all bits set, or none."""

    def __init__(self, shape: Sequence[int], p: float) -> None:
        kept, count = round(DRAWN * (1 - p)), prod(shape)
        drawn = torch.empty(-(-count // 4), dtype=torch.int64).random_().view(torch.int16)[:count].view(shape)
        # below `kept` of 2^15 possible values the difference is negative, and its sign fills all bits
        self.bits = drawn.bitwise_and_(DRAWN - 1).sub_(kept).bitwise_right_shift_(15)
        self.scale = DRAWN / kept  # what is left counts for more, so that the expected value stays

    def __call__(self, values: Tensor) -> Tensor:
        """Return the values that stay, not scaled, and zeros."""
        return (values.contiguous().view(torch.int16) & self.bits).view(values.dtype)


def suits(values: Tensor, p: float) -> bool:
    """Say whether values can be dropped in this way: 16-bit ones on a CPU, with a `p` that leaves some."""
    return values.dtype == torch.bfloat16 and values.device.type == "cpu" and round(DRAWN * (1 - p)) > 0


class _Drop(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, p: float) -> Tensor:
        ctx.kept = Kept(values.shape, p)
        return ctx.kept(values).mul_(ctx.kept.scale)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return ctx.kept(gradient).mul_(ctx.kept.scale), None


class _LightDropout(nn.Dropout):
    def forward(self, values: Tensor) -> Tensor:
        if self.training and self.p and suits(values, self.p):
            return _Drop.apply(values, self.p)
        return super().forward(values)


def lighten(model: nn.Module) -> nn.Module:
    """Let the dropout inside a model draw fewer bits where it drops 16-bit values on a CPU; elsewhere nothing changes.

    Returns the same model.
    """
    for module in model.modules():
        for name, child in module.named_children():
            if type(child) is nn.Dropout:
                setattr(module, name, _LightDropout(child.p, child.inplace).train(child.training))
    return model
