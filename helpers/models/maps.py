"""Where a model looks: its attention on one text, as a picture can show it."""

from __future__ import annotations

import torch
from torch import nn
from transformers import BertTokenizer

from helpers.environment import InputError

__all__ = ["attention_maps"]


def attention_maps(
    model: nn.Module, words: BertTokenizer, text: str, pair: str | None = None
) -> tuple[list[str], list[list[list[float]]]]:
    """Return a text's pieces, `T`, and for each layer the attention weights (T, T) on the mean over heads.

    A row says how a piece's new state is composed: it sums to 1. Raises InputError for a text without pieces.
    """
    longest = model.config.max_position_embeddings
    encoded = words(text, pair, return_tensors="pt", truncation=True, max_length=longest).to(model.device)
    pieces = words.convert_ids_to_tokens(encoded["input_ids"][0])
    if len(pieces) <= 2:
        raise InputError(f"The text {text!r} has no pieces to look at: give a few words.")
    given, was_training = model.config._attn_implementation, model.training
    model.set_attn_implementation("eager")  # the default attention returns none
    try:
        with torch.no_grad():
            found = model.eval()(**encoded, output_attentions=True).attentions
    finally:
        model.set_attn_implementation(given)
        model.train(was_training)
    if len(found) != model.config.num_hidden_layers:
        raise InputError(f"{len(found)} attention maps came from {model.config.num_hidden_layers} layers.")
    return pieces, [layer[0].mean(dim=0).tolist() for layer in found]
