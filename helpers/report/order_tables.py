"""Tables of chains in other orders, and the plain answer: which order, by how much, and where it is inside noise."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable

import pandas as pd

from helpers.labels import METRICS, joined, task_label
from helpers.report import cells, summary
from helpers.report.cells import DASH, NOISE, is_noise
from helpers.report.order_choices import Swap, best, front, methods, reordered, swaps
from helpers.report.order_findings import compared, verdict
from helpers.report.orders import (
    chains,
    milliseconds,
    minutes,
    nodes,
    points,
    points_over,
    seeds_of,
    tasks_of,
    to_student,
    weights_mb,
)
from helpers.report.summary import Records, Summary

__all__ = ["answer", "findings_table", "has_pairs", "methods_table", "orders_table", "pairs_table", "swaps_table"]

_UNIT = " points"


def orders_table(records: Records) -> pd.DataFrame:
    """Return each chain's bytes, time, minutes of building, and scores beside its budget's first and the student."""
    tasks = {task: summary.metrics_of(records, task)[0] for task in tasks_of(records)}
    found, on_front, rows = nodes(records), front(records), []
    for budget, some in chains(records).items():
        first = next(iter(some.values()))
        for arm in some.values():
            beside = functools.partial(points, records, arm, first)
            time = milliseconds(records, arm)
            row = {"System": found[arm]["chain"], "Budget": budget}
            row |= {"Weights (MB)": cells.number(weights_mb(records, arm))}
            row |= {"ms per example": DASH if time is None else cells.number(time)}
            row |= {"Minutes to build": f"{minutes(records, arm):.1f}", "Front": "yes" if arm in on_front else ""}
            row |= {"To the budget's first (points)": DASH if arm == first else _told(beside())}
            row |= {"To the student (points)": _told(to_student(records, arm))}
            for task, metric in tasks.items():
                label = task_label(task)
                row[f"{label} {METRICS.get(metric, metric)}"] = cells.plain(summary.score(records, task, arm))
                row[f"{label}: to the first"] = DASH if arm == first else _told(beside(tasks=[task]))
            rows.append(row)
    return _frame(rows)


def methods_table(records: Records) -> pd.DataFrame:
    """Return, for each set of methods, its best chain within a budget on held-out rows beside the best of all."""
    rows = []
    for budget, some in chains(records).items():
        whole = best(records, some.values())
        for used, arms in methods(records, some.values()).items():
            chosen = best(records, arms)
            if chosen is None or whole is None:
                continue
            row = {"System": ", ".join(used), "Budget": budget, "Best chain": nodes(records)[chosen]["chain"]}
            row |= {"Chains": str(len(arms)), "To the student (points)": _told(to_student(records, chosen))}
            told = _by_task(records, functools.partial(points, records, chosen, whole), "To the budget's best (points)")
            rows.append(row | (dict.fromkeys(told, DASH) if chosen == whole else told))
    return _frame(rows)


def has_pairs(records: Records) -> bool:
    """Tell whether any two chains of a budget have the same steps in another order."""
    return any(
        reordered(records, list(some.values()), arm) for some in chains(records).values() for arm in some.values()
    )


def pairs_table(records: Records) -> pd.DataFrame:
    """Return the difference of every two chains of a budget that have the same steps in another order."""
    found, rows = nodes(records), []
    for budget, some in chains(records).items():
        for other, one in itertools.combinations(some.values(), 2):
            if one in reordered(records, [one, other], other):
                row = {"System": found[one]["chain"], "Beside": found[other]["chain"], "Budget": budget}
                rows.append(row | _by_task(records, functools.partial(points, records, one, other)))
    return _frame(rows)


def swaps_table(records: Records) -> pd.DataFrame:
    """Return what it changes to put one step before another, over all chains of a budget that differ in that alone."""
    rows = []
    for swap in swaps(records):
        row = {
            "System": swap.told,
            "Budget": swap.budget,
            "Pairs of chains": str(len(swap.pairs)),
            "Pair by pair (points)": _range(records, swap),
        }
        rows.append(row | _by_task(records, functools.partial(points_over, records, swap.pairs)))
    return _frame(rows)


def findings_table(records: Records) -> pd.DataFrame:
    """Return what others found beside the same comparison here: the mean over all pairs of chains that ask it."""
    found, rows = nodes(records), []
    for finding, pairs in compared(records):
        difference = functools.partial(points_over, records, pairs)
        one, beside = (found[arm]["chain"] for arm in pairs[0])
        more = f" and {len(pairs) - 1} more" if len(pairs) > 1 else ""
        row = {"System": finding.source, "What they say": finding.told, "Here": f"{one} beside {beside}{more}"}
        mean = difference()
        row |= {"It comes out": DASH if mean is None else verdict(finding, mean)}
        rows.append(row | _by_task(records, difference))
    return _frame(rows)


def _range(records: Records, swap: Swap) -> str:
    """Return the lowest and the highest difference of a swap's pairs, and whether they contradict each other."""
    found = [one for pair in swap.pairs if (one := points(records, *pair))]
    if not found:
        return DASH
    if len(found) == 1:
        return _signed(found[0].value)
    low, high = (end(found, key=lambda one: one.value) for end in (min, max))
    depends = any(one.high < 0 for one in found) and any(one.low > 0 for one in found)
    return f"{_signed(low.value)} to {_signed(high.value)}{', depends on the chain' if depends else ''}"


