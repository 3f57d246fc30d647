"""Masked words: which tokens are hidden, drawn anew each time, and the loss of saying what they were.

Devlin et al. 2019, section 3.1; dynamic masking as in RoBERTa, section 4.1.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from transformers import BertTokenizer

from helpers.tasks import FIELDS
from helpers.training import together
from helpers.training.loop import Batch, Loss

__all__ = ["IGNORED", "Masking", "mask_tokens", "masked_language_loss", "masked_loss", "chosen_token_loss"]

IGNORED = -100


def mask_tokens(
    tokens: Tensor, special: Tensor, *, share: float, mask_id: int, vocabulary_size: int
) -> tuple[Tensor, Tensor]:
    """Choose a share of the real tokens anew each time: 80 % of them become [MASK], 10 % another token, 10 % stay.

    `tokens` (B, T), `special` (B, T) true where nothing may be masked. Returns (tokens, labels), labels -100 where not
    chosen.
    """
    chosen = (together.rand(tokens) < share) & ~special
    labels = torch.where(chosen, tokens, IGNORED)
    kind = together.rand(tokens)
    tokens = torch.where(chosen & (kind < 0.8), mask_id, tokens)
    random = together.randint(vocabulary_size, tokens)
    return torch.where(chosen & (kind >= 0.9), random, tokens), labels


class Masking:
    """Draws a batch's masks with a model's own tokens: padding, [CLS] and [SEP] are never masked.

    To be called in a loss and not in a collator: a resumed run then draws the same masks.
    """

    def __init__(self, words: BertTokenizer, *, share: float) -> None:
        self.share, self.mask_id, self.vocabulary_size = share, words.mask_token_id, len(words)
        self.never = torch.tensor([words.pad_token_id, words.cls_token_id, words.sep_token_id])

    def __call__(self, batch: Batch) -> tuple[Batch, Tensor]:
        """Return a model's inputs with masks, and the labels (B, T)."""
        tokens = batch["input_ids"]
        special = torch.isin(tokens, self.never.to(tokens.device))
        masked, labels = mask_tokens(
            tokens, special, share=self.share, mask_id=self.mask_id, vocabulary_size=self.vocabulary_size
        )
        return {name: batch[name] for name in FIELDS} | {"input_ids": masked}, labels


def chosen_token_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean cross-entropy of logits (n, V) and the tokens (n,) that were chosen; 0 if a small batch has none."""
    total = nn.functional.cross_entropy(logits.float(), labels, reduction="sum")
    return total / max(1, together.count(len(labels), labels.device))


def masked_language_loss(model: nn.Module, hidden: Tensor, labels: Tensor) -> Tensor:
    """Mean cross-entropy at the chosen tokens only, from last hidden states (B, T, H); 0 if a small batch has none."""
    chosen = labels != IGNORED
    # the output layer is as large as the vocabulary: apply it to the chosen tokens, not to all
    return chosen_token_loss(model.cls.predictions(hidden[chosen]), labels[chosen])


def masked_loss(
    words: BertTokenizer,
    *,
    share: float,
    precision: str,
    more: Callable[[nn.Module, Tensor, Batch], dict[str, Tensor]] | None = None,
) -> Loss:
    """Return the loss for `fit` of a BERT with the head that fills masks; `more` adds parts, from the hidden states."""
    masking = Masking(words, share=share)

    def loss(model: nn.Module, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        inputs, labels = masking(batch)
        # Trainer's half precision covers the model's own forward pass, which is not called here
        with torch.autocast(labels.device.type, torch.bfloat16, enabled=precision == "bf16"):
            hidden = model.bert(**inputs).last_hidden_state
            parts = {"masked": masked_language_loss(model, hidden, labels)}
            parts |= more(model, hidden, batch) if more else {}
        return sum(parts.values()), parts

    return loss
