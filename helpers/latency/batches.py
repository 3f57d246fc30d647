"""Token rows as padded batches, and which of them to measure."""

import itertools
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from helpers.environment import InputError
from helpers.tasks import FIELDS, collate

__all__ = ["Batch", "Rows", "balanced_orders", "check_rows", "joined", "pad", "schedule", "spread"]

Rows = Sequence[Mapping[str, list[int]]]


class Batch(NamedTuple):
    """The inputs of one forward pass, its examples and its tokens."""

    inputs: dict[str, Tensor]
    examples: int
    tokens: int  # padding included


def check_rows(dataset: Rows, padded_length: int) -> None:
    """Raise InputError unless each row has the three fields, equally long and up to `padded_length`."""
    if not len(dataset):
        raise InputError("There is no example to measure on: give a set with one row or more.")
    for index, row in enumerate(dataset):
        missing = [field for field in FIELDS if field not in row]
        if missing:
            raise InputError(f"Row {index} of the set has no {', '.join(missing)}: tokenize the set first.")
        lengths = {len(row[field]) for field in FIELDS}
        if len(lengths) > 1 or not 0 < max(lengths) <= padded_length:
            raise InputError(
                f"Row {index} of the set has fields of {sorted(lengths)} tokens: they must be equally long, "
                f"and from 1 to padded_length = {padded_length}."
            )


def pad(rows: Rows, length: int | None, pad_id: int, where: torch.device) -> Batch:
    """Return the rows as one batch, `[B, T]`, padded to `length` or to their longest."""
    inputs = {name: value.to(where) for name, value in collate(rows, length=length, pad_id=pad_id).items()}
    return Batch(inputs, len(rows), inputs["input_ids"].numel())


def joined(rows: Rows, length: int, count: int) -> Rows:
    """Return `count` rows of exactly `length` tokens: the rows one after another, again from the start, cut there.

    >>> some = [{"input_ids": [2, 7, 3]}, {"input_ids": [2, 8, 9, 3]}]
    >>> [row["input_ids"] for row in joined(some, 5, 2)]
    [[2, 7, 3, 2, 8], [9, 3, 2, 7, 3]]
    """
    endless = itertools.cycle(itertools.chain.from_iterable(row["input_ids"] for row in rows))
    cut = [list(itertools.islice(endless, length)) for _ in range(count)]
    return [{"input_ids": ids, "token_type_ids": [0] * length, "attention_mask": [1] * length} for ids in cut]


def spread(n: int, k: int) -> list[int]:
    """Return `k` indexes spread evenly over `range(n)`, the same one again where `k > n`."""
    return np.linspace(0, n - 1, k).round().astype(int).tolist()


def schedule(own: list[Batch], chosen: Sequence[int], repeats: int) -> list[int]:
    """Return the order in which batches are timed: all that were chosen, and `repeats` full ones at least."""
    order, full = [], 0
    for index in itertools.cycle(chosen):
        if len(order) >= len(chosen) and full >= repeats:
            return order
        order.append(int(index))
        full += own[index].examples == own[0].examples
    return order


def balanced_orders(n: int) -> list[list[int]]:
    """Return orders of `range(n)` in which each follows each other equally often, and has each place equally often.

    A Williams design (Williams 1949): `n` orders for an even `n`, twice as many for an odd one. A model that always
    ran after a large one would find its weights gone from the caches each time.

    >>> balanced_orders(4)
    [[0, 3, 1, 2], [1, 0, 2, 3], [2, 1, 3, 0], [3, 2, 0, 1]]
    """
    first = [(place // 2 if place % 2 == 0 else n - 1 - place // 2) for place in range(n)]
    orders = [[(number + shift) % n for number in first] for shift in range(n)]
    return orders if n % 2 == 0 else orders + [order[::-1] for order in orders]
