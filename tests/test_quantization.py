"""Dynamic int8 quantization against plain torch: linear layers only, zeros kept, no warning, no change of the model."""

import copy
import warnings

import numpy as np
import pytest
import tiny
import torch
from torch import nn
from torch.ao.quantization import quantize_dynamic
from transformers import BertForSequenceClassification

from helpers.compress import quantization
from helpers.compress.pruning import prune
from helpers.compress.quantization import quantize, quantized_layers
from helpers.tasks import collate
from helpers.training import logits_of


@pytest.fixture
def model() -> BertForSequenceClassification:
    return tiny.classifier(layers=2, spread=5)


def linears(model: nn.Module) -> list[str]:
    return [name for name, module in model.named_modules() if isinstance(module, nn.Linear)]


def inputs(rows: int = 12) -> dict[str, torch.Tensor]:
    return {name: value for name, value in collate(list(tiny.tokens(rows))).items() if name != "labels"}


def test_quantize_is_plain_torch(model: BertForSequenceClassification) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        plain = quantize_dynamic(copy.deepcopy(model), {nn.Linear}, dtype=torch.qint8)
    ours = quantize(model)
    with torch.no_grad():
        logits, expected, exact = (each(**inputs()).logits for each in (ours, plain, model))
    assert torch.equal(logits, expected)
    # int8 is near the float model, and is not the float model
    assert not torch.equal(logits, exact)
    assert (logits - exact).abs().max() < 0.2 * exact.std()


def test_quantize_by_hand(model: BertForSequenceClassification) -> None:
    for name, layer in quantized_layers(quantize(model)).items():
        weight = model.get_submodule(name).weight.detach()
        packed = layer.weight()
        assert packed.qscheme() == torch.per_tensor_affine
        assert packed.q_zero_point() == 0  # symmetric
        assert packed.q_scale() == pytest.approx(weight.abs().max().item() / 127.5, rel=1e-4)
        steps = (weight.double().numpy() / packed.q_scale()).round().clip(-128, 127)
        assert np.abs(packed.int_repr().numpy() - steps).max() <= 1  # rounding of halves apart
        assert (packed.dequantize() - weight).abs().max() <= packed.q_scale() * 0.51
        assert torch.equal(layer.bias(), model.get_submodule(name).bias)


def test_any_module_may_be_quantized() -> None:
    """The notebook's example is no BERT and has no configuration."""
    toy = nn.Sequential(nn.Linear(3, 1, bias=False))
    assert len(quantized_layers(quantize(toy))) == 1


def test_only_linear_layers_are_quantized(model: BertForSequenceClassification) -> None:
    quantized = quantize(model)
    assert sorted(quantized_layers(quantized)) == sorted(linears(model))
    assert (
        len(linears(model)) == 2 * 6 + 2
    )  # per layer query, key, value, dense and two more; the pooler, the classifier
    assert linears(quantized) == []
    assert quantized_layers(model) == {}
    rest = {name: value for name, value in quantized.named_parameters()}
    assert rest and all("embeddings" in name or "LayerNorm" in name for name in rest)
    assert all(value.dtype == torch.float32 for value in rest.values())
    assert all(torch.equal(value, model.get_parameter(name)) for name, value in rest.items())


@pytest.mark.parametrize("amount", [0.3, 0.9])
def test_zeros_stay_zero(model: BertForSequenceClassification, amount: float) -> None:
    pruned = prune(model, amount)
    found = 0
    for name, layer in quantized_layers(quantize(pruned)).items():
        zeros = pruned.get_submodule(name).weight == 0
        assert not layer.weight().int_repr()[zeros].any(), name
        assert not layer.weight().dequantize()[zeros].any(), name
        found += int(zeros.sum())
    assert found > 100


def test_the_float_model_is_left_alone(model: BertForSequenceClassification) -> None:
    model.train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    quantized = quantize(model)
    assert model.training
    assert not quantized.training
    assert linears(model)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    with torch.no_grad():
        for parameter in quantized.parameters():
            parameter.zero_()
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_quantize_warns_of_nothing(model: BertForSequenceClassification) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        quantized = quantize(model)
        logits_of(quantized, tiny.tokens(8), on=torch.device("cpu"))
        copy.deepcopy(quantized)
        quantized.state_dict()
    assert [str(warning.message) for warning in caught] == []


def test_quantize_hides_no_other_warning(model: BertForSequenceClassification, monkeypatch: pytest.MonkeyPatch) -> None:
    def noisy(*arguments: object, **others: object) -> nn.Module:
        warnings.warn("something else is deprecated", DeprecationWarning, stacklevel=2)
        warnings.warn("torch.quantize_something is odd", UserWarning, stacklevel=2)
        return quantize_dynamic(*arguments, **others)

    monkeypatch.setattr(quantization, "quantize_dynamic", noisy)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        quantize(model)
    assert [str(warning.message) for warning in caught] == [
        "something else is deprecated",
        "torch.quantize_something is odd",
    ]


def test_logits_of_an_int8_model_keep_the_order_of_rows(model: BertForSequenceClassification) -> None:
    rows = tiny.tokens(30)
    exact = logits_of(model, rows, batch_size=8)
    close = logits_of(quantize(model), rows, batch_size=8, on=torch.device("cpu"))
    assert np.abs(close - exact).max() < 0.2 * exact.std()
