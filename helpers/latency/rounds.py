"""Whole passes over a set by several ways, in rounds: each way once a round, in balanced order."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from helpers.environment import InputError
from helpers.latency.batches import balanced_orders

__all__ = ["factors", "quotient", "rounds"]


def rounds(ways: Mapping[str, Callable[[], float]], n: int) -> dict[str, list[float]]:
    """Return the seconds of each way in each of `n` rounds; a round before them is not counted.

    A way does its work when it is called, and returns the seconds that the whole of it takes or would take. Raises
    `InputError` for fewer than one round.
    """
    if n < 1:
        raise InputError(f"The number of rounds is {n}: give 1 or more.")
    for way in ways.values():
        way()
    names, orders = list(ways), balanced_orders(len(ways))
    found: dict[str, list[float]] = {name: [] for name in names}
    for number in range(n):
        for place in orders[number % len(orders)]:
            found[names[place]].append(ways[names[place]]())
    return found


def factors(seconds: Mapping[str, Sequence[float]]) -> list[dict[str, Any]]:
    """Return for each way its median seconds, how many times as fast as the way before it is, and as the first.

    A factor is the median over rounds of the quotient of a round's two times, with its 95 % bootstrap interval.

    >>> found = factors({"slow": [8.0, 8.0], "fast": [2.0, 2.0], "faster": [1.0, 1.0]})
    >>> [(one["way"], one["factor"]["median"], one["total"]["median"]) for one in found]
    [('slow', 1.0, 1.0), ('fast', 4.0, 4.0), ('faster', 2.0, 8.0)]
    """
    times = {name: np.array(each) for name, each in seconds.items()}
    first = before = next(iter(times.values()))
    found = []
    for name, each in times.items():
        found.append(
            {
                "way": name,
                "seconds": float(np.median(each)),
                "factor": quotient(before, each),
                "total": quotient(first, each),
            }
        )
        before = each
    return found


def quotient(slower: np.ndarray, faster: np.ndarray) -> dict[str, float]:
    """Return the median over pairs of `slower / faster`, seconds `[n]` each, with its 95 % bootstrap interval."""
    ratios = slower / faster
    drawn = np.random.default_rng(0).integers(0, len(ratios), size=(1000, len(ratios)))
    low, high = np.quantile(np.median(ratios[drawn], axis=1), [0.025, 0.975])
    return {"median": float(np.median(ratios)), "low": float(low), "high": float(high)}
