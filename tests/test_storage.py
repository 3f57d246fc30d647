"""A stored model gives the same logits; a damaged file is refused; bytes and counts add up."""

import gzip
import json
import random
import struct
import warnings

import numpy as np
import pytest
import safetensors
import safetensors.torch
import torch
from torch import nn
from torch.ao.quantization import per_channel_dynamic_qconfig, quantize_dynamic
from torch.nn.utils import prune
from transformers import BertConfig, BertForSequenceClassification, BertModel

from helpers import storage
from helpers.environment import InputError, RunError
from helpers.storage import packing

VOCABULARY, HIDDEN, INNER, LAYERS = 60, 16, 24, 2
QCONFIGS = {"int8": {nn.Linear}, "int8 per row": {nn.Linear: per_channel_dynamic_qconfig}}


@pytest.fixture(autouse=True)
def no_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def bert(labels=2, seed=0, attention="sdpa", **changes):
    torch.manual_seed(seed)
    config = BertConfig(
        vocab_size=VOCABULARY,
        hidden_size=HIDDEN,
        num_hidden_layers=LAYERS,
        num_attention_heads=2,
        intermediate_size=INNER,
        max_position_embeddings=20,
        num_labels=labels,
        attn_implementation=attention,
        **changes,
    )
    model = BertForSequenceClassification(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))  # biases away from 0, LayerNorm away from 1
    return model


def quantized(model, qconfig="int8"):
    with packing.quiet_quantization():
        return quantize_dynamic(model, QCONFIGS[qconfig], dtype=torch.qint8)


def logits(model):
    torch.manual_seed(1)
    ids = torch.randint(1, VOCABULARY, (5, 12))
    mask = torch.ones_like(ids)
    mask[2, 7:] = 0
    with torch.inference_mode():
        return model(input_ids=ids, attention_mask=mask, token_type_ids=torch.zeros_like(ids)).logits


MODELS = {
    "float32": bert,
    "float32, regression": lambda: bert(labels=1),
    "float32, eager attention": lambda: bert(attention="eager"),
    "float32, 12 labels": lambda: bert(labels=12),
    "int8": lambda: quantized(bert()),
    "int8, regression": lambda: quantized(bert(labels=1)),
    "int8, eager attention": lambda: quantized(bert(attention="eager")),
    "int8 per row": lambda: quantized(bert(), "int8 per row"),
    "int8 per row, regression": lambda: quantized(bert(labels=1), "int8 per row"),
}


