"""A picture of differences: each model against the one that it is compared with, with its interval."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from matplotlib.figure import Figure

from helpers.environment import InputError
from helpers.figures.style import COLOURS, bars, describe, panels, styled
from helpers.labels import METRICS, task_label
from helpers.report import summary
from helpers.report.comparisons import COMPARISONS
from helpers.report.differences import difference
from helpers.report.provenance import provenance
from helpers.report.summary import Records

__all__ = ["differences"]


@styled
def differences(records: Records, names: Sequence[str]) -> Figure:
    """Draw the paired differences of one or more of `COMPARISONS`, a panel a task: filled where more than noise.

    Raises `InputError` if no record has any of their arms.
    """
    summary.require(records)
    arms = summary.matching(records, [pattern for name in names for pattern in COMPARISONS[name][1]])
    found = {
        task: {arm: found for arm in arms if (found := difference(records, task, arm))}
        for task in summary.tasks_of(records, all_of_report=False)
    }
    found = {task: points for task, points in found.items() if points}
    if not found:
        raise InputError(f"No record has an arm of {', '.join(names)}.")
    shown = [arm for arm in arms if any(arm in points for points in found.values())]
    references = {arm: points[arm][0] for points in found.values() for arm in points}
    usual = Counter(references.values()).most_common(1)[0][0]
    reference = summary.title(records, usual)
    others = {arm: summary.title(records, name) for arm, name in references.items() if name != usual}
    # the names of the models stand left of the first panel of a row
    width = {1: 7.5, 2: 5.0}.get(len(found), 4.2)
    figure, axes, _ = panels(len(found), width=width, height=1.0 + 0.34 * len(shown), legend=False)
    for axis, (task, points) in zip(axes, found.items(), strict=True):
        axis.axvline(0, color=COLOURS["teacher"], linewidth=1)
        for row, arm in enumerate(shown):
            if arm not in points:
                continue
            _, versus = points[arm]
            noise = not (versus.low > 0 or versus.high < 0)  # undefined bounds decide nothing
            axis.errorbar(
                versus.value,
                row,
                xerr=bars([versus]),
                marker="o",
                color=COLOURS["student"],
                markerfacecolor="white" if noise else COLOURS["student"],
                elinewidth=1.5,
            )
        leftmost = axis.get_subplotspec().colspan.start == 0
        labels = [f"{summary.title(records, arm)}{' *' if arm in others else ''}" for arm in shown]
        axis.set_yticks(range(len(shown)), labels if leftmost else [])
        axis.set_ylim(len(shown) - 0.5, -0.5)
        metric = summary.metrics_of(records, task)[0]
        axis.set_title(f"{task_label(task)}: {METRICS.get(metric, metric)}")
        axis.locator_params(axis="x", nbins=4)
    figure.supxlabel(f"difference to the {reference}{' (*: to another)' if others else ''}", fontsize=12)
    told = []
    for task, points in found.items():
        each = [f"{summary.title(records, arm)} {versus.value:+.3f}" for arm, (_, versus) in points.items()]
        told.append(f"{task_label(task)}: {', '.join(each)}")
    pairs = "".join(f' "{summary.title(records, arm)}" is compared with "{name}".' for arm, name in others.items())
    text = (
        f"Difference to the {reference} over the same examples, with its 95 % interval; an open circle is inside "
        f"noise.{pairs} {provenance(records)}"
    )
    return describe(figure, caption=text, alt=f"Differences to the {reference}. {'; '.join(told)}.{pairs}")
