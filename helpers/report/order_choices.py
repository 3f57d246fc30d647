"""Which chains to set beside each other: those that differ in order alone, the best of a kind, what none beats."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import fmean
from typing import NamedTuple

from helpers.report import summary
from helpers.report.orders import chains, milliseconds, nodes, of_orders, says_nothing, seeds_of, to_student, weights_mb
from helpers.report.summary import Records

__all__ = ["Swap", "best", "front", "in_words", "kinds", "methods", "reordered", "shape", "swaps"]

# the usual place of each kind of step; a swap is told as what it puts before what usually comes first
USUAL = ("teacher", "low rank", "distil", "train", "prune", "recover", "recover labels", "quantize")
WORDS = {
    "teacher": "the teacher itself",
    "distil": "distilled",
    "train": "trained on labels",
    "recover": "trained a little more by the teacher",
    "recover labels": "trained a little more on labels",
    "low rank": "its matrices made products of two",
}
SAME_BYTES, SAME_TIME = 0.02, 0.05  # shares below which sizes, and times, are no difference


def _steps(records: Records, arm: str) -> list[str]:
    return nodes(records)[arm]["chain"].split(" > ")


def kinds(chain: str) -> tuple[str, ...]:
    """Return the kinds of a chain's steps.

    >>> kinds("low_rank 0.5 > distil > prune 0.598 > recover labels > int4")
    ('low rank', 'distil', 'prune', 'recover labels', 'quantize')
    """
    found = []
    for step in chain.split(" > "):
        name = step.split()[0].replace("_", " ")
        found.append(step if step == "recover labels" else name if name in USUAL else "quantize")
    return tuple(found)


def in_words(chain: str) -> str:
    """Say what the steps of a chain do.

    >>> in_words("distil > prune 0.598 > recover labels > int4")
    'distilled, 59.8 % of each matrix set to zero, trained a little more on labels, rounded to int4'
    """
    said = []
    for step, kind in zip(chain.split(" > "), kinds(chain), strict=True):
        if kind == "prune":
            said.append(f"{100 * float(step.split()[1]):.1f} % of each matrix set to zero")
        else:
            said.append(WORDS.get(kind, f"rounded to {step}"))
    return ", ".join(said)


def shape(chain: str) -> str:
    """Say which shape a chain's model has.

    >>> [shape(chain) for chain in ("prune 0.5 > distil", "distil > low_rank 0.5", "teacher > prune 0.9")]
    ["student's shape", 'low rank 0.5', "teacher's shape"]
    """
    steps = dict(zip(kinds(chain), chain.split(" > "), strict=True))
    whose = "teacher's shape" if "teacher" in steps else "student's shape"
    if "low rank" in steps:
        low = steps["low rank"].replace("_", " ")
        return f"{low} of the teacher" if "teacher" in steps else low
    return whose


class Swap(NamedTuple):
    """Two steps of which the second usually comes after the first, and chains that differ in their order alone."""

    first: str
    second: str
    budget: str
    pairs: tuple[tuple[str, str], ...]  # (second before first, first before second), by arm

    @property
    def told(self) -> str:
        """Say what the swap is, as in `prune before distil`."""
        return f"{self.second} before {self.first}"


def swaps(records: Records) -> list[Swap]:
    """Return the swaps of two neighbouring steps that some chains of a budget differ in.

    Chains that have not left the floor are left out: chance has no order.
    """
    found: dict[tuple[str, str, str], dict[tuple[str, str], None]] = {}
    for budget, some in chains(records).items():
        steps = {arm: _steps(records, arm) for arm in some.values()}
        for arm, chain in steps.items():
            for place in range(len(chain) - 1):
                turned = [*chain[:place], chain[place + 1], chain[place], *chain[place + 2 :]]
                first, second = kinds(" > ".join(chain))[place : place + 2]
                other = next((each for each, its in steps.items() if its == turned), None)
                if other and USUAL.index(first) < USUAL.index(second) and not says_nothing(records, arm, other):
                    found.setdefault((first, second, budget), {})[other, arm] = None
    usual = sorted(found, key=lambda swap: [USUAL.index(step) for step in reversed(swap[:2])])
    return [Swap(*swap, tuple(found[swap])) for swap in usual]


def reordered(records: Records, arms: Sequence[str], arm: str) -> list[str]:
    """Return the others of some arms that have the same steps in another order."""
    steps = {each: sorted(_steps(records, each)) for each in arms}
    return [each for each in arms if each != arm and steps[each] == steps[arm]]


def methods(records: Records, arms: Iterable[str]) -> dict[tuple[str, ...], list[str]]:
    """Group arms by what is done to the model in whatever order; recovering is no method of its own."""
    found: dict[tuple[str, ...], list[str]] = {}
    for arm in arms:
        used = {kind for kind in kinds(nodes(records)[arm]["chain"]) if not kind.startswith("recover")}
        found.setdefault(tuple(sorted(used, key=USUAL.index)), []).append(arm)
    return found


def best(records: Records, arms: Iterable[str]) -> str | None:
    """Return the arm with the highest score on held-out rows, on the mean over tasks and seeds.

    Only seeds count that have all tasks, if any has, and only arms that every run has.
    """
    complete, found = seeds_of(records), {}
    runs = [record for record in of_orders(records) if not complete or record["seed"] in complete]
    for arm in arms:
        measured = summary.arms_of(runs, arm)
        if len(measured) == len(runs):
            found[arm] = fmean(one["heldout_scores"][record["metrics"][0]] for record, one in measured)
    return max(found, key=lambda arm: found[arm], default=None)


def front(records: Records) -> list[str]:
    """Return the models that no other beats in score, bytes and time at once, the largest first.

    Sizes and times that hardly differ count as equal, and times only if all shapes were timed.
    """
    scored = {arm: to_student(records, arm) for arm, node in nodes(records).items() if node["timed_as"]}
    times = {arm: milliseconds(records, arm) for arm in scored}
    timed = all(times.values())
    found = {
        arm: (score.value, weights_mb(records, arm), times[arm] if timed else 1.0)
        for arm, score in scored.items()
        if score is not None
    }
    kept = [arm for arm, own in found.items() if not any(_beats(other, own) for other in found.values())]
    return sorted(kept, key=lambda arm: -found[arm][1])


def _beats(other: tuple[float, float, float], own: tuple[float, float, float]) -> bool:
    """Tell whether another's score, bytes and time are as good, and one of them better."""
    (score, size, time), (own_score, own_size, own_time) = other, own
    as_good = score >= own_score and size <= own_size * (1 + SAME_BYTES) and time <= own_time * (1 + SAME_TIME)
    return as_good and (score > own_score or size < own_size * (1 - SAME_BYTES) or time < own_time * (1 - SAME_TIME))
