"""The tree of chains with each model's numbers, and what no other model beats in score, bytes and time."""

from __future__ import annotations

import itertools
from collections.abc import Mapping

from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.markers import CARETDOWN
from matplotlib.patches import FancyBboxPatch, Patch
from matplotlib.ticker import ScalarFormatter

from helpers.environment import InputError
from helpers.figures.numbering import number_spots
from helpers.figures.style import describe, mark, styled
from helpers.labels import joined, task_label
from helpers.report import orders, summary
from helpers.report.cells import number, signed
from helpers.report.order_choices import best, front, shape
from helpers.report.provenance import provenance
from helpers.report.summary import Records, Summary

__all__ = ["order_front", "order_tree"]

BOX = (0.86, 0.74)  # width and height of a node, in columns and rows
LOST = LinearSegmentedColormap.from_list("lost", ["#D55E00", "#FBE3D0", "#FFFFFF"])
READ = "A box: the last step; megabytes of weights, points beside the whole student, minutes to build"
MOST = 10.0  # points lost from which the colour stays the same
BUDGETS = ("#0072B2", "#009E73", "#CC79A7", "#E69F00")
SHAPES = ("o", "^", "s", "D")


@styled
def order_tree(records: Records) -> Figure:
    """Draw every model on the way to a chain's end: its last step, its weights' bytes, what it loses.

    Raises `InputError` if no record has a tree.
    """
    nodes = _nodes(records)
    places = _places(nodes)
    columns = 1 + max(column for column, _ in places.values())
    rows = 1 + max(row for _, row in places.values())
    figure, axis = plt.subplots(figsize=(2.05 * columns + 0.3, 0.42 * rows + 1.0), layout="constrained")
    plt.close(figure)
    budgets = orders.chains(records)
    ends = {arm: budget for budget, some in budgets.items() for arm in some.values()}
    colours = dict(zip(budgets, itertools.cycle(BUDGETS), strict=False))
    chosen = {best(records, some.values()) for some in budgets.values()}
    told = []
    for arm, (column, row) in places.items():
        node = nodes[arm]
        if node["before"]:
            _connect(axis, places[node["before"]], (column, row))
        lost, where = _lost(records, arm) if node["timed_as"] else (None, "")
        edge = colours.get(ends.get(arm), "#B0B0B0")
        face = "#EDEDED" if lost is None else LOST(Normalize(-MOST, 0)(lost.value))
        style = {"facecolor": face, "edgecolor": edge, "linewidth": 2 if arm in ends else 0.8}
        corner = (column - BOX[0] / 2, row - BOX[1] / 2)
        axis.add_patch(FancyBboxPatch(corner, *BOX, boxstyle="round,pad=0,rounding_size=0.06", zorder=2, **style))
        below = "not trained yet"
        if lost is not None:
            size = f"{number(orders.weights_mb(records, arm))} MB"
            below = f"{size}  {signed(lost.value, 1)}{where}  {orders.minutes(records, arm):.1f} min"
            if arm in ends:
                told.append(f"{node['chain']} {size} {signed(lost.value, 1)}{where}")
        text = {"ha": "center", "va": "center", "zorder": 3}
        step = f"{node['chain'].split(' > ')[-1]}{' ★' if arm in chosen else ''}"
        axis.text(column, row - 0.15, step, fontsize=9, fontweight="bold", **text)
        axis.text(column, row + 0.17, below, fontsize=8, **text)
    axis.set_xlim(-0.5, columns - 0.5)
    axis.set_ylim(rows - 0.5, -0.5)
    axis.set_axis_off()
    entries = [
        Patch(facecolor="white", edgecolor=colours[each], linewidth=2, label=f"ends within {each}") for each in budgets
    ]
    entries += [Patch(facecolor=LOST(0.0), label=f"{MOST:.0f} points lost or more")]
    entries += [Line2D([], [], linestyle="", label="★ best of its budget on held-out rows")]
    figure.legend(handles=entries, loc="outside upper left", ncols=2, title=READ, alignment="left")
    tasks = joined([task_label(task) for task in orders.tasks_of(records)])
    text = (
        "Every model on the way to a chain's end, from left to right: its last step, the megabytes of its weights, "
        f"its mean difference to the whole distilled student over {tasks}, in points (hundredths), and the minutes "
        "that all of its steps took from student's start and teacher, the median; a star: the chain of its budget that "
        "is best on held-out rows. What stands once is built once. "
        f"{provenance(orders.of_orders(records))}"
    )
    return describe(figure, caption=text, alt=f"Tree of chains; their ends: {'; '.join(told)}.")


def _lost(records: Records, arm: str) -> tuple[Summary | None, str]:
    """Return a model's difference to the student, over all tasks, or over those that have it, which are then named."""
    lost = orders.to_student(records, arm)
    if lost is not None:
        return lost, ""
    there = {record["task"] for record, _ in summary.arms_of(orders.of_orders(records), arm)}
    tasks = [task for task in orders.tasks_of(records) if task in there]
    return orders.to_student(records, arm, tasks=tasks), f" ({', '.join(task_label(task) for task in tasks)})"


