"""The generated QNLI: a question, and a sentence that answers it or only talks about the same things."""

from random import Random

from helpers.mini_glue.grammar import (
    Clause,
    random_clause,
    sentence,
    synonym,
)
from helpers.mini_glue.words import (
    HANDLINGS,
    HYPERNYM,
    MEETINGS,
    THINGS,
    participle,
)

__all__ = ["answer"]


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