@pytest.mark.parametrize("name", MODELS)
def test_logits_are_exactly_equal_after_the_round_trip(name, tmp_path):
    model = MODELS[name]()
    written = storage.save(model, tmp_path / "folder" / "model.safetensors")
    loaded = storage.load(tmp_path / "folder" / "model.safetensors")
    assert torch.equal(logits(loaded), logits(model))
    assert written == (tmp_path / "folder" / "model.safetensors").stat().st_size
    assert not any(module.training for module in loaded.modules())
    assert loaded.config._attn_implementation == model.config._attn_implementation
    assert loaded.config.num_labels == model.config.num_labels
    assert [type(module) for module in loaded.modules()] == [type(module) for module in model.modules()]
    # saved again, nothing has changed
    storage.save(loaded, tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == (tmp_path / "folder" / "model.safetensors").read_bytes()


def test_a_quantized_model_differs_from_the_float_one():
    # otherwise the equality above would say nothing about int8
    assert not torch.equal(logits(bert()), logits(quantized(bert())))


def test_the_header_says_what_the_file_is(tmp_path):
    model = bert(id2label={0: "not_entailment", 1: "entailment"}, label2id={"not_entailment": 0, "entailment": 1})
    model.config._name_or_path = "/home/someone/model"
    for kind, each in (("float32", model), ("int8_linear", quantized(model))):
        storage.save(each, tmp_path / kind)
        with safetensors.safe_open(tmp_path / kind, "pt") as file:
            metadata = file.metadata()
        header = json.loads(metadata["header"])
        assert (
            header["format"],
            header["version"],
        ) == ("bert-study", 3)
        assert len(header["checksum"]) == 64 and header["config"]["hidden_size"] == HIDDEN
        assert "/home/someone" not in metadata["header"]
        assert storage.load(tmp_path / kind).config.id2label == {0: "not_entailment", 1: "entailment"}


def test_loading_leaves_the_random_state_alone(tmp_path):
    storage.save(bert(), tmp_path / "model")
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    storage.load(tmp_path / "model")
    assert torch.equal(torch.rand(3), expected)


def test_a_loaded_float_model_can_be_trained_on(tmp_path):
    storage.save(bert(), tmp_path / "model")
    model = storage.load(tmp_path / "model").train()
    model(input_ids=torch.ones(2, 4, dtype=torch.long), labels=torch.tensor([0, 1])).loss.backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


# ---- pruned models


def pruned(amount):
    model = bert()
    layers = [(module, "weight") for module in model.modules() if isinstance(module, nn.Linear | nn.Embedding)]
    prune.global_unstructured(layers, pruning_method=prune.L1Unstructured, amount=amount)
    for module, name in layers:
        prune.remove(module, name)
    return model


def test_pruned_zeros_stay_zero_in_float_and_int8_files(tmp_path):
    model = pruned(0.5)
    storage.save(model, tmp_path / "float")
    storage.save(quantized(model), tmp_path / "int8")
    as_float = dict(storage.load(tmp_path / "float").named_modules())
    as_int8 = dict(storage.load(tmp_path / "int8").named_modules())
    zeros = 0
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear | nn.Embedding):
            mask = module.weight == 0
            zeros += int(mask.sum())
            assert torch.equal(as_float[name].weight == 0, mask)
            weight = as_int8[name].weight
            restored = weight().dequantize() if callable(weight) else weight
            assert (restored[mask] == 0).all()
    assert zeros > 1000
    counted = storage.count(model)
    assert counted["parameters"] - counted["nonzero"] == zeros
    # rounding to int8 makes a few more zeros, never fewer
    assert storage.count(quantized(model))["nonzero"] <= counted["nonzero"]
    assert storage.count(storage.load(tmp_path / "int8")) == storage.count(quantized(model))


def test_masks_still_in_place_are_refused(tmp_path):
    model = bert()
    prune.l1_unstructured(model.classifier, "weight", 0.5)
    for act in (lambda: storage.save(model, tmp_path / "model"), lambda: storage.count(model)):
        with pytest.raises(InputError, match="classifier.weight_orig.*prune.remove"):
            act()
    assert not list(tmp_path.iterdir())


# ---- damage


@pytest.mark.parametrize("make", [bert, lambda: quantized(bert())], ids=["float32", "int8"])
def test_any_flipped_bit_is_noticed(make, tmp_path):
    path = tmp_path / "model"
    storage.save(make(), path)
    data = path.read_bytes()
    header = 8 + struct.unpack("<Q", data[:8])[0]
    generator = random.Random(0)
    places = [0, 1, 7, 8, header - 1, header, len(data) - 1]
    places += [generator.randrange(8, header) for _ in range(60)]
    places += [generator.randrange(header, len(data)) for _ in range(40)]
    for place in places:
        damaged = bytearray(data)
        damaged[place] ^= 1 << generator.randrange(8)
        path.write_bytes(damaged)
        with pytest.raises(RunError, match=f"{path.name}.*"):
            storage.load(path)
    path.write_bytes(data)
    storage.load(path)


def test_a_changed_configuration_is_noticed(tmp_path):
    # the number of heads changes no shape: only the checksum can tell
    path = tmp_path / "model"
    storage.save(bert(), path)
    data = path.read_bytes()
    changed = data.replace(b'num_attention_heads\\": 2', b'num_attention_heads\\": 4')
    assert changed != data and len(changed) == len(data)
    path.write_bytes(changed)
    with pytest.raises(RunError, match="checksum"):
        storage.load(path)


