"""The generated tasks about two sentences: entailment (RTE), similarity (STS-B), question answering (QNLI).

A generator returns its two sentences (similarity: and the score), or None when its draw cannot carry the
label that is wanted (the caller draws again).
"""

from random import Random

from helpers.mini_grammar import (
    NUMBERS,
    Clause,
    Phrase,
    describing,
    other,
    random_clause,
    sentence,
    sibling,
    synonym,
)
from helpers.mini_words import (
    HANDLINGS,
    HYPERNYM,
    MEETINGS,
    OPPOSITES,
    PEOPLE,
    PLACES,
    STATES,
    THINGS,
    TIMES,
    participle,
)

__all__ = ["answer", "entailment", "entails", "similarity", "weaken"]


def _hyponym(rng: Random, noun: str) -> str | None:
    members = [member for member, kind in HYPERNYM.items() if kind == noun]
    return rng.choice(members) if members else None


def _same_kind(rng: Random, verb: str) -> str:
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


def _stronger_phrase(rng: Random, phrase: Phrase) -> Phrase | None:
    """Say more than is known about the same thing, or something else."""
    edit = rng.random()
    if edit < 0.25:
        noun = _hyponym(rng, phrase.noun)
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


def _break(rng: Random, clause: Clause) -> Clause | None:
    """Edit a clause into one that does not follow from it, though it uses nearly the same words."""
    edit, thing = rng.random(), clause.object
    if edit < 0.25:
        if thing is None or HYPERNYM.get(thing.noun, thing.noun) in THINGS:
            return None
        return clause._replace(subject=thing, object=clause.subject)
    if edit < 0.4:
        subject = _stronger_phrase(rng, clause.subject)
        return clause._replace(subject=subject) if subject else None
    if edit < 0.6:
        thing = thing and _stronger_phrase(rng, thing)
        return clause._replace(object=thing) if thing else None
    if edit < 0.75:
        return clause._replace(verb=_same_kind(rng, clause.verb))
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
        noun = _hyponym(rng, part.noun)
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
        return clause._replace(verb=_same_kind(rng, value)), 0.1
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


def _question(rng: Random, clause: Clause, asked: str) -> str:
    """Ask for one slot of a clause, in either voice."""
    bare = clause._replace(**{slot: None for slot in ("place", "time") if slot == asked or rng.random() < 0.5})
    living = HYPERNYM.get(clause.object.noun, clause.object.noun) not in THINGS
    be, did = "were" if clause.object.many else "was", f"did {clause.subject} {clause.verb}"
    if asked == "subject":
        passive = f"by whom {be} {clause.object} {participle(clause.verb)}"
        return f"who {bare.predicate()}" if rng.random() < 0.6 else bare.around(passive)
    if asked == "object":
        return bare.around(f"{'whom' if living else 'what'} {did}")
    word = "where" if asked == "place" else "when"
    if rng.random() < 0.3:
        return f"{word} {be} {clause.object} {participle(clause.verb)}"
    return bare.around(f"{word} {did} {clause.object}")


def _same_event(told: Clause, clause: Clause, asked: str) -> bool:
    """Say whether `told` fills the slot that is asked for, about the same event (places and times aside)."""
    slots = [slot for slot in ("subject", "verb", "object") if slot != asked]
    return getattr(told, asked) is not None and all(getattr(told, s) == getattr(clause, s) for s in slots)


def answer(rng: Random, answered: bool) -> tuple[str, str] | None:
    """Write a question, and a sentence that answers it or only talks about the same things."""
    verbs = rng.choice((MEETINGS, HANDLINGS))
    clause, second = (random_clause(rng, verbs=verbs, place=0.6, time=0.5) for _ in range(2))
    asked = rng.choice(("subject", "object", "place", "time"))
    if getattr(clause, asked) is None or second.verb in (clause.verb, synonym(clause.verb)):
        return None
    told, way = clause, rng.random()
    if not answered:
        if rng.random() < 0.5:  # another event with the same actor
            told = random_clause(rng, verbs=verbs, place=0.6, time=0.5)._replace(subject=clause.subject)
        elif way < 0.35 and asked in ("place", "time"):
            told = told._replace(**{asked: None})
            second = second._replace(**{asked: rng.choice((getattr(clause, asked), getattr(second, asked)))})
        elif way < 0.6:
            told, second = told._replace(verb=second.verb), second._replace(verb=told.verb)
        elif way < 0.8 and asked != "object":
            told, second = told._replace(object=second.object), second._replace(object=told.object)
        elif asked != "subject":
            told, second = told._replace(subject=second.subject), second._replace(subject=told.subject)
        else:
            return None
        if any(_same_event(each, clause, asked) for each in (told, second)):
            return None
    parts = [told.say(rng), second.say(rng)] if rng.random() < 0.4 else [told.say(rng)]
    rng.shuffle(parts)
    text = f" {rng.choice(('and', 'while', 'before'))} ".join(parts)
    return sentence(_question(rng, clause, asked), "?"), sentence(text)
