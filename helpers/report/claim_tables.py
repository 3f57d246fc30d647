"""The table of claims: the words, the verdict, what was measured here, and the report's own single runs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

from helpers.labels import ARMS, TASKS, joined, task_label
from helpers.report import cells, summary
from helpers.report.cells import DASH, NOTEBOOK, number
from helpers.report.claim_measures import EXACT, MEASURES, name_of, reported
from helpers.report.claims import Judged, claims, judged
from helpers.report.summary import Records, Summary

__all__ = ["claims_table", "has_claims", "not_judged"]


def has_claims(records: Records) -> bool:
    """Tell whether records have the report's last system, and so all that its claims compare."""
    return bool(summary.arms_of(records, "int8"))


def claims_table(*profiles: Records) -> pd.DataFrame:
    """Return a row for each claim that can be judged: its words, the verdict, the measure, the report's number."""
    rows = []
    for one in judged(*profiles):
        measure, unit = one.claim.measure, MEASURES[name_of(one.claim.measure)][0]
        own = reported(measure, one.answer)
        row = {"Claim": f"“{one.claim.says}” ({one.claim.source})", "Verdict": one.verdict}
        row |= {"Here": "; ".join(f"{_part(name)}{_told(part, unit)}" for name, part in one.answer.parts.items())}
        told = [f"{_part(name)}{_value(own[name], unit)}" for name in one.answer.parts if name in own]
        row |= {"The report's tables": "; ".join(told) or DASH, "Holds": _bound(one.claim.holds, unit, measure)}
        row |= {"Measure": _in_words(measure), "Over": _over(one), NOTEBOOK: _made_in(one)}
        if len(profiles) > 1:
            row["Profile"] = f"`{one.records[0]['profile']}`"
        rows.append(row)
    return pd.DataFrame(rows, columns=list(rows[0]) if rows else ["Claim"]).set_index("Claim")


def not_judged(records: Records) -> str:
    """Name the claims that records cannot judge, if there are any."""
    there = {one.claim.name for one in judged(records)}
    missing = [f"“{claim.says}”" for claim in claims() if claim.name not in there]
    return f"Not measured by these runs, and so without a verdict: {'; '.join(missing)}." if missing else ""


def _made_in(one: Judged) -> str:
    """Return the numbers of the notebooks that have what a claim is about, as `NOTEBOOKS=` takes them."""
    measure = one.claim.measure
    arm, timed = measure[name_of(measure)], name_of(measure) == "time_saved"
    named = [measure["of"], *(arm if isinstance(arm, list) else [arm] if isinstance(arm, str) else [])]
    some = summary.timed(one.records)[0] if timed else one.records
    return ",".join(sorted({cells.made_in(some, name) for name in named}))


def _part(name: str) -> str:
    """Return what stands before a part's value: its task or its amount."""
    if not name:
        return ""
    return f"{task_label(name)} " if name in TASKS else f"{100 * float(name.removeprefix('pruned_')):.0f} %: "


def _in_words(measure: Mapping[str, Any]) -> str:
    arm, of = measure[name_of(measure)], measure["of"]
    if isinstance(arm, Mapping):
        named = " + ".join(part if str(share) == "1" else f"{share} {part}" for part, share in arm.items())
    else:
        named = "pruned student" if isinstance(arm, list) else ARMS.get(arm, arm)
    return MEASURES[name_of(measure)][1].format(arm=named, of=ARMS.get(of, of))


def _bound(holds: Mapping[str, float], unit: str, measure: Mapping[str, Any]) -> str:
    ((bound, value),) = holds.items()
    over = {"each": ", each", "most": ", most"}.get(measure.get("over", ""), "")
    return f"{bound.replace('_', ' ')} {value:g} {unit}{over}"


def _value(value: float, unit: str) -> str:
    return f"{cells.signed(value, 2)} {unit}" if unit == "points" else f"{number(value)} {unit}"


def _told(found: Summary, unit: str) -> str:
    if math.isclose(found.low, found.high):
        return _value(found.value, unit)
    if unit == "points":
        return cells.points(found, " points", mark="")
    return f"{found.value:.1f} {unit} [{found.low:.1f}, {found.high:.1f}]"


def _over(one: Judged) -> str:
    """Say over which tasks, rows or batches and seeds a measure is; nothing for what is counted exactly."""
    name, tasks = name_of(one.claim.measure), one.answer.tasks
    if name in EXACT:
        return "exact"
    if name == "time_saved":
        records, _ = summary.timed(one.records)
        setup = next(record["latency_setup"] for record in records)
        on = summary.machine(records[0])
        amount = f"{setup['repeats']} batches or more each, {on}"
    else:
        rows = {record["task"]: record["data"]["rows"]["validation"] for record in one.records}
        amount = f"{sum(rows[task] for task in tasks):,} rows"
    seeds = min(part.seeds for part in one.answer.parts.values())
    floored = joined([task_label(task) for task in one.answer.floored])
    left_out = f"; not {floored}, at the floor" if floored else ""
    named = joined([task_label(task) for task in tasks])
    return f"{named}; {amount}; {seeds} seed{'s' if seeds > 1 else ''}{left_out}"
