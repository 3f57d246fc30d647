"""Fewer bits for a weight: what it is rounded to, and what it is read back as.

Rounding is to nearest and symmetric, so zero stays zero: what pruning removed stays removed. A coded model is an
ordinary float32 one whose weights have the rounded values, with the codes beside them under `model.codes`.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from helpers.environment import InputError
from helpers.models import own_tensors

__all__ = ["BITS", "Coded", "Coding", "code", "codes_of", "decode", "encode"]

BITS = {"bf16": 16, "float8": 8, "int8": 8, "int4": 4}
DTYPES = {"bf16": torch.bfloat16, "float8": torch.float8_e4m3fn, "int8": torch.int8, "int4": torch.int8}
LARGEST = {"float8": 448, "int8": 127, "int4": 7}


@dataclass(frozen=True)
class Coding:
    """What weights are rounded to, and how many neighbours in a row have a scale in common (0: the whole row).

    `kind`: `bf16`, without a scale; `float8`, the kind with four bits of exponent and three of mantissa (e4m3);
    `int8`, -127 to 127; `int4`, -7 to 7.
    """

    kind: str
    group: int = 0

    def __post_init__(self) -> None:
        if self.kind not in BITS:
            raise InputError(f"Weights are stored as {', '.join(BITS)}, not {self.kind!r}.")
        if isinstance(self.group, bool) or not isinstance(self.group, int) or self.group < 0:
            raise InputError(f"A group is a number of weights, or 0 for a whole row, not {self.group!r}.")
        if self.group and self.kind == "bf16":
            raise InputError("bf16 has no scale that a group could share: give group 0.")

    def scales(self, shape: tuple[int, ...]) -> tuple[int, int]:
        """Return the shape of the scales, rows and groups in a row, for a weight of some shape."""
        return shape[0], -(-shape[1] // max(self.width(shape[1]), 1))

    def width(self, columns: int) -> int:
        """Return how many weights of a row that long share a scale."""
        return min(self.group or columns, columns)


@dataclass(frozen=True)
class Coded:
    """A weight in fewer bits: `codes` of the weight's shape, and what they are multiplied by, rows x groups, bf16."""

    coding: Coding
    codes: Tensor
    scales: Tensor | None

    def __deepcopy__(self, memo: dict[int, object]) -> Coded:
        return self  # never changed in place

    def keep(self, kept: Tensor) -> Coded:
        """Return these codes with zeros outside `kept` (of their shape): with its scales the rest keeps its values."""
        return replace(self, codes=torch.where(kept.cpu(), self.codes.float(), 0.0).to(self.codes.dtype))


def encode(weight: Tensor, coding: Coding) -> Coded:
    """Round a weight: a matrix (rows, columns), or for bf16 any tensor.

    A group's scale is its largest absolute weight over the largest code, rounded up to bf16 so that no weight is cut
    off. Raises `InputError` for a weight that is no matrix where there are scales.
    """
    weight = weight.detach().float().contiguous()
    if coding.kind == "bf16":
        return Coded(coding, weight.to(torch.bfloat16), None)
    if weight.dim() != 2:
        raise InputError(f"Only a matrix has rows that share scales; this weight has {weight.dim()} dimensions.")
    groups = _grouped(weight, coding)
    scales = _up_to_bf16(groups.abs().amax(dim=-1) / LARGEST[coding.kind])
    # a group of zeros has scale 0, and so have weights too small for any scale: they become zeros
    share = torch.where(scales > 0, scales.float(), torch.inf)[..., None]
    quotients = groups / share
    if coding.kind != "float8":
        quotients = quotients.round()
    codes = quotients.to(DTYPES[coding.kind]).reshape(len(weight), -1)[:, : weight.shape[1]].contiguous()
    if coding.kind == "float8":
        # without a minus zero: one code for zero is enough
        codes = torch.where(codes.float() == 0, 0.0, codes.float()).to(codes.dtype)
    return Coded(coding, codes, scales)


def decode(coded: Coded) -> Tensor:
    """Return the float32 weight that codes stand for: code times scale, one exact rule on every machine."""
    if coded.scales is None:
        return coded.codes.float()
    groups = _grouped(coded.codes.float(), coded.coding) * coded.scales.float()[..., None]
    return groups.reshape(len(coded.codes), -1)[:, : coded.codes.shape[1]].contiguous()


def code(model: nn.Module, codings: Mapping[str, Coding]) -> nn.Module:
    """Return a copy of a model with some weights, by name, rounded; the others, coded or not, stay as they are.

    Raises `InputError` for a name that is no float weight of the model.
    """
    model = copy.deepcopy(model)
    tensors, codes = own_tensors(model), dict(codes_of(model))
    for name, coding in codings.items():
        weight = tensors.get(name)
        if not isinstance(weight, Tensor) or not weight.is_floating_point():
            raise InputError(f"The model has no float weight {name!r} to round.")
        if not torch.isfinite(weight).all():
            raise InputError(f"{name!r} is not finite and cannot be rounded: train the model again.")
        codes[name] = encode(weight.cpu(), coding)
        with torch.no_grad():
            weight.copy_(decode(codes[name]))
    model.codes = codes
    return model


def codes_of(model: nn.Module) -> dict[str, Coded]:
    """Return a model's coded weights by name; none for an ordinary model.

    Raises `InputError` if a weight is no longer what its codes stand for: then it would not be stored as it is.
    """
    tensors, codes = own_tensors(model), getattr(model, "codes", {})
    for name, coded in codes.items():
        if name not in tensors or not torch.equal(tensors[name].detach().cpu(), decode(coded)):
            raise InputError(f"{name!r} has changed since it was rounded: round the weights of the model again.")
    return codes


def _grouped(matrix: Tensor, coding: Coding) -> Tensor:
    """Return (rows, groups, group): the last group filled with zeros."""
    rows, groups = coding.scales(tuple(matrix.shape))
    size = coding.width(matrix.shape[1])
    return nn.functional.pad(matrix, (0, groups * size - matrix.shape[1])).reshape(rows, groups, size)


def _up_to_bf16(values: Tensor) -> Tensor:
    near = values.to(torch.bfloat16)
    return torch.where(near.float() < values, torch.nextafter(near, torch.full_like(near, torch.inf)), near)
