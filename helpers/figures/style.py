"""One look for all figures: colours, type sizes, small multiples; their texts in words, and their files."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from helpers import records
from helpers.report.summary import Summary

__all__ = [
    "COLOURS",
    "MARKERS",
    "STYLE",
    "alt_text",
    "bars",
    "caption",
    "colour",
    "describe",
    "family",
    "label_below",
    "mark",
    "panels",
    "png",
    "save",
    "stacked",
    "styled",
]

# Okabe and Ito's palette, told apart by colour-blind readers; black and grey for what is only a reference.
COLOURS: dict[str, str] = {
    "teacher": "#000000",
    "control": "#8C8C8C",
    "student_intermediate": "#56B4E9",
    "student": "#0072B2",
    "pruned": "#D55E00",
    "int8": "#009E73",
    "bert_base": "#CC79A7",
    "tinybert": "#E69F00",
    "distilbert": "#CC79A7",
    "albert": "#E69F00",
    "low_rank": "#8C5A2B",
    "structured": "#56B4E9",
    "augmented": "#0072B2",
    "floor": "#8C8C8C",
}
# Shapes repeat what colours say, for print without colour.
MARKERS: dict[str, str] = {
    "teacher": "s",
    "control": "X",
    "student_intermediate": "v",
    "student": "o",
    "pruned": "D",
    "int8": "^",
    "bert_base": "P",
    "tinybert": "p",
    "distilbert": "P",
    "albert": "p",
    "low_rank": "v",
    "structured": "h",
    "augmented": "*",
}

STYLE: dict[str, object] = {
    "figure.constrained_layout.h_pad": 0.07,
    "figure.constrained_layout.w_pad": 0.07,
    "figure.dpi": 100,
    "savefig.dpi": 110,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "font.family": "DejaVu Sans",  # comes with matplotlib: the same letters on every machine
    "font.size": 12,
    "axes.titlesize": 13,
    "axes.titleweight": "bold",
    "axes.labelsize": 12,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#E5E5E5",
    "grid.linewidth": 0.8,
    "axes.axisbelow": True,
    "lines.linewidth": 2.0,
    "lines.markersize": 6,
    "errorbar.capsize": 3,
    "legend.frameon": False,
    "legend.fontsize": 12,
    "xtick.labelsize": 11,
    "ytick.labelsize": 11,
    "svg.hashsalt": "compression study",  # the same figure gives the same file
    "svg.fonttype": "path",
}


def family(arm: str) -> str:
    """Return the method an arm belongs to: one method has one colour everywhere.

    >>> family("pruned_0.3"), family("tinybert_shape_int8"), family("bert_base_shape")
    ('pruned', 'int8', 'bert_base')
    """
    if arm in COLOURS:
        return arm
    if arm.endswith("int8"):
        return "int8"
    method = next((name for name in ("distilbert", "albert", "low_rank", "structured") if arm.startswith(name)), None)
    if method:
        return method
    return arm.split("_")[0] if arm.startswith("pruned") else arm.removesuffix("_shape")


def colour(arm: str) -> str:
    """Return the colour of an arm's method; an unknown method is drawn in grey."""
    return COLOURS.get(family(arm), "#8C8C8C")


def bars(found: Sequence[Summary]) -> list[list[float]]:
    """Return the distances below and above that matplotlib draws; none where there is no interval."""
    below = [max(one.value - one.low, 0.0) if one.low == one.low else 0.0 for one in found]
    above = [max(one.high - one.value, 0.0) if one.high == one.high else 0.0 for one in found]
    return [below, above]


def mark(shade: str, marker: str, label: str, *, size: float = 9) -> Line2D:
    """Return a legend's entry for a marker."""
    return Line2D([], [], color=shade, marker=marker, linestyle="", markersize=size, label=label)


