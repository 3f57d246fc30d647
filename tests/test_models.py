"""Models: published formats load to exactly the stored weights, all else is refused; saving, starts, layer maps."""

from __future__ import annotations

import json
import math
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
import transformers
from hypothesis import given, settings
from hypothesis import strategies as some
from torch import Tensor, nn
from transformers import AutoModelForSequenceClassification, BertConfig, BertForSequenceClassification, BertModel

from helpers import models
from helpers.environment import InputError
from helpers.models import attention, dropout
from tests import published

BATCH = {
    "input_ids": torch.tensor([[2, 5, 7, 11, 3, 0], [2, 6, 8, 12, 13, 3]]),
    "token_type_ids": torch.tensor([[0, 0, 0, 1, 1, 0], [0, 0, 0, 0, 0, 0]]),
    "attention_mask": torch.tensor([[1, 1, 1, 1, 1, 0], [1, 1, 1, 1, 1, 1]]),
}


def _logits(model: nn.Module) -> Tensor:
    with torch.inference_mode():
        return model(**BATCH).logits


def _encoder(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: value for name, value in state.items() if name.startswith("bert.") and "position_ids" not in name}


def _refused(folder: Path, **arguments: object) -> str:
    with pytest.raises(InputError) as caught:
        models.classifier(models.read(folder), **({"outputs": 2, "seed": 0, "head": True} | arguments))
    message = str(caught.value)
    assert "\n" not in message
    assert message.endswith(".")
    assert str(folder) in message
    return message


@pytest.mark.parametrize("names", [None, ["LABEL_0", "LABEL_1"]], ids=["no names", "LABEL_0"])
def test_textattack(tmp_path: Path, names: list[str] | None) -> None:
    state = published.textattack(tmp_path, names=names)
    assert "bert.embeddings.position_ids" in state
    checkpoint = models.read(tmp_path)
    assert checkpoint.labels == ()
    model = models.classifier(checkpoint, outputs=2, seed=7, labels=("negative", "positive"), head=True)
    assert not model.training
    own = model.state_dict()
    assert own.keys() == state.keys() - {"bert.embeddings.position_ids"}
    assert all(torch.equal(own[name], state[name]) for name in own)
    assert torch.equal(_logits(model), _logits(published.classifier()))


@pytest.mark.parametrize(("outputs", "task"), [(1, "sts-b"), (3, "mnli")])
def test_textattack_with_other_outputs(
    tmp_path: Path, outputs: int, task: str, caplog: pytest.LogCaptureFixture
) -> None:
    transformers.logging.set_verbosity_warning()
    transformers.logging.enable_propagation()
    state = published.textattack(tmp_path, outputs=outputs, task=task, names=[f"LABEL_{i}" for i in range(outputs)])
    model = models.classifier(models.read(tmp_path), outputs=outputs, seed=0, head=True)
    assert torch.equal(model.classifier.weight, state["classifier.weight"])
    assert _logits(model).shape == (2, outputs)
    fresh = models.classifier(models.read(tmp_path), outputs=4, seed=0)
    assert fresh.config.num_labels == 4
    assert _logits(fresh).shape == (2, 4)
    assert caplog.messages == [], "another number of labels is no reason for a warning"


@pytest.mark.parametrize("shared", [False, True], ids=["fit_denses", "fit_dense"])
def test_tinybert(tmp_path: Path, shared: bool) -> None:
    state = published.tinybert(tmp_path, num_hidden_layers=2, shared=shared)
    assert any(name.startswith("fit_dense") for name in state)
    assert "cls.seq_relationship.weight" in state
    assert "model_type" not in json.loads((tmp_path / "config.json").read_text())
    checkpoint = models.read(tmp_path)
    assert checkpoint.tensors.keys() == _encoder(state).keys()
    assert (checkpoint.config.hidden_size, checkpoint.config.num_hidden_layers) == (8, 2)
    first, second = (models.classifier(checkpoint, outputs=2, seed=seed) for seed in (0, 1))
    for name, value in _encoder(state).items():
        assert torch.equal(first.state_dict()[name], value), name
    assert not torch.equal(first.classifier.weight, second.classifier.weight), "the head is new: it follows the seed"
    again = models.classifier(checkpoint, outputs=2, seed=0)
    assert torch.equal(_logits(first), _logits(again))


