"""Attention that hands out its scores before the softmax, which the library does not."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from transformers import (
    AttentionInterface,
    AttentionMaskInterface,
)
from transformers.masking_utils import eager_mask

from helpers.models import dropout as light

__all__ = ["expose_scores"]


def expose_scores(model: nn.Module) -> nn.Module:
    """Make `output_attentions=True` return attention scores before the softmax: (B, A, T, T), scaled, unmasked.

    Default attention returns nothing and eager attention returns values after the softmax; TinyBERT compares scores.
    """
    AttentionInterface.register("scores", _attention_with_scores)
    AttentionMaskInterface.register("scores", eager_mask)
    model.set_attn_implementation("scores")
    return model


def _attention_with_scores(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float,
    dropout: float = 0.0,
    **_: object,
) -> tuple[Tensor, Tensor]:
    p = dropout if module.training else 0.0
    if light.suits(query, p):
        with torch.autocast(query.device.type, enabled=False):  # it would go over the scores in 32 bits
            return _SixteenBitAttention.apply(query, key, value, attention_mask, scaling, p)
    scores = torch.matmul(query, key.transpose(2, 3)) * scaling
    masked = scores if attention_mask is None else scores + attention_mask
    weights = nn.functional.dropout(masked.softmax(dim=-1), p=p)
    return torch.matmul(weights, value).transpose(1, 2).contiguous(), scores


class _SixteenBitAttention(torch.autograd.Function):
    """The same with bf16 tensors throughout, which is what a CPU's memory needs; the softmax counts in 32 bits inside.

    `query`, `key`, `value` (B, A, T, d); `mask` is added to the scores. Returns (B, T, A, d) and scores (B, A, T, T).
    """

    @staticmethod
    def forward(
        ctx: Any, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, scaling: float, p: float
    ) -> tuple[Tensor, Tensor]:
        query = query * scaling
        scores = torch.matmul(query, key.transpose(2, 3))
        if mask is not None:  # float32's lowest number would be minus infinity in 16 bits, and a row of these no number
            mask = mask.clamp(min=torch.finfo(scores.dtype).min).to(scores.dtype)
        weights = (scores if mask is None else scores + mask).softmax(dim=-1)
        ctx.kept, ctx.scaling = light.Kept(weights.shape, p) if p else None, scaling
        left = weights
        if ctx.kept:
            left, value = ctx.kept(weights), value * ctx.kept.scale
        ctx.save_for_backward(query, key, value, weights, left)
        ctx.set_materialize_grads(False)  # scores that nobody compares have no gradient
        return torch.matmul(left, value).transpose(1, 2).contiguous(), scores

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, of_output: Tensor | None, of_scores: Tensor | None) -> tuple[Tensor | None, ...]:
        query, key, value, weights, left = ctx.saved_tensors
        of_value = None
        if of_output is not None:
            of_output = of_output.transpose(1, 2)
            of_value = torch.matmul(left.transpose(2, 3), of_output)
            of_weights = torch.matmul(of_output, value.transpose(2, 3))
            if ctx.kept:
                of_value, of_weights = of_value * ctx.kept.scale, ctx.kept(of_weights)
            through = torch.ops.aten._softmax_backward_data(of_weights, weights, -1, weights.dtype)
            of_scores = through if of_scores is None else through.add_(of_scores)
        if of_scores is None:
            return (None,) * 6
        of_query = torch.matmul(of_scores, key) * ctx.scaling
        return of_query, torch.matmul(of_scores.transpose(2, 3), query), of_value, None, None, None