def _nodes(records: Records) -> dict[str, Mapping]:
    nodes = orders.nodes(records)
    if not nodes:
        raise InputError("No record has a tree of chains; run notebook 11_order.")
    return nodes


def _places(nodes: Mapping[str, Mapping]) -> dict[str, tuple[int, int]]:
    """Return each node's column, its depth, and its row, that of its parent or below it: each leaf has one."""
    children: dict[str | None, list[str]] = {}
    for arm, node in nodes.items():
        children.setdefault(node["before"], []).append(arm)
    places: dict[str, tuple[int, int]] = {}
    row = 0

    def put(arm: str, column: int) -> None:
        nonlocal row
        places[arm] = (column, row)
        for index, child in enumerate(children.get(arm, [])):
            row += bool(index)
            put(child, column + 1)

    for index, root in enumerate(children[None]):
        row += bool(index)
        put(root, 0)
    return places


def _connect(axis: Axes, before: tuple[int, int], after: tuple[int, int]) -> None:
    """Draw a line from a node to one that is made from it: down its right side, then across."""
    (left, top), (right, bottom) = before, after
    turn = (left + right) / 2 - 0.02
    line = {"color": "#8C8C8C", "linewidth": 1.2, "zorder": 1}
    axis.plot([left, turn, turn, right], [top, top, bottom, bottom], **line)


@styled
def order_front(records: Records) -> Figure:
    """Draw what every model loses against the bytes of its weights; what no other beats is numbered.

    Raises `InputError` if no record has a tree.
    """
    nodes = _nodes(records)
    budgets, unbeaten = orders.chains(records), front(records)
    ends = {arm: budget for budget, some in budgets.items() for arm in some.values()}
    colours = dict(zip(budgets, itertools.cycle(BUDGETS), strict=False))
    kinds = dict.fromkeys(node["timed_as"] for node in nodes.values() if node["timed_as"])
    markers = dict(zip(kinds, itertools.cycle(SHAPES), strict=False))
    figure, axis = plt.subplots(figsize=(9.5, 5.2), layout="constrained")
    plt.close(figure)
    found = {arm: orders.to_student(records, arm) for arm, node in nodes.items() if node["timed_as"]}
    losses = {arm: lost for arm, lost in found.items() if lost is not None}
    sizes = {arm: orders.weights_mb(records, arm) for arm in losses}
    spots = {}
    for arm, lost in losses.items():
        size, shade = sizes[arm], colours.get(ends.get(arm), "#8C8C8C")
        face = shade if arm in unbeaten else "white"
        if lost.value < -MOST:
            axis.scatter(size, -MOST - 1, s=40, marker=CARETDOWN, color=shade, zorder=3, clip_on=False)
            continue
        look = {"marker": markers[nodes[arm]["timed_as"]], "facecolor": face, "edgecolor": shade}
        axis.scatter(size, lost.value, s=55, zorder=3, clip_on=False, **look)
        spots[arm] = (size, lost.value, 55.0, shade)
    axis.axhline(0, color="black", linewidth=1)
    axis.set_xscale("log")
    axis.xaxis.set_major_formatter(ScalarFormatter())
    axis.set_xlabel("weights as stored (MB)")
    axis.set_ylabel("difference to the whole student (points)")
    numbers = {arm: str(place) for place, arm in enumerate(unbeaten, 1)}
    figure.draw_without_rendering()
    entries = [mark(colours[each], "o", f"ends within {each}") for each in budgets]
    entries += [mark("#8C8C8C", "o", "on the way"), mark("black", CARETDOWN, f"loses more than {MOST:.0f} points")]
    for kind, marker in markers.items():
        time = orders.milliseconds(records, kind)
        told = f", {number(time)} ms" if time else ""
        entries.append(mark("black", marker, shape(nodes[kind]["chain"]) + told))
    entries += [Line2D([], [], linestyle="", label=f"{numbers[arm]}  {nodes[arm]['chain']}") for arm in unbeaten]
    legend = figure.legend(handles=entries, loc="outside right upper", fontsize=9)
    legend.set_in_layout(True)
    figure.draw_without_rendering()
    number_spots(axis, spots, numbers)
    tasks = joined([task_label(task) for task in orders.tasks_of(records)])
    text = (
        f"What each model of the tree loses, on the mean over {tasks}, against the bytes of its weights; filled and "
        "numbered: no other is as good in score, bytes and time at once, where 2 % of bytes and 5 % of time are no "
        "difference. Times are per example, in batches of 32 at "
        "true lengths, of the shape: pruned or rounded weights are computed in float32. Scores are of the validation "
        "split, and their noise counts: the picture shows, it does not choose. "
        f"{provenance(orders.of_orders(records))}"
    )
    told = [f"{nodes[arm]['chain']} ({number(sizes[arm])} MB, {signed(losses[arm].value, 1)})" for arm in unbeaten]
    return describe(
        figure, caption=text, alt=f"Scatter of points lost against megabytes. Not beaten: {'; '.join(told)}."
    )