def _by_task(
    records: Records, difference: Callable[..., Summary | None], title: str = "Mean difference (points)"
) -> dict[str, str]:
    row = {title: _told(difference())}
    return row | {task_label(task): _told(difference(tasks=[task])) for task in tasks_of(records)}


def _frame(rows: list[dict[str, str]]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=list(rows[0]) if rows else ["System"]).set_index("System")


def _told(found: Summary | None) -> str:
    return DASH if found is None else cells.points(found, mark=f", {NOISE}")


def _signed(value: float) -> str:
    return cells.signed(value, 2)


def answer(records: Records) -> list[str]:
    """Say in plain sentences which chain is best within each budget, what a swap changes, and what is inside noise."""
    found, said = nodes(records), []
    tasks = tasks_of(records)
    for budget, some in chains(records).items():
        arms = list(some.values())
        chosen, first = best(records, arms), arms[0]
        if chosen is None:
            continue
        beside = [("the whole student", to_student(records, chosen))]
        if chosen != first:
            beside.append((f"`{found[first]['chain']}`", points(records, chosen, first)))
        if others := reordered(records, arms, chosen):
            mean = points_over(records, [(chosen, other) for other in others])
            other = "the other order" if len(others) == 1 else f"the mean of the {len(others)} other orders"
            beside.append((f"{other} of its steps", mean))
        told = joined([f"{cells.points(one, _UNIT)} beside {what}" for what, one in beside if one is not None])
        said.append(
            f"Within {budget} `{found[chosen]['chain']}` is best on held-out rows. On the validation split: {told}."
        )
    for swap in swaps(records):
        mean = points_over(records, swap.pairs)
        if mean is None:
            continue
        by_task = {task: points_over(records, swap.pairs, tasks=[task]) for task in tasks}
        clear = [
            f"{task_label(task)} {_signed(one.value)}" for task, one in by_task.items() if one and not is_noise(one)
        ]
        seen = f"; told apart on {joined(clear)}" if clear and len(tasks) > 1 else ""
        pairs = f", from {_range(records, swap)} over {len(swap.pairs)} pairs" if len(swap.pairs) > 1 else ""
        said.append(f"{swap.told.capitalize()}, within {swap.budget}: {cells.points(mean, _UNIT)}{pairs}{seen}.")
    named = joined([task_label(task) for task in tasks])
    noise = "" if len(seeds_of(records)) > 1 else "; with one seed intervals cover the choice of rows alone"
    said.append(f"Points are hundredths, on the mean over {named}{noise}; intervals are not adjusted for their number.")
    return said
