"""Attention that hands out its scores before the softmax, which the library does not."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from transformers import (
    AttentionInterface,
    AttentionMaskInterface,
)
from transformers.masking_utils import eager_mask

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
    scores = torch.matmul(query, key.transpose(2, 3)) * scaling
    masked = scores if attention_mask is None else scores + attention_mask
    weights = nn.functional.dropout(masked.softmax(dim=-1), p=dropout, training=module.training)
    return torch.matmul(weights, value).transpose(1, 2).contiguous(), scores
