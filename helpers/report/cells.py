"""One printed cell: a score with its spread, a size, a time, a ratio; a dash where nothing was measured."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from helpers.report import differences, summary
from helpers.report.summary import Records, Summary

__all__ = [
    "DASH",
    "NOISE",
    "NOTEBOOK",
    "change",
    "is_noise",
    "made_in",
    "megabytes",
    "number",
    "percent",
    "plain",
    "points",
    "score",
    "seconds",
    "signed",
    "time_and_speedup",
]

DASH = "—"
NOISE = "inside noise"
NOTEBOOK = "Notebook"  # the column that says what to run for a row


def plain(found: Summary | None) -> str:
    """Return `value [low, high]` for one seed, `mean ± half-width (k seeds)` for several.

    >>> plain(Summary(0.851, 0.83, 0.87, seeds=1))
    '0.851 [0.83, 0.87]'
    >>> plain(Summary(0.851, 0.831, 0.871, seeds=3))
    '0.851 ± 0.020 (3 seeds)'
    """
    if found is None:
        return DASH
    if found.seeds > 1:
        return f"{found.value:.3f} ± {found.high - found.value:.3f} ({found.seeds} seeds)"
    bounds = "" if math.isnan(found.low) or math.isnan(found.high) else f" [{found.low:.2f}, {found.high:.2f}]"
    return f"{found.value:.3f}{bounds}"


def score(records: Records, task: str, arm: str, metric: str) -> str:
    """Return one score; the main metric is marked where its difference is inside noise."""
    text = plain(summary.score(records, task, arm, metric))
    versus = differences.difference(records, task, arm)
    is_main = metric == next(iter(summary.metrics_of(records, task)))
    return f"{text} {NOISE}" if text != DASH and is_main and versus and is_noise(versus[1]) else text


def made_in(records: Records, arm: str, *, task: str | None = None) -> str:
    """Return the number of the notebook that an arm's row is of: the first of these records' that has the arm."""
    return min((record["notebook"][:2] for record, _ in summary.arms_of(records, arm, task=task)), default=DASH)


def change(records: Records, task: str, arm: str) -> str:
    """Return the paired difference to the arm's reference: `+0.012 [-0.010, +0.034] inside noise`."""
    versus = differences.difference(records, task, arm)
    if versus is None:
        return DASH
    value, low, high, _ = versus[1]
    bounds = "" if math.isnan(low) or math.isnan(high) else f" [{signed(low)}, {signed(high)}]"
    return f"{signed(value)}{bounds}{f' {NOISE}' if is_noise(versus[1]) else ''}"


def points(found: Summary, unit: str = "", mark: str = f" ({NOISE})") -> str:
    """Return a difference in points with its interval, and a mark where that contains zero.

    >>> points(Summary(0.75, -2.43, 3.93, seeds=1), " points")
    '+0.75 points [-2.43, +3.93] (inside noise)'
    """
    ends = f"[{found.low:+.2f}, {found.high:+.2f}]"
    return f"{signed(found.value, 2)}{unit} {ends}{mark if is_noise(found) else ''}"


def signed(value: float, digits: int = 3) -> str:
    """Return decimals with a sign, and none for what is rounded to zero.

    >>> [signed(value) for value in (0.0123, -0.0004, -0.25)]
    ['+0.012', '0.000', '-0.250']
    """
    text = f"{value:+.{digits}f}"
    return text[1:] if float(text) == 0 else text


def percent(found: Summary | None) -> str:
    """Return a fraction in percent, over several seeds with the half-width of its t interval."""
    if found is None:
        return DASH
    half = f" ± {100 * (found.high - found.value):.0f}" if found.seeds > 1 else ""
    return f"{100 * found.value:.0f}{half} %"


def megabytes(records: Records, arm: str, kind: str) -> str:
    """Return the size in MB (10**6 bytes); a range where tasks differ by more than 1 %."""
    sizes = [one["bytes"][kind] / 1e6 for _, one in summary.arms_of(records, arm)]
    if not sizes:
        return DASH
    middle, low, high = summary.spread(sizes)
    return f"{middle:.2f}" if high - low <= 0.01 * middle else f"{low:.2f} to {high:.2f}"


def seconds(records: Records, task: str, arm: str) -> str:
    """Return seconds for the validation set and the factor to BERT-base's shape in the same run (medians)."""
    times, factors, estimated = [], [], False
    for record, one in summary.arms_of(records, arm, task=task):
        value = (one["latency"] or {}).get("validation_seconds")
        if value is None:
            continue
        times.append(value)
        estimated |= one["latency"]["validation_estimated"]
        base = next((a["latency"] for a in record["arms"] if a["arm"] == "bert_base_shape"), None)
        if base and base["validation_seconds"] and value:
            factors.append(base["validation_seconds"] / value)
    if not times:
        return DASH
    factor = f" ({number(summary.spread(factors)[0])}x)" if factors else ""
    return f"{'≈ ' if estimated else ''}{number(summary.spread(times)[0])} s{factor}"


def time_and_speedup(measured: Sequence[Mapping[str, Any]]) -> tuple[str, str]:
    """Return `median (p95)` in ms and `ratio [low, high]` of one latency block, given once per seed."""
    times = [(one["median_ms"], one["p95_ms"]) for one in measured]
    times = [pair for pair in times if None not in pair]
    ratios = [one["speedup"] for one in measured if one["speedup"] and None not in one["speedup"].values()]
    time = speed = DASH
    if times:
        middle, tail = (summary.spread(column)[0] for column in zip(*times, strict=True))
        time = f"{number(middle)} ({number(tail)})"
    if ratios:
        middle = summary.spread(ratio["median"] for ratio in ratios)[0]
        low, high = min(ratio["low"] for ratio in ratios), max(ratio["high"] for ratio in ratios)
        speed = f"{number(middle)}x [{number(low)}, {number(high)}]"
    return time, speed


def number(value: float) -> str:
    """Return three significant digits without an exponent.

    >>> [number(value) for value in (2263.6, 95.13, 9.997, 0.7131, 0.0)]
    ['2264', '95.1', '10.0', '0.713', '0.00']
    """
    rounded = float(f"{value:.3g}")  # 9.997 becomes 10.0 before its digits are counted
    digits = 2 - math.floor(math.log10(abs(rounded))) if rounded else 2
    return f"{value:.{min(max(digits, 0), 5)}f}"


def is_noise(versus: Summary) -> bool:
    """Tell whether a difference's interval contains zero."""
    return versus.low <= 0 <= versus.high
