"""The report's and the overview's claims, one by one: what was measured here, and whether it bears them out.

The claims are data, `results/reported/claims.yaml`: the words, the measure that answers them, the values at which they
hold. A claim is reproduced if the whole interval of its measure lies there, contradicted if none of it does, and else
not decidable at this number of rows and seeds. A claim about each task needs all, one about most
more than half.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from helpers import yaml_text
from helpers.environment import InputError
from helpers.labels import ARMS, TASKS
from helpers.report.claim_measures import MEASURES, OF_PARTS, PARTS, Answer, measured
from helpers.report.reported import FOLDER
from helpers.report.summary import Records, Summary
from helpers.wording import shown

__all__ = ["CONTRADICTED", "REPRODUCED", "UNDECIDED", "Claim", "Judged", "claims", "judged", "overall", "verdict"]

REPRODUCED, CONTRADICTED, UNDECIDED = "reproduced", "contradicted", "not decidable"
_FIELDS = ("claim", "source", "says", "measure", "holds")
_BOUNDS = ("about", "at_least", "at_most", "above", "below")
_OVER = ("mean", "each", "most")
_ABOUT = 0.1  # `about` a number is within this share of it


class Claim(NamedTuple):
    """A claim: its name, where it stands, its words, the measure that answers it, and the values at which it holds."""

    name: str
    source: str
    says: str
    measure: Mapping[str, Any]
    holds: Mapping[str, float]


class Judged(NamedTuple):
    """A claim with the records that answer it, the answer and the verdict."""

    claim: Claim
    records: Records
    answer: Answer
    verdict: str


@cache
def claims(path: Path = FOLDER / "claims.yaml") -> tuple[Claim, ...]:
    """Read the claims. Raises InputError, which names the claim, for a measure, an arm, a task or a bound not known."""
    entries = yaml_text.read(path)
    if not isinstance(entries, list):
        raise InputError(f"{path} is no list of claims; each begins with a line `- claim: name`.")
    found = []
    for number, entry in enumerate(entries, 1):
        missing = [name for name in _FIELDS if not isinstance(entry, dict) or name not in entry]
        if missing:
            raise InputError(f"{path}: claim {number} of {len(entries)} has no {', '.join(missing)}; give it.")
        claim = Claim(*(entry[name] for name in _FIELDS))
        for wrong in _misformed(claim) or _wrong(claim):
            raise InputError(f"{path}: the claim {claim.name} {wrong}")
        found.append(claim)
    return tuple(found)


def _misformed(claim: Claim) -> list[str]:
    """Say which parts of a claim are no mappings, numbers or lists where they must be."""
    said = [
        f"has a {name} that is no mapping."
        for name in ("measure", "holds")
        if not isinstance(getattr(claim, name), dict)
    ]
    if said:
        return said
    if not isinstance(claim.measure.get("tasks", []), list):
        said.append(f"has tasks that are no list: {claim.measure['tasks']!r}.")
    wrong = [value for value in claim.holds.values() if isinstance(value, bool) or not isinstance(value, int | float)]
    return [*said, *(f"holds at {value!r}, which is no number." for value in wrong)]


def _wrong(claim: Claim) -> list[str]:
    """Say what keeps a claim from being judged."""
    measure = claim.measure
    names = [name for name in measure if name in MEASURES]
    if len(names) != 1 or "of" not in measure or measure.keys() - {*names, "of", "tasks", "over"}:
        known = f"give one of {', '.join(MEASURES)} with its arm, `of` with the other's, and perhaps `tasks` or `over`."
        return [f"has the measure {dict(measure)}: {known}"]
    asked = measure[names[0]]
    counts = names[0] in OF_PARTS
    unknown = [arm for arm in [measure["of"], *([] if counts else _listed(asked))] if not _is_arm(arm)]
    unknown += [task for task in measure.get("tasks", ()) if not isinstance(task, str) or task not in TASKS]
    said = [f"names {shown(unknown[0])}, which is no arm and no task of this study."] if unknown else []
    if counts and (not isinstance(asked, dict) or not asked or not asked.keys() <= set(PARTS)):
        said.append(f"counts {shown(asked)}: give how many times of {', '.join(PARTS)}.")
    elif counts:
        said += [
            f"counts a part {shown(each)} times, which is no number." for each in asked.values() if not _is_share(each)
        ]
    if measure.get("over", "mean") not in _OVER:
        said.append(f"is over {measure['over']!r}: give one of {', '.join(_OVER)}.")
    if len(claim.holds) != 1 or not claim.holds.keys() <= set(_BOUNDS):
        said.append(f"holds at {dict(claim.holds)}: give one of {', '.join(_BOUNDS)}.")
    return said


def _is_arm(value: Any) -> bool:
    """Tell whether a value names an arm of this study, a pruned one with its amount."""
    if not isinstance(value, str):
        return False
    return value in ARMS or bool(re.fullmatch(r"pruned_0(\.\d+)?", value))


def _is_share(value: Any) -> bool:
    """Tell whether a value is a number or a fraction such as 1/12, as text."""
    try:
        return not isinstance(value, bool) and math.isfinite(Fraction(str(value)))
    except (ValueError, ZeroDivisionError, OverflowError):
        return False


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


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


def overall(claim: Claim, parts: Sequence[Summary]) -> str:
    """Return the verdict on all parts of a measure: of each, or of most of them; the mean has one part."""
    said = [verdict(claim, part) for part in parts]
    against = [each for each in said if each.startswith(CONTRADICTED)]
    if claim.measure.get("over") == "most":
        if 2 * said.count(REPRODUCED) > len(said):
            return REPRODUCED
        return against[0] if 2 * len(against) >= len(said) else UNDECIDED
    return against[0] if against else REPRODUCED if set(said) == {REPRODUCED} else UNDECIDED


def judged(*profiles: Records) -> list[Judged]:
    """Return each claim that records can judge, with answer and verdict.

    Of several profiles' records those do that have most of its tasks, of equal ones those of most seeds.
    """
    found = []
    for claim in claims():
        able = [(some, answer) for some in profiles if (answer := measured(some, claim.measure)) is not None]
        if able:
            some, answer = max(able, key=lambda one: (len(one[1].tasks), min(p.seeds for p in one[1].parts.values())))
            found.append(Judged(claim, some, answer, overall(claim, list(answer.parts.values()))))
    return found
