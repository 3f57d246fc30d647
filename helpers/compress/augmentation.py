"""TinyBERT's data augmentation (Jiao et al. 2019, section 3.2, algorithm 1): variants of training rows, word by word.

Each variant replaces each word that may be replaced, with some probability, by one of its candidates.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet
from datasets import Dataset

from helpers import tasks
from helpers.artifacts import step
from helpers.compress.candidates import CANDIDATES, Options, Word
from helpers.environment import RunError

__all__ = ["Augmentation", "augment", "variants"]


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """How many variants of a row are drawn, each word replaced with which probability."""

    variants: int = 20
    probability: float = 0.4
    seed: int = 0
    first_text_stays_changed: bool = False  # the authors' code: a pair's second text is varied beside a changed first


def variants(
    texts: Sequence[str], options: Sequence[Options], settings: Augmentation, *, row: int
) -> Iterator[tuple[str, ...]]:
    """Draw variants of a row of one or two texts, none equal to the row or to one another.

    Of a pair one text is changed and the other stays to the letter, in turn; with `first_text_stays_changed` the first
    text is varied alone, then the second beside the first one's last variant, as many times each. What is drawn depends
    on the seed and on the row's number alone. A row with few words has fewer variants: after as many draws as wanted it
    is enough.
    """
    random = np.random.default_rng([settings.seed, row])
    told, kept, count = {tuple(texts)}, list(texts), settings.variants
    stays = settings.first_text_stays_changed
    for draw in range(count * len(texts) if stays else count):
        changed = draw // count if stays else draw % len(texts)
        new = list(kept)
        new[changed] = _replace(texts[changed], options[changed], settings.probability, random)
        if tuple(new) not in told:
            told.add(tuple(new))
            yield tuple(new)
            if stays and changed == 0:
                kept[0] = new[0]


def _replace(text: str, options: Options, probability: float, random: np.random.Generator) -> str:
    parts, end = [], 0
    for word, others in options:
        if random.random() < probability:
            parts += [text[end : word.start], others[random.integers(len(others))]]
            end = word.end
    return "".join([*parts, text[end:]])


@step(version=3)
def augment(folder: Path, *, found: Path, data: tasks.TaskData, settings: Augmentation) -> None:
    """Write the variants of a task's training rows: its text columns, the copied `label`, and `row`, their origin.

    `found` is the folder of `find_candidates`. Raises `RunError` if there is no variant at all.
    """
    columns = [data.train[name][:] for name in data.task.text]
    options: list[list[Options]] = [[[] for _ in data.train] for _ in columns]
    for line in pyarrow.parquet.read_table(found / CANDIDATES).to_pylist():
        options[line["text"]][line["row"]].append((Word(line["start"], line["end"], None), line["options"]))
    labels = data.train["label"][:]
    made: dict[str, list] = {name: [] for name in (*data.task.text, "label", "row")}
    for row, (texts, words) in enumerate(zip(zip(*columns, strict=True), zip(*options, strict=True), strict=True)):
        for variant in variants(texts, words, settings, row=row):
            for name, value in zip(made, (*variant, labels[row], row), strict=True):
                made[name].append(value)
    if not made["row"]:
        raise RunError(
            f"No row of {data.name} has a variant: none of its words may be replaced, or augmentation_probability or "
            "augmentation_variants is 0; raise them, or set augmented to off."
        )
    Dataset.from_dict(made).to_parquet(folder / tasks.VARIANTS)
