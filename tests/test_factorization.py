"""Low ranks: the nearest product, the bytes that were asked for, the same model at full rank."""

from __future__ import annotations

from pathlib import Path

import pytest
import tiny
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import BertForSequenceClassification

from helpers import models, storage
from helpers.compress import pruning, quantization
from helpers.compress.factorization import (
    EMBEDDINGS,
    energy,
    factorize,
    linear_layers,
    low_rank,
    rank_for,
    ranks_for,
    truncated,
)
from helpers.compress.structured import shrink
from helpers.environment import InputError
from helpers.tasks import collate


@pytest.fixture
def model() -> BertForSequenceClassification:
    made = tiny.classifier(layers=2, spread=6)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    return made


def inputs() -> dict[str, torch.Tensor]:
    return {name: value for name, value in collate(list(tiny.tokens(6))).items() if name != "labels"}


def weights(model: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 2**31), rows=st.integers(1, 9), columns=st.integers(1, 9), data=st.data())
def test_truncated_is_the_nearest_matrix_of_its_rank(seed: int, rows: int, columns: int, data: st.DataObject) -> None:
    weight = torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed))
    rank = data.draw(st.integers(1, min(rows, columns)))
    left, right = truncated(weight, rank)
    assert left.shape == (rows, rank) and right.shape == (rank, columns)
    # what is lost are the smaller singular values, and no product of this rank loses less (Eckart and Young)
    lost = torch.linalg.svdvals(weight)[rank:].square().sum()
    assert (weight - left @ right).square().sum().item() == pytest.approx(lost.item(), abs=1e-4)
    assert energy(weight, rank) == pytest.approx(1 - lost.item() / weight.square().sum().item(), abs=1e-5)


def test_by_hand() -> None:
    weight = torch.tensor([[3.0, 0.0], [0.0, 1.0]])
    left, right = truncated(weight, 1)
    assert torch.allclose(left @ right, torch.tensor([[3.0, 0.0], [0.0, 0.0]]), atol=1e-6)
    assert energy(weight, 1) == pytest.approx(9 / 10)


@given(rows=st.integers(2, 500), columns=st.integers(2, 500), share=st.floats(0.05, 0.95))
def test_a_rank_keeps_to_its_share(rows: int, columns: int, share: float) -> None:
    rank = rank_for((rows, columns), share)
    assert rank * (rows + columns) <= share * rows * columns + 1e-6 < (rank + 1) * (rows + columns) + 1e-3


def test_full_ranks_are_the_model_itself(model: BertForSequenceClassification) -> None:
    full = {name: min(layer.weight.shape) for name, layer in linear_layers(model).items()} | {EMBEDDINGS: 16}
    assert len(full) == 2 * 6 + 1
    with torch.no_grad():
        assert torch.allclose(low_rank(model, full)(**inputs()).logits, model(**inputs()).logits, atol=1e-4)


def test_a_lower_rank_is_further_away_and_smaller(model: BertForSequenceClassification) -> None:
    with torch.no_grad():
        whole = model(**inputs()).logits
        far = [(low_rank(model, {EMBEDDINGS: r})(**inputs()).logits - whole).norm().item() for r in (15, 8, 2)]
    assert 0 < far[0] < far[1] < far[2]
    small = low_rank(model, {EMBEDDINGS: 3})
    vocabulary = len(tiny.VOCABULARY)
    assert weights(model) - weights(small) == vocabulary * 16 - 3 * (vocabulary + 16)
    assert storage.size(small)["file"] < storage.size(model)["file"]


def test_ranks_at_equal_bytes(model: BertForSequenceClassification) -> None:
    whole = {name: layer.weight.numel() for name, layer in linear_layers(model).items()}
    both = low_rank(model, ranks_for(model, embeddings=0.5, linear=0.5))
    saved = weights(model) - weights(both)
    half = (sum(whole.values()) + model.get_submodule(EMBEDDINGS).weight.numel()) / 2
    assert half <= saved < 1.3 * half
    assert set(ranks_for(model, embeddings=0.5)) == {EMBEDDINGS} and set(ranks_for(model, linear=0.5)) == set(whole)


@pytest.mark.parametrize("then", ["float32", "int8"])
def test_it_is_stored_and_comes_back(model: BertForSequenceClassification, then: str, tmp_path: Path) -> None:
    whole = tiny.saved(tmp_path / "whole", model)
    (tmp_path / "low").mkdir()
    factorize(tmp_path / "low", model=whole, embeddings=0.5, linear=0.5)
    made = models.load(tmp_path / "low")
    with torch.no_grad():
        expected = low_rank(model, ranks_for(model, embeddings=0.5, linear=0.5))(**inputs()).logits
        assert torch.equal(made(**inputs()).logits, expected)
    made = quantization.quantize(made) if then == "int8" else made
    storage.save(made, tmp_path / "file")
    with torch.no_grad():
        assert torch.equal(storage.load(tmp_path / "file")(**inputs()).logits, made(**inputs()).logits)


def test_a_shrunk_model_gets_low_ranks_too(model: BertForSequenceClassification) -> None:
    small = shrink(model, heads=[[0], [0, 1]])
    low = low_rank(small, {"bert.encoder.layer.0.attention.self.query": 2})
    assert low.config.compact == {"heads": [1, 2], "ranks": {"bert.encoder.layer.0.attention.self.query": 2}}
    with pytest.raises(InputError, match="not shrunk; shrink the model before that"):
        shrink(low, layers=[0])


@pytest.mark.parametrize(
    ("ranks", "sentence"),
    [
        ({EMBEDDINGS: 17}, "must be from 1 to 16, its full rank, not 17"),
        ({EMBEDDINGS: 0}, "must be from 1 to 16"),
        ({"bert.pooler": 3}, "No linear layer 'bert.pooler' of its own"),
    ],
)
def test_ranks_that_cannot_be_are_refused(
    model: BertForSequenceClassification, ranks: dict[str, int], sentence: str
) -> None:
    with pytest.raises(InputError, match=sentence):
        low_rank(model, ranks)


def test_a_product_gets_no_other_rank(model: BertForSequenceClassification) -> None:
    low = low_rank(model, {EMBEDDINGS: 3})
    with pytest.raises(InputError, match="word_embeddings is a product of two matrices already"):
        low_rank(low, {EMBEDDINGS: 2})
    with pytest.raises(InputError, match="are a product already"):
        ranks_for(low, embeddings=0.5)


@pytest.mark.parametrize(
    ("share", "sentence"), [(1.0, "above 0 and below 1, not 1.0"), (0.0, "above 0"), (0.01, "less than a rank of one")]
)
def test_a_share_that_leaves_no_rank_is_refused(
    model: BertForSequenceClassification, share: float, sentence: str
) -> None:
    with pytest.raises(InputError, match=sentence):
        ranks_for(model, linear=share)


def test_a_product_is_pruned_in_both_of_its_matrices(model: BertForSequenceClassification) -> None:
    low = low_rank(model, ranks_for(model, embeddings=0.5, linear=0.5))
    plain, found = dict(pruning.pool(model)), dict(pruning.pool(low))
    factors = {f"{name}.{i}" if f"{name}.0" in found else name for name in plain for i in (0, 1)}
    assert found.keys() == factors and f"{EMBEDDINGS}.1" in found
    assert not any("intermediate" in name for name in found)
    assert pruning.sparsity(pruning.prune(low, 0.5))["pool"] == pytest.approx(0.5, abs=0.01)
