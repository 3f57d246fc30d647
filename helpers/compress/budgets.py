"""How many bytes a chain's weights will take, told from shapes alone, and how much pruning keeps a budget."""

from __future__ import annotations

import bisect
import math
import re
from collections.abc import Sequence
from typing import NamedTuple

import torch
from transformers import BertConfig, BertForSequenceClassification

from helpers import models
from helpers.compress import factorization, notation, pruning
from helpers.compress.notation import FIT, ROUNDINGS, Link
from helpers.environment import InputError
from helpers.storage import BITS, Coding

__all__ = ["Weights", "coding", "fitted", "layout", "predicted", "size"]

STEPS = 1000  # an amount that fits is a whole number of thousandths
FLOAT = 32  # bits of a weight that is not rounded


class Weights(NamedTuple):
    """The weights of a model: the shape of each matrix, and how many others there are."""

    matrices: tuple[tuple[int, int], ...]
    others: int

    @classmethod
    def of(cls, config: BertConfig, *, low_rank: float | None = None) -> Weights:
        """Count those of a configuration, whose encoder keeps a share of its weights as in a chain's `low_rank`."""
        with torch.device("meta"):  # shapes only
            model = models.build(BertForSequenceClassification, config)
            if low_rank is not None:
                compact = {"ranks": factorization.ranks_for(model, linear=low_rank)}
                model = models.build(
                    BertForSequenceClassification, BertConfig(**config.to_dict() | {"compact": compact})
                )
        matrices = tuple(tuple(module.weight.shape) for _, module in pruning.matrices(model))
        every = sum(parameter.numel() for parameter in model.parameters())
        return cls(matrices, every - sum(rows * columns for rows, columns in matrices))


def size(budget: str) -> int:
    """Return the bytes of a budget, as `5.2 MB` or `300 kB`. Raises `InputError` for any other text."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?) (kB|MB)", budget)
    if not found or not float(found[1]):
        raise InputError(f"A budget is a number of MB or kB, as '5.2 MB', not {budget!r}.")
    return round(float(found[1]) * {"kB": 10**3, "MB": 10**6}[found[2]])


def coding(kind: str, group: int) -> Coding:
    """Return what a step such as `int8` rounds to: int4's scales are for groups, those of eight bits for rows."""
    return Coding(kind, group if kind == "int4" else 0)


def predicted(chain: Sequence[Link], weights: Weights, *, group: int) -> int:
    """Return the bytes that the weights take in a chain's file, in the layout that `layout` names.

    A weight of a matrix takes its kind's bits; in a bitmask one bit, and those of its kind where pruning has left it.
    Scales take 16 bits. Other weights are in float32, with bf16 in that. Where rounding makes further zeros it is less.
    """
    return _bytes(chain, weights, group, layout(chain, weights, group=group))


def layout(chain: Sequence[Link], weights: Weights, *, group: int) -> str:
    """Return the layout, dense or bitmask, in which the weights of a chain's file take less."""
    return min(("dense", "bitmask"), key=lambda each: _bytes(chain, weights, group, each))


def _bytes(chain: Sequence[Link], weights: Weights, group: int, layout: str) -> int:
    kind = next((link[0] for link in chain if link[0] in ROUNDINGS), None)
    amount = max((float(link[1]) for link in chain if link[0] == "prune"), default=0.0)
    bits = BITS[kind] if kind else FLOAT
    total = weights.others * (bits if kind == "bf16" else FLOAT) / 8
    for count in (rows * columns for rows, columns in weights.matrices):
        left = count if layout == "dense" else count - round(amount * count)
        total += math.ceil(left * bits / 8) + (math.ceil(count / 8) if layout == "bitmask" else 0)
    if kind not in (None, "bf16"):
        scales = (coding(kind, group).scales(shape) for shape in weights.matrices)
        total += 2 * sum(rows * groups for rows, groups in scales)
    return math.ceil(total)


def fitted(chain: Sequence[Link], budget: str, weights: Weights, *, group: int) -> tuple[Link, ...]:
    """Return a chain with the least amount of pruning, in thousandths, with which its weights keep a budget.

    A chain without `fit` stays as it is. Raises `InputError` if it cannot keep the budget, or if it keeps it as well
    without the step.
    """
    text, most = notation.write(chain), size(budget)

    def ends_at(thousandths: int) -> int:
        return predicted(_with_amount(chain, thousandths), weights, group=group)

    if ("prune", FIT) not in chain:
        if ends_at(0) > most:
            raise InputError(f"Chain {text!r} ends at {_mb(ends_at(0))}, above its budget of {budget}.")
        return tuple(chain)
    if predicted([link for link in chain if link != ("prune", FIT)], weights, group=group) <= most:
        raise InputError(f"Chain {text!r} keeps its budget of {budget} without prune fit: leave it out.")
    if ends_at(STEPS - 1) > most:
        least = _mb(ends_at(STEPS - 1))
        raise InputError(f"Chain {text!r} takes {least} with nearly all weights pruned, above its budget of {budget}.")
    amounts = range(1, STEPS)  # the more is pruned, the fewer bytes
    return _with_amount(chain, amounts[bisect.bisect_left(amounts, True, key=lambda amount: ends_at(amount) <= most)])


def _with_amount(chain: Sequence[Link], thousandths: int) -> tuple[Link, ...]:
    amount = thousandths / STEPS
    return tuple(("prune", amount) if link == ("prune", FIT) else link for link in chain)


def _mb(count: int) -> str:
    return f"{count / 1e6:.3g} MB"
