"""Sentences of the generated language: phrases and clauses in the past tense, and random ones of them.

A `Clause` is meaning; `Clause.active` and `Clause.passive` are two ways to say it. Every draw takes the
random generator, so a text depends on its seed and on nothing else.
"""

import zlib
from collections.abc import Mapping, Sequence
from random import Random
from typing import NamedTuple

from helpers.mini_glue.words import (
    ANIMALS,
    HANDLINGS,
    HYPERNYM,
    MEETINGS,
    PEOPLE,
    PLACES,
    QUALITIES,
    STATES,
    SYNONYM,
    THINGS,
    TIMES,
    TRAITS,
    article,
    participle,
    past,
    plural,
)

__all__ = [
    "NUMBERS",
    "Clause",
    "Phrase",
    "describing",
    "held_out",
    "other",
    "random_clause",
    "random_phrase",
    "sentence",
    "sibling",
    "synonym",
]

NUMBERS = ("two", "three", "four", "five", "six")
_GROUPS = (PEOPLE, ANIMALS, THINGS)


class Phrase(NamedTuple):
    """A noun with its determiner: `Phrase("owl", "the", "big")` is "the big owl"."""

    noun: str
    determiner: str = "the"
    adjective: str | None = None

    @property
    def many(self) -> bool:
        """Whether the phrase is plural."""
        return self.determiner.split()[-1] in (*NUMBERS, "some", "many")

    def __str__(self) -> str:
        words = f"{self.adjective} {self.noun}" if self.adjective else self.noun
        if self.many:
            words = plural(words)
        return article(words) if self.determiner == "a" else f"{self.determiner} {words}"


class Clause(NamedTuple):
    """Who did what to whom, where and when."""

    subject: Phrase
    verb: str
    object: Phrase | None = None
    place: str | None = None
    time: str | None = None
    negated: bool = False

    def around(self, core: str) -> str:
        """Add the clause's place and time to words."""
        return " ".join(filter(None, (core, self.place, self.time)))

    def predicate(self) -> str:
        """Say the clause without its subject: "greeted the owl in the garden"."""
        verb = f"did not {self.verb}" if self.negated else past(self.verb)
        return self.around(f"{verb} {self.object}" if self.object else verb)

    def active(self) -> str:
        """Say the clause: "the judge greeted the owl in the garden"."""
        return f"{self.subject} {self.predicate()}"

    def passive(self) -> str:
        """Say the clause from its object's side, or actively where it has no object."""
        if self.object is None:
            return self.active()
        be = ("were" if self.object.many else "was") + (" not" if self.negated else "")
        return self.around(f"{self.object} {be} {participle(self.verb)} by {self.subject}")

    def say(self, rng: Random, passive: float = 0.15) -> str:
        """Say the clause in one of its two voices, the passive one with the given probability."""
        return self.passive() if rng.random() < passive else self.active()


def sentence(words: str, end: str = ".") -> str:
    """Write words as a sentence: a capital first, a full stop or question mark last."""
    return words[0].upper() + words[1:] + end


def held_out(text: str) -> bool:
    """Say on which side of the split a sentence lies: a third of all sentences are for validation only.

    The checksum of the text decides, so splits cannot overlap, whatever the task and the seed.
    """
    return zlib.crc32(text.encode()) % 3 == 0


def other(rng: Random, options: Sequence[str], *but: str | None) -> str:
    """Draw an option that is none of `but`."""
    return rng.choice([option for option in options if option not in but])


def synonym(word: str) -> str:
    """Return the word's synonym, or the word where it has none."""
    return SYNONYM.get(word, word)


def sibling(rng: Random, noun: str) -> str:
    """Draw another noun of the same kind (pear for apple), or another kind for a kind."""
    for group in _GROUPS:
        if noun in group:
            return other(rng, list(group), noun)
        if HYPERNYM.get(noun) in group:
            return other(rng, group[HYPERNYM[noun]], noun)
    raise KeyError(noun)


def describing(rng: Random, noun: str) -> str:
    """Draw an adjective that suits the noun."""
    return rng.choice(rng.choice(QUALITIES if HYPERNYM.get(noun, noun) in THINGS else TRAITS))


def random_phrase(rng: Random, group: Mapping[str, Sequence[str]], *, adjective: float = 0.2) -> Phrase:
    """Draw a phrase about a member of the group, seldom about a kind ("bird")."""
    kind = rng.choice(list(group))
    noun = kind if rng.random() < 0.25 else rng.choice(group[kind])
    determiner = rng.choice(("the", "the", "the", "a", "a", "some", rng.choice(NUMBERS)))
    return Phrase(noun, determiner, describing(rng, noun) if rng.random() < adjective else None)


def random_clause(
    rng: Random, *, verbs: Sequence[Sequence[str]] | None = None, place: float = 0.3, time: float = 0.15
) -> Clause:
    """Draw a clause about one of the `verbs` (default: any); `place` and `time` are probabilities."""
    living = (PEOPLE, PEOPLE, ANIMALS)
    verbs = verbs or rng.choice((MEETINGS, MEETINGS, HANDLINGS, HANDLINGS, STATES))
    subject = random_phrase(rng, PEOPLE if verbs is HANDLINGS else rng.choice(living))
    thing = None
    if verbs is not STATES:
        thing = random_phrase(rng, THINGS if verbs is HANDLINGS else rng.choice(living))
        while thing.noun == subject.noun:
            thing = random_phrase(rng, PEOPLE)
    verb = rng.choice(rng.choice(verbs))
    where = rng.choice(PLACES) if rng.random() < place else None
    return Clause(subject, verb, thing, where, rng.choice(TIMES) if rng.random() < time else None)
