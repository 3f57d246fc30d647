"""A model as plain tensors and back, weights in fewer bits and layers out of `quantize_dynamic` included.

Such a layer packs its weight into an opaque object; here it is int8 `weight`, `weight_scale`,
`weight_zero_point` (no dimension: one for the whole weight; one dimension: one per row) and float32 `bias`. A weight
in fewer bits is `<name>.codes` and `<name>.scales` (`storage.codes`); a matrix of floats with many zeros may be the
first alone.
"""

import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.ao.nn.quantized import dynamic

from helpers import models
from helpers.environment import InputError
from helpers.storage.codes import BITS, DTYPES, Coded, Coding, codes_of, decode
from helpers.storage.layouts import pack, unpack

__all__ = ["SCALE", "ZERO_POINT", "compare", "decoded", "encoded", "fill", "quiet_quantization", "tensors"]

SCALE, ZERO_POINT = ".weight_scale", ".weight_zero_point"
FLOATS = {"bf16": (torch.bfloat16, torch.int16), "float32": (torch.float32, torch.int32)}  # and their bits as numbers


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


def encoded(model: nn.Module, layouts: Sequence[str]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return a model's tensors as a file holds them, and for each weight in fewer bytes how: kind, group and layout.

    Raises InputError like `tensors`, for an unknown layout, and for a rounded weight that has changed since.
    """
    stored, header, codes = tensors(model), {}, codes_of(model)
    for name in [name for name, tensor in stored.items() if name not in codes and "bitmask" in layouts]:
        data = _sparse(stored[name])
        if data is not None:
            del stored[name]
            header[name] = {"kind": "float32", "group": 0, "layout": "bitmask"}
            stored[f"{name}.codes"] = data
    for name, coded in codes.items():
        del stored[name]
        kind = coded.coding.kind
        header[name] = {"kind": kind, "group": coded.coding.group, "layout": "dense"}
        if coded.scales is None:
            data = _sparse(coded.codes) if "bitmask" in layouts else None
            header[name]["layout"] = "dense" if data is None else "bitmask"
            stored[f"{name}.codes"] = coded.codes if data is None else data
            continue
        values = coded.codes.reshape(-1).view(torch.int8).numpy()
        try:
            header[name]["layout"], data = pack(values, BITS[kind], layouts)
        except ValueError as error:
            raise InputError(f"The model cannot be stored so: {error}.") from error
        stored |= {f"{name}.codes": torch.from_numpy(data.copy()), f"{name}.scales": coded.scales}
    return stored, header


def _sparse(weight: Tensor) -> Tensor | None:
    """Return the bytes of a matrix of floats as a bitmask, or None if they are not fewer, or it is none."""
    kind = next((bits for dtype, bits in FLOATS.values() if dtype == weight.dtype), None)
    if kind is None or weight.dim() != 2:
        return None
    # a minus zero is no zero in its bits; what is added makes it one
    _, data = pack((weight + 0.0).reshape(-1).view(kind).numpy(), 8 * weight.element_size(), ("bitmask",))
    return torch.from_numpy(data.copy()) if len(data) < weight.nbytes else None


def _floats(data: Tensor, kind: str, layout: str, shape: tuple[int, ...]) -> Tensor:
    """Return the floats that `encoded` stored. Raises ValueError if that is not how it stores them."""
    dtype, _ = FLOATS[kind]
    if layout == "dense" and data.dtype == dtype and tuple(data.shape) == shape and kind != "float32":
        return data
    if layout != "bitmask" or data.dtype != torch.uint8 or data.dim() != 1 or len(shape) != 2:
        raise ValueError(f"a weight is not in {kind}")
    if len(data) >= math.prod(shape) * dtype.itemsize:
        raise ValueError("a bitmask takes no fewer bytes")
    bits = unpack(data.numpy(), int(np.prod(shape, dtype=object)), 8 * dtype.itemsize, "bitmask")
    weight = torch.from_numpy(bits.copy()).view(dtype)
    if int(torch.count_nonzero(weight)) != np.count_nonzero(bits):
        raise ValueError("there is a minus zero")
    return weight.reshape(shape)


def decoded(
    stored: Mapping[str, Tensor], header: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]]
) -> tuple[dict[str, Tensor], dict[str, Coded]]:
    """Return tensors out of a file with all weights in float32, and the codes of those that had fewer bits.

    `shapes` are those that the model needs. Raises ValueError, KeyError or TypeError if what is stored does not fit.
    """
    plain, codes = dict(stored), {}
    for name, entry in header.items():
        shape, data = shapes[name], plain.pop(f"{name}.codes")
        if name in plain:
            raise ValueError(f"{name} is there twice")
        if entry["kind"] in FLOATS:
            weight = _floats(data, entry["kind"], entry["layout"], shape)
            if entry["group"] or f"{name}.scales" in plain:
                raise ValueError(f"{name} is not in {entry['kind']}")
            plain[name] = weight.float()
            if entry["kind"] != "float32":
                codes[name] = Coded(Coding(entry["kind"]), weight, None)
            continue
        coding, scales = Coding(entry["kind"], entry["group"]), plain.pop(f"{name}.scales", None)
        if data.dtype != torch.uint8 or data.dim() != 1 or scales is None or scales.dtype != torch.bfloat16:
            raise ValueError(f"{name} is no {coding.kind}")
        if len(shape) != 2 or tuple(scales.shape) != coding.scales(shape):
            raise ValueError(f"the scales of {name} do not fit it")
        values = unpack(data.numpy(), int(np.prod(shape, dtype=object)), BITS[coding.kind], entry["layout"])
        codes[name] = Coded(coding, torch.from_numpy(values).view(DTYPES[coding.kind]).reshape(shape), scales)
        plain[name] = decode(codes[name])
        if not _are_codes(codes[name]):
            raise ValueError(f"{name} has codes or scales that nothing is rounded to")
    for name, tensor in plain.items():
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            raise ValueError(f"{name} is not finite")
    return plain, codes


def _are_codes(coded: Coded) -> bool:
    """Tell whether codes and scales are some that `encode` gives: no -128, no minus zero, no negative scale."""
    if coded.scales is None:
        return True
    values = coded.codes.view(torch.int8)
    strange = (values == -128) if coded.coding.kind != "float8" else (values != 0) & (coded.codes.float() == 0)
    return bool((coded.scales >= 0).all() and not strange.any())


def compare(plain: Mapping[str, Tensor], shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Raise ValueError unless `plain` have the shapes that a model needs, and all of them: before it is built."""
    for name, tensor in plain.items():
        if name in shapes and tuple(tensor.shape) != shapes[name]:
            raise ValueError(f"{name} is {tuple(tensor.shape)}, not {shapes[name]}")
    if missing := shapes.keys() - plain.keys():
        raise ValueError(f"missing {sorted(missing)[0]}")
