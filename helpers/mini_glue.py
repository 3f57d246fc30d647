"""Five small tasks in GLUE's schema and a text corpus, generated: the data of the `mini` profile.

Scores on these tasks are about these tasks. They are made so that models differ: what decides is syntax,
composition and what words mean, while the words themselves are the same on both sides of a label.
"""

from collections.abc import Callable, Iterator
from random import Random

from datasets import ClassLabel, Dataset, DatasetDict, Features, Value

from helpers import mini_pairs as pairs
from helpers import mini_single as single
from helpers.environment import InputError
from helpers.mini_grammar import held_out, random_clause, sentence
from helpers.mini_words import (
    ADJECTIVES,
    HYPERNYM,
    MOODS,
    PEOPLE,
    SENTIMENT,
    SYNONYM,
    UNTAUGHT,
    WORKS,
    article,
    past,
    plural,
)

__all__ = ["LABELS", "ROWS", "TASKS", "load", "text"]

ROWS = {"train": 6000, "validation": 800}
TASKS = ("cola", "sst2", "rte", "stsb", "qnli")
LABELS: dict[str, tuple[str, ...] | None] = {
    "cola": ("unacceptable", "acceptable"),
    "sst2": ("negative", "positive"),
    "rte": ("entailment", "not_entailment"),
    "stsb": None,
    "qnli": ("entailment", "not_entailment"),
}
_COLUMNS = {
    "cola": ("sentence",),
    "sst2": ("sentence",),
    "rte": ("sentence1", "sentence2"),
    "stsb": ("sentence1", "sentence2"),
    "qnli": ("question", "sentence"),
}
_ACCEPTABLE = 0.7  # CoLA's own share


def _draw(task: str, rng: Random) -> tuple[tuple[str, ...], float]:
    """Draw a row: its texts and its label."""
    if task == "stsb":
        *texts, label = pairs.similarity(rng)
        return tuple(texts), label
    yes = rng.random() < (_ACCEPTABLE if task == "cola" else 0.5)
    write: dict[str, Callable] = {
        "cola": single.acceptability,
        "sst2": single.sentiment,
        "rte": pairs.entailment,
        "qnli": pairs.answer,
    }
    label = int(yes) if task in ("cola", "sst2") else int(not yes)  # RTE and QNLI: entailment is 0
    while (texts := write[task](rng, yes)) is None:  # the label stays: a failed draw must not favour the other one
        pass
    return ((texts,) if isinstance(texts, str) else texts), label


def _rows(task: str, split: str, seed: int) -> Iterator[dict[str, str | int | float]]:
    rng = Random(f"{task} {split} {seed}")
    seen: set[tuple[str, ...]] = set()
    wanted = split == "validation"
    while len(seen) < ROWS[split]:
        texts, label = _draw(task, rng)
        if texts in seen or any(held_out(words) != wanted for words in texts):
            continue
        if task == "sst2" and not wanted and UNTAUGHT & {word.strip(".,") for word in texts[0].lower().split()}:
            continue  # its polarity is to be learned from the corpus alone
        yield {**dict(zip(_COLUMNS[task], texts, strict=True)), "label": label, "idx": len(seen)}
        seen.add(texts)


def load(task: str, *, seed: int = 0) -> DatasetDict:
    """Generate a task: splits `train` and `validation` with GLUE's columns, label names and label kinds.

    No sentence of `validation` occurs in `train` or in `text`, whatever the seeds. Raises InputError for an
    unknown task.
    """
    if task not in TASKS:
        raise InputError(f"The generated data has no task {task!r}: choose one of {', '.join(TASKS)}.")
    names = LABELS[task]
    features = Features(
        {
            **{column: Value("string") for column in _COLUMNS[task]},
            "label": ClassLabel(names=list(names)) if names else Value("float32"),
            "idx": Value("int32"),
        }
    )
    return DatasetDict({split: Dataset.from_list(list(_rows(task, split, seed)), features=features) for split in ROWS})


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
        again = pairs.weaken(rng, again)
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
            single.opinion(rng, good),
        )
    )
    return [sentence(first), sentence(f"so the {person} {past(rng.choice(MOODS[good]))} it")]


def _lesson(rng: Random) -> list[str]:
    """Ask and answer, conclude, or say something in the present tense."""
    kind = rng.random()
    if kind < 0.7:
        return list((pairs.answer if kind < 0.5 else pairs.entailment)(rng, True) or ())
    return [single.acceptability(rng, True) or "" for _ in range(2)]


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