def test_minilm(tmp_path: Path) -> None:
    state = published.minilm(tmp_path)
    checkpoint = models.read(tmp_path)
    assert checkpoint.tensors.keys() == {f"bert.{name}" for name in state} - {"bert.embeddings.position_ids"}
    model = models.classifier(checkpoint, outputs=2, seed=0)
    assert all(torch.equal(value, state[name]) for name, value in model.bert.state_dict().items())
    plain = BertModel(BertConfig(**published.SHAPE)).eval()
    plain.load_state_dict(state, strict=False)
    with torch.inference_mode():
        assert torch.equal(model.bert(**BATCH).pooler_output, plain(**BATCH).pooler_output)


def test_an_encoder_alone(tmp_path: Path) -> None:
    tensors = published.minilm(tmp_path)
    model = models.encoder(models.read(tmp_path))
    assert (
        model.state_dict().keys()
        == models.classifier(models.read(tmp_path), outputs=2, seed=0).bert.state_dict().keys()
    )
    name = "encoder.layer.0.attention.self.query.weight"
    assert torch.equal(model.state_dict()[name], tensors[name])
    models.save(model, models.tokenizer(tmp_path), tmp_path / "saved")
    again = models.encoder(models.read(tmp_path / "saved"))
    assert all(torch.equal(again.state_dict()[name], tensor) for name, tensor in model.state_dict().items())


def test_a_shape_without_its_weights(tmp_path: Path) -> None:
    published.minilm(tmp_path)
    whole = models.read(tmp_path).config
    (tmp_path / "model.safetensors").unlink()
    assert models.read_config(tmp_path).to_dict() == whole.to_dict()
    (tmp_path / "config.json").write_text("[", encoding="utf-8")
    with pytest.raises(InputError, match="config.json cannot be read .*; copy it again"):
        models.read_config(tmp_path)


def test_old_layer_norm_names_and_no_pooler(tmp_path: Path) -> None:
    language_model = published.masked(tmp_path)
    model = models.classifier(models.read(tmp_path), outputs=2, seed=0)
    with torch.inference_mode():
        ours, theirs = (m.bert(**BATCH).last_hidden_state for m in (model, language_model.eval()))
    assert torch.equal(ours, theirs)
    other = models.classifier(models.read(tmp_path), outputs=2, seed=1)
    assert not torch.equal(model.bert.pooler.dense.weight, other.bert.pooler.dense.weight)


def test_half_precision_weights_become_float32(tmp_path: Path) -> None:
    state = published.textattack(tmp_path)
    torch.save(
        {name: value.half() if value.is_floating_point() else value for name, value in state.items()}, _bin(tmp_path)
    )
    model = models.classifier(models.read(tmp_path), outputs=2, seed=0, head=True)
    assert {value.dtype for value in model.state_dict().values()} == {torch.float32}
    assert torch.equal(model.classifier.weight, state["classifier.weight"].half().float())


def test_heads_in_another_order_are_put_in_order(tmp_path: Path) -> None:
    names = ["contradiction", "entailment", "neutral"]
    state = published.textattack(tmp_path, outputs=3, names=names)
    checkpoint = models.read(tmp_path)
    assert checkpoint.labels == tuple(names)
    wanted = ("entailment", "neutral", "contradiction")
    model = models.classifier(checkpoint, outputs=3, seed=0, labels=wanted, head=True)
    order = [names.index(name) for name in wanted]
    assert order == [1, 2, 0]
    assert torch.equal(model.classifier.weight, state["classifier.weight"][order])
    plain = _logits(published.classifier(outputs=3))
    assert torch.allclose(_logits(model), plain[:, order], atol=1e-6)
    same = models.classifier(checkpoint, outputs=3, seed=0, labels=tuple(names), head=True)
    assert torch.equal(_logits(same), plain)
    # once put in order a stored model stays so: its label names are not told a second time
    models.save(model, models.tokenizer(tmp_path), tmp_path / "ordered")
    assert torch.equal(_logits(models.load(tmp_path / "ordered")), _logits(model))