@pytest.mark.parametrize("kept", [0, 4, 8, 500, 0.5, -1])
def test_a_truncated_file_is_refused(kept, tmp_path):
    path = tmp_path / "model"
    storage.save(bert(), path)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * kept)] if isinstance(kept, float) else data[:kept])
    with pytest.raises(RunError, match="damaged or of another format"):
        storage.load(path)


def rewritten(path, **changes):
    """Write the file again with other header fields and the checksum that belongs to them."""
    with safetensors.safe_open(path, "pt") as file:
        header = json.loads(file.metadata()["header"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    header.pop("checksum")
    header |= changes
    header["checksum"] = storage.header.checksum(header, tensors)
    safetensors.torch.save_file(tensors, path, {"header": json.dumps(header, sort_keys=True)})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({}, None),
        ({"format": "other"}, "not written by this study"),
        ({"version": 2}, "version 2, not 3: rebuild"),
        ({"version": 4}, "version 4, not 3: get a newer copy"),
        ({"codes": []}, "kind of model"),
        ({"attention": "someone/kernel"}, "kind of model"),
        ({"config": {"hidden_size": 8}}, "kind of model"),
        ({"config": None}, "kind of model"),
    ],
)
def test_another_format_version_or_kind_is_refused(changes, message, tmp_path):
    path = tmp_path / "model"
    storage.save(bert(), path)
    rewritten(path, **changes)
    if message is None:
        storage.load(path)
        return
    with pytest.raises(RunError, match=message):
        storage.load(path)


def test_foreign_files_are_refused(tmp_path):
    safetensors.torch.save_file({"weight": torch.zeros(2)}, tmp_path / "plain")
    with pytest.raises(RunError, match="not written by this study"):
        storage.load(tmp_path / "plain")
    torch.save({"weight": torch.zeros(2)}, tmp_path / "pickle")
    with pytest.raises(RunError, match="another format"):
        storage.load(tmp_path / "pickle")
    with pytest.raises(InputError, match="no model file"):
        storage.load(tmp_path / "absent")


# ---- what cannot be stored


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda model: model.half(), "float16.*float()"),
        (lambda model: setattr(model.config, "num_hidden_layers", 1) or model, "would not load back"),
        (lambda model: setattr(model.config, "vocab_size", 61) or model, "would not load back"),
        (lambda model: model.bert, "A BertModel cannot be stored"),
        (
            lambda model: setattr(model.classifier, "weight", nn.Parameter(model.classifier.weight[:1])) or model,
            "load",
        ),
    ],
)
def test_what_could_not_be_read_back_is_refused(change, message, tmp_path):
    model = change(bert())
    assert isinstance(model, BertModel | BertForSequenceClassification)
    with pytest.raises(InputError, match=message):
        storage.save(model, tmp_path / "model")
    assert not list(tmp_path.iterdir())


def test_layers_shared_without_the_configurations_knowing_are_refused(tmp_path):
    model = bert()
    model.bert.encoder.layer[1] = model.bert.encoder.layer[0]
    with pytest.raises(InputError, match="would not load back"):
        storage.save(model, tmp_path / "model")


def test_float16_quantization_is_refused(tmp_path):
    with packing.quiet_quantization():
        model = quantize_dynamic(bert(), {nn.Linear}, dtype=torch.float16)
    with pytest.raises(InputError, match="qint8"):
        storage.save(model, tmp_path / "model")


def test_a_full_disk_leaves_the_old_file_and_no_other(tmp_path, monkeypatch):
    path = tmp_path / "model"
    storage.save(bert(), path)
    before = path.read_bytes()

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(storage.files.os, "fsync", full)
    with pytest.raises(RunError, match="model: No space left on device"):
        storage.save(bert(seed=1), path)
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


