"""The text corpus: facts, stories, reviews and lessons about the same small world as the tasks."""

from collections.abc import Iterator
from random import Random

from datasets import Dataset

from helpers.environment import InputError
from helpers.mini_glue.answers import answer
from helpers.mini_glue.entailment import entailment
from helpers.mini_glue.grammar import held_out, random_clause, sentence
from helpers.mini_glue.meaning import weaken
from helpers.mini_glue.single import acceptability, opinion
from helpers.mini_glue.words import (
    ADJECTIVES,
    HYPERNYM,
    MOODS,
    PEOPLE,
    SENTIMENT,
    SYNONYM,
    WORKS,
    article,
    past,
    plural,
)

__all__ = ["text"]


def _facts(rng: Random) -> list[str]:
    """State what words mean: kinds, synonyms, opposites, feelings."""
    kind = rng.random()
    if kind < 0.4:
        noun = rng.choice(list(HYPERNYM))
        upper = HYPERNYM[noun]
        one = rng.choice((f"{article(noun)} is {article(upper)}", f"every {noun} is {article(upper)}"))
        return [sentence(rng.choice((one, f"{plural(noun)} are {plural(upper)}")))]
    if kind < 0.7:
        word = rng.choice(list(SYNONYM))
        return [sentence(f"{word} means {SYNONYM[word]}")]
    i = rng.randrange(len(ADJECTIVES))
    return [sentence(f"what is {rng.choice(ADJECTIVES[i])} is not {rng.choice(ADJECTIVES[i ^ 1])}")]


def _story(rng: Random) -> list[str]:
    """Tell an event, then tell it again in other words."""
    clause = random_clause(rng)
    again = clause
    for _ in range(rng.choice((0, 0, 1, 1, 2))):
        again = weaken(rng, again)
    lines = [clause.say(rng), again.say(rng)]
    if rng.random() < 0.1:
        told, doubted = (f"the {rng.choice(rng.choice(list(PEOPLE.values())))}" for _ in range(2))
        verbs = rng.choice((("claimed", "denied"), ("hoped", "doubted")))
        lines = [f"{told} {verbs[0]} that {lines[0]}", f"{doubted} {verbs[1]} that {lines[1]}"]
    return [sentence(line) for line in lines]


def _review(rng: Random) -> list[str]:
    """Give a verdict, and a feeling that agrees with it."""
    good, work = rng.random() < 0.5, rng.choice(WORKS)
    adjectives = rng.sample(SENTIMENT["adjective"][good], 2)
    person = rng.choice(rng.choice(list(PEOPLE.values())))
    first = rng.choice(
        (
            f"the {person} {past(rng.choice(MOODS[good]))} the {work} "
            f"because it was {adjectives[0]} and {adjectives[1]}",
            f"the {work} was {adjectives[0]}, not {rng.choice(SENTIMENT['adjective'][not good])}",
            opinion(rng, good),
        )
    )
    return [sentence(first), sentence(f"so the {person} {past(rng.choice(MOODS[good]))} it")]


def _lesson(rng: Random) -> list[str]:
    """Ask and answer, conclude, or say something in the present tense."""
    kind = rng.random()
    if kind < 0.7:
        return list((answer if kind < 0.5 else entailment)(rng, True) or ())
    return [acceptability(rng, True) or "" for _ in range(2)]


def _passages(seed: int) -> Iterator[str]:
    rng = Random(f"text {seed}")
    makers = (_facts, *[_story] * 4, *[_review] * 3, *[_lesson] * 4)
    while True:
        lines = rng.choice(makers)(rng)
        if lines and all(lines) and not any(held_out(line) for line in lines):
            yield " ".join(lines)


def text(seed: int = 0, lines: int = 20_000) -> Dataset:
    """Generate a corpus of unlabelled passages, one or two sentences a line, in the column `text`.

    It shares no sentence with any `validation` split; lines may repeat where they state facts.
    """
    if lines < 1:
        raise InputError(f"The text corpus cannot have {lines} lines: ask for one or more.")
    passages = _passages(seed)
    return Dataset.from_dict({"text": [next(passages) for _ in range(lines)]})
