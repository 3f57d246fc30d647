"""The generated RTE: a premise, and a hypothesis that follows from it or just does not."""

from random import Random

from helpers.mini_glue.grammar import (
    Clause,
    describing,
    other,
    random_clause,
    sentence,
    sibling,
    synonym,
)
from helpers.mini_glue.meaning import entails, hyponym, same_kind, stronger_phrase, weaken
from helpers.mini_glue.words import (
    HYPERNYM,
    PEOPLE,
    PLACES,
    THINGS,
    TIMES,
)

__all__ = ["entailment"]


def _break(rng: Random, clause: Clause) -> Clause | None:
    """Edit a clause into one that does not follow from it, though it uses nearly the same words."""
    edit, thing = rng.random(), clause.object
    if edit < 0.25:
        if thing is None or HYPERNYM.get(thing.noun, thing.noun) in THINGS:
            return None
        return clause._replace(subject=thing, object=clause.subject)
    if edit < 0.4:
        subject = stronger_phrase(rng, clause.subject)
        return clause._replace(subject=subject) if subject else None
    if edit < 0.6:
        thing = thing and stronger_phrase(rng, thing)
        return clause._replace(object=thing) if thing else None
    if edit < 0.75:
        return clause._replace(verb=same_kind(rng, clause.verb))
    if edit < 0.85:
        return clause._replace(place=other(rng, PLACES, clause.place))
    if edit < 0.92:
        return clause._replace(time=other(rng, TIMES, clause.time))
    return clause._replace(negated=not clause.negated)


def _denial(rng: Random, follows: bool) -> tuple[str, str] | None:
    """Under "no" and "not", less becomes more: no bird slept, so no owl slept, and not the reverse."""
    clause = random_clause(rng, time=0.1)
    if rng.random() < 0.5 or clause.object is None:
        premise = clause._replace(subject=clause.subject._replace(determiner=rng.choice(("no", "no", "every"))))
        part = premise.subject
    else:
        premise = clause._replace(negated=True, object=clause.object._replace(determiner="a"))
        part = premise.object
    narrow, edit = part, rng.random()
    if edit < 0.5:
        noun = hyponym(rng, part.noun)
        if noun is None and rng.random() < 0.5:
            part, noun = part._replace(noun=HYPERNYM[part.noun]), part.noun
        if noun is None:
            return None
        narrow = part._replace(noun=noun)
    elif edit < 0.8:
        part = part._replace(adjective=None)
        narrow = part._replace(adjective=describing(rng, part.noun))
    elif follows:
        return None
    else:
        narrow = part._replace(noun=sibling(rng, part.noun))
    slot = "object" if premise.negated else "subject"
    first, second = premise._replace(**{slot: part}), premise._replace(**{slot: narrow})
    if not follows and edit < 0.8:
        first, second = second, first
    if rng.random() < 0.3:
        second = second._replace(verb=synonym(second.verb))
    return sentence(first.active()), sentence(second.active())


def entailment(rng: Random, follows: bool) -> tuple[str, str] | None:
    """Write a premise, and a hypothesis that follows from it or just does not."""
    kind = rng.random()
    if kind < 0.15:
        return _denial(rng, follows)
    clauses = [random_clause(rng), random_clause(rng)]
    claim = clauses[0]
    premise = claim.say(rng)
    stated = True
    if kind < 0.25:
        stated = rng.random() < 0.7 if follows is False else True
        verb = rng.choice(
            ("knew", "noticed", "forgot", "proved") if stated else ("claimed", "hoped", "doubted", "denied")
        )
        premise = f"the {rng.choice(rng.choice(list(PEOPLE.values())))} {verb} that {premise}"
    elif kind < 0.5:
        claim = rng.choice(clauses)
        premise = f"{premise} {rng.choice(('and', 'while', 'before'))} {clauses[1].say(rng)}"
    elif kind < 0.6 and clauses[1].object != claim.object:
        claim = rng.choice(clauses)
        clauses[1] = clauses[1]._replace(subject=clauses[0].subject)
        claim = clauses[0] if claim is clauses[0] else clauses[1]
        premise = f"{clauses[0].subject} that {clauses[1].predicate()} {clauses[0].predicate()}"
    hypothesis = claim
    for _ in range(rng.choice((0, 1, 1, 2, 2, 3) if stated else (0, 1, 1))):
        hypothesis = weaken(rng, hypothesis)
    if not follows and stated:
        broken = _break(rng, hypothesis)
        if broken is None or any(entails(clause, broken) for clause in clauses):
            return None
        hypothesis = broken
    second = hypothesis.say(rng)
    return None if second == premise else (sentence(premise), sentence(second))
