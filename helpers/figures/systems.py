"""One picture of all systems: score against bytes, numbered; the marker's area says how long one takes."""

from __future__ import annotations

import math
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from helpers.environment import InputError
from helpers.figures.numbering import number_spots
from helpers.figures.style import COLOURS, MARKERS, colour, describe, family, label_below, mark, panels, styled
from helpers.labels import METRICS, joined, task_label
from helpers.report import summary
from helpers.report.provenance import provenance
from helpers.report.summary import Records
from helpers.report.systems import ARMS, System, of_task

__all__ = ["systems"]

LARGEST = 200  # the area of the teacher's marker, in square points
UNTIMED = 60
LINE = 0.2  # of the legend, in inches


@styled
def systems(records: Records) -> Figure:
    """Draw score against megabytes, a panel a task. Raises `InputError` if no record has a score."""
    summary.require(records)
    tasks = summary.tasks_of(records, all_of_report=False)
    found = {task: {arm: one for arm, one in of_task(records, task).items() if one.score is not None} for task in tasks}
    found = {task: points for task, points in found.items() if points}
    if not found:
        raise InputError("No record has a score; run the notebooks 01 to 08 first.")
    figure, axes, _ = panels(len(found), width=3.9, height=3.2, legend=False)
    width, height = figure.get_size_inches()
    arms = [arm for arm in summary.matching(records, ARMS) if any(arm in points for points in found.values())]
    numbers = {arm: str(place) for place, arm in enumerate(arms, start=1)}
    for axis, (task, points) in zip(axes, found.items(), strict=True):
        for arm, one in sorted(points.items(), key=lambda item: -_area(item[1])):
            own = colour(arm)
            face = own if one.factor else "white"
            marker = MARKERS.get(family(arm), "o")
            axis.scatter(one.megabytes, one.score.value, s=_area(one), marker=marker, facecolor=face, edgecolor=own)
            low, high = (bound if bound == bound else one.score.value for bound in (one.score.low, one.score.high))
            axis.plot([one.megabytes] * 2, [low, high], color=own, linewidth=1, alpha=0.5, zorder=1)
        floor = summary.floor(records, task)
        if floor is not None:
            axis.axhline(floor, color=COLOURS["floor"], linestyle=":", linewidth=2)
        metric = summary.metrics_of(records, task)[0]
        axis.set_title(f"{task_label(task)}: {METRICS.get(metric, metric)}", fontsize=12)
        axis.set_xlim(0, 1.12 * max(one.megabytes for one in points.values()))
        _fit(axis, [one.score.value for one in points.values()], floor)
        axis.locator_params(nbins=5)
    handles = [
        mark(colour(arm), MARKERS.get(family(arm), "o"), f"{number} {summary.title(records, arm)}", size=6)
        for arm, number in numbers.items()
    ]
    columns = 2 if len(found) > 1 else 1
    figure.set_size_inches(width, height + LINE * math.ceil(len(handles) / columns))
    figure.legend(
        handles=handles, loc="outside lower center", ncols=columns, fontsize=8, columnspacing=1.0, handletextpad=0.4
    )
    label_below(axes, "file (MB)")
    figure.draw_without_rendering()  # only now are places on the page known
    for axis, points in zip(axes, found.values(), strict=True):
        spots = {arm: (one.megabytes, one.score.value, _area(one), colour(arm)) for arm, one in points.items()}
        number_spots(axis, spots, numbers)
    told = []
    for task, points in found.items():
        each = [
            f"{summary.title(records, arm)} {one.score.value:.2f} with {one.megabytes:.1f} MB"
            for arm, one in points.items()
        ]
        told.append(f"{task_label(task)}: {joined(each)}")
    text = (
        "Score against the file's size. The marker's area is the time beside the teacher's in the same run; an open "
        "one was not timed, its area says nothing. Bars: 95 % interval of the score, cut at the panel's edge; dotted: "
        "the floor, where it is near. "
        f"{provenance(records)}"
    )
    return describe(figure, caption=text, alt=f"Scatter of score against megabytes. {'; '.join(told)}.")


def _fit(axis: Axes, values: Sequence[float], floor: float | None) -> None:
    """Keep to the scores what a far floor, or two seeds' intervals, would stretch until they lie on each other."""
    room = 0.6 * (max(values) - min(values)) or 0.1
    if floor is not None and floor > min(values) - 2 * room:
        values = [*values, floor]
    low, high = axis.get_ylim()
    axis.set_ylim(max(low, min(values) - room), min(high, max(values) + room))


def _area(one: System) -> float:
    return LARGEST / one.factor if one.factor else UNTIMED
