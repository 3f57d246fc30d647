"""The least time that a model could take on this machine: its operations at the rate of plain matrix products, its
bytes at the rate of plain reading.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import nn
from transformers import BertForSequenceClassification

from helpers import models
from helpers.environment import threads

__all__ = ["BYTES", "Rates", "floor_ms", "matrix_rates", "operations", "read_rate", "weight_bytes"]

BYTES = {"float32": 4, "bf16": 2, "int8": 1}  # of a weight in a matrix product
SIDE = 1024  # of the matrices whose product is timed
REPEATS = 50


class Rates(NamedTuple):
    """What the machine does: 10**9 operations a second in one precision, and 10**9 bytes read a second."""

    matrix: float
    read: float


def matrix_rates(threads_used: int) -> dict[str, float]:
    """Measure products of square matrices in each precision: 10**9 operations a second.

    A multiplication and an addition are two operations. The best of some repeats, and of two libraries, counts: a floor
    is about what the machine can do.
    """
    left, right = torch.randn(SIDE, SIDE), torch.randn(SIDE, SIDE)
    short, other = left.bfloat16(), right.bfloat16()
    small = (left * 20).to(torch.int8), (right * 20).to(torch.int8)
    products: dict[str, list[Callable[[], object]]] = {
        "float32": [lambda: left @ right],
        "bf16": [lambda: short @ other],
        "int8": [lambda: torch._int_mm(*small)],
    }
    if torch.backends.mkldnn.is_available():  # another library than torch's own choice, faster on some processors
        blocked = left.to_mkldnn(), right.to_mkldnn()
        products["float32"].append(lambda: nn.functional.linear(*blocked))
    with threads(threads_used), torch.inference_mode():
        return {name: 2 * SIDE**3 / min(map(_best, ways)) / 1e9 for name, ways in products.items()}


def read_rate(threads_used: int, *, size_bytes: int) -> float:
    """Measure reading a block of this size again and again: 10**9 bytes a second.

    The size is that of a model's weights, which, if they fit, stay in the processor's cache. The best repeat counts.
    """
    block = torch.ones(max(1, size_bytes // 4))
    with threads(threads_used), torch.inference_mode():
        return 4 * block.numel() / _best(block.sum) / 1e9


def operations(model: BertForSequenceClassification, *, batch_size: int, length: int) -> int:
    """Return the multiplications and additions of all matrix products for `batch_size` rows of `length` tokens.

    Linear layers of the encoder at each token, of pooler and classifier once a row, and attention's two products.
    """
    total = _operations(model.bert.pooler, model.classifier)  # of a row
    for layer in model.bert.encoder.layer:  # one that is shared counts as often as it is asked
        own: Any = layer.attention
        mixed = 4 * own.self.query.out_features * length  # scores, then values: for a token, with each
        read = _operations(own.self.key, own.self.value)
        written = 1 if isinstance(layer, models.FirstTokenLayer) else length
        total += length * read + written * (_operations(layer) - read + mixed)
    return batch_size * total


def _operations(*modules: nn.Module) -> int:
    """Return the multiplications and additions of all linear layers in some modules, for one token."""
    parts = [part for module in modules for part in module.modules()]
    return sum(2 * part.weight.numel() for part in parts if isinstance(part, nn.Linear))


def weight_bytes(model: BertForSequenceClassification, *, precision: str, batch_size: int, length: int) -> int:
    """Return the bytes that an answer has to read: all matrices, in `precision`, and the embeddings of its tokens."""
    linear = sum(layer.weight.numel() for layer in model.modules() if isinstance(layer, nn.Linear))
    return BYTES[precision] * linear + 4 * batch_size * length * model.config.hidden_size


def floor_ms(
    model: BertForSequenceClassification, measured: Rates, *, precision: str, batch_size: int, length: int
) -> float:
    """Return the least milliseconds for a batch: its operations or its bytes, whichever takes longer."""
    computing = operations(model, batch_size=batch_size, length=length) / (measured.matrix * 1e9)
    size = weight_bytes(model, precision=precision, batch_size=batch_size, length=length)
    return 1e3 * max(computing, size / (measured.read * 1e9))


def _best(work: Callable[[], object]) -> float:
    found = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        work()
        found.append(time.perf_counter() - began)
    return min(found)
