"""What others found about order and methods, as comparisons of chains that these records hold, too."""

from __future__ import annotations

from typing import NamedTuple

from helpers.report.cells import NOISE, is_noise
from helpers.report.orders import chains
from helpers.report.summary import Records, Summary

__all__ = ["FINDINGS", "Finding", "compared", "verdict"]


class Finding(NamedTuple):
    """A finding of others, and the chains here that ask the same."""

    source: str
    told: str
    pairs: tuple[tuple[str, str], ...]  # as chains are written in a profile: one, and that beside it
    higher: bool | None  # whether the first would score higher; None: neither would


FINDINGS = (
    Finding(
        "Movva et al. 2022",
        "quantize rather than prune",
        (("distil > int4", "distil > prune fit"), ("distil > int4", "distil > prune fit > int8")),
        higher=True,
    ),
    Finding(
        "Movva et al. 2022",
        "distillation and quantization add up",
        (("distil > int4", "train > int4"), ("int4 > distil", "int4 > train")),
        higher=True,
    ),
    Finding(
        "Kim and Hassan Awadalla 2020",
        "distil, then prune, then quantize (used, not compared)",
        (("distil > prune fit > int4", "prune fit > distil > int4"),),
        higher=True,
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
        higher=True,
    ),
    Finding(
        "Gordon et al. 2020",
        "fine-tuning first does not make a model easier to prune",
        (("train > prune fit > int4", "prune fit > train > int4"),),
        higher=None,
    ),
)


def compared(records: Records) -> list[tuple[Finding, list[tuple[str, str]]]]:
    """Return the findings that records can be held against, each with the pairs of arms that are compared for it."""
    found = []
    for finding in FINDINGS:
        arms = [
            (some[one], some[beside])
            for one, beside in finding.pairs
            for some in chains(records).values()
            if one in some and beside in some
        ]
        if arms:
            found.append((finding, arms))
    return found


def verdict(finding: Finding, difference: Summary) -> str:
    """Say whether the comparison comes out here as it did there.

    >>> zhang = FINDINGS[3]
    >>> [verdict(zhang, Summary(value, value - 1, value + 1, 1)) for value in (2.0, -2.0, 0.5)]
    ['as there', 'not as there', 'inside noise']
    """
    if is_noise(difference):
        return NOISE
    return "as there" if finding.higher is (difference.low > 0) else "not as there"
