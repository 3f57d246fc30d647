"""Pruning of the report's pool against plain torch, and recovery that keeps what was pruned."""

import copy
import math
from pathlib import Path

import processes
import pytest
import tiny
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils import prune as torch_prune
from transformers import BertConfig, BertForSequenceClassification

from helpers import models, tasks, training
from helpers.artifacts.store import CHECKPOINTS
from helpers.compress import pruning
from helpers.compress.factorization import linear_layers
from helpers.compress.pruning import masks, pool, prune, recover, sparsity, zero
from helpers.environment import InputError
from helpers.training import Training

MODEL = tiny.classifier(layers=2)
EMBEDDINGS = ("word_embeddings", "position_embeddings", "token_type_embeddings")
IN_ATTENTION = ("self.query", "self.key", "self.value", "output.dense", "output.LayerNorm")


def weights(model: nn.Module) -> torch.Tensor:
    """Return all weights of the pool in one row."""
    return torch.cat([module.weight.detach().flatten() for _, module in pool(model)])


def reported_pool(layers: int) -> list[str]:
    """Return the modules that the report names in its section 4.4."""
    found = [f"bert.embeddings.{name}" for name in EMBEDDINGS]
    return found + [f"bert.encoder.layer.{i}.attention.{name}" for i in range(layers) for name in IN_ATTENTION]


# the pool


@pytest.mark.parametrize("layers", [2, 12])
def test_the_pool_is_the_report_s(layers: int) -> None:
    model = tiny.classifier(layers=layers)
    assert [name for name, _ in pool(model)] == reported_pool(layers)
    assert all(model.get_submodule(name) is module for name, module in pool(model))


def test_the_pool_of_bert_base_has_its_size() -> None:
    with torch.device("meta"):
        model = BertForSequenceClassification(BertConfig())
    assert [name for name, _ in pool(model)] == reported_pool(12)
    words = (30522 + 512 + 2) * 768
    assert sum(module.weight.numel() for _, module in pool(model)) == words + 12 * (4 * 768 * 768 + 768)


# prune


@pytest.mark.parametrize("amount", [0.1, 0.37, 0.9])
def test_prune_is_torch_s_global_l1(amount: float) -> None:
    plain = copy.deepcopy(MODEL)
    targets = [(plain.get_submodule(name), "weight") for name in reported_pool(2)]
    torch_prune.global_unstructured(targets, pruning_method=torch_prune.L1Unstructured, amount=amount)
    for module, name in targets:
        torch_prune.remove(module, name)
    ours = prune(MODEL, amount).state_dict()
    assert ours.keys() == plain.state_dict().keys()  # no mask and no _orig is left
    assert all(torch.equal(value, ours[name]) for name, value in plain.state_dict().items())


def test_prune_by_hand() -> None:
    pruned, n = prune(MODEL, 0.3), weights(MODEL).numel()
    threshold = weights(MODEL).abs().sort().values[round(0.3 * n)]
    for (_, before), (_, after) in zip(pool(MODEL), pool(pruned), strict=True):
        kept = before.weight.abs() >= threshold
        assert torch.equal(after.weight, before.weight * kept)
    # one threshold for all modules: some lose more than others
    layers = sparsity(pruned)["layers"]
    assert max(layers.values()) - min(layers.values()) > 0.2


def test_the_encoder_alone_is_pruned_where_structured_pruning_takes_from(tmp_path: Path) -> None:
    layers = linear_layers(MODEL)
    assert {name.rpartition(".")[2] for name in layers} == {"query", "key", "value", "dense"} and len(layers) == 2 * 6
    pruned = prune(MODEL, 0.4, of="encoder")
    before = torch.cat([layer.weight.detach().flatten() for layer in layers.values()])
    after = torch.cat([layer.weight.flatten() for layer in linear_layers(pruned).values()])
    gone = after == 0
    assert int(gone.sum()) == round(0.4 * before.numel())
    assert before[gone].abs().max() <= before[~gone].abs().min() and torch.equal(after[~gone], before[~gone])
    others = {name: value for name, value in MODEL.state_dict().items() if name.removesuffix(".weight") not in layers}
    assert all(torch.equal(pruned.state_dict()[name], value) for name, value in others.items())
    zero(tmp_path / "zero", model=tiny.saved(tmp_path / "whole", MODEL), amount=0.4)
    stored = models.load(tmp_path / "zero").state_dict()
    assert all(torch.equal(stored[name], value) for name, value in pruned.state_dict().items())
    found = masks(pruned, of="encoder")
    assert found.keys() == {f"{name}.weight" for name in layers}
    assert sum(int((~mask).sum()) for mask in found.values()) == int(gone.sum())


def test_prune_leaves_everything_else_and_the_original() -> None:
    before = {name: value.clone() for name, value in MODEL.state_dict().items()}
    pruned = prune(MODEL, 1.0)
    assert all(torch.equal(value, before[name]) for name, value in MODEL.state_dict().items())
    assert not list(MODEL.buffers(recurse=True)) or set(dict(MODEL.named_buffers())) == set(
        dict(pruned.named_buffers())
    )
    inside = {f"{name}.weight" for name in reported_pool(2)}
    for name, value in pruned.state_dict().items():
        assert torch.equal(value, torch.zeros_like(value) if name in inside else before[name]), name
    assert all(isinstance(parameter, nn.Parameter) and parameter.requires_grad for parameter in pruned.parameters())


def test_pruning_nothing_changes_nothing() -> None:
    same = prune(MODEL, 0)
    assert same is not MODEL
    assert all(torch.equal(value, MODEL.state_dict()[name]) for name, value in same.state_dict().items())


