"""Score against bytes and against speed, over models, files and programs, with the front of each."""

from __future__ import annotations

import math
from collections.abc import Sequence

from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator

from helpers.environment import InputError
from helpers.figures.numbering import number_spots
from helpers.figures.style import describe, label_below, mark, styled
from helpers.labels import METRICS, joined, task_label
from helpers.report import pareto, summary
from helpers.report.cells import number
from helpers.report.provenance import provenance
from helpers.report.summary import Records

__all__ = ["choices"]

# kinds, not methods: a colour says nothing of the method that it has elsewhere
KINDS = {"stored": ("file of the student", "#D55E00", "D"), "speed": ("program", "#009E73", "^")}
MODEL = ("model in PyTorch", "#0072B2", "o")
AREA = 36
LINE = 0.2  # of the legend, in inches
LEAST_ROOM = 0.03  # of a score, below the fronts


@styled
def choices(records: Records) -> Figure:
    """Draw a row of two panels for each task that has files or programs: score against megabytes, and against speed.

    Raises `InputError` if no record has files or programs.
    """
    found = {task: pareto.points(records, task) for task in pareto.tasks(records)}
    found = {task: points for task, points in found.items() if points}
    if not found:
        raise InputError("No record has files or programs; run the notebooks 09_storage and 10_speed.")
    lines = []  # of each panel: the front's arms
    for points in found.values():
        small = pareto.front({arm: (one.score.value, -one.megabytes) for arm, one in points.items()})
        fast = pareto.front({arm: (one.score.value, one.factor) for arm, one in points.items() if one.factor})
        lines.append((small, fast))
    arms = list(dict.fromkeys(arm for points in found.values() for arm in points))
    named = [arm for arm in arms if any(arm in line for pair in lines for line in pair)]
    numbers = {arm: str(place) for place, arm in enumerate(named, start=1)}
    height = LINE * math.ceil((len(named) + 3) / 2)
    size = {"figsize": (8.4, 2.7 * len(found) + 0.5 + height), "squeeze": False, "sharey": "row"}
    figure, grid = plt.subplots(len(found), 2, layout="constrained", **size)
    plt.close(figure)
    told = []
    for axes, (task, points), pair in zip(grid, found.items(), lines, strict=True):
        metric = summary.metrics_of(records, task)[0]
        axes[0].set_ylabel(f"{task_label(task)}: {METRICS.get(metric, metric)}", fontsize=11)
        for axis, line, place in zip(axes, pair, ("megabytes", "factor"), strict=True):
            for arm, one in points.items():
                if getattr(one, place):
                    _, shade, marker = _kind(arm)
                    faint = {} if arm in line else {"alpha": 0.3}
                    axis.scatter(getattr(one, place), one.score.value, s=AREA, marker=marker, color=shade, **faint)
            corners = sorted((getattr(points[arm], place), points[arm].score.value) for arm in line)
            # what is best with at most so many bytes, and at least so fast
            steps = "steps-post" if place == "megabytes" else "steps-pre"
            if corners:
                axis.plot(*zip(*corners, strict=True), color="#8C8C8C", linewidth=1, drawstyle=steps, zorder=0)
            axis.set_xscale("log")
            axis.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axis.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
            axis.xaxis.set_minor_locator(NullLocator())
        best = [points[arm].score.value for line in pair for arm in line]
        axes[0].set_ylim(*_near(best))
        told.append(
            f"{task_label(task)}, by size: {joined([_told(records, arm, points[arm]) for arm in pair[0]])}; "
            f"by speed: {joined([_told(records, arm, points[arm]) for arm in pair[1]])}"
        )
    label_below(list(grid[:, 0]), "file (MB)")
    label_below(list(grid[:, 1]), "times as fast as BERT-base")
    kinds = [mark(shade, marker, title, size=6) for title, shade, marker in dict.fromkeys(map(_kind, arms))]
    entries = [
        mark(_kind(arm)[1], _kind(arm)[2], f"{place} {summary.title(records, arm)}", size=6)
        for arm, place in numbers.items()
    ]
    figure.legend(handles=kinds, loc="outside upper center", ncols=3, fontsize=9)
    own = {"fontsize": 8, "columnspacing": 1.0, "handletextpad": 0.4}
    figure.legend(handles=entries, loc="outside lower center", ncols=2, **own)
    figure.draw_without_rendering()  # only now are places on the page known
    for axes, points, pair in zip(grid, found.values(), lines, strict=True):
        for axis, line, place in zip(axes, pair, ("megabytes", "factor"), strict=True):
            spots = {
                arm: (getattr(one, place), one.score.value, AREA, _kind(arm)[1])
                for arm, one in points.items()
                if getattr(one, place)
            }
            number_spots(axis, spots, {arm: numbers[arm] for arm in line})
    timed = pareto.timed(records)
    machine = f"{summary.machine(timed[0])}. " if timed else ""
    text = (
        "Every choice by its score, its file's size and its speed in batches of 32 rows at true lengths. The line "
        "joins those than which no other is better in one of a panel's axes and as good in the other; they have a "
        "number, one for all that are equal. What scores far less is below the panel. Means over seeds: neighbours "
        "may differ by noise alone. A file has its tokenizer in it, and its model's time; rows that a small vocabulary "
        "cuts into more pieces would take a little longer. A program starts from the student's float32 file. "
        f"{machine}{provenance(records)}"
    )
    return describe(figure, caption=text, alt=f"What none beats. {'; '.join(told)}.")


def _near(best: Sequence[float]) -> tuple[float, float]:
    """Return the part of the score's axis around the fronts: one bad choice would press all others together."""
    room = max(0.5 * (max(best) - min(best)), LEAST_ROOM)
    return min(best) - room, max(best) + room / 3


def _kind(arm: str) -> tuple[str, str, str]:
    """Return a choice's kind in words, its colour and its marker."""
    return KINDS.get(arm.partition("_")[0], MODEL)


def _told(records: Records, arm: str, one: pareto.Point) -> str:
    speed = f", {number(one.factor)} times as fast" if one.factor else ""
    return f"{summary.title(records, arm)} {one.score.value:.2f} with {number(one.megabytes)} MB{speed}"
