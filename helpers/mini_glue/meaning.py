"""What follows from what: clauses that say less, phrases that say more, and whether one clause entails another."""

from random import Random

from helpers.mini_glue.grammar import (
    NUMBERS,
    Clause,
    Phrase,
    describing,
    other,
    sibling,
    synonym,
)
from helpers.mini_glue.words import (
    HANDLINGS,
    HYPERNYM,
    MEETINGS,
    OPPOSITES,
    STATES,
)

__all__ = ["entails", "hyponym", "same_kind", "stronger_phrase", "weaken"]


def hyponym(rng: Random, noun: str) -> str | None:
    members = [member for member, kind in HYPERNYM.items() if kind == noun]
    return rng.choice(members) if members else None


def same_kind(rng: Random, verb: str) -> str:
    """Draw a verb of the same sort that does not mean the same."""
    for group in (MEETINGS, HANDLINGS, STATES):
        words = [word for pair in group for word in pair]
        if verb in words:
            return other(rng, words, verb, synonym(verb))
    raise KeyError(verb)


def _weaker_phrase(rng: Random, phrase: Phrase) -> Phrase:
    """Say less about the same thing."""
    edit = rng.random()
    if edit < 0.45 and phrase.noun in HYPERNYM:
        return phrase._replace(noun=HYPERNYM[phrase.noun])
    if edit < 0.6 and phrase.adjective:
        return phrase._replace(adjective=None)
    if edit < 0.75 and phrase.adjective:
        return phrase._replace(adjective=synonym(phrase.adjective))
    if phrase.determiner in NUMBERS[1:]:
        return phrase._replace(determiner=f"at least {NUMBERS[NUMBERS.index(phrase.determiner) - 1]}")
    return phrase._replace(determiner="some") if phrase.many else phrase._replace(determiner="a")


def stronger_phrase(rng: Random, phrase: Phrase) -> Phrase | None:
    """Say more than is known about the same thing, or something else."""
    edit = rng.random()
    if edit < 0.25:
        noun = hyponym(rng, phrase.noun)
        return phrase._replace(noun=noun) if noun else None
    if edit < 0.5:
        return phrase._replace(noun=sibling(rng, phrase.noun))
    if edit < 0.8:
        adjective = rng.choice(OPPOSITES[phrase.adjective]) if phrase.adjective else describing(rng, phrase.noun)
        return phrase._replace(adjective=adjective)
    if phrase.determiner in NUMBERS[:-1]:
        return phrase._replace(determiner=f"at least {NUMBERS[NUMBERS.index(phrase.determiner) + 1]}")
    return None


def _number(phrase: Phrase) -> int:
    """Return how many the phrase speaks of, at least."""
    word = phrase.determiner.split()[-1]
    return NUMBERS.index(word) + 2 if word in NUMBERS else 2 if word == "some" else 1


def _covers(told: Phrase, asked: Phrase) -> bool:
    """Say whether what is true of `told` is true of `asked`, both in a positive clause."""
    if asked.noun not in (told.noun, HYPERNYM.get(told.noun)):
        return False
    if asked.adjective and asked.adjective not in (told.adjective, synonym(told.adjective or "")):
        return False
    if asked.determiner in NUMBERS or asked.determiner == "the":
        return asked.determiner == told.determiner
    return asked.many == told.many and _number(asked) <= _number(told)


def entails(told: Clause, asked: Clause) -> bool:
    """Say whether a positive clause follows from another, slot by slot; a denied one never does.

    >>> owl = Clause(Phrase("owl", "three"), "help", Phrase("judge"), "in the garden")
    >>> entails(owl, owl._replace(subject=Phrase("bird", "some"), verb="assist", place=None))
    True
    >>> entails(owl._replace(place=None), owl)
    False
    """
    objects = told.object is asked.object or (told.object and asked.object and _covers(told.object, asked.object))
    return bool(
        objects
        and not asked.negated
        and _covers(told.subject, asked.subject)
        and asked.verb in (told.verb, synonym(told.verb))
        and asked.place in (None, told.place)
        and asked.time in (None, told.time)
    )


def weaken(rng: Random, clause: Clause) -> Clause:
    """Edit a clause into one that follows from it."""
    edit = rng.random()
    if edit < 0.25:
        return clause._replace(subject=_weaker_phrase(rng, clause.subject))
    if edit < 0.5 and clause.object:
        return clause._replace(object=_weaker_phrase(rng, clause.object))
    if edit < 0.7:
        return clause._replace(verb=synonym(clause.verb))
    return clause._replace(place=None) if edit < 0.85 else clause._replace(time=None)
