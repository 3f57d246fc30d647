"""How time, memory and disk of a study grow with its runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullLocator

from helpers.environment import InputError
from helpers.figures.style import describe, label_below, mark, panels, styled
from helpers.labels import joined
from helpers.report.growth import FAR, line

__all__ = ["growth"]

PANELS = {"seconds": ("minutes", 60.0), "memory_mb": ("memory (GB)", 1000.0), "models_mb": ("models on disk (MB)", 1.0)}
LOOKS = {1: ("one worker", "#0072B2", "o"), 2: ("two workers", "#D55E00", "D")}


@styled
def growth(rows: Sequence[Mapping[str, Any]]) -> Figure:
    """Draw what studies of more and more runs took, and lines to what 1,000 would take.

    Raises `InputError` if no study was measured.
    """
    studies = [dict(row) for row in rows if row["kind"] == "study"]
    if not studies:
        raise InputError("No study was measured; run `make growth`.")
    figure, axes, legend = panels(len(PANELS), width=2.9)
    told = []
    for axis, (value, (title, unit)) in zip(axes, PANELS.items(), strict=True):
        for workers, (name, shade, marker) in LOOKS.items():
            own = sorted((row for row in studies if row["workers"] == workers), key=lambda row: row["runs"])
            points = [(row["runs"], row[value] / unit) for row in own]
            if not points:
                continue
            axis.plot(*zip(*points, strict=True), color=shade, marker=marker)
            told.append(f"{title}, {name}: {joined([f'{y:.3g} at {x}' for x, y in points])}")
            if found := line(own, value):
                ends = (points[-1][0], FAR)
                axis.plot(ends, [max(found.at(x), 1e-9) / unit for x in ends], color=shade, linestyle=":")
        axis.set_title(title)
        axis.set_xscale("log")
        axis.set_yscale("log")
        for scale in (axis.xaxis, axis.yaxis):
            scale.set_major_locator(LogLocator(subs=(1.0,) if scale is axis.xaxis else (1.0, 2.0, 5.0)))
            scale.set_major_formatter(lambda number, _: f"{number:,.0f}" if number >= 1 else f"{number:g}")
            scale.set_minor_locator(NullLocator())
    label_below(axes, "runs")
    shown = [mark(shade, marker, name) for name, shade, marker in LOOKS.values()]
    dotted = Line2D([], [], color="#595959", linestyle=":", label="a straight line\nthrough the last two")
    legend.legend(handles=[*shown, dotted], loc="center left", borderaxespad=0)
    text = (
        "What a study of profile mini takes, from its start to its last table, by its number of runs: its time, the "
        "most memory that it had at a time, and what its models take on disk. Both axes are logarithmic."
    )
    return describe(figure, caption=text, alt=f"Growth with the number of runs. {'; '.join(told)}.")