def panels(
    count: int, *, width: float = 3.4, height: float = 2.9, legend: bool = True
) -> tuple[Figure, list[Axes], Axes | None]:
    """Return a figure of `count` small multiples, their axes, and, if wanted, a free cell for the legend.

    Up to three cells stand in one row, more in two. Width and height are a panel's, in inches.
    """
    cells = count + legend
    columns = cells if cells <= 3 else math.ceil(cells / 2)
    rows = math.ceil(cells / columns)
    size = (width * columns, height * rows)
    figure, grid = plt.subplots(rows, columns, figsize=size, squeeze=False, layout="constrained")
    plt.close(figure)  # so that a notebook shows the figure once, where it is returned
    axes = list(grid.ravel())
    for spare in axes[count:]:
        spare.set_axis_off()
    return figure, axes[:count], axes[count] if legend else None


def stacked(heights: Sequence[int], *, width: float, unit: float) -> tuple[Figure, list[Axes]]:
    """Return a figure of axes one below the other, `heights` * `unit` inches high, `width` inches wide."""
    size = (width, unit * sum(heights) + 0.5 * len(heights) + 0.8)
    shape = {"height_ratios": heights, "squeeze": False, "layout": "constrained"}
    figure, grid = plt.subplots(len(heights), 1, figsize=size, **shape)
    plt.close(figure)
    return figure, list(grid.ravel())


def label_below(axes: Sequence[Axes], text: str) -> None:
    """Put the x label under the lowest panel of every column only."""
    lowest = {axis.get_subplotspec().colspan.start: axis for axis in axes}
    for axis in lowest.values():
        axis.set_xlabel(text)


def describe(figure: Figure, *, caption: str, alt: str) -> Figure:
    """Attach a caption and an alt text to a figure; return it."""
    figure.study_texts = {"caption": caption, "alt": alt}
    return figure


def alt_text(figure: Figure) -> str:
    """Return what the figure shows, in words made from its data; empty for a foreign figure."""
    return _texts(figure).get("alt", "")


def caption(figure: Figure) -> str:
    """Return what stands below the figure; empty for a foreign figure."""
    return _texts(figure).get("caption", "")


def save(figure: Figure, folder: str | Path, name: str) -> list[Path]:
    """Write `<name>.svg` and `<name>.png` (110 dpi); return both paths. The same figure gives the same bytes.

    The alt text is stored in both files. Raises RunError when a file cannot be written.
    """
    stream = io.BytesIO()
    with mpl.rc_context(STYLE):
        figure.savefig(stream, format="svg", metadata={**_described(figure, name), "Date": None, "Creator": None})
    contents = {"svg": stream.getvalue(), "png": png(figure, name)}
    return [records.write_bytes(Path(folder) / f"{name}.{ending}", data) for ending, data in contents.items()]


def png(figure: Figure, name: str = "", *, dpi: int = 110) -> bytes:
    """Return a picture with 64 colours: a quarter of the bytes, and nothing less that could be seen."""
    whole, small, about = io.BytesIO(), io.BytesIO(), PngInfo()
    with mpl.rc_context(STYLE):
        figure.savefig(whole, format="png", dpi=dpi)
    for key, value in _described(figure, name).items():
        about.add_text(key, value)
    image = Image.open(whole)
    drawn = image.convert("RGB").quantize(64, dither=Image.Dither.NONE)
    drawn.save(small, "png", optimize=True, dpi=image.info["dpi"], pnginfo=about)
    return small.getvalue()


def _described(figure: Figure, name: str) -> dict[str, str]:
    return {"Title": caption(figure) or name, "Description": alt_text(figure)}


def _texts(figure: Figure) -> Mapping[str, str]:
    return getattr(figure, "study_texts", {})


def styled(draw: Callable[..., Figure]) -> Callable[..., Figure]:
    """Draw in the study's style whatever the caller's settings are, and leave those alone."""

    @wraps(draw)
    def drawn(*arguments: Any, **options: Any) -> Figure:
        with mpl.rc_context(STYLE):
            return draw(*arguments, **options)

    return drawn
