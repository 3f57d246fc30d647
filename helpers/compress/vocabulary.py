"""A vocabulary cut to the pieces that some text needs: fewer rows of the word embeddings, and a tokenizer to match."""

from __future__ import annotations

import collections
import copy
import string
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import nn
from transformers import BertTokenizer

from helpers import models, storage, tasks
from helpers.artifacts import step
from helpers.environment import InputError

__all__ = ["Fallback", "count", "count_in_text", "cut", "cut_vocabulary", "fallback", "needed"]

COUNTS = "counts.npy"
PART = 5000  # texts that are counted at once
CHARACTERS = string.ascii_letters + string.digits + string.punctuation


class Fallback(NamedTuple):
    """What a smaller vocabulary does to the words of a text: shares of them, 0 to 1."""

    split: float  # falls into other, shorter pieces
    unknown: float  # becomes [UNK], and did not before


def count(tokenizer: BertTokenizer, texts: Sequence[str]) -> np.ndarray:
    """Return how often each piece of a vocabulary (V,) occurs in some texts."""
    found = np.zeros(len(tokenizer), np.int64)
    for start in range(0, len(texts), PART):
        encoded = tokenizer(texts[start : start + PART], add_special_tokens=False, verbose=False)["input_ids"]
        found += np.bincount([token for ids in encoded for token in ids], minlength=len(found))
    return found


def needed(tokenizer: BertTokenizer, counts: np.ndarray, *, min_count: int = 1) -> list[str]:
    """Return the pieces to keep, in the order of their ids: those that `counts` (V,) has `min_count` times.

    Special tokens stay, and so do the characters of ASCII, alone and within a word: a word whose pieces are gone falls
    back to shorter ones, at last to its characters. Raises `InputError` for a count below 1.
    """
    if min_count < 1:
        raise InputError(f"A piece is kept when it occurs min_count times; that is 1 or more, not {min_count}.")
    always = {*tokenizer.all_special_tokens, *CHARACTERS, *(f"##{character}" for character in CHARACTERS)}
    every = storage.pieces(tokenizer)
    return [piece for piece, times in zip(every, counts, strict=True) if times >= min_count or piece in always]


def cut(model: nn.Module, tokenizer: BertTokenizer, kept: Sequence[str]) -> tuple[nn.Module, BertTokenizer]:
    """Return a copy of a model with the embeddings of `kept` pieces alone, and the tokenizer that numbers them so.

    Raises `InputError` for a rounded model, a piece that the tokenizer does not have or that is named twice, or if
    special tokens are left out.
    """
    numbers = tokenizer.get_vocab()
    if storage.codes_of(model):
        raise InputError("The vocabulary of a rounded model cannot be cut: cut it before.")
    if len(set(kept)) < len(kept):
        raise InputError("A piece is named twice among those that are kept; name each once.")
    if strange := [piece for piece in kept if piece not in numbers]:
        raise InputError(f"The vocabulary has no piece {strange[0]!r} that could be kept.")
    if gone := [piece for piece in tokenizer.all_special_tokens if piece not in kept]:
        raise InputError(f"A vocabulary cannot do without {gone[0]}: keep the special tokens.")
    smaller = storage.with_pieces(tokenizer, list(kept))
    model = copy.deepcopy(model)
    place = model.bert.embeddings.word_embeddings
    place = place[0] if isinstance(place, nn.Sequential) else place  # of two factors the first has a row for each piece
    with torch.no_grad():
        place.weight = nn.Parameter(place.weight[[numbers[piece] for piece in kept]].clone())
    place.num_embeddings, place.padding_idx = len(kept), smaller.pad_token_id
    model.config.vocab_size, model.config.pad_token_id = len(kept), smaller.pad_token_id
    return model, smaller


def fallback(tokenizer: BertTokenizer, smaller: BertTokenizer, texts: Iterable[str]) -> Fallback:
    """Return how many words of the texts, of all that occur in them, a smaller vocabulary reads in another way."""
    backend = tokenizer.backend_tokenizer
    words = collections.Counter(
        word
        for text in texts
        for word, _ in backend.pre_tokenizer.pre_tokenize_str(backend.normalizer.normalize_str(text))
    )
    split = unknown = 0
    for word, times in words.items():
        before, after = tokenizer.tokenize(word), smaller.tokenize(word)
        if smaller.unk_token in after and tokenizer.unk_token not in before:
            unknown += times
        elif after != before:
            split += times
    total = max(words.total(), 1)
    return Fallback(split / total, unknown / total)


@step(version=1)
def count_in_text(folder: Path, *, language_model: Path, text: tasks.Text) -> None:
    """Store how often each piece of a language model's vocabulary occurs in a text."""
    np.save(folder / COUNTS, count(models.tokenizer(language_model), text.rows["text"][:]))


@step(version=1)
def cut_vocabulary(
    folder: Path, *, model: Path, data: tasks.TaskData, counts: Path | None = None, min_count: int = 1
) -> None:
    """Write a model with the pieces that its task's training rows need, and its tokenizer.

    With the `counts` of `count_in_text` the pieces stay, too, that the text has `min_count` times.
    """
    words = models.tokenizer(model)
    own = count(words, [text for name in data.task.text for text in data.train[name][:]])
    kept = {*needed(words, own)}
    if counts is not None:
        kept |= {*needed(words, np.load(counts / COUNTS, allow_pickle=False), min_count=min_count)}
    smaller, tokenizer = cut(models.load(model), words, [piece for piece in storage.pieces(words) if piece in kept])
    models.save(smaller, tokenizer, folder)
