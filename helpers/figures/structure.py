"""Pictures of a model's structure: which heads and layers count, and what removing them does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from helpers.environment import InputError
from helpers.figures.style import COLOURS, describe, panels, styled
from helpers.labels import METRICS, joined

__all__ = ["head_importance", "layer_influence", "removal_curves"]

_KINDS = {  # of what is removed: (colour, marker, name)
    "heads": ("#E69F00", "v", "heads"),
    "neurons": ("#56B4E9", "^", "neurons"),
    "both": ("#0072B2", "o", "heads and neurons"),
    "layers": ("#D55E00", "s", "layers"),
    "weights": ("#8C8C8C", "X", "single weights, set to zero"),
}


@styled
def head_importance(heads: Sequence[Sequence[float]]) -> Figure:
    """Draw each head's importance, a row a layer, in percent of its layer's sum. Raises `InputError` for no heads."""
    if not heads or not heads[0]:
        raise InputError("There is no head to draw; give the importance of each layer's heads.")
    shares = [[100 * value / (sum(row) or 1.0) for value in row] for row in heads]
    figure, (axis,), _ = panels(1, width=1.6 + 0.55 * len(heads[0]), height=1.2 + 0.5 * len(heads), legend=False)
    picture = axis.imshow(shares, cmap="cividis", vmin=0, aspect="auto")
    middle = picture.get_clim()[1] * 0.55
    for y, row in enumerate(shares):
        for x, value in enumerate(row):
            axis.text(x, y, f"{value:.0f}", ha="center", va="center", color="black" if value > middle else "white")
    axis.set_xticks(range(len(shares[0])), range(1, len(shares[0]) + 1))
    axis.set_yticks(range(len(shares)), [f"layer {number}" for number in range(1, len(shares) + 1)])
    axis.set_xlabel("head")
    axis.set_title("importance (% of the layer's)", fontsize=12)
    axis.tick_params(length=0)
    axis.grid(visible=False)
    axis.spines[:].set_visible(False)
    most = [row.index(max(row)) + 1 for row in shares]
    told = [f"layer {number} head {head}" for number, head in enumerate(most, start=1)]
    return describe(
        figure,
        caption="Importance of each attention head: the mean size of the loss's gradient with respect to a gate on it.",
        alt=f"Heat map of head importance; the most important: {', '.join(told)}.",
    )


@styled
def layer_influence(influence: Sequence[float]) -> Figure:
    """Draw how much the loss grows without each layer alone."""
    figure, (axis,), _ = panels(1, width=1.8 + 0.6 * len(influence), height=2.9, legend=False)
    numbers = list(range(1, len(influence) + 1))
    axis.bar(numbers, influence, color=COLOURS["student"], width=0.6)
    axis.axhline(0, color=COLOURS["teacher"], linewidth=1)
    axis.set_xticks(numbers)
    axis.set_xlabel("layer left out")
    axis.set_ylabel("loss gained")
    told = ", ".join(f"layer {number} {value:+.2f}" for number, value in zip(numbers, influence, strict=True))
    return describe(
        figure,
        caption="Influence of each layer: how much larger the mean loss is without it.",
        alt=f"Bar chart of loss gained without one layer: {told}.",
    )


@styled
def removal_curves(record: Mapping[str, Any]) -> Figure:
    """Draw score, megabytes and milliseconds of a record's `structured_*` arms against what is left of the encoder.

    Raises `InputError` if the record has none.
    """
    arms = [arm for arm in record["arms"] if arm["arm"].startswith("structured_") and arm["parameter"]]
    if not arms:
        raise InputError("The record has no model with parts removed; run notebook 08_structured_pruning.")
    whole = next(arm for arm in record["arms"] if arm["arm"] == "teacher")
    metric = record["metrics"][0]
    what = {
        METRICS.get(metric, metric): lambda arm: arm["scores"][metric]["value"],
        "file (MB)": lambda arm: arm["bytes"]["file"] / 1e6,
        "ms at batch 32": lambda arm: (arm["latency"] or {}).get("batch32_true", {}).get("median_ms"),
    }
    figure, axes, legend = panels(len(what))
    for axis, (label, value) in zip(axes, what.items(), strict=True):
        for kind, (shade, marker, _) in _KINDS.items():
            for recovered in (False, True):
                some = [arm for arm in arms if _is(arm, kind, recovered) and value(arm) is not None]
                if not some:
                    continue
                # a line begins at the whole model
                points = [(100.0, value(whole))] if value(whole) is not None else []
                points += sorted(((100 * a["parameter"]["left"], value(a)) for a in some), reverse=True)
                axis.plot(*zip(*points, strict=True), color=shade, marker=marker, linestyle="-" if recovered else ":")
        axis.set_title(label)
        axis.set_xlim(105, 0)
        axis.xaxis.set_major_locator(MaxNLocator(5))
        if label != METRICS.get(metric, metric):
            axis.set_ylim(bottom=0)
        axis.set_xlabel("left of the encoder (%)")
    if record["floor"] is not None:
        axes[0].axhline(record["floor"], color=COLOURS["floor"], linestyle=":", linewidth=2)
    there = [kind for kind in _KINDS if any(arm["parameter"]["kind"] == kind for arm in arms)]
    for kind in there:
        shade, marker, name = _KINDS[kind]
        legend.plot([], [], color=shade, marker=marker, linestyle="", label=name)
    legend.plot([], [], color="black", linestyle="-", label="recovered")
    legend.plot([], [], color="black", linestyle=":", label="as cut")
    legend.legend(loc="center left", borderaxespad=0, title="removed", alignment="left")
    told = [
        f"{arm['title']} {arm['scores'][metric]['value']:.2f} with {arm['bytes']['file'] / 1e6:.1f} MB" for arm in arms
    ]
    return describe(
        figure,
        caption="Score, bytes and time against the share of the encoder's weights that are left.",
        alt=f"Line charts against what is left of the encoder: {joined(told)}.",
    )


def _is(arm: Mapping[str, Any], kind: str, recovered: bool) -> bool:
    return arm["parameter"]["kind"] == kind and arm["parameter"]["recovered"] == recovered
