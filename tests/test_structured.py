"""Structured pruning: importance against numeric gradients, smaller matrices that compute the same, what stays."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import tiny
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import BertForSequenceClassification

from helpers import models, storage
from helpers.compress import pruning, quantization, structured
from helpers.compress.structured import choose, importance, influence, mean_loss, shrink
from helpers.environment import InputError
from helpers.tasks import collate
from helpers.training import task_loss

LAYERS, HEADS, NEURONS = 3, 4, 32


@pytest.fixture
def model() -> BertForSequenceClassification:
    made = tiny.classifier(layers=LAYERS, heads=HEADS, spread=6, dropout=0.3)
    with torch.no_grad():
        for name, parameter in made.named_parameters():
            if name.endswith("bias"):
                parameter.add_(torch.randn_like(parameter) * 0.3)
    return made


def inputs(rows: int = 7) -> dict[str, torch.Tensor]:
    return {name: value for name, value in collate(list(tiny.tokens(rows))).items() if name != "labels"}


def off(model: BertForSequenceClassification, *, heads: dict[int, list[int]], neurons: dict[int, list[int]]):
    """Return a copy in which the outputs of some heads and neurons count for nothing: all shapes are as before."""
    changed = copy.deepcopy(model)
    with torch.no_grad():
        for layer, some in heads.items():
            for head in some:
                changed.bert.encoder.layer[layer].attention.output.dense.weight[:, 4 * head : 4 * head + 4] = 0
        for layer, some in neurons.items():
            changed.bert.encoder.layer[layer].output.dense.weight[:, some] = 0
    return changed


# importance


@pytest.mark.parametrize("regression", [False, True])
def test_importance_is_the_mean_size_of_the_gradient_of_a_gate(regression: bool) -> None:
    model = tiny.classifier(layers=2, heads=2, spread=6, outputs=1 if regression else 2, dropout=0.3)
    rows, step = tiny.tokens(5, regression=regression), 0.02  # a smaller step drowns in float32's rounding
    found = importance(model, rows)

    def loss(row: dict, layer: int, place: int, width: int, kind: str, gate: float) -> float:
        changed = copy.deepcopy(model)
        block = changed.bert.encoder.layer[layer]
        dense = block.attention.output.dense if kind == "heads" else block.output.dense
        with torch.no_grad():
            dense.weight[:, place * width : (place + 1) * width] *= gate
            return task_loss(changed.eval(), collate([row]))[0].item()

    for kind, width, places in (("heads", 8, 2), ("neurons", 1, 3)):
        for layer in range(2):
            for place in range(places):
                slopes = [
                    (loss(row, layer, place, width, kind, 1 + step) - loss(row, layer, place, width, kind, 1 - step))
                    / (2 * step)
                    for row in rows
                ]
                by_hand = sum(abs(slope) for slope in slopes) / len(slopes)
                ours = getattr(found, kind)[layer][place].item()
                assert ours == pytest.approx(by_hand, rel=0.05, abs=2e-4), (kind, layer, place)
    assert max(each.max() for each in found.heads) > 0.01, "there is something to see"


def test_what_counts_for_nothing_has_no_importance(model: BertForSequenceClassification) -> None:
    found = importance(off(model, heads={1: [2]}, neurons={0: [5, 7]}), tiny.tokens(40))
    assert found.heads[1][2] == 0 < found.heads[1][1]
    assert found.neurons[0][[5, 7]].sum() == 0 < found.neurons[0][6]
    assert [len(each) for each in found.heads] == [HEADS] * LAYERS
    assert [len(each) for each in found.neurons] == [NEURONS] * LAYERS


def test_importance_depends_on_no_batch_and_leaves_the_model_as_it_was(
    model: BertForSequenceClassification, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows, before = tiny.tokens(40), copy.deepcopy(model.state_dict())
    whole = importance(model.train(), rows)
    assert model.training and all(p.requires_grad and p.grad is None for p in model.parameters())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert not any(module._forward_pre_hooks for module in model.modules())
    monkeypatch.setattr(structured, "BATCH", 7)
    again = importance(model, rows)
    for kind in ("heads", "neurons"):
        for a, b in zip(getattr(whole, kind), getattr(again, kind), strict=True):
            assert torch.allclose(a, b, rtol=1e-3, atol=1e-6)


def test_opposite_rows_do_not_cancel(model: BertForSequenceClassification) -> None:
    """One row with both labels: the two gradients point against each other, each is large."""
    rows = tiny.tokens(1)
    both = [dict(rows[0]) | {"labels": label} for label in (0, 1)]
    found, alone = importance(model, both), [importance(model, [row]) for row in both]
    for layer in range(LAYERS):
        assert torch.allclose(found.heads[layer], (alone[0].heads[layer] + alone[1].heads[layer]) / 2, rtol=1e-4)


def test_influence_is_what_the_loss_gains(model: BertForSequenceClassification) -> None:
    rows = tiny.tokens(50)
    found = influence(model, rows)
    with torch.no_grad():
        whole = task_loss(model, collate(list(rows)))[0].item()
    assert mean_loss(model, rows) == pytest.approx(whole, rel=1e-5)
    for gone in range(LAYERS):
        changed = copy.deepcopy(model)
        del changed.bert.encoder.layer[gone]
        changed.config.num_hidden_layers = LAYERS - 1
        assert found[gone] == pytest.approx(mean_loss(changed, rows) - whole, abs=1e-5)
    assert len(set(found)) == LAYERS


# what stays


@settings(max_examples=100, deadline=None)
@given(
    seed=st.integers(0, 2**31), sizes=st.lists(st.integers(1, 8), min_size=1, max_size=5), removed=st.floats(0, 0.99)
)
def test_the_least_important_go_and_no_layer_is_empty(seed: int, sizes: list[int], removed: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    scores = [torch.rand(size, generator=generator) for size in sizes]
    total, count = sum(sizes), round(removed * sum(sizes))
    if total - count < len(sizes):
        with pytest.raises(InputError, match="layers with none; take a smaller share"):
            choose(scores, removed)
        return
    kept = choose(scores, removed)
    assert sum(map(len, kept)) == total - count
    assert all(each and each == sorted(set(each)) for each in kept)
    scaled = [each / each.norm() for each in scores]
    gone = [float(scaled[i][j]) for i, each in enumerate(kept) for j in range(sizes[i]) if j not in each]
    free = [float(scaled[i][j]) for i, each in enumerate(kept) for j in each if j != int(scaled[i].argmax())]
    assert not gone or not free or max(gone) <= min(free)


@pytest.mark.parametrize("removed", [-0.1, 1.0, 1.5])
def test_a_share_that_cannot_be_is_refused(removed: float) -> None:
    with pytest.raises(InputError, match=r"from 0 to below 1, not .*: something must stay"):
        choose([torch.ones(4)], removed)


# smaller matrices

KEPT = {"heads": [[0, 2], [3], [0, 1, 2, 3]], "neurons": [[1, 5, 30], list(range(NEURONS)), [0]]}


def test_a_shrunk_model_computes_what_the_gated_one_does(model: BertForSequenceClassification) -> None:
    small = shrink(model, **KEPT)
    gone = {
        kind: {i: [j for j in range(most) if j not in kept] for i, kept in enumerate(KEPT[kind])}
        for kind, most in (("heads", HEADS), ("neurons", NEURONS))
    }
    with torch.no_grad():
        expected, ours, whole = (each(**inputs()).logits for each in (off(model, **gone), small, model))
    assert torch.allclose(ours, expected, atol=1e-5)
    assert (ours - whole).abs().max() > 0.01, "switching heads off changes the logits"
    assert small.bert.encoder.layer[1].attention.self.query.weight.shape == (4, 16)
    assert small.bert.encoder.layer[0].output.dense.weight.shape == (16, 3)
    before, after = (sum(p.numel() for p in each.parameters()) for each in (model, small))
    heads, cells = 12 - 7, 3 * NEURONS - (3 + NEURONS + 1)
    # a head has query, key, value and its columns of the output; a neuron a row, a bias and a column
    assert before - after == heads * (3 * (4 * 16 + 4) + 4 * 16) + cells * (16 + 1 + 16)
    assert storage.size(small)["file"] < storage.size(model)["file"]


def test_layers_go_whole_and_shrinking_goes_on(model: BertForSequenceClassification) -> None:
    small = shrink(shrink(model, **KEPT), layers=[0, 2])
    assert small.config.compact == {"heads": [2, 4], "neurons": [3, 1]}
    one = shrink(shrink(model, layers=[0, 2]), heads=[KEPT["heads"][0], KEPT["heads"][2]])
    one = shrink(one, neurons=[KEPT["neurons"][0], KEPT["neurons"][2]])
    with torch.no_grad():
        assert torch.allclose(one(**inputs()).logits, small(**inputs()).logits, atol=1e-6)
    whole = shrink(model)
    assert whole.config.compact == {}, "nothing is gone: a plain model"
    with torch.no_grad():
        assert torch.equal(whole(**inputs()).logits, model(**inputs()).logits)


@pytest.mark.parametrize("then", ["", "int8", "pruned"])
def test_a_shrunk_model_goes_through_every_other_step(
    model: BertForSequenceClassification, then: str, tmp_path: Path
) -> None:
    small = shrink(model, **KEPT)
    folder = tiny.saved(tmp_path / "small", small)
    again = models.load(folder)
    with torch.no_grad():
        assert torch.equal(again(**inputs()).logits, small(**inputs()).logits)
    changed = {"int8": quantization.quantize, "pruned": lambda m: pruning.prune(m, 0.4)}.get(then, lambda m: m)(again)
    storage.save(changed, tmp_path / "file")
    with torch.no_grad():
        assert torch.equal(storage.load(tmp_path / "file")(**inputs()).logits, changed(**inputs()).logits)


def test_what_cannot_shrink_is_refused(model: BertForSequenceClassification) -> None:
    with pytest.raises(InputError, match="All layers would go; keep one at least"):
        shrink(model, layers=[])
    shared = tiny.config(layers=2)
    shared.compact = {"sharing": "all"}
    with pytest.raises(InputError, match="Layers that share weights or have low ranks are not shrunk"):
        shrink(models.build(BertForSequenceClassification, shared), layers=[0])
    with pytest.raises(InputError, match="A model of one layer has none to leave out"):
        influence(tiny.classifier(), tiny.tokens(3))
    with pytest.raises(InputError, match="Importance needs rows"):
        importance(model, [])


# the step


def test_the_step_removes_by_importance_on_training_rows(tmp_path: Path, model: BertForSequenceClassification) -> None:
    whole, data = tiny.saved(tmp_path / "whole", model), tiny.task_data()
    arguments = {"model": whole, "data": data, "max_length": 16}
    for name, shares in (
        ("half", {"heads": 0.5, "neurons": 0.5, "layers": 0}),
        ("two", {"heads": 0.0, "neurons": 0.0}),
    ):
        (tmp_path / name).mkdir()
        structured.remove(tmp_path / name, **arguments, **({"layers": 2} | shares))
    half, two = (models.load(tmp_path / name) for name in ("half", "two"))
    assert sum(half.config.compact["heads"]) == 6 and sum(half.config.compact["neurons"]) == 48
    rows = structured.sample(data, models.tokenizer(whole), max_length=16)
    assert len(rows) == len(data.train), "all, where there are few"
    found = importance(model, rows)
    by_hand = shrink(model, heads=choose(found.heads, 0.5), neurons=choose(found.neurons, 0.5))
    with torch.no_grad():
        assert torch.allclose(half(**inputs()).logits, by_hand(**inputs()).logits, atol=1e-6)
    # one layer after the other, the least influential first
    first = int(torch.tensor(influence(model, rows)).argmin())
    rest = shrink(model, layers=[i for i in range(LAYERS) if i != first])
    second = int(torch.tensor(influence(rest, rows)).argmin())
    last = shrink(rest, layers=[1 - second])
    with torch.no_grad():
        assert torch.equal(two(**inputs()).logits, last(**inputs()).logits)
    with pytest.raises(InputError, match="3 of 3 layers are to go; one at least must stay"):
        structured.remove(tmp_path / "none", **arguments, heads=0.0, neurons=0.0, layers=3)
