"""Pretrain a masked language model from scratch on text, with dynamic masking (BERT, section 3.1; RoBERTa, 4.1)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from datasets import Dataset
from tokenizers import BertWordPieceTokenizer
from torch import Tensor, nn
from transformers import BertTokenizer

from helpers import models, tasks
from helpers.artifacts import step
from helpers.training import Batch, Training, fit, write_curve

__all__ = ["mask_tokens", "masked_language_loss", "pretrain", "train_tokenizer"]

MASKED_SHARE = 0.15
IGNORED = -100
ALPHABET_LIMIT = 1000  # rarer letters are unknown, as in BERT's own vocabulary
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


def train_tokenizer(lines: Sequence[str], *, vocabulary_size: int, folder: Path) -> BertTokenizer:
    """Learn a WordPiece vocabulary from text: the same one in every process."""
    learner = BertWordPieceTokenizer(lowercase=True)
    seen = Counter(
        word
        for line in lines
        for word, _ in learner.pre_tokenizer.pre_tokenize_str(learner.normalizer.normalize_str(line))
    )
    letters: Counter[str] = Counter()
    for word, count in seen.items():
        letters.update({letter: count * word.count(letter) for letter in set(word)})
    alphabet = sorted(sorted(letters), key=letters.get, reverse=True)[:ALPHABET_LIMIT]
    # Left to itself the learner numbers the continuations (##a) in the order of a hash table that differs from process
    # to process, and these numbers decide ties between merges. Given as if they were special, they have our order.
    inner = sorted({letter for word in seen for letter in word[1:]} & set(alphabet))
    learner.train_from_iterator(
        lines,
        vocab_size=vocabulary_size,
        min_frequency=2,
        show_progress=False,
        initial_alphabet=sorted(alphabet),
        limit_alphabet=len(alphabet),
        special_tokens=[*SPECIAL, *(f"##{letter}" for letter in inner)],
    )
    (folder / "vocab.txt").write_text(
        "\n".join(sorted(learner.get_vocab(), key=learner.get_vocab().get)) + "\n", encoding="utf-8"
    )
    return BertTokenizer.from_pretrained(folder)


def mask_tokens(tokens: Tensor, special: Tensor, *, mask_id: int, vocabulary_size: int) -> tuple[Tensor, Tensor]:
    """Choose 15 % of the real tokens anew each time: 80 % become [MASK], 10 % another token, 10 % stay.

    `tokens` (B, T), `special` (B, T) true where nothing may be masked. Returns (tokens, labels), labels -100 where not
    chosen.
    """
    chosen = (torch.rand(tokens.shape, device=tokens.device) < MASKED_SHARE) & ~special
    labels = torch.where(chosen, tokens, IGNORED)
    kind = torch.rand(tokens.shape, device=tokens.device)
    tokens = torch.where(chosen & (kind < 0.8), mask_id, tokens)
    random = torch.randint(vocabulary_size, tokens.shape, device=tokens.device)
    return torch.where(chosen & (kind >= 0.9), random, tokens), labels


def masked_language_loss(model: nn.Module, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
    """Mean cross-entropy at the chosen tokens only; 0 if a small batch has none."""
    inputs = {name: batch[name] for name in batch if name != "labels"}
    hidden = model.bert(**inputs).last_hidden_state
    chosen = batch["labels"] != IGNORED
    # the output layer is as large as the vocabulary: apply it to the chosen tokens, not to all
    logits = model.cls(hidden[chosen]).float()
    total = nn.functional.cross_entropy(logits, batch["labels"][chosen], reduction="sum")
    return total / chosen.sum().clamp(min=1), {}


@step(version=1)
def pretrain(
    folder: Path,
    *,
    text: tasks.Text,
    shape: Mapping[str, int],
    vocabulary_size: int,
    steps: int,
    training: Training,
    max_length: int,
) -> None:
    """Make a tokenizer and a masked language model from text, for `steps` batches."""
    lines = text.rows["text"][:]
    words = train_tokenizer(lines, vocabulary_size=vocabulary_size, folder=folder)
    encoded = words(lines, truncation=True, max_length=max_length)
    rows = Dataset.from_dict({name: encoded[name] for name in ("input_ids", "token_type_ids", "attention_mask")})
    model = models.masked_language_model({**shape, "vocab_size": len(words)}, seed=training.seed)
    never = torch.tensor([words.pad_token_id, words.cls_token_id, words.sep_token_id])

    def loss(model: nn.Module, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        # masked here and not in a collator: a resumed run then draws the same masks
        special = torch.isin(batch["input_ids"], never.to(batch["input_ids"].device))
        tokens, labels = mask_tokens(
            batch["input_ids"], special, mask_id=words.mask_token_id, vocabulary_size=len(words)
        )
        return masked_language_loss(model, {**batch, "input_ids": tokens, "labels": labels})

    curve = fit(model, rows, loss=loss, training=training, folder=folder, max_steps=steps)
    write_curve(folder, curve)
    models.save(model, words, folder)
