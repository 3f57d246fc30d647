"""Pretrain a BERT on text: from scratch, with masked words and which sentence follows which, or from given weights.

Devlin et al. 2019, section 3.1; dynamic masking as in RoBERTa, section 4.1.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from datasets import Dataset
from tokenizers import BertWordPieceTokenizer
from torch import Tensor, nn
from transformers import BertTokenizer

from helpers import environment, models, tasks
from helpers.artifacts import step
from helpers.training import together
from helpers.training.fine_tuning import write_curve
from helpers.training.loop import Batch, Loss, Training, fit
from helpers.training.masking import IGNORED, masked_loss

__all__ = [
    "continue_pretraining",
    "fit_on_text",
    "next_sentence_loss",
    "pairs",
    "pretrain",
    "pretraining_loss",
    "train_tokenizer",
]

UNRELATED_SHARE = 0.2  # of the lines with two sentences get another line's second one
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


def pairs(lines: Sequence[str], *, seed: int) -> tuple[list[str], list[str | None], list[int]]:
    """Part each line after its first sentence, and give some first sentences another line's second one.

    Returns (first, second or None, label): 0 the sentences belong together, 1 they do not, -100 there is only one.
    """
    random = np.random.default_rng(seed)
    parted = [re.split(r"(?<=[.?!]) ", line, maxsplit=1) for line in lines]
    first = [parts[0] for parts in parted]
    second = [parts[1] if len(parts) > 1 else None for parts in parted]
    pool = list(dict.fromkeys(text for text in second if text))
    place = {text: i for i, text in enumerate(pool)}
    labels = [IGNORED] * len(lines)
    for i, text in enumerate(second):
        if text:
            labels[i] = int(len(pool) > 1 and random.random() < UNRELATED_SHARE)
        if labels[i] == 1:  # any of the others, each with the same chance
            second[i] = pool[(place[text] + 1 + random.integers(len(pool) - 1)) % len(pool)]
    return first, second, labels


def next_sentence_loss(model: nn.Module, hidden: Tensor, labels: Tensor) -> Tensor:
    """Mean cross-entropy of whether two sentences belong together, over the rows (B, T, H) that have two; 0 if none."""
    asked = labels != IGNORED
    logits = model.cls.seq_relationship(model.bert.pooler(hidden[asked])).float()
    total = nn.functional.cross_entropy(logits, labels[asked], reduction="sum")
    return total / max(1, together.count(int(asked.sum()), asked.device))


def pretraining_loss(words: BertTokenizer, *, masked_share: float, precision: str) -> Loss:
    """Return the loss for `fit` of a BERT with both pretraining heads: masked words plus next sentence, each a part."""
    return masked_loss(words, share=masked_share, precision=precision, more=_next_sentence)


def _next_sentence(model: nn.Module, hidden: Tensor, batch: Batch) -> dict[str, Tensor]:
    return {"next_sentence": next_sentence_loss(model, hidden, batch["labels"])}


@step(version=2)
def pretrain(
    folder: Path,
    *,
    text: tasks.Text,
    shape: Mapping[str, int],
    vocabulary_size: int,
    masked_share: float,
    steps: int,
    training: Training,
    max_length: int,
) -> None:
    """Make a tokenizer and a language model from text, for `steps` batches."""
    lines = text.rows["text"][:]
    words = train_tokenizer(lines, vocabulary_size=vocabulary_size, folder=folder)
    rows = _tokens(words, *pairs(lines, seed=training.seed), max_length=max_length)
    model = models.language_model({**shape, "vocab_size": len(words)}, seed=training.seed)
    loss = pretraining_loss(words, masked_share=masked_share, precision=training.precision)
    # all that comes later waits for the language model, so it takes the cores of the other workers, too
    with environment.threads(min(4, environment.cores())):  # a small model gains nothing from more
        curve = fit(model, rows, loss=loss, training=training, folder=folder, max_steps=steps)
    write_curve(folder, curve)
    models.save(model, words, folder)


def _tokens(
    words: BertTokenizer, first: list[str], second: list[str | None], labels: list[int], *, max_length: int
) -> Dataset:
    options = {"truncation": True, "max_length": max_length}
    rows = [words(a, **options) if b is None else words(a, b, **options) for a, b in zip(first, second, strict=True)]
    fields = ("input_ids", "token_type_ids", "attention_mask")
    return Dataset.from_dict({name: [row[name] for row in rows] for name in fields} | {"labels": labels})


@step(version=1)
def continue_pretraining(
    folder: Path,
    *,
    start: Path,
    text: tasks.Text,
    masked_share: float,
    training: Training,
    length: int,
    steps: int,
) -> None:
    """Go on from a given encoder, for `steps` batches of a text in pieces of `length`, with masked words alone.

    It also makes the head that fills masks, which published encoders often lack. There is no pooler in the result:
    nothing here would have trained it.
    """
    words = models.tokenizer(start)
    model = models.masked_language_model(start, new_head=True, seed=training.seed)
    loss = masked_loss(words, share=masked_share, precision=training.precision)
    fit_on_text(model, text, words, loss=loss, training=training, length=length, steps=steps, folder=folder)
    models.save(model, words, folder)


def fit_on_text(
    model: nn.Module,
    text: tasks.Text,
    words: BertTokenizer,
    *,
    loss: Loss,
    training: Training,
    length: int,
    steps: int,
    folder: Path,
) -> None:
    """Train a model in place on pieces of a text of `length` tokens, for `steps` batches, and write its curve.

    A wide model takes the cores of the other workers, too: whatever comes later waits for it.
    """
    rows = tasks.pieces(text.rows["text"][:], words, length=length, count=steps * training.batch_size)
    width = getattr(model, "student", model).config.hidden_size
    with environment.threads(environment.threads_for_all(width)):
        curve = fit(model, rows, loss=loss, training=training, folder=folder, max_steps=steps)
    write_curve(folder, curve)