def test_label_names_are_sorted_by_number(tmp_path: Path) -> None:
    published.textattack(tmp_path, outputs=12, names=[f"name{i}" for i in range(12)])
    assert models.read(tmp_path).labels == tuple(f"name{i}" for i in range(12))


def test_heads_with_other_names_are_refused(tmp_path: Path) -> None:
    published.textattack(tmp_path, names=["no", "yes"])
    message = _refused(tmp_path, labels=("negative", "positive"))
    assert "predicts no, yes; the task has negative, positive" in message


def _bin(folder: Path) -> Path:
    return folder / "pytorch_model.bin"


class _Trap:
    """A pickle that makes a file when it is loaded."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)

    def __reduce__(self) -> tuple:
        return os.mkdir, (self.path,)


@pytest.mark.parametrize("kind", ["torch", "plain pickle", "beside weights"])
def test_a_malicious_pickle_is_refused_and_not_run(tmp_path: Path, kind: str) -> None:
    state = published.textattack(tmp_path / "model")
    trap = _Trap(tmp_path / "ran")
    if kind == "plain pickle":
        _bin(tmp_path / "model").write_bytes(pickle.dumps(trap))
    else:
        torch.save(trap if kind == "torch" else state | {"extra": trap}, _bin(tmp_path / "model"))
    message = _refused(tmp_path / "model")
    assert "holds something else than weights and is not loaded" in message
    assert not (tmp_path / "ran").exists()
    # the trap works where it is let in
    with open(_bin(tmp_path / "model"), "rb") as file:
        pickle.load(file) if kind == "plain pickle" else torch.load(file, weights_only=False)
    assert (tmp_path / "ran").exists()


def _without(name: str):
    return lambda state: {key: value for key, value in state.items() if key != name}


WRONG_STATES = {
    "missing": (
        _without("bert.encoder.layer.1.output.dense.bias"),
        "missing ['bert.encoder.layer.1.output.dense.bias']",
    ),
    "no head": (_without("classifier.weight"), "missing ['classifier.weight']"),
    "unexpected": (
        lambda s: s | {"bert.encoder.layer.2.output.dense.bias": torch.ones(12)},
        "layer.2.output.dense.bias",
    ),
    "other model": (
        lambda s: s | {"classifier.out_proj.weight": torch.ones(2)},
        "not expected ['classifier.out_proj.weight']",
    ),
    "shape": (lambda s: s | {"classifier.bias": torch.ones(3)}, "classifier.bias is (3,), expected (2,)"),
    "nested": (lambda s: {"state_dict": s, "epoch": 3}, "no mapping of names to tensors"),
    "a tensor": (lambda s: torch.ones(3), "no mapping of names to tensors"),
}


@pytest.mark.parametrize("kind", WRONG_STATES)
def test_weights_that_do_not_fit(tmp_path: Path, kind: str) -> None:
    change, expected = WRONG_STATES[kind]
    torch.save(change(published.textattack(tmp_path)), _bin(tmp_path))
    assert expected in _refused(tmp_path)


def test_a_missing_encoder_weight_is_no_new_weight(tmp_path: Path) -> None:
    """A student's start must not be half random without a word."""
    torch.save(_without("bert.embeddings.word_embeddings.weight")(published.tinybert(tmp_path)), _bin(tmp_path))
    assert "missing ['bert.embeddings.word_embeddings.weight']" in _refused(tmp_path, head=False)


def test_a_head_for_another_task(tmp_path: Path) -> None:
    published.textattack(tmp_path, outputs=3)
    assert "another shape than its config says: classifier.weight is (3, 12), expected (2, 12)" in _refused(tmp_path)


def _config(folder: Path, **changes: object) -> None:
    config = json.loads((folder / "config.json").read_text()) | changes
    (folder / "config.json").write_text(
        json.dumps({name: value for name, value in config.items() if value is not None})
    )


