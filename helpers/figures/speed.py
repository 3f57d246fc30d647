"""Programs and their floors, and the factors from BERT-base down, as pictures."""

from __future__ import annotations

from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from helpers.environment import InputError
from helpers.figures.style import COLOURS, describe, mark, styled
from helpers.labels import ARMS, FIRST_TOKEN, RUNGS, task_label
from helpers.report import speed, summary
from helpers.report.cells import number
from helpers.report.provenance import provenance
from helpers.report.summary import Records

__all__ = ["programs", "speed_factors"]

SHADES = {"float32": COLOURS["student"], "bf16": COLOURS["tinybert"], "int8": COLOURS["int8"]}
NONE = "No record has times of programs; run notebook 10_speed."


@styled
def speed_factors(records: Records) -> Figure:
    """Draw the seconds of each rung from BERT-base padded down, with its factor, and the factor of all.

    Raises `InputError` if no record has them.
    """
    found = speed.rungs(records)
    if not found:
        raise InputError(NONE)
    figure, axes = plt.subplots(
        1, len(found), figsize=(3.6 + 4.4 * len(found), 4.0), squeeze=False, sharey=True, layout="constrained"
    )
    plt.close(figure)
    told = []
    for axis, (task, rungs) in zip(axes[0], found.items(), strict=True):
        seconds = [rung["seconds"] for rung in rungs]
        axis.plot(seconds, range(len(rungs)), color=COLOURS["student"], marker="o", linewidth=1)
        for row, rung in enumerate(rungs):
            times = "" if row == 0 else f"   {number(rung['factor']['median'])}x"
            axis.annotate(
                f"{number(rung['seconds'])} s{times}",
                (rung["seconds"], row),
                xytext=(8, 2),
                textcoords="offset points",
                va="top",  # below the line, which comes from the right
            )
        total = rungs[-1]["total"]
        axis.set_title(f"{task_label(task)}: {number(total['median'])}x in all")
        axis.set_xscale("log")
        axis.set_xlim(min(seconds) / 2, max(seconds) * 12)
        axis.set_xlabel("seconds for the validation split")
        axis.grid(axis="y", visible=False)
        steps = ", ".join(f"{RUNGS[rung['way']]} {number(rung['seconds'])} s" for rung in rungs)
        told.append(f"{task_label(task)}: {steps}; {number(total['median'])} times in all")
    first = next(iter(found.values()))
    names = [RUNGS[rung["way"]] for rung in first]
    axes[0][0].set_yticks(range(len(names)), [_folded(name) for name in names])
    axes[0][0].set_ylim(len(names) - 0.4, -0.5)
    some = speed.measured(records)
    which = "; ".join(
        f"{task_label(task)}: {speed.program_titles(rungs[-1]['program'])}" for task, rungs in found.items()
    )
    text = (
        "Seconds for the whole validation split, each way beside the others in the same run, and how many times as "
        f"fast as the one above it is (median over rounds). The fastest program: {which}. {summary.machine(some[0])}. "
        f"{provenance(some)}"
    )
    return describe(figure, caption=text, alt=f"Seconds on a logarithmic axis. {'; '.join(told)}.")


@styled
def programs(records: Records) -> Figure:
    """Draw the milliseconds of each program for rows of one length, with its floor.

    Raises `InputError` if no record has them.
    """
    arms, blocks = speed.programs(records), speed.longest(records)
    if not arms or not blocks:
        raise InputError(NONE)
    some = speed.measured(records)
    size = {
        "figsize": (2.8 + 3.4 * len(blocks), 0.42 * len(arms) + 1.7),
        "sharey": True,
        "squeeze": False,
        "layout": "constrained",
    }
    figure, axes = plt.subplots(1, len(blocks), **size)
    plt.close(figure)
    told = []
    for axis, block in zip(axes[0], blocks, strict=True):
        for row, arm in enumerate(arms):
            ms = speed.milliseconds(some, arm, block)
            least = speed.least(some, arm, block)
            if ms is None:
                continue
            precision = arm.removesuffix(FIRST_TOKEN).rpartition("_")[2]
            axis.barh(row, ms, height=0.65, color=SHADES[precision])
            if least is not None:
                axis.plot([least] * 2, [row - 0.42, row + 0.42], color="black", linewidth=1.5)
            axis.annotate(
                f"{number(ms)} ms", (max(ms, least or 0), row), xytext=(5, 0), textcoords="offset points", va="center"
            )
            told.append(f"{ARMS[arm]} {number(ms)} ms for {speed.block_title(block)}")
        axis.set_title(speed.block_title(block))
        axis.set_xlim(0, 1.25 * axis.dataLim.x1)
        axis.set_xlabel("milliseconds")
        axis.grid(axis="y", visible=False)
    axes[0][0].set_yticks(range(len(arms)), [ARMS[arm] for arm in arms])
    axes[0][0].invert_yaxis()
    used = {arm.removesuffix(FIRST_TOKEN).rpartition("_")[2] for arm in arms}
    entries = [mark(shade, "s", name) for name, shade in SHADES.items() if name in used]
    figure.legend(handles=[*entries, mark("black", "|", "floor", size=12)], loc="outside upper center", ncols=4)
    text = (
        "Milliseconds of the distilled student by several programs, and the least that this machine could take: its "
        "operations at the rate of plain matrix products, or its bytes at the rate of plain reading. Warm: each timed "
        "pass comes right after another of the same program; else after one of another program. "
        f"{summary.machine(some[0])}. {provenance(some)}"
    )
    return describe(figure, caption=text, alt=f"Bars of milliseconds: {'; '.join(told)}.")


def _folded(name: str) -> str:
    """Return a long name in two lines."""
    head, comma, tail = name.partition(", ")
    return f"{head},\n{tail}" if comma and len(name) > 30 else name
