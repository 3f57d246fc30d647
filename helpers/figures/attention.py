"""Where teacher and student look: their attention on one text, layer by layer, side by side."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure

from helpers.environment import InputError
from helpers.figures.style import describe, styled

__all__ = ["attention_maps"]


@styled
def attention_maps(attention: Mapping[str, Any]) -> Figure:
    """Draw a record's `attention`: above the teacher's layers that a student's are compared with, below the student's.

    Raises `InputError` where the two have other numbers of layers.
    """
    pieces, pairs = attention["pieces"], list(zip(attention["teacher"], attention["student"], strict=False))
    if not pairs or not len(attention["teacher"]) == len(attention["student"]) == len(attention["layers"]):
        raise InputError("Teacher and student need as many attention maps as each other, one or more, with layers.")
    side = 1.1 + 0.19 * len(pieces)
    figure, grid = plt.subplots(
        2, len(pairs), figsize=(side * len(pairs) + 1.0, 2 * side + 0.8), squeeze=False, layout="constrained"
    )
    plt.close(figure)
    brightest = max(np.max(maps) for pair in pairs for maps in pair)
    for column, pair in enumerate(pairs):
        names = (f"teacher, layer {attention['layers'][column]}", f"student, layer {column + 1}")
        for axis, weights, name in zip(grid[:, column], pair, names, strict=True):
            picture = axis.imshow(weights, cmap="cividis", norm=PowerNorm(0.5, 0, brightest))
            axis.set_title(name, fontsize=12)
            axis.grid(visible=False)
            axis.tick_params(length=0, labelsize=10)
            axis.set_xticks(range(len(pieces)), pieces if axis is grid[1, column] else [], rotation=90)
            axis.set_yticks(range(len(pieces)), pieces if column == 0 else [])
    bar = figure.colorbar(picture, ax=list(grid.ravel()), pad=0.01, aspect=30)
    bar.set_label("attention, mean over heads")
    told = ", ".join(_alike(np.ravel(ours), np.ravel(theirs)) for ours, theirs in pairs)
    caption = (
        f"Attention on “{attention['text']}”: each row says of which pieces (columns) a piece's new state is made, "
        f"on the mean over heads. Correlation of each pair of maps: {told}."
    )
    count = f"{len(pairs)} layer{'s' if len(pairs) > 1 else ''}"
    alt = f"Heat maps of attention of {count} each of teacher and student; correlations {told}."
    return describe(figure, caption=caption, alt=alt)


def _alike(one: np.ndarray, other: np.ndarray) -> str:
    """Return the correlation of two maps; one that looks everywhere alike has none."""
    return "undefined" if np.ptp(one) == 0 or np.ptp(other) == 0 else f"{np.corrcoef(one, other)[0, 1]:.2f}"
