"""The report's and the overview's claims, one by one: what was measured here, and whether it bears them out.

The claims are data, `results/reported/claims.yaml`: the words, the measure that answers them, the values at which they
hold. A claim is reproduced if the whole interval of its measure lies there, contradicted if none of it does, and else
not decidable at this number of rows and seeds.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import yaml

from helpers.environment import InputError
from helpers.labels import ARMS, task_label
from helpers.report import summary
from helpers.report.cells import DASH, number
from helpers.report.claim_measures import MEASURES, measured, reported, tasks_in
from helpers.report.reported import FOLDER
from helpers.report.summary import Records, Summary

__all__ = [
    "CONTRADICTED",
    "REPRODUCED",
    "UNDECIDED",
    "Claim",
    "claims",
    "claims_table",
    "has_claims",
    "judged",
    "verdict",
]

REPRODUCED, CONTRADICTED, UNDECIDED = "reproduced", "contradicted", "not decidable"
_BOUNDS = ("about", "at_least", "at_most", "above", "below")
_ABOUT = 0.1  # `about` a number is within this share of it


class Claim(NamedTuple):
    """A claim: its name, where it stands, its words, the measure that answers it, and the values at which it holds."""

    name: str
    source: str
    says: str
    measure: Mapping[str, Any]
    holds: Mapping[str, float]


@cache
def claims(path: Path = FOLDER / "claims.yaml") -> tuple[Claim, ...]:
    """Read the claims. Raises InputError, which names the claim, for a measure or a bound that is not known."""
    found = []
    for entry in yaml.safe_load(path.read_text(encoding="utf-8")):
        claim = Claim(entry["claim"], entry["source"], entry["says"], entry["measure"], entry["holds"])
        names = [name for name in claim.measure if name in MEASURES]
        if len(names) != 1 or "of" not in claim.measure or claim.measure.keys() - {*names, "of", "tasks"}:
            raise InputError(
                f"{path}: the claim {claim.name} has the measure {dict(claim.measure)}: give one of "
                f"{', '.join(MEASURES)} with its arm, `of` with the other's, and perhaps `tasks`."
            )
        if len(claim.holds) != 1 or not claim.holds.keys() <= set(_BOUNDS):
            raise InputError(
                f"{path}: the claim {claim.name} holds at {dict(claim.holds)}: give one of {', '.join(_BOUNDS)}."
            )
        found.append(claim)
    return tuple(found)


def verdict(claim: Claim, found: Summary) -> str:
    """Say whether a measure with its interval bears a claim out.

    >>> half = Claim("x", "y", "z", {}, {"about": 50.0})
    >>> [verdict(half, Summary(52.0, low, high, 3)) for low, high in ((48, 54), (40, 60), (60, 70))]
    ['reproduced', 'not decidable', 'contradicted: more']
    """
    ((bound, value),) = claim.holds.items()
    low, high = {
        "about": (value - _ABOUT * abs(value), value + _ABOUT * abs(value)),
        "at_least": (value, math.inf),
        "above": (value, math.inf),
        "at_most": (-math.inf, value),
        "below": (-math.inf, value),
    }[bound]
    is_open = bound in ("above", "below")
    if math.isnan(found.low) or math.isnan(found.high):
        return UNDECIDED
    if found.low > high or (found.low == high and is_open):
        return f"{CONTRADICTED}: more"
    if found.high < low or (found.high == low and is_open):
        return f"{CONTRADICTED}: less"
    inside = low < found.low and found.high < high if is_open else low <= found.low and found.high <= high
    return REPRODUCED if inside else UNDECIDED


def judged(*profiles: Records) -> list[tuple[Claim, Records, Summary, str]]:
    """Return each claim that some profile's records can judge: the first that can, the measure and the verdict."""
    found = []
    for claim in claims():
        able = [(some, value) for some in profiles if (value := measured(some, claim.measure)) is not None]
        found += [(claim, *each, verdict(claim, each[1])) for each in able[:1]]
    return found


def has_claims(records: Records) -> bool:
    """Tell whether records have the report's last system, and so all that its claims compare."""
    return bool(summary.arms_of(records, "int8"))


def claims_table(*profiles: Records) -> pd.DataFrame:
    """Return a row for each claim that can be judged: its words, the measure, the report's number, the verdict.

    Of several profiles' records the first that can judge a claim does.
    """
    rows = []
    for claim, some, found, said in judged(*profiles):
        unit, _ = MEASURES[next(name for name in claim.measure if name in MEASURES)]
        own = reported(claim.measure)
        row = {"Claim": f"“{claim.says}” ({claim.source})", "Verdict": said, "Here": _measured(found, unit)}
        row |= {"The report's tables": DASH if own is None else _value(own, unit), "Holds": _bound(claim.holds, unit)}
        row |= {"Measure": _in_words(claim.measure), "Over": _over(some, claim.measure, found)}
        if len(profiles) > 1:
            row["Profile"] = f"`{some[0]['profile']}`"
        rows.append(row)
    return pd.DataFrame(rows, columns=list(rows[0]) if rows else ["Claim"]).set_index("Claim")


def _in_words(measure: Mapping[str, Any]) -> str:
    name = next(name for name in measure if name in MEASURES)
    arm, of = measure[name], measure["of"]
    if isinstance(arm, Mapping):
        arm = " + ".join(part if str(share) == "1" else f"{share} {part}" for part, share in arm.items())
    return MEASURES[name][1].format(arm=_title(arm), of=_title(of))


def _title(arm: str) -> str:
    return f"student pruned by {100 * float(arm[7:]):.0f} %" if arm.startswith("pruned_") else ARMS.get(arm, arm)


def _bound(holds: Mapping[str, float], unit: str) -> str:
    ((bound, value),) = holds.items()
    return f"{bound.replace('_', ' ')} {value:g} {unit}"


def _value(value: float, unit: str) -> str:
    return f"{value:+.2f} {unit}" if unit == "points" else f"{number(value)} {unit}"


def _measured(found: Summary, unit: str) -> str:
    if math.isclose(found.low, found.high):
        return _value(found.value, unit)
    ends = [f"{end:+.2f}" if unit == "points" else f"{end:.1f}" for end in (found.low, found.high)]
    return f"{_value(found.value, unit)} [{', '.join(ends)}]"


def _over(records: Records, measure: Mapping[str, Any], found: Summary) -> str:
    """Say over which tasks, rows and seeds a measure is; nothing for what is counted exactly."""
    if not {"share_of_score", "points", "time_saved"} & measure.keys():
        return "exact"
    tasks = tasks_in(records, measure)
    rows = sum({record["task"]: record["data"]["rows"]["validation"] for record in records}[task] for task in tasks)
    named: Sequence[str] = [task_label(task) for task in tasks]
    which = named[0] if len(named) == 1 else f"{len(named)} tasks"
    return f"{which}, {rows:,} rows, {found.seeds} seed{'s' if found.seeds > 1 else ''}"
