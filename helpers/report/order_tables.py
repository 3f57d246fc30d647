"""Tables of chains in other orders, and the plain answer: which order, by how much, and where it is inside noise."""

from __future__ import annotations

import functools
from collections.abc import Callable

import pandas as pd

from helpers.labels import METRICS, joined, task_label
from helpers.report import cells, summary
from helpers.report.cells import DASH, NOISE
from helpers.report.orders import (
    beside,
    best,
    chains,
    front,
    milliseconds,
    minutes,
    points,
    swap_points,
    swaps,
    tasks_of,
    to_student,
    trees,
    weights_mb,
)
from helpers.report.summary import Records, Summary

__all__ = ["answer", "orders_table", "pairs_table", "swaps_table"]


def orders_table(records: Records) -> pd.DataFrame:
    """Return each chain's bytes, time, minutes of building, and scores beside its budget's first and the student."""
    tasks = {task: summary.metrics_of(records, task)[0] for task in tasks_of(records)}
    nodes, on_front, rows = trees(records), front(records), []
    for budget, some in chains(records).items():
        first = next(iter(some.values()))
        for arm in some.values():
            row = {
                "System": nodes[arm]["chain"],
                "Budget": budget,
                "Weights (MB)": cells.number(weights_mb(records, arm)),
            }
            time = milliseconds(records, arm)
            row["ms per example"] = DASH if time is None else cells.number(time)
            row["Minutes to build"] = cells.number(minutes(records, arm))
            row["On the front"] = "yes" if arm in on_front else ""
            row["To the budget's first (points)"] = DASH if arm == first else _told(points(records, arm, first))
            row["To the student (points)"] = _told(to_student(records, arm))
            for task, metric in tasks.items():
                label = task_label(task)
                row[f"{label} {METRICS.get(metric, metric)}"] = cells.plain(summary.score(records, task, arm))
                row[f"{label}: to the first"] = DASH if arm == first else _told(points(records, arm, first, task=task))
            rows.append(row)
    return pd.DataFrame(rows).set_index("System")


def pairs_table(records: Records) -> pd.DataFrame:
    """Return the difference of every two chains of a budget that have the same steps in another order."""
    nodes, rows = trees(records), []
    for budget, some in chains(records).items():
        arms = list(some.values())
        for place, other in enumerate(arms):
            for one in arms[place + 1 :]:
                steps = [sorted(nodes[arm]["chain"].split(" > ")) for arm in (one, other)]
                if steps[0] == steps[1]:
                    row = {"System": nodes[one]["chain"], "Beside": nodes[other]["chain"], "Budget": budget}
                    rows.append(row | _by_task(records, functools.partial(points, records, one, other)))
    return pd.DataFrame(rows).set_index("System")


def swaps_table(records: Records) -> pd.DataFrame:
    """Return what it changes to put one step before another, on the mean over chains that differ in that alone."""
    rows = [
        {"System": swap.told, "Pairs of chains": str(len(swap.pairs))}
        | _by_task(records, functools.partial(swap_points, records, swap))
        for swap in swaps(records)
    ]
    return pd.DataFrame(rows).set_index("System")


def _by_task(records: Records, difference: Callable[..., Summary | None]) -> dict[str, str]:
    row = {"Mean difference (points)": _told(difference())}
    return row | {task_label(task): _told(difference(task=task)) for task in tasks_of(records)}


def _told(found: Summary | None) -> str:
    """Return a difference in points with its interval, marked where that contains zero."""
    if found is None:
        return DASH
    inside = f", {NOISE}" if _noisy(found) else ""
    value = f"{found.value:+.2f}" if round(found.value, 2) else "0.00"
    return f"{value} [{found.low:+.2f}, {found.high:+.2f}]{inside}"


def answer(records: Records) -> list[str]:
    """Say in plain sentences which order is best within each budget, what a swap changes, and what is inside noise."""
    nodes, said = trees(records), []
    tasks = joined([task_label(task) for task in tasks_of(records)])
    for budget, some in chains(records).items():
        arms = list(some.values())
        chosen, first = best(records, arms), arms[0]
        text = f"Within {budget} `{nodes[chosen]['chain']}` is best on held-out rows. On the validation split it is "
        for other in dict.fromkeys((beside(records, arms, chosen), first)):
            if other not in (None, chosen):
                text += f"{_points(points(records, chosen, other))} beside `{nodes[other]['chain']}`, "
        said.append(f"{text}{_points(to_student(records, chosen))} beside the whole student (mean over {tasks}).")
        others = [points(records, arm, first) for arm in arms if arm != first]
        worse, better = sum(one.high < 0 for one in others), sum(one.low > 0 for one in others)
        said.append(
            f"There {better} of the {len(others)} other chains are better than `{nodes[first]['chain']}` by more than "
            f"noise, {worse} worse."
        )
    for swap in swaps(records):
        by_task = {task: swap_points(records, swap, task=task) for task in tasks_of(records)}
        clear = [f"{task_label(task)} {one.value:+.1f}" for task, one in by_task.items() if one and not _noisy(one)]
        seen = f"; told apart on {joined(clear)}" if clear and len(by_task) > 1 else ""
        said.append(f"{swap.told.capitalize()}: {_points(swap_points(records, swap))}{seen}.")
    return said


def _noisy(found: Summary) -> bool:
    return found.low <= 0 <= found.high


def _points(found: Summary) -> str:
    """Return `+1.20 points [+0.30, +2.10]`, and whether that is inside noise."""
    return f"{found.value:+.2f} points [{found.low:+.2f}, {found.high:+.2f}]{f' ({NOISE})' if _noisy(found) else ''}"