WRONG_FILES = {
    "no config": (lambda f: (f / "config.json").unlink(), "config.json is missing"),
    "no weights": (lambda f: _bin(f).unlink(), "pytorch_model.bin is missing"),
    "cut off": (lambda f: _bin(f).write_bytes(_bin(f).read_bytes()[:-300]), "cannot be read"),
    "empty": (lambda f: _bin(f).write_bytes(b""), "cannot be read"),
    "pointer": (
        lambda f: _bin(f).write_text("version https://git-lfs.github.com/spec/v1\n"),
        "something else than weights",
    ),
    "config cut off": (lambda f: (f / "config.json").write_text('{"hidden_size": '), "cannot be read"),
    "config a list": (lambda f: (f / "config.json").write_text("[1, 2]"), "cannot be read"),
    "safetensors": (lambda f: (f / "model.safetensors").write_bytes(b"\xff" * 40), "cannot be read"),
    "label numbers": (lambda f: _config(f, id2label={"a": "b"}), "cannot be read"),
    "no bert": (lambda f: _config(f, model_type="distilbert"), "is a 'distilbert' model; this study needs a BERT"),
    "heads": (lambda f: _config(f, num_attention_heads=5), "does not describe a BERT"),
    "text": (lambda f: _config(f, hidden_size="wide"), "does not describe a BERT"),
    "layers": (lambda f: _config(f, num_hidden_layers=3), "missing ['bert.encoder.layer.2."),
    "sizes": (
        lambda f: _config(f, intermediate_size=17),
        "layer.0.intermediate.dense.weight is (16, 12), expected (17, 12)",
    ),
    "activation": (lambda f: _config(f, hidden_act="gulu"), "does not describe a BERT"),
}


@pytest.mark.parametrize("kind", WRONG_FILES)
def test_folders_that_are_wrong(tmp_path: Path, kind: str) -> None:
    published.textattack(tmp_path)
    damage, expected = WRONG_FILES[kind]
    damage(tmp_path)
    assert expected in _refused(tmp_path)


def test_a_folder_without_tokenizer(tmp_path: Path) -> None:
    published.textattack(tmp_path)
    assert models.tokenizer(tmp_path).get_vocab() == {word: index for index, word in enumerate(published.WORDS)}
    (tmp_path / "vocab.txt").unlink()
    with pytest.raises(InputError, match="has no tokenizer.json and no vocab.txt"):
        models.tokenizer(tmp_path)


def test_saved_models_load_exactly(tmp_path: Path) -> None:
    published.textattack(tmp_path / "from", outputs=3)
    words = models.tokenizer(tmp_path / "from")
    model = published.classifier(outputs=3, seed=5)
    (tmp_path / "to").mkdir()
    models.save(model, words, tmp_path / "to")
    loaded = models.load(tmp_path / "to")
    assert not loaded.training
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in loaded.state_dict().items())
    assert torch.equal(loaded.classifier.weight, model.classifier.weight)
    assert torch.equal(_logits(loaded), _logits(model))
    theirs = AutoModelForSequenceClassification.from_pretrained(tmp_path / "to").eval()
    assert torch.equal(_logits(theirs), _logits(model)), "Transformers loads the folder too"
    again = models.tokenizer(tmp_path / "to")
    assert again("The good films", "a play")["input_ids"] == words("The good films", "a play")["input_ids"]
    assert again.get_vocab() == words.get_vocab()
    assert not list((tmp_path / "to").glob("*.bin")), "no pickle is written"


def test_a_saved_language_model_gives_its_encoder(tmp_path: Path) -> None:
    published.textattack(tmp_path / "words")
    model = models.language_model(published.SHAPE, seed=4).eval()
    (tmp_path / "model").mkdir()
    models.save(model, models.tokenizer(tmp_path / "words"), tmp_path / "model")
    stored = safetensors.torch.load_file(tmp_path / "model" / "model.safetensors")
    assert "bert.embeddings.word_embeddings.weight" in stored
    assert "cls.predictions.decoder.weight" not in stored, "the shared table is stored once"
    assert "cls.seq_relationship.weight" in stored, "the head that tells pairs apart is kept too"
    encoder = models.classifier(models.read(tmp_path / "model"), outputs=2, seed=0).bert
    with torch.inference_mode():
        ours, theirs = encoder(**BATCH), model.bert(**BATCH)
    assert torch.equal(ours.last_hidden_state, theirs.last_hidden_state)
    assert torch.equal(ours.pooler_output, theirs.pooler_output)


