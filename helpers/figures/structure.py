"""Pictures of a model's structure: which heads and layers count, and what removing them does."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from statistics import median
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from helpers.environment import InputError
from helpers.figures.style import COLOURS, bars, describe, panels, styled
from helpers.labels import METRICS, SYSTEMS, joined, task_label
from helpers.report import summary
from helpers.report.provenance import provenance
from helpers.report.summary import Records, Summary

__all__ = ["has_removals", "head_importance", "layer_influence", "removal_curves"]

NOTEBOOK = "08_structured_pruning"

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
def removal_curves(records: Records) -> Figure:
    """Draw score, megabytes and milliseconds of `structured_*` arms against what is left of the encoder.

    Of several tasks the one with the most arms is drawn. Raises `InputError` if there is none.
    """
    if not has_removals(records):
        raise InputError("No record has a model with parts removed; run notebook 08_structured_pruning.")
    some = [record for record in records if record["notebook"] == NOTEBOOK]
    task = max(summary.tasks_of(some, all_of_report=False), key=lambda name: len(_removed(some, name)))
    some = [record for record in some if record["task"] == task]
    removed = _removed(some, task)
    timed, _ = summary.timed(some, notebooks=SYSTEMS)
    metric = METRICS.get(some[0]["metrics"][0], some[0]["metrics"][0])
    what = {
        f"{task_label(task)}: {metric}": lambda arm: summary.score(some, task, arm),
        "file (MB)": lambda arm: _middle(one["bytes"]["file"] / 1e6 for _, one in summary.arms_of(some, arm)),
        "ms at batch 32": lambda arm: _middle(_milliseconds(timed, arm)),
    }
    figure, axes, legend = panels(len(what))
    for axis, (label, value) in zip(axes, what.items(), strict=True):
        for kind, (shade, marker, _) in _KINDS.items():
            for recovered in (False, True):
                points = [
                    (100 * of["left"], found)
                    for arm, of in removed.items()
                    if (of["kind"], of["recovered"]) == (kind, recovered) and (found := value(arm)) is not None
                ]
                if not points:
                    continue
                # a line begins at the whole model
                points += [(100.0, whole)] if (whole := value("teacher")) is not None else []
                points.sort(key=lambda point: -point[0])
                lefts, heights = [left for left, _ in points], [one.value for _, one in points]
                axis.plot(lefts, heights, color=shade, marker=marker, linestyle="-" if recovered else ":")
                spread = bars([one for _, one in points])
                axis.errorbar(lefts, heights, yerr=spread, fmt="none", ecolor=shade, alpha=0.35, capsize=0)
        axis.set_title(label)
        axis.set_xlim(105, 0)
        axis.xaxis.set_major_locator(MaxNLocator(5))
        axis.set_xlabel("left of the encoder (%)")
    for axis in axes[1:]:
        axis.set_ylim(bottom=0)
    if (floor := summary.floor(some, task)) is not None:
        axes[0].axhline(floor, color=COLOURS["floor"], linestyle="--", linewidth=1)
    for kind in (kind for kind in _KINDS if any(of["kind"] == kind for of in removed.values())):
        shade, marker, name = _KINDS[kind]
        legend.plot([], [], color=shade, marker=marker, linestyle="", label=name)
    legend.plot([], [], color="black", linestyle="-", label="recovered")
    legend.plot([], [], color="black", linestyle=":", label="as cut")
    legend.legend(loc="center left", borderaxespad=0, title="removed", alignment="left")
    told = []
    for arm in removed:
        score, size = summary.score(some, task, arm), what["file (MB)"](arm)
        told += [f"{summary.title(some, arm)} {score.value:.2f} with {size.value:.1f} MB"] if score else []
    return describe(
        figure,
        caption="Score, bytes and time against the share of the encoder's weights that are left. Bars: 95 % interval "
        f"of the score; dashed: the floor; bytes and times are medians. {provenance(some)}",
        alt=f"Line charts against what is left of the encoder: {joined(told)}.",
    )


def has_removals(records: Records) -> bool:
    """Tell whether any record has a model with parts removed."""
    some = [record for record in records if record["notebook"] == NOTEBOOK]
    return any(_removed(some, task) for task in summary.tasks_of(some, all_of_report=False))


def _removed(records: Records, task: str) -> dict[str, Mapping[str, Any]]:
    """Return what was removed of each model, by arm."""
    arms = summary.matching([record for record in records if record["task"] == task], ["structured_*"])
    found = {arm: summary.arms_of(records, arm, task=task)[0][1]["parameter"] for arm in arms}
    return {arm: of for arm, of in found.items() if of}


def _milliseconds(records: Records, arm: str) -> list[float]:
    blocks = [(one["latency"] or {}).get("batch32_true") for _, one in summary.arms_of(records, arm)]
    return [block["median_ms"] for block in blocks if block]


def _middle(values: Iterable[float]) -> Summary | None:
    """Return a median as a value without an interval, or None of nothing."""
    values = list(values)
    return Summary(median(values), math.nan, math.nan, len(values)) if values else None
