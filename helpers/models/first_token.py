"""A classifier whose last layer computes only what the classifier reads: the first token."""

from __future__ import annotations

import copy
from typing import Any

from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention
from transformers import BertForSequenceClassification

__all__ = ["FirstTokenLayer", "first_token"]


class FirstTokenLayer(nn.Module):
    """An encoder layer's answer for the first token alone: every token is read, one is written."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.attention, self.intermediate, self.output = layer.attention, layer.intermediate, layer.output

    def forward(self, hidden_states: Tensor, attention_mask: Tensor | None = None, *_: Any, **__: Any) -> Tensor:
        """Return `[B, 1, H]` for hidden states `[B, T, H]` and the mask `[B, 1, T, T]` of scaled dot products."""
        own: Any = self.attention.self
        first = hidden_states[:, :1]

        def heads(states: Tensor) -> Tensor:
            return states.view(*states.shape[:2], -1, own.attention_head_size).transpose(1, 2)

        mixed = scaled_dot_product_attention(
            heads(own.query(first)),
            heads(own.key(hidden_states)),
            heads(own.value(hidden_states)),
            attn_mask=None if attention_mask is None else attention_mask[:, :, :1],
            scale=own.scaling,
        )
        attended: Tensor = self.attention.output(mixed.transpose(1, 2).flatten(2), first)
        found: Tensor = self.output(self.intermediate(attended), attended)
        return found


def first_token(model: BertForSequenceClassification) -> BertForSequenceClassification:
    """Return a model that gives the same logits with less work: BERT's pooler reads the first token of the last layer.

    That layer still needs each token's key and value; its queries, its mixing and its feed-forward part are computed
    for one token a row. The weights are the given model's own, not copies. Hidden states and attentions are no longer
    all there to be asked for.
    """
    shared = {id(each): each for each in (*model.parameters(), *model.buffers())}
    copied = copy.deepcopy(model, shared)  # `shared` is what deepcopy takes for copied before
    copied.bert.encoder.layer[-1] = FirstTokenLayer(copied.bert.encoder.layer[-1])
    return copied
