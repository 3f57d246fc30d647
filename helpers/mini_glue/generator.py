"""Five small tasks in GLUE's schema, generated: the data of the `mini` profile.

Scores on these tasks are about these tasks. They are made so that models differ: what decides is syntax,
composition and what words mean, while the words themselves are the same on both sides of a label.
"""

from collections.abc import Callable, Iterator
from random import Random

from datasets import ClassLabel, Dataset, DatasetDict, Features, Value

from helpers.environment import InputError
from helpers.mini_glue.answers import answer
from helpers.mini_glue.entailment import entailment
from helpers.mini_glue.grammar import held_out
from helpers.mini_glue.similarity import similarity
from helpers.mini_glue.single import acceptability, sentiment
from helpers.mini_glue.words import (
    UNTAUGHT,
)

__all__ = ["LABELS", "ROWS", "TASKS", "load"]

ROWS = {"train": 3000, "validation": 800}
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
        *texts, label = similarity(rng)
        return tuple(texts), label
    yes = rng.random() < (_ACCEPTABLE if task == "cola" else 0.5)
    write: dict[str, Callable] = {
        "cola": acceptability,
        "sst2": sentiment,
        "rte": entailment,
        "qnli": answer,
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
