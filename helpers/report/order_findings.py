"""What others found about order and methods, as comparisons of chains that these records hold, too."""

from __future__ import annotations

from typing import Literal, NamedTuple

from helpers.report.cells import NOISE, is_noise
from helpers.report.orders import chains, says_nothing
from helpers.report.summary import Records, Summary

__all__ = ["FINDINGS", "Finding", "compared", "verdict"]


class Finding(NamedTuple):
    """A finding of others, and the chains here that ask the same."""

    source: str
    told: str
    pairs: tuple[tuple[str, str], ...]  # as chains are written in a profile: one, and that beside it
    claim: Literal["higher", "equal", "none"]  # what they say of the first; none: they use it and compare nothing


FINDINGS = (
    Finding(
        "Movva et al. 2022",
        "quantize rather than prune (here: without recovering)",
        (("distil > int4", "distil > prune fit"),),
        claim="higher",
    ),
    Finding(
        "Movva et al. 2022",
        "quantize further rather than prune, too (here: without recovering)",
        (("distil > int4", "distil > prune fit > int8"),),
        claim="higher",
    ),
    Finding(
        "Movva et al. 2022",
        "distillation still helps where weights are quantized",
        (("distil > int4", "train > int4"), ("int4 > distil", "int4 > train")),
        claim="higher",
    ),
    Finding(
        "Kim and Hassan Awadalla 2020",
        "distil, then prune, then quantize: their recipe, not compared with another order",
        (("distil > prune fit > int4", "prune fit > distil > int4"),),
        claim="none",
    ),
    Finding(
        "Zhang et al. 2020",
        "round while a teacher is copied, not afterwards",
        (
            ("int4 > distil", "distil > int4"),
            ("distil > int4 > recover", "distil > recover > int4"),
            ("prune fit > int4 > distil", "prune fit > distil > int4"),
            ("distil > prune fit > int4 > recover", "distil > prune fit > recover > int4"),
            ("teacher > prune fit > int4 > recover", "teacher > prune fit > recover > int4"),
        ),
        claim="higher",
    ),
    Finding(
        "Gordon et al. 2020",
        "fine-tuning first does not make a model easier to prune",
        (("train > prune fit > int4", "prune fit > train > int4"),),
        claim="equal",
    ),
)


def compared(records: Records) -> list[tuple[Finding, list[tuple[str, str]]]]:
    """Return the findings that records can be held against, each with the pairs of arms that are compared for it.

    Chains that have not left the floor are left out.
    """
    found = []
    for finding in FINDINGS:
        arms = [
            (some[one], some[beside])
            for one, beside in finding.pairs
            for some in chains(records).values()
            if one in some and beside in some and not says_nothing(records, some[one], some[beside])
        ]
        if arms:
            found.append((finding, arms))
    return found


def verdict(finding: Finding, difference: Summary) -> str:
    """Say whether the comparison comes out here as it did there.

    >>> movva = FINDINGS[0]
    >>> [verdict(movva, Summary(value, value - 1, value + 1, 1)) for value in (2.0, -2.0, 0.5)]
    ['as there', 'not as there', 'inside noise']
    """
    if is_noise(difference):
        return NOISE
    if finding.claim == "none":
        return "higher here" if difference.low > 0 else "lower here"
    return "as there" if finding.claim == "higher" and difference.low > 0 else "not as there"
