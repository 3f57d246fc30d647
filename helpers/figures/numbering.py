"""Numbers beside points, where they cover no marker and no other number."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.patheffects import withStroke

__all__ = ["Spot", "number_spots"]

LETTER = (5.0, 8.0)  # width and height of a digit, in points

Spot = tuple[float, float, float, str]  # x and y in the data's units, the marker's area in square points, the colour


def number_spots(axis: Axes, spots: Mapping[str, Spot], numbers: Mapping[str, str]) -> None:
    """Write each spot's number around its marker, as near as it covers no marker and no other number.

    A spot without a number is only kept free. The figure must have been laid out (`draw_without_rendering`): only then
    are places on the page known.
    """
    scale = 72 / axis.figure.dpi
    middles = {name: scale * axis.transData.transform(spot[:2]) for name, spot in spots.items()}
    taken = [(*middle, *([0.9 * math.sqrt(spots[name][2])] * 2)) for name, middle in middles.items()]
    for name, (x, y) in middles.items():
        if name not in numbers:
            continue
        across_data, up_data, area, shade = spots[name]
        size = (LETTER[0] * len(numbers[name]), LETTER[1])
        tried = []
        for away in (2, 8, 14, 20):
            radius = math.sqrt(area) / 2 + away
            for turn in range(8):
                across, up = math.cos(turn * math.pi / 4), math.sin(turn * math.pi / 4)
                place = (x + across * (radius + size[0] / 2), y + up * (radius + size[1] / 2))
                tried.append((sum(_overlap((*place, *size), other) for other in taken), len(tried), place))
        _, _, (left, top) = min(tried)
        taken.append((left, top, *size))
        own = {"fontsize": 8, "color": shade, "ha": "center", "va": "center"}
        own["path_effects"] = [withStroke(linewidth=2, foreground="white")]
        place = {"xytext": (left - x, top - y), "textcoords": "offset points"}
        axis.annotate(numbers[name], (across_data, up_data), **own, **place)


def _overlap(one: Sequence[float], other: Sequence[float]) -> float:
    """Return the common area of two boxes, each middle (x, y), width and height."""
    sides = [(one[i + 2] + other[i + 2]) / 2 - abs(one[i] - other[i]) for i in (0, 1)]
    return max(0.0, sides[0]) * max(0.0, sides[1])