# ---- sizes


def test_parts_are_the_bytes_computed_by_hand():
    embedding = (VOCABULARY + 20 + 2) * HIDDEN + 2 * HIDDEN
    linear = {
        "encoder": LAYERS * (4 * HIDDEN * HIDDEN + 2 * HIDDEN * INNER),
        "head": HIDDEN * HIDDEN + 2 * HIDDEN,
    }
    other = {"encoder": LAYERS * (4 * HIDDEN + INNER + HIDDEN + 4 * HIDDEN), "head": HIDDEN + 2}
    parts = storage.breakdown(bert())
    assert parts["embedding"] == 4 * embedding
    assert parts["encoder"] == 4 * (linear["encoder"] + other["encoder"])
    assert parts["head"] == 4 * (linear["head"] + other["head"])
    assert parts["total"] == parts["embedding"] + parts["encoder"] + parts["head"]
    packed = storage.breakdown(quantized(bert()))
    # one byte per weight, and for each layer a float64 scale and an int64 zero point
    assert packed["embedding"] == parts["embedding"]
    assert packed["encoder"] == linear["encoder"] + 4 * other["encoder"] + 16 * 6 * LAYERS
    assert packed["head"] == linear["head"] + 4 * other["head"] + 16 * 2


@pytest.mark.parametrize("make", [bert, lambda: quantized(bert()), lambda: quantized(bert(), "int8 per row")])
def test_size_adds_up(make, tmp_path):
    model = make()
    path = tmp_path / "model"
    size = storage.size(model)
    assert set(size) == {"file", "state_dict", "embedding", "encoder", "head", "gzip"}
    assert storage.save(model, path) == size["file"] == path.stat().st_size
    total = size["embedding"] + size["encoder"] + size["head"]
    assert (
        total
        == storage.breakdown(model)["total"]
        == sum(tensor.numel() * tensor.element_size() for tensor in safetensors.torch.load_file(path).values())
    )
    assert total < size["file"] < total + 20_000
    torch.save(model.state_dict(), tmp_path / "state_dict")
    assert size["state_dict"] == storage.state_dict_bytes(model)
    assert size["state_dict"] == pytest.approx((tmp_path / "state_dict").stat().st_size, rel=0.1)
    assert abs(size["gzip"] - len(gzip.compress(path.read_bytes(), 6, mtime=0))) <= 16


def test_zeros_shrink_the_compressed_file_only():
    dense, sparse = storage.size(bert()), storage.size(pruned(0.9))
    assert sparse["file"] == dense["file"] and sparse["state_dict"] == dense["state_dict"]
    assert sparse["gzip"] < 0.5 * dense["gzip"]


def test_parameters_are_counted_inside_int8_layers_too():
    model = bert()
    expected = sum(parameter.numel() for parameter in model.parameters())
    nonzero = sum(int(parameter.count_nonzero()) for parameter in model.parameters())
    assert storage.count(model) == {"parameters": expected, "nonzero": nonzero}
    for qconfig in QCONFIGS:
        packed = quantized(model, qconfig)
        assert storage.count(packed)["parameters"] == expected
        weights = {
            name: module.weight().int_repr().numpy()
            for name, module in packed.named_modules()
            if isinstance(module, torch.ao.nn.quantized.dynamic.Linear)
        }
        lost = sum(int(np.count_nonzero(weight == 0)) for weight in weights.values())
        assert storage.count(packed)["nonzero"] == nonzero - lost


def test_only_the_two_known_warnings_are_hidden():
    with packing.quiet_quantization():
        warnings.warn("torch.ao.quantization is deprecated and will be removed", DeprecationWarning, stacklevel=1)
        with pytest.raises(DeprecationWarning):
            warnings.warn("another", DeprecationWarning, stacklevel=1)
        with pytest.raises(UserWarning):
            warnings.warn("torch.something else", UserWarning, stacklevel=1)
