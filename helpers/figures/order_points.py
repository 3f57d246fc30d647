"""Every chain of a budget beside the whole student, the best first: a point with its interval."""

from __future__ import annotations

from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.markers import CARETLEFT

from helpers.environment import InputError
from helpers.figures.style import COLOURS, describe, mark, styled
from helpers.labels import joined, task_label
from helpers.report import orders
from helpers.report.cells import is_noise, signed
from helpers.report.order_choices import best, kinds
from helpers.report.provenance import provenance
from helpers.report.summary import Records, Summary

__all__ = ["order_points"]

# the first of these steps that a chain has gives it its colour
FAMILIES = {
    "teacher": ("the teacher", COLOURS["teacher"]),
    "train": ("trained without a teacher", COLOURS["control"]),
    "low rank": ("low rank, distilled", COLOURS["low_rank"]),
    "distil": ("distilled", COLOURS["student"]),
}
MOST = 25.0  # points lost beyond which a chain stands at the edge
ROW = 0.235  # of a chain, in inches


@styled
def order_points(records: Records) -> Figure:
    """Draw, for each budget, what every chain loses beside the whole student, with its interval.

    Raises `InputError` if no record has chains.
    """
    if not orders.has_points(records):
        raise InputError("No record has a chain that was measured on all of its tasks; run notebook 11_order.")
    nodes, told, panels = orders.nodes(records), [], {}
    for budget, some in orders.chains(records).items():
        found = {arm: orders.to_student(records, arm) for arm in some.values()}
        there = {arm: one for arm, one in found.items() if one is not None}
        panels[budget] = {arm: there[arm] for arm in sorted(there, key=lambda arm: -there[arm].value)}
    panels = {budget: some for budget, some in panels.items() if some}
    rows = [len(some) for some in panels.values()]
    size = {"figsize": (9.0, ROW * sum(rows) + 0.55 * len(rows) + 0.9), "height_ratios": rows, "squeeze": False}
    figure, grid = plt.subplots(len(rows), 1, sharex=True, layout="constrained", **size)
    plt.close(figure)
    for axis, (budget, some) in zip(grid[:, 0], panels.items(), strict=True):
        chosen = best(records, orders.chains(records)[budget].values())
        for row, (arm, one) in enumerate(some.items()):
            _draw(axis, row, one, family(nodes[arm]["chain"])[1], chosen=arm == chosen)
            noise = ", inside noise" if is_noise(one) else ""
            told.append(f"{nodes[arm]['chain']} {signed(one.value, 1)}{noise}")
        axis.axvline(0, color="black", linewidth=1, zorder=1)
        names = [nodes[arm]["chain"] for arm in some]
        axis.set_yticks(range(len(some)), names, fontsize=9)
        for label, arm in zip(axis.get_yticklabels(), some, strict=True):
            label.set_fontweight("bold" if arm == chosen else "normal")
        axis.set_ylim(len(some) - 0.4, -0.6)
        axis.set_title(f"within {budget} of weights", fontsize=11, loc="left")
        axis.grid(visible=False, axis="y")
    axis.set_xlabel("difference to the whole student (points)")
    used = {family(nodes[arm]["chain"]): None for some in panels.values() for arm in some}
    entries = [mark(shade, "o", name) for name, shade in FAMILIES.values() if (name, shade) in used]
    entries.append(mark("black", CARETLEFT, f"loses more than {MOST:.0f} points"))
    figure.legend(handles=entries, loc="outside upper left", ncols=3, fontsize=9)
    tasks = joined([task_label(task) for task in orders.tasks_of(records)])
    text = (
        f"Every chain beside the whole distilled student, on the mean over {tasks}, in points (hundredths); chains of "
        "one panel end in as many bytes. Bars: 95 % intervals, over examples or, with several seeds, over these, "
        "whichever is wider. Bold: the chain that is best on held-out rows. "
        f"{provenance(orders.of_orders(records))}"
    )
    return describe(figure, caption=text, alt=f"Chains and their points beside the student: {'; '.join(told)}.")


def family(chain: str) -> tuple[str, str]:
    """Return the name and colour of the kind of chain that this one is."""
    used = kinds(chain)
    return next(told for step, told in FAMILIES.items() if step in used)


def _draw(axis: Axes, row: int, one: Summary, shade: str, *, chosen: bool) -> None:
    if one.value < -MOST:
        axis.scatter(-MOST, row, s=40, marker=CARETLEFT, color=shade, clip_on=False, zorder=3)
        axis.text(-MOST + 0.8, row, signed(one.value, 1), va="center", fontsize=8)
        return
    axis.plot([max(one.low, -MOST), one.high], [row, row], color=shade, linewidth=1.6, zorder=2)
    axis.scatter(one.value, row, s=60 if chosen else 30, color=shade, zorder=3)