def test_a_language_model_follows_its_shape_and_seed() -> None:
    shape = published.SHAPE | {
        "initializer_range": 0.05,
        "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.25,
    }
    model, same, other = (models.language_model(shape, seed=seed) for seed in (4, 4, 5))
    ours = model.state_dict()
    assert all(torch.equal(value, same.state_dict()[name]) for name, value in ours.items())
    assert not torch.equal(ours["cls.seq_relationship.weight"], other.state_dict()["cls.seq_relationship.weight"])
    usual = models.language_model(published.SHAPE, seed=4)
    drawn = [value for name, value in ours.items() if value.dim() == 2 and "token_type" not in name]
    assert torch.cat([value.flatten() for value in drawn]).std() == pytest.approx(0.05, rel=0.1)
    assert usual.config.initializer_range == 0.02
    assert model.bert.embeddings.dropout.p == 0.0
    assert usual.bert.embeddings.dropout.p == 0.1
    assert model.bert.encoder.layer[0].attention.self.dropout.p == 0.25


def test_scores_before_the_softmax(tmp_path: Path) -> None:
    model = published.classifier(num_hidden_layers=3)
    usual = _logits(model)
    with torch.inference_mode():
        assert not model(**BATCH, output_attentions=True).attentions, "the default attention returns no maps: the trap"
    model.set_attn_implementation("eager")
    with torch.inference_mode():
        shares = model(**BATCH, output_attentions=True).attentions
    assert models.expose_scores(model) is model
    with torch.inference_mode():
        outputs = model(**BATCH, output_attentions=True, output_hidden_states=True)
    assert len(outputs.attentions) == 3
    assert torch.allclose(outputs.logits, usual, atol=1e-6)
    mask = BATCH["attention_mask"].bool()
    for layer, found in enumerate(outputs.attentions):
        assert found.shape == (2, 2, 6, 6)
        own = model.bert.encoder.layer[layer].attention.self
        with torch.inference_mode():
            hidden = outputs.hidden_states[layer]
            query, key = (part(hidden).view(2, 6, 2, 6).transpose(1, 2) for part in (own.query, own.key))
        assert torch.allclose(found, query @ key.transpose(2, 3) / 6**0.5, atol=1e-6), (
            "Q K^T over the root of the width"
        )
        share = found.masked_fill(~mask[:, None, None, :], float("-inf")).softmax(dim=-1)
        assert torch.allclose(share, shares[layer], atol=1e-6), "their softmax over real tokens is eager attention"
    assert outputs.attentions[0].min() < 0, "no shares"


def test_a_model_with_exposed_scores_is_saved_as_any_other(tmp_path: Path) -> None:
    published.textattack(tmp_path / "from")
    model = published.classifier()
    usual = _logits(model)
    models.expose_scores(model)
    (tmp_path / "to").mkdir()
    models.save(model, models.tokenizer(tmp_path / "from"), tmp_path / "to")
    loaded = models.load(tmp_path / "to")
    assert loaded.config._attn_implementation == "sdpa"
    assert torch.equal(_logits(loaded), usual)


def test_dropout_acts_on_exposed_scores_in_training_only() -> None:
    model = models.expose_scores(published.classifier())
    assert torch.equal(_logits(model), _logits(model))
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    model.train()
    own = model.bert.encoder.layer[0].attention.self
    assert own.training
    own.dropout.p = 0.5
    assert not torch.equal(_logits(model), _logits(model))


def attended(dtype: torch.dtype, *, p: float = 0.0) -> tuple[list[Tensor], Tensor, Tensor]:
    """Return query, key and value (3, 2, 7, 4) and what attention makes of them; the last two tokens are padding."""
    random = torch.Generator().manual_seed(0)
    drawn = [torch.randn(3, 2, 7, 4, generator=random).to(dtype).requires_grad_() for _ in range(3)]
    mask = torch.zeros(3, 1, 7, 7)
    mask[..., -2:] = torch.finfo(torch.float32).min
    outputs, scores = attention._attention_with_scores(nn.Module().train(), *drawn, mask, 0.5, dropout=p)
    return drawn, outputs, scores


