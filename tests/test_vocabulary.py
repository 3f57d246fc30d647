"""A smaller vocabulary: which pieces stay, that kept words keep their logits, what the other words become."""

from __future__ import annotations

import numpy as np
import pytest
import tiny
import torch
from transformers import BertTokenizer

from helpers import models, storage
from helpers.compress import vocabulary
from helpers.compress.quantization import rounded
from helpers.environment import InputError
from helpers.models.compact import LowRank

PIECES = ["[PAD]", "[unused]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "play", "##ing", "p", "##l", "##a", "##y", "##i"]
PIECES += ["##n", "##g", "was", "w", "##s", "é", "good"]


@pytest.fixture
def tokenizer() -> BertTokenizer:
    return BertTokenizer(vocab={piece: i for i, piece in enumerate(PIECES)}, strip_accents=False)


def model_for(tokenizer: BertTokenizer) -> torch.nn.Module:
    torch.manual_seed(0)
    config = tiny.config(layers=1)
    config.vocab_size = len(tokenizer)
    return models.build(type(tiny.classifier()), config).eval()


def test_counts_are_of_pieces(tokenizer: BertTokenizer) -> None:
    counts = dict(zip(PIECES, vocabulary.count(tokenizer, ["Playing was good", "was play"]), strict=True))
    assert {piece: times for piece, times in counts.items() if times} == {"play": 2, "##ing": 1, "was": 2, "good": 1}
    assert vocabulary.count(tokenizer, []).tolist() == [0] * len(PIECES)


def test_kept_are_frequent_pieces_special_tokens_and_characters(tokenizer: BertTokenizer) -> None:
    counts = vocabulary.count(tokenizer, ["playing was good", "was play é"])
    kept = vocabulary.needed(tokenizer, counts, min_count=2)
    assert set(PIECES) - set(kept) == {"[unused]", "##ing", "é", "good"}
    assert kept == [piece for piece in PIECES if piece in kept], "in the order of their ids"
    assert "é" in vocabulary.needed(tokenizer, counts)


def test_words_fall_back_to_characters_or_unknown(tokenizer: BertTokenizer) -> None:
    kept = vocabulary.needed(tokenizer, vocabulary.count(tokenizer, ["play was"]))
    smaller = storage.with_pieces(tokenizer, kept)
    assert smaller.tokenize("playing was good é") == ["play", "##i", "##n", "##g", "was", "[UNK]", "[UNK]"]
    texts = ["Playing was playing", "was good", "é zz"]
    # of seven words two are split otherwise, "good" and "é" become unknown, "zz" was so before
    assert vocabulary.fallback(tokenizer, smaller, texts) == pytest.approx((2 / 7, 2 / 7))
    assert vocabulary.fallback(tokenizer, tokenizer, texts) == (0, 0)
    assert vocabulary.fallback(tokenizer, smaller, []) == (0, 0)


@pytest.mark.parametrize("low_rank", [False, True])
def test_kept_words_have_the_logits_they_had(tokenizer: BertTokenizer, low_rank: bool) -> None:
    model = model_for(tokenizer)
    if low_rank:
        model.bert.embeddings.word_embeddings = LowRank(model.bert.embeddings.word_embeddings, 3)
    kept = [piece for piece in PIECES if piece not in ("[unused]", "good", "é")]
    small, smaller = vocabulary.cut(model, tokenizer, kept)
    assert small.config.vocab_size == len(kept) == len(smaller)
    assert small.config.pad_token_id == smaller.pad_token_id == 0
    assert smaller("was")["input_ids"] != tokenizer("was")["input_ids"], "the numbers are others"
    for text in ("playing was play", "was"):
        with torch.no_grad():
            before, after = (
                one(**words(text, return_tensors="pt")).logits for one, words in ((model, tokenizer), (small, smaller))
            )
        assert torch.equal(before, after)
    assert model.config.vocab_size == len(PIECES), "the model itself is as it was"


def test_a_cut_model_is_stored_with_its_tokenizer(tokenizer: BertTokenizer, tmp_path) -> None:
    model = model_for(tokenizer)
    small, smaller = vocabulary.cut(model, tokenizer, [piece for piece in PIECES if piece != "good"])
    assert storage.save(small, tmp_path / "small", tokenizer=smaller) < storage.save(
        model, tmp_path / "whole", tokenizer=tokenizer
    )
    assert storage.load_tokenizer(tmp_path / "small").get_vocab() == smaller.get_vocab()
    models.save(small, smaller, tmp_path)
    assert models.tokenizer(tmp_path).get_vocab() == smaller.get_vocab()
    assert models.load(tmp_path).config.vocab_size == len(smaller)


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda words: vocabulary.needed(words, np.zeros(len(words)), min_count=0), "1 or more, not 0"),
        (lambda words: vocabulary.cut(model_for(words), words, [*PIECES, "bad"]), "no piece 'bad'"),
        (lambda words: vocabulary.cut(model_for(words), words, [*PIECES, "good"]), "named twice"),
        (lambda words: vocabulary.cut(rounded(model_for(words), "int8"), words, PIECES), "rounded model"),
        (lambda words: vocabulary.cut(model_for(words), words, PIECES[:3]), r"cannot do without \[SEP\]|\[CLS\]"),
    ],
)
def test_what_cannot_be_kept_is_refused(tokenizer: BertTokenizer, act, message: str) -> None:
    with pytest.raises(InputError, match=message):
        act(tokenizer)