@given(amount=st.floats(0, 1))
@settings(max_examples=40, deadline=None)
def test_an_amount_is_a_share_of_the_pool(amount: float) -> None:
    n = weights(MODEL).numel()
    zeros = int((weights(MODEL) == 0).sum())  # the padding's embedding is zero from the start
    assert zeros == 16
    found = sparsity(prune(MODEL, amount))["pool"] * n
    assert abs(found - max(amount * n, zeros)) <= 1


@given(
    amount=st.one_of(
        st.floats(max_value=0, exclude_max=True), st.floats(min_value=1, exclude_min=True), st.just(math.nan)
    )
)
@settings(max_examples=30, deadline=None)
def test_an_amount_outside_0_to_1_is_refused(amount: float) -> None:
    with pytest.raises(InputError, match="from 0 to 1, not"):
        prune(MODEL, amount)


# sparsity


def test_sparsity_by_hand() -> None:
    model = copy.deepcopy(MODEL)
    for parameter in model.parameters():
        parameter.data.fill_(1.0)
    query = model.bert.encoder.layer[0].attention.self.query
    query.weight.data[:4] = 0  # 4 * 16 zeros in the pool
    model.bert.pooler.dense.weight.data[:2] = 0  # 2 * 16 zeros outside
    query.bias.data[0] = 0
    found = sparsity(model)
    inside = (len(tiny.VOCABULARY) + 32 + 2) * 16 + 2 * (4 * 16 * 16 + 16)
    assert found["pool"] == 64 / inside
    assert found["model"] == 97 / sum(parameter.numel() for parameter in model.parameters())
    name = "bert.encoder.layer.0.attention.self.query"
    assert found["layers"] == {each: 0.25 if each == name else 0.0 for each in reported_pool(2)}


def test_masks_tell_what_is_not_zero() -> None:
    pruned = prune(MODEL, 0.5)
    found = masks(pruned)
    assert set(found) == {f"{name}.weight" for name in reported_pool(2)}
    assert all(torch.equal(found[f"{name}.weight"], module.weight != 0) for name, module in pool(pruned))


# recovery

SETTINGS = Training(epochs=5, learning_rate=5e-3, batch_size=4)  # 110 steps, checkpoints after 50 and 100


def recovered(folder: Path, *, model: Path, kill_at_step: int = 0) -> None:
    calls = []
    whole = pruning.task_loss

    def counted(model: nn.Module, batch: dict[str, torch.Tensor]) -> tuple[torch.Tensor, dict]:
        calls.append(1)
        if len(calls) == kill_at_step:
            processes.die()
        return whole(model, batch)

    pruning.task_loss = counted
    recover(folder, model=model, amount=0.6, data=tiny.task_data(rows=88), training=SETTINGS, max_length=16)
    pruning.task_loss = whole
    (folder / "calls").write_text(str(len(calls)))


@pytest.fixture(scope="module")
def student(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.saved(tmp_path_factory.mktemp("student"), tiny.classifier(layers=1, dropout=0.1))


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory, student: Path) -> Path:
    folder = tmp_path_factory.mktemp("recovered")
    recovered(folder, model=student)
    return folder


def test_recovery_trains_and_holds_the_zeros(student: Path, uninterrupted: Path) -> None:
    start, end = prune(models.load(student), 0.6), models.load(uninterrupted)
    for (name, before), (_, after) in zip(pool(start), pool(end), strict=True):
        assert not after.weight[before.weight == 0].any(), name
        kept = before.weight != 0
        assert not torch.equal(after.weight[kept], before.weight[kept]), name
    assert sparsity(end)["pool"] == pytest.approx(0.6, abs=1e-3)
    losses = [entry["loss"] for entry in training.read_curve(uninterrupted)]
    assert sum(losses[-5:]) < sum(losses[:5])
    assert (uninterrupted / "calls").read_text() == "110"


def test_without_masks_the_zeros_grow_back(student: Path, tmp_path: Path) -> None:
    # the test of the test above: the same training, only that nothing is held
    model, data = prune(models.load(student), 0.6), tiny.task_data(rows=88)
    rows = tasks.encode(data.train, data.task, models.tokenizer(student), max_length=16)
    training.fit(model, rows, loss=training.task_loss, training=SETTINGS, folder=tmp_path)
    assert sparsity(model)["pool"] < 0.35


def test_recovery_says_so_if_zeros_were_lost(student: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pruning, "masks", lambda model, of: {})
    with pytest.raises(RuntimeError, match="lost zeros"):
        recovered(tmp_path, model=student)


@pytest.mark.xdist_group("killed")
def test_a_killed_recovery_holds_the_same_zeros(tmp_path: Path, student: Path, uninterrupted: Path) -> None:
    errors = tmp_path / "stderr"
    assert processes.run(recovered, folder=tmp_path, model=student, errors=errors, kill_at_step=60) == -9
    # in the checkpoint, too, what was pruned is zero: a step is held before it is kept
    kept = tmp_path / CHECKPOINTS / "checkpoint-50"
    assert (kept / "complete").exists()
    assert sparsity(models.load(kept))["pool"] == pytest.approx(0.6, abs=1e-3)
    assert processes.run(recovered, folder=tmp_path, model=student, errors=errors) == 0
    assert (tmp_path / "calls").read_text() == "60"
    for file in ("model.safetensors", "curve.json"):
        assert (tmp_path / file).read_bytes() == (uninterrupted / file).read_bytes(), file
