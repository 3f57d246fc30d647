"""The ladder of files in one picture: where the bytes are, predicted beside measured, and what is lost."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import median

from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from helpers.environment import InputError
from helpers.figures.style import COLOURS, bars, describe, mark, styled
from helpers.labels import FILES, joined, task_label
from helpers.report import storage, summary
from helpers.report.cells import number
from helpers.report.provenance import provenance
from helpers.report.summary import Records

__all__ = ["storage_ladder"]

SHADES = {"embedding": "#0072B2", "encoder": "#E69F00", "head": "#009E73", "tokenizer": "#CC79A7", "header": "#8C8C8C"}


@styled
def storage_ladder(records: Records) -> Figure:
    """Draw each file's bytes by part, with what was predicted, beside its mean difference to float32 over tasks.

    Raises `InputError` if no record has a ladder of files.
    """
    arms = storage.rungs(records)
    if not arms:
        raise InputError("No record has a ladder of files; run notebook 09_storage.")
    size = {"figsize": (11.0, 0.42 * len(arms) + 1.6), "width_ratios": (3, 2), "layout": "constrained", "sharey": True}
    figure, (left, right) = plt.subplots(1, 2, **size)
    plt.close(figure)
    told = []
    for row, arm in enumerate(arms):
        found = [one for _, one in summary.arms_of(records, arm)]
        start = 0.0
        for part, shade in SHADES.items():
            width = median(_bytes(one["bytes"], part) for one in found) / 1e6
            left.barh(row, width, left=start, height=0.65, color=shade)
            start += width
        predicted = median(one["parameter"]["predicted_bytes"] for one in found) / 1e6
        left.plot([predicted] * 2, [row - 0.42, row + 0.42], color="black", linewidth=1.5)
        whole = median(one["bytes"]["file"] for one in found) / 1e6
        beside = {"xytext": (7, 0), "textcoords": "offset points", "va": "center"}
        left.annotate(f"{number(whole)} MB", (max(start, predicted), row), **beside)
        loss = storage.mean_loss(records, arm)
        told.append(f"{summary.title(records, arm)} {number(whole)} MB")
        if loss is not None and arm != storage.FIRST:
            told[-1] += f", {loss.value:+.2f} points"
            right.errorbar([loss.value], [row], xerr=bars([loss]), fmt="o", color=COLOURS["student"])
    right.axvline(0, color=COLOURS["teacher"], linewidth=1)
    right.axvline(-1, color=COLOURS["floor"], linewidth=1, linestyle="--")
    left.set_yticks(range(len(arms)), [summary.title(records, arm) for arm in arms])
    left.invert_yaxis()
    left.set_xlim(0, 1.25 * left.dataLim.x1)
    left.set_xlabel("file (MB)")
    right.set_xlabel("difference to float32 (points)")
    for axis in (left, right):
        axis.grid(axis="y", visible=False)
    entries = [Patch(color=shade, label=part) for part, shade in SHADES.items()]
    entries.append(mark("black", "|", "predicted, without the last two", size=12))
    figure.legend(handles=entries, loc="outside upper center", ncols=len(entries))
    some = [record for record in records if record["notebook"] in FILES]
    tasks = joined([task_label(task) for task in summary.tasks_of(some, all_of_report=False)])
    bounds = "bars: 95 % interval over seeds" if len(summary.seeds_of(some)) > 1 else "one seed, so without intervals"
    text = (
        "Bytes of each file, and the mean difference of its score to the float32 file's, in points (hundredths) over "
        f"{tasks}; {bounds}; dashed: one point lost. {provenance(some)}"
    )
    return describe(figure, caption=text, alt=f"Stacked bars of megabytes, and differences: {'; '.join(told)}.")


def _bytes(sizes: Mapping[str, int], part: str) -> int:
    """Return the bytes of a part; the header is what the others leave of the file."""
    if part == "header":
        return sizes["file"] - sum(sizes.get(each, 0) for each in SHADES if each != "header")
    return sizes.get(part, 0)
