"""Masked words: which tokens are hidden, drawn anew each time, and the loss of saying what they were.

Devlin et al. 2019, section 3.1; dynamic masking as in RoBERTa, section 4.1.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from transformers import BertTokenizer

from helpers.tasks import FIELDS
from helpers.training.loop import Batch, Loss

__all__ = ["IGNORED", "mask_tokens", "masked_language_loss", "masked_loss", "special_tokens"]

IGNORED = -100


def special_tokens(words: BertTokenizer) -> Tensor:
    """Return the ids of the tokens that are never masked: padding, [CLS] and [SEP]."""
    return torch.tensor([words.pad_token_id, words.cls_token_id, words.sep_token_id])


def mask_tokens(
    tokens: Tensor, special: Tensor, *, share: float, mask_id: int, vocabulary_size: int
) -> tuple[Tensor, Tensor]:
    """Choose a share of the real tokens anew each time: 80 % of them become [MASK], 10 % another token, 10 % stay.

    `tokens` (B, T), `special` (B, T) true where nothing may be masked. Returns (tokens, labels), labels -100 where not
    chosen.
    """
    chosen = (torch.rand(tokens.shape, device=tokens.device) < share) & ~special
    labels = torch.where(chosen, tokens, IGNORED)
    kind = torch.rand(tokens.shape, device=tokens.device)
    tokens = torch.where(chosen & (kind < 0.8), mask_id, tokens)
    random = torch.randint(vocabulary_size, tokens.shape, device=tokens.device)
    return torch.where(chosen & (kind >= 0.9), random, tokens), labels


def masked_language_loss(model: nn.Module, hidden: Tensor, labels: Tensor) -> Tensor:
    """Mean cross-entropy at the chosen tokens only, from last hidden states (B, T, H); 0 if a small batch has none."""
    chosen = labels != IGNORED
    # the output layer is as large as the vocabulary: apply it to the chosen tokens, not to all
    logits = model.cls.predictions(hidden[chosen]).float()
    total = nn.functional.cross_entropy(logits, labels[chosen], reduction="sum")
    return total / chosen.sum().clamp(min=1)


def masked_loss(
    words: BertTokenizer,
    *,
    share: float,
    precision: str,
    more: Callable[[nn.Module, Tensor, Batch], dict[str, Tensor]] | None = None,
) -> Loss:
    """Return the loss for `fit` of a BERT with the head that fills masks; `more` adds parts, from the hidden states."""
    never = special_tokens(words)

    def loss(model: nn.Module, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        where = batch["input_ids"].device
        # masked here and not in a collator: a resumed run then draws the same masks
        special = torch.isin(batch["input_ids"], never.to(where))
        tokens, labels = mask_tokens(
            batch["input_ids"], special, share=share, mask_id=words.mask_token_id, vocabulary_size=len(words)
        )
        inputs = {name: batch[name] for name in FIELDS} | {"input_ids": tokens}
        # Trainer's half precision covers the model's own forward pass, which is not called here
        with torch.autocast(where.type, torch.bfloat16, enabled=precision == "bf16"):
            hidden = model.bert(**inputs).last_hidden_state
            parts = {"masked": masked_language_loss(model, hidden, labels)}
            parts |= more(model, hidden, batch) if more else {}
        return sum(parts.values()), parts

    return loss
