"""The generated STS-B: two sentences and how alike they are."""

from random import Random

from helpers.mini_glue.grammar import (
    Clause,
    other,
    random_clause,
    sentence,
    sibling,
    synonym,
)
from helpers.mini_glue.meaning import same_kind
from helpers.mini_glue.words import (
    HANDLINGS,
    HYPERNYM,
    MEETINGS,
    OPPOSITES,
    PLACES,
    THINGS,
    TIMES,
)

__all__ = ["similarity"]

_WEIGHTS = {"verb": 0.3, "subject": 0.25, "object": 0.25, "place": 0.1, "time": 0.1}


def _altered(rng: Random, clause: Clause, slot: str, change: float) -> tuple[Clause, float]:
    """Change one slot a little or much (0 to 1); return the clause and the slot's similarity."""
    value = getattr(clause, slot)
    if rng.random() > change or value is None:
        return clause, 1.0
    much = rng.random() < change
    if slot == "verb":
        if not much and synonym(value) != value:
            return clause._replace(verb=synonym(value)), 0.95
        return clause._replace(verb=same_kind(rng, value)), 0.1
    if slot in ("place", "time"):
        return clause._replace(**{slot: other(rng, PLACES if slot == "place" else TIMES, value) if much else None}), (
            0.2 if much else 0.6
        )
    step = rng.random()
    if much:
        new = random_clause(rng, verbs=HANDLINGS if HYPERNYM.get(value.noun, value.noun) in THINGS else MEETINGS)
        noun, alike = (new.subject if slot == "subject" else new.object).noun, 0.0
        if noun == value.noun or HYPERNYM.get(noun) == HYPERNYM.get(value.noun):
            return clause, 1.0
    elif step < 0.4 and value.noun in HYPERNYM:
        noun, alike = HYPERNYM[value.noun], 0.75
    elif step < 0.7 and value.adjective:
        adjective, alike = rng.choice(
            ((synonym(value.adjective), 0.95), (None, 0.8), (rng.choice(OPPOSITES[value.adjective]), 0.5))
        )
        return clause._replace(**{slot: value._replace(adjective=adjective)}), alike
    else:
        noun, alike = sibling(rng, value.noun), 0.4
    return clause._replace(**{slot: value._replace(noun=noun)}), alike


def similarity(rng: Random) -> tuple[str, str, float]:
    """Write two sentences and how alike they are, 0 to 5: a mean over five raters, as people's would be."""
    first = random_clause(rng, verbs=rng.choice((MEETINGS, HANDLINGS, None)))
    second, change, total, share = first, rng.random() * 1.1, 0.0, 0.0
    for slot, weight in _WEIGHTS.items():
        if getattr(first, slot) is not None:
            second, alike = _altered(rng, second, slot, change)
            total, share = total + weight, share + weight * alike
    score = share / total
    turn = rng.random()
    if turn < 0.1 and first.object and HYPERNYM.get(first.object.noun, first.object.noun) not in THINGS:
        second, score = second._replace(subject=second.object, object=second.subject), 0.6 * score
    elif turn < 0.2:
        second, score = second._replace(negated=True), 0.5 * score
    raters = [min(5, max(0, round(5 * score + rng.uniform(-1, 1)))) for _ in range(5)]
    return sentence(first.say(rng)), sentence(second.say(rng)), sum(raters) / 5
