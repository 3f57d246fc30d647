"""A model as plain tensors and back, layers out of `torch.ao.quantization.quantize_dynamic` included.

Such a layer packs its weight into an opaque object; here it is int8 `weight`, `weight_scale`,
`weight_zero_point` (no dimension: one for the whole weight; one dimension: one per row) and float32 `bias`.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.ao.nn.quantized import dynamic

from helpers import models
from helpers.environment import InputError

__all__ = ["SCALE", "ZERO_POINT", "fill", "quiet_quantization", "tensors"]

SCALE, ZERO_POINT = ".weight_scale", ".weight_zero_point"


@contextmanager
def quiet_quantization() -> Iterator[None]:
    """Hide the two warnings of torch 2.13 about `torch.ao.quantization` and its tensors, and no other."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "torch.ao.quantization is deprecated", DeprecationWarning)
        warnings.filterwarnings("ignore", "torch.quantize_per_tensor, torch.quantize_per_channel and", UserWarning)
        yield


def tensors(model: nn.Module) -> dict[str, Tensor]:
    """Return the plain tensors that hold `model`, by name, on the CPU; float ones share the model's memory.

    Raises InputError where a part of the model is not plain: a pruning mask, another quantized layer.
    """
    packed = {name: module for name, module in model.named_modules() if isinstance(module, dynamic.Linear)}
    plain = {}
    everywhere = [name for name, module in model.named_modules(remove_duplicate=False) if module in packed.values()]
    # what layers share stands in the state dict once for each of them, and here once
    again = {name for name, _ in model.named_parameters(remove_duplicate=False)} - models.own_tensors(model).keys()
    for name, value in model.state_dict().items():
        if name in again or any(name.startswith(f"{layer}.") for layer in everywhere):
            continue
        if name.endswith(("_orig", "_mask")):
            raise InputError(f"The model holds a pruning mask, {name!r}: call torch.nn.utils.prune.remove first.")
        if not isinstance(value, Tensor) or value.is_quantized:
            raise InputError(f"{name!r} is quantized in a way that cannot be stored: quantize nn.Linear only.")
        plain[name] = value.detach().cpu().contiguous()
    for name, layer in packed.items():
        weight, bias = layer.weight(), layer.bias()
        if weight.dtype != torch.qint8:
            raise InputError(f"The layer {name!r} is quantized to {weight.dtype}: quantize to torch.qint8.")
        if weight.qscheme() == torch.per_tensor_affine:
            scale = torch.tensor(weight.q_scale(), dtype=torch.float64)
            zero_point = torch.tensor(weight.q_zero_point())
        else:
            scale, zero_point = weight.q_per_channel_scales(), weight.q_per_channel_zero_points()
        plain |= {f"{name}.weight": weight.int_repr(), name + SCALE: scale, name + ZERO_POINT: zero_point}
        if bias is not None:
            plain[f"{name}.bias"] = bias.detach().contiguous()
    return plain


def fill(model: nn.Module, plain: dict[str, Tensor]) -> None:
    """Put `plain` into a float `model` in place; an int8 weight replaces the linear layer it was made from.

    Raises ValueError unless exactly the model's tensors are given, RuntimeError for a wrong shape.
    """
    packed = sorted(name.removesuffix(SCALE) for name in plain if name.endswith(SCALE))
    ours = {f"{name}{end}" for name in packed for end in (".weight", ".bias", SCALE, ZERO_POINT)}
    given = {name: value for name, value in plain.items() if name not in ours}
    own = models.own_tensors(model).keys()
    wrong = sorted((own - plain.keys()) | (given.keys() - own))
    if wrong:
        raise ValueError(f"missing or unexpected tensors: {', '.join(wrong)}")
    model.load_state_dict(given, strict=False)
    for name in packed:
        float_layer = model.get_submodule(name)
        weight, scale, zero_point = (plain[name + end] for end in (".weight", SCALE, ZERO_POINT))
        if weight.shape != float_layer.weight.shape:
            raise RuntimeError(f"{name}.weight is {tuple(weight.shape)}, not {tuple(float_layer.weight.shape)}")
        with quiet_quantization():
            if scale.dim() == 0:
                quantized = torch._make_per_tensor_quantized_tensor(weight, scale.item(), int(zero_point))
            else:
                quantized = torch._make_per_channel_quantized_tensor(weight, scale, zero_point, 0)
            layer = dynamic.Linear(float_layer.in_features, float_layer.out_features)
            layer.set_weight_bias(quantized, plain.get(f"{name}.bias"))
        parent, _, child = name.rpartition(".")
        setattr(model.get_submodule(parent), child, layer)
    models.share(model)
