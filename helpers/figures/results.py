"""The study's figures, drawn from records: each is a matplotlib Figure with its caption and alt text.

A figure raises InputError when the records hold nothing to draw.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from helpers.environment import InputError
from helpers.figures.style import (
    COLOURS,
    MARKERS,
    bars,
    colour,
    describe,
    family,
    label_below,
    mark,
    panels,
    styled,
)
from helpers.labels import ARMS, METRICS, REPORT_AMOUNTS, joined, task_label
from helpers.report import captions, summary
from helpers.report.provenance import provenance
from helpers.report.summary import Records

__all__ = ["figure1", "size_score_latency"]

_RANGE = "#F5EBD6"
# dashes that fill each other's gaps: both lines are seen where the two scores are equal
_DASHES = {"teacher": (0, (3, 3)), "student": (3, (3, 3))}


@styled
def figure1(records: Records) -> Figure:
    """Draw the report's Figure 1: score against pruning amount, with teacher, student and floor."""
    summary.require(records)
    sweeps = {task: summary.sweep(records, task) for task in summary.tasks_of(records, all_of_report=False)}
    sweeps = {task: points for task, points in sweeps.items() if points}
    if not sweeps:
        raise InputError("No record holds a pruning sweep: run notebook 03_pruning_sweep for one task or more.")
    figure, axes, legend = panels(len(sweeps))
    for axis, (task, points) in zip(axes, sweeps.items(), strict=True):
        _sweep_panel(axis, records, task, points)
    low, high = (100 * bound(REPORT_AMOUNTS) for bound in (min, max))
    entries = [
        Line2D([], [], color=COLOURS["pruned"], marker="o", label="pruned student, 95 % interval"),
        *(
            Line2D([], [], color=COLOURS[arm], linestyle=_DASHES[arm], label=label)
            for arm, label in (("student", "student, unpruned"), ("teacher", "teacher"))
            if any(summary.score(records, task, arm) for task in sweeps)
        ),
        Line2D([], [], color=COLOURS["floor"], linestyle=":", label="floor (majority or mean)"),
        mark(COLOURS["pruned"], "^", "chosen on held-out data"),
        Patch(color=_RANGE, label=f"report's range ({low:.0f} to {high:.0f} %)"),
    ]
    legend.legend(handles=entries, loc="center left", borderaxespad=0)
    label_below(axes, "weights set to zero (%)")
    return describe(figure, caption=captions.figure1_caption(records), alt=captions.figure1_alt(records))


@styled
def size_score_latency(records: Records) -> Figure:
    """Draw score against time per example (batch 32, true lengths); markers grow with the file."""
    summary.require(records)
    kept, _ = summary.timed(records)
    found = {task: _points(records, kept, task) for task in summary.tasks_of(kept, all_of_report=False)}
    found = {task: points for task, points in found.items() if points}
    if not found:
        raise InputError("No record holds both score and time: run notebook 04_dynamic_quantization.")
    largest = max(size for points in found.values() for _, _, size in points.values())
    figure, axes, legend = panels(len(found))
    for axis, (task, points) in zip(axes, found.items(), strict=True):
        biggest_first = sorted(points.items(), key=lambda item: -item[1][2])  # a small marker stays visible
        for depth, (arm, (time, score, size)) in enumerate(biggest_first):
            look = {"color": colour(arm), "zorder": 3 + depth}
            axis.errorbar(time, score.value, yerr=bars([score]), elinewidth=1.2, alpha=0.6, **look | {"zorder": 2})
            axis.scatter(
                time,
                score.value,
                s=40 + 320 * size / largest,
                marker=MARKERS[family(arm)],
                edgecolor="white",
                **look,
            )
        axis.set_xlim(left=0, right=1.15 * max(time for time, *_ in points.values()))
        axis.locator_params(nbins=5)
        axis.set_title(task_label(task))
        axis.set_ylabel(_metric(records, task))
    entries = [
        mark(colour(arm), MARKERS[family(arm)], _named(arm, found))
        for arm in ARMS
        if any(arm in points for points in found.values())
    ]
    legend.legend(handles=entries, loc="center left", borderaxespad=0, title="marker area: file size", alignment="left")
    label_below(axes, "time per example (ms)")
    told = []
    for task, points in found.items():
        each = [f"{ARMS[arm]} {score.value:.2f} at {time:.2g} ms" for arm, (time, score, _) in points.items()]
        told.append(f"{task_label(task)}: {joined(each)}")
    text = (
        "Score against time per example in batches of 32 at their true lengths; the marker's area grows "
        "with the file. Bars: 95 % interval of the score. "
        f"{provenance(records)}"
    )
    return describe(figure, caption=text, alt=f"Scatter of score against time. {'; '.join(told)}.")


def _sweep_panel(axis: Axes, records: Records, task: str, points: Sequence) -> None:
    axis.axvspan(100 * min(REPORT_AMOUNTS), 100 * max(REPORT_AMOUNTS), color=_RANGE, zorder=0, linewidth=0)
    for arm, dashes in _DASHES.items():
        reference = summary.score(records, task, arm)
        if reference is not None:
            axis.axhline(reference.value, color=COLOURS[arm], linestyle=dashes, linewidth=1.5)
    floor = summary.floor(records, task)
    if floor is not None:
        axis.axhline(floor, color=COLOURS["floor"], linestyle=":", linewidth=2)
    amounts = [100 * amount for amount, _ in points]
    scores = [score for _, score in points]
    style = {"color": COLOURS["pruned"], "marker": "o", "elinewidth": 1.2, "zorder": 3}
    axis.errorbar(amounts, [score.value for score in scores], yerr=bars(scores), **style)
    chosen = [
        one["parameter"]["amount"] for _, one in summary.arms_of(records, "pruned", task=task) if one["parameter"]
    ]
    for amount in set(chosen):
        place = axis.get_xaxis_transform()
        axis.plot(
            100 * amount,
            0.0,
            "^",
            color=COLOURS["pruned"],
            markersize=9,
            transform=place,
            clip_on=False,
            zorder=4,
        )
    axis.set_title(task_label(task))
    axis.set_ylabel(_metric(records, task))
    axis.set_xticks(range(0, 101, 20))
    axis.set_xlim(-3, max(amounts) + 3)


def _metric(records: Records, task: str) -> str:
    metric = summary.metrics_of(records, task)[0]
    return {"matthews_correlation": "Matthews correlation", "pearson": "Pearson correlation"}.get(
        metric, METRICS.get(metric, metric)
    )


def _points(records: Records, kept: Records, task: str) -> dict[str, tuple[float, summary.Summary, float]]:
    """Return arm -> (ms per example, score, MB) of every model that has all three."""
    points = {}
    for arm in ("teacher", "student", "pruned", "int8"):
        score = summary.score(records, task, arm)
        times, sizes = [], []
        for record, one in summary.arms_of(kept, arm, task=task):
            block = (one["latency"] or {}).get("batch32_true") or {}
            if block.get("median_ms") is not None:
                times.append(block["median_ms"] / record["latency_setup"]["batch_size"])
                sizes.append(one["bytes"]["file"] / 1e6)
        if score is not None and times:
            points[arm] = (summary.spread(times)[0], score, summary.spread(sizes)[0])
    return points


def _named(arm: str, found: Mapping[str, Mapping[str, tuple]]) -> str:
    sizes = [points[arm][2] for points in found.values() if arm in points]
    return f"{ARMS[arm]} ({summary.spread(sizes)[0]:.1f} MB)"