@pytest.mark.parametrize("parts", [(0,), (1,), (0, 1)])
def test_attention_in_16_bits_is_attention(parts: tuple[int, ...]) -> None:
    results = {}
    for dtype in (torch.float32, torch.bfloat16):
        drawn, *made = attended(dtype)
        assert {part.dtype for part in made} == {dtype}
        sum(made[part].float().square().sum() for part in parts).backward()
        results[dtype] = [*(part.detach() for part in made), *(each.grad for each in drawn)]
    for exact, short in zip(*results.values(), strict=True):
        if exact is None or short is None:  # scores alone say nothing of values
            assert exact is short and parts == (1,)
        else:
            assert (short.float() - exact).norm() < 0.02 * exact.norm()


def test_attention_in_16_bits_drops_the_same_weights_on_the_way_back() -> None:
    gradient = torch.randn(3, 7, 2, 4, generator=torch.Generator().manual_seed(1))
    torch.manual_seed(2)
    drawn, outputs, scores = attended(torch.bfloat16, p=0.3)
    ((outputs * gradient).sum() + scores.float().square().sum()).backward()
    torch.manual_seed(2)
    kept = dropout.Kept((3, 2, 7, 7), 0.3)  # the same weights again
    query, key, value = (each.detach().float().requires_grad_() for each in drawn)
    plain = query @ key.transpose(2, 3) * 0.5
    weights = (
        plain[..., :-2].softmax(dim=-1) * kept(torch.ones(3, 2, 7, 7, dtype=torch.bfloat16))[..., :-2] * kept.scale
    )
    expected = (weights @ value[:, :, :-2]).transpose(1, 2)
    ((expected * gradient).sum() + plain.square().sum()).backward()
    pairs = [(outputs, expected), *((a.grad, b.grad) for a, b in zip(drawn, (query, key, value), strict=True))]
    for short, exact in pairs:
        assert (short.float() - exact).norm() < 0.02 * exact.norm()


def test_attention_in_16_bits_stays_finite_where_all_is_padding() -> None:
    drawn = [torch.ones(1, 1, 3, 4, dtype=torch.bfloat16) for _ in range(3)]
    mask = torch.full((1, 1, 3, 3), torch.finfo(torch.float32).min)
    outputs, _ = attention._attention_with_scores(nn.Module(), *drawn, mask, 0.5)
    assert torch.equal(outputs, torch.ones_like(outputs))


@given(p=some.floats(0.01, 0.99), seed=some.integers(0, 99))
@settings(max_examples=20, deadline=None)
def test_light_dropout_drops_as_many_and_keeps_the_mean(p: float, seed: int) -> None:
    torch.manual_seed(seed)
    count = 40_001  # no multiple of four
    values = torch.ones(count, dtype=torch.bfloat16, requires_grad=True)
    (layer,) = models.lighten(nn.Sequential(nn.Dropout(p)))
    dropped = layer(values)
    error = 5 * math.sqrt(p * (1 - p) / count)
    gone = dropped == 0
    assert abs(gone.float().mean().item() - p) < error
    for lane in range(4):  # four values are drawn at once
        assert abs(gone[lane::4].float().mean().item() - p) < 2.5 * error
    assert torch.allclose(dropped[~gone].float(), torch.tensor(1 / (1 - p)), rtol=0.01)
    dropped.float().sum().backward()
    assert torch.equal(values.grad, dropped), "the gradient passes where the value did"
    torch.manual_seed(seed)
    assert torch.equal(layer(values), dropped), "drawn from torch's random state"


def test_light_dropout_is_the_library_s_elsewhere() -> None:
    (layer,) = models.lighten(nn.Sequential(nn.Dropout(0.5)))
    short = torch.ones(50, dtype=torch.bfloat16)
    for values, p in ((torch.ones(50), 0.5), (short, 1.0), (short, 1 - 1e-6)):
        layer.p = p
        torch.manual_seed(0)
        found = layer(values)
        torch.manual_seed(0)
        assert torch.equal(found, nn.functional.dropout(values, p))
    layer.p = 0.0
    assert torch.equal(layer(short), short)
    layer.p = 0.5
    assert torch.equal(layer.eval()(short), short)
    (still,) = models.lighten(nn.Sequential(nn.Dropout(0.5, inplace=True)).eval())
    assert not still.training and still.inplace


@given(student=some.integers(1, 24), teacher=some.integers(1, 24), kind=some.sampled_from(["uniform", "top", "bottom"]))
def test_layer_maps(student: int, teacher: int, kind: str) -> None:
    if student > teacher and kind != "uniform":
        with pytest.raises(InputError, match=f"must name {student} of the teacher's layers 1 to {teacher}"):
            models.layer_map(student, teacher, kind)
        return
    layers = models.layer_map(student, teacher, kind)
    assert len(layers) == student
    assert layers == sorted(layers)
    assert min(layers) >= 1
    assert max(layers) <= teacher
    if student <= teacher:
        assert len(set(layers)) == student, "no layer is learnt from twice"
    if kind == "uniform":
        assert layers[-1] == teacher
        gaps = np.diff([0, *layers])
        assert gaps.max() - gaps.min() <= 1, "as even as can be"
        if teacher % student == 0:
            assert layers == [m * teacher // student for m in range(1, student + 1)], "TinyBERT's own map"
    else:
        assert layers == list(range(layers[0], layers[0] + student))
        assert layers[-1 if kind == "top" else 0] == (teacher if kind == "top" else 1)
    assert models.layer_map(student, teacher, layers) == layers


def test_named_layers_and_wrong_ones() -> None:
    assert models.layer_map(4, 6) == [2, 3, 5, 6]
    assert models.layer_map(2, 6, [6, 1]) == [6, 1]
    for wrong in ([1], [1, 7], [0, 1], [1, 2, 3]):
        with pytest.raises(InputError, match="it must name 2 of the teacher's layers 1 to 6"):
            models.layer_map(2, 6, wrong)
    with pytest.raises(InputError, match="must be uniform, top, bottom or a list of teacher layers, not 'skip'"):
        models.layer_map(2, 6, "skip")


@pytest.mark.parametrize("width", [4, 8, 12])
def test_projected_embeddings(width: int) -> None:
    source = published.classifier(seed=3).state_dict()
    student = published.classifier(hidden_size=width, seed=9)
    kept = models.project_embeddings(student, source)
    words = source["bert.embeddings.word_embeddings.weight"]
    singular = torch.linalg.svd(words.double(), full_matrices=False)
    assert kept == pytest.approx(float(singular.S[:width].square().sum() / singular.S.square().sum()), abs=1e-9)
    assert (kept == pytest.approx(1.0)) == (width == 12)
    directions = singular.Vh[:width].T.float()
    for table in ("word_embeddings", "position_embeddings", "token_type_embeddings"):
        full = source[f"bert.embeddings.{table}.weight"]
        ours = getattr(student.bert.embeddings, table).weight
        assert ours.shape == (full.shape[0], width)
        # singular vectors are known up to their sign, and all tables must be turned alike
        signs = torch.sign(((words @ directions) * student.bert.embeddings.word_embeddings.weight).sum(dim=0))
        assert torch.allclose(ours, full @ directions * signs, atol=1e-4)
    ours = student.bert.embeddings.word_embeddings.weight
    best = singular.U[:, :width] * singular.S[:width]
    assert torch.allclose(ours @ ours.T, (best @ best.T).float(), atol=1e-4), "the best approximation of that width"
    assert ours.requires_grad


def test_projected_layers_of_the_source_s_own_size_do_what_its_layers_do() -> None:
    """At full width the directions are only a rotation: seen in them, attention and what a layer adds are the same."""
    source = published.classifier(seed=3)
    student = published.classifier(seed=9)
    models.project_layers(student, source.state_dict(), [1, 2])
    words = source.state_dict()["bert.embeddings.word_embeddings.weight"].double()
    rotation = torch.linalg.eigh(words.T @ words).eigenvectors.flip(1).float()
    states = torch.randn(2, 5, 12, generator=torch.Generator().manual_seed(0))
    for theirs, ours in zip(source.bert.encoder.layer, student.bert.encoder.layer, strict=True):
        heads = (2, 5, 2, 6)
        scores = []
        for layer, seen in ((theirs, states), (ours, states @ rotation)):
            mine = layer.attention.self
            query, key = (part(seen).view(heads).transpose(1, 2) for part in (mine.query, mine.key))
            scores.append(query @ key.transpose(2, 3))
        assert torch.allclose(*scores, atol=1e-3)
        added = [
            layer.attention.output.dense(layer.attention.self.value(seen).mean(dim=1))
            for layer, seen in ((theirs, states), (ours, states @ rotation))
        ]
        assert torch.allclose(added[0] @ rotation, added[1], atol=1e-4)
        forward = [
            layer.output.dense(layer.intermediate(seen))
            for layer, seen in ((theirs, states), (ours, states @ rotation))
        ]
        assert torch.allclose(forward[0] @ rotation, forward[1], atol=1e-4)


@torch.no_grad()
def test_projected_layers_of_a_smaller_head_are_the_best_of_their_size() -> None:
    source = published.classifier(seed=3)
    student = published.classifier(hidden_size=8, intermediate_size=10, num_hidden_layers=1, seed=9)
    models.project_layers(student, source.state_dict(), [2])
    words = source.state_dict()["bert.embeddings.word_embeddings.weight"].double()
    directions = torch.linalg.eigh(words.T @ words).eigenvectors.flip(1)[:, :8].float()
    theirs, ours = source.bert.encoder.layer[1].attention.self, student.bert.encoder.layer[0].attention.self
    for head in range(2):
        wide, narrow = slice(6 * head, 6 * head + 6), slice(4 * head, 4 * head + 4)
        query, key = (
            torch.cat([part.weight[wide] @ directions, part.bias[wide, None]], dim=1)
            for part in (theirs.query, theirs.key)
        )
        wanted = query.T @ key / 6**0.5
        mine = [torch.cat([part.weight[narrow], part.bias[narrow, None]], dim=1) for part in (ours.query, ours.key)]
        error = torch.linalg.matrix_norm(wanted - mine[0].T @ mine[1] / 4**0.5)
        left_out = torch.linalg.svdvals(wanted)[4:]
        assert float(error) == pytest.approx(float(left_out.square().sum().sqrt()), rel=1e-3)
    # of the neurons the largest stay
    into, back = source.bert.encoder.layer[1].intermediate.dense, source.bert.encoder.layer[1].output.dense
    size = into.weight.norm(dim=1) * back.weight.norm(dim=0)
    kept = [i for i in range(16) if (size > size[i]).sum() < 10]
    assert torch.allclose(student.bert.encoder.layer[0].intermediate.dense.bias, into.bias[kept])


def test_layers_with_too_few_neurons_are_refused() -> None:
    with pytest.raises(InputError, match="32 feed-forward neurons cannot start from layers with 16"):
        models.project_layers(published.classifier(intermediate_size=32), published.classifier().state_dict(), [1, 2])


def test_a_student_wider_than_its_source_is_refused() -> None:
    with pytest.raises(InputError, match="width 16.* 12"):
        models.project_embeddings(published.classifier(hidden_size=16), published.classifier().state_dict())


def _by_hand(vocab: int, hidden: int, layers: int, inner: int, outputs: int) -> int:
    norm = 2 * hidden
    embeddings = (vocab + 512 + 2) * hidden + norm
    attention = 4 * (hidden * hidden + hidden) + norm
    feed_forward = 2 * hidden * inner + inner + hidden + norm
    return embeddings + layers * (attention + feed_forward) + (hidden * hidden + hidden) + outputs * (hidden + 1)


@pytest.mark.parametrize(
    ("name", "expected", "rounded"), [("bert-base", 109_483_778, 109.48), ("tinybert", 14_350_874, 14.35)]
)
def test_the_published_shapes(name: str, expected: int, rounded: float) -> None:
    shape = models.SHAPES[name]
    sizes = [shape[key] for key in ("vocab_size", "hidden_size", "num_hidden_layers", "intermediate_size")]
    assert _by_hand(*sizes, outputs=2) == expected
    model = models.shaped(name)
    assert isinstance(model, BertForSequenceClassification)
    assert not model.training
    found = sum(parameter.numel() for parameter in model.parameters())
    assert found == expected
    assert round(found / 1e6, 2) == rounded
    assert model.config.num_attention_heads == 12


def test_shapes_follow_outputs_and_seed() -> None:
    one, same, other = (models.shaped("tinybert", outputs=3, seed=seed) for seed in (1, 1, 2))
    assert sum(p.numel() for p in one.parameters()) == _by_hand(30522, 312, 4, 1200, 3)
    assert torch.equal(one.classifier.weight, same.classifier.weight)
    assert not torch.equal(one.classifier.weight, other.classifier.weight)
