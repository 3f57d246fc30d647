"""The generated tasks: their schema, their determinism, their splits, and that their labels are true."""

import hashlib
import json
import os
import subprocess
import sys
from collections import Counter
from functools import cache
from random import Random

import pytest
from datasets import ClassLabel, DatasetDict, Value
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers import mini_glue
from helpers.environment import InputError
from helpers.mini_glue import grammar, meaning, single
from helpers.mini_glue import words as lexicon
from helpers.mini_glue.grammar import Clause, Phrase, held_out, random_clause

COLUMNS = {
    "cola": ["sentence", "label", "idx"],
    "sst2": ["sentence", "label", "idx"],
    "rte": ["sentence1", "sentence2", "label", "idx"],
    "stsb": ["sentence1", "sentence2", "label", "idx"],
    "qnli": ["question", "sentence", "label", "idx"],
}
NAMES = {
    "cola": ["unacceptable", "acceptable"],
    "sst2": ["negative", "positive"],
    "rte": ["entailment", "not_entailment"],
    "qnli": ["entailment", "not_entailment"],
}
draws = st.integers(0, 2**32).map(Random)


@cache
def loaded(task: str) -> DatasetDict:
    return mini_glue.load(task)


@cache
def corpus() -> list[str]:
    return list(mini_glue.text()["text"])


def texts(task: str, split: str) -> list[tuple[str, ...]]:
    rows = loaded(task)[split]
    return list(zip(*(rows[column] for column in COLUMNS[task][:-2]), strict=True))


def digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()


@pytest.mark.parametrize("task", mini_glue.TASKS)
def test_schema_is_glues(task):
    for split, rows in mini_glue.ROWS.items():
        data = loaded(task)[split]
        assert data.column_names == COLUMNS[task]
        assert len(data) == rows
        assert list(data["idx"]) == list(range(rows))
        if task == "stsb":
            assert data.features["label"] == Value("float32")
            assert min(data["label"]) >= 0 and max(data["label"]) <= 5
        else:
            assert data.features["label"] == ClassLabel(names=NAMES[task])


@pytest.mark.parametrize(("task", "share"), [("cola", 0.7), ("sst2", 0.5), ("rte", 0.5), ("qnli", 0.5)])
def test_labels_are_balanced(task, share):
    for split in mini_glue.ROWS:
        labels = loaded(task)[split]["label"]
        assert sum(labels) / len(labels) == pytest.approx(share, abs=0.06)


def test_similarity_covers_its_range():
    counts = Counter(min(4, int(score)) for score in loaded("stsb")["train"]["label"])
    assert all(counts[whole] > 0.08 * mini_glue.ROWS["train"] for whole in range(5))


@pytest.mark.parametrize("task", mini_glue.TASKS)
def test_no_sentence_is_on_both_sides(task):
    train, validation = texts(task, "train"), texts(task, "validation")
    assert len(set(train)) == len(train) and len(set(validation)) == len(validation)
    assert not {words for row in train for words in row} & {words for row in validation for words in row}


def test_corpus_has_no_validation_sentence():
    validation = {words for task in mini_glue.TASKS for row in texts(task, "validation") for words in row}
    sentences = {part for line in corpus() for part in line.replace("? ", "?\n").replace(". ", ".\n").split("\n")}
    assert len(sentences) > 10_000
    assert not validation & sentences


def test_seeds_differ_but_never_leak():
    first, second = loaded("rte"), mini_glue.load("rte", seed=1)
    assert first["train"]["sentence1"] != second["train"]["sentence1"]
    assert not set(first["validation"]["sentence1"]) & set(second["train"]["sentence1"])


def test_same_in_another_process_with_another_hash_seed():
    code = (
        "import json; from helpers import mini_glue as g; "
        "tasks = [g.load(task) for task in ('rte', 'stsb')]; "
        "print(json.dumps([[list(t[s][c]) for c in t[s].column_names] for t in tasks for s in g.ROWS]"
        " + [list(g.text(lines=200)['text'])]))"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "123"}
    out = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    here = [
        [list(loaded(task)[split][column]) for column in COLUMNS[task]]
        for task in ("rte", "stsb")
        for split in mini_glue.ROWS
    ]
    assert digest(json.loads(out.stdout)) == digest([*here, list(mini_glue.text(lines=200)["text"])])


def test_text_is_a_column_of_lines():
    assert mini_glue.text(lines=5).column_names == ["text"]
    assert list(mini_glue.text(lines=5)["text"]) == corpus()[:5]
    assert mini_glue.text(seed=1, lines=5)["text"] != corpus()[:5]
    words = {word.strip(".,?").lower() for line in corpus() for word in line.split()}
    assert 350 <= len(words) <= 600


def test_tasks_use_words_that_the_corpus_knows():
    known = {word.strip(".,?").lower() for line in corpus() for word in line.split()}
    for task in mini_glue.TASKS:
        used = {
            word.strip(".,?").lower() for row in texts(task, "validation") for words in row for word in words.split()
        }
        assert not used - known


@pytest.mark.parametrize("task", ["mnli", "", "CoLA"])
def test_unknown_task_is_an_input_error(task):
    with pytest.raises(InputError, match="choose one of cola, sst2, rte, stsb, qnli"):
        mini_glue.load(task)


def test_corpus_of_no_lines_is_an_input_error():
    with pytest.raises(InputError, match="one or more"):
        mini_glue.text(lines=0)


@pytest.mark.parametrize("task", ["cola", "sst2", "rte", "qnli"])
def test_words_alone_do_not_decide(task):
    """Naive Bayes on single words, the bag-of-words floor, stays far from perfect."""
    import numpy as np

    def bags(split):
        return [
            [f"{i}{w}" for i, words in enumerate(row) for w in set(words.lower().split())] for row in texts(task, split)
        ]

    labels = np.array(loaded(task)["train"]["label"])
    counts = [
        Counter(word for bag, y in zip(bags("train"), labels, strict=True) if y == k for word in bag) for k in (0, 1)
    ]
    size = [(labels == k).sum() for k in (0, 1)]

    def score(bag):
        return sum(np.log((counts[1][w] + 1) / (size[1] + 2)) - np.log((counts[0][w] + 1) / (size[0] + 2)) for w in bag)

    guess = np.array([score(bag) + np.log(size[1] / size[0]) > 0 for bag in bags("validation")])
    assert (guess == np.array(loaded(task)["validation"]["label"])).mean() < 0.8


@given(draws)
def test_weakened_clause_follows(rng):
    clause = random_clause(rng)
    weaker = clause
    for _ in range(3):
        weaker = meaning.weaken(rng, weaker)
    assert meaning.entails(clause, weaker)


@pytest.mark.parametrize(
    ("change", "follows"),
    [
        ({}, True),
        ({"verb": "assist"}, True),
        ({"verb": "chase"}, False),
        ({"subject": Phrase("bird", "three", "fast")}, True),
        ({"subject": Phrase("owl", "three", "quick")}, True),
        ({"subject": Phrase("owl", "three", "slow")}, False),
        ({"subject": Phrase("owl", "at least two")}, True),
        ({"subject": Phrase("owl", "at least four")}, False),
        ({"subject": Phrase("owl", "some")}, True),
        ({"subject": Phrase("sparrow", "three")}, False),
        ({"object": Phrase("worker", "a")}, True),
        ({"object": Phrase("baker", "the", "old")}, False),
        ({"place": None}, True),
        ({"place": "at the hotel"}, False),
        ({"time": "at noon"}, False),
        ({"negated": True}, False),
        ({"subject": Phrase("baker"), "object": Phrase("owl", "three", "fast")}, False),
    ],
)
def test_entailment_by_hand(change, follows):
    told = Clause(Phrase("owl", "three", "fast"), "help", Phrase("baker"), "in the garden")
    assert meaning.entails(told, told._replace(**change)) is follows


@given(draws)
def test_clause_says_the_same_in_both_voices(rng):
    clause = random_clause(rng, verbs=lexicon.MEETINGS)
    assert str(clause.subject) in clause.passive() and clause.active().startswith(str(clause.subject))
    assert clause.passive().startswith(str(clause.object))
    assert lexicon.participle(clause.verb) in clause.passive()


def test_clauses_by_hand():
    clause = Clause(Phrase("owl", "three", "old"), "hide", Phrase("apple", "a"), "in the garden", "at noon")
    assert clause.active() == "three old owls hid an apple in the garden at noon"
    assert clause.passive() == "an apple was hidden by three old owls in the garden at noon"
    assert clause._replace(negated=True).active() == "three old owls did not hide an apple in the garden at noon"


@given(draws)
@settings(max_examples=300)
def test_acceptable_sentences_agree(rng):
    """The word after a determiner (and adjective) has its number."""
    adjectives = {word for pair in lexicon.ADJECTIVES for word in pair}
    singular = {noun for group in (lexicon.PEOPLE, lexicon.ANIMALS) for kind in group.values() for noun in kind}
    words = (single.acceptability(rng, True) or "").rstrip(".").lower().split()
    for i, word in enumerate(words[:-1]):
        noun = next((w for w in words[i + 1 :] if w not in adjectives), "")
        if word in ("every", "each", "this"):
            assert noun in singular
        if word in ("these", "those", "many", "several"):
            assert noun not in singular


def test_no_sentence_is_both_acceptable_and_not():
    """Short sentences recur by chance: an error that changes nothing would show up on both sides."""
    good = {single.acceptability(Random(f"good {i}"), True) for i in range(20_000)}
    bad = {single.acceptability(Random(f"bad {i}"), False) for i in range(20_000)} - {None}
    assert len(bad) > 5_000
    assert not good & bad


def test_split_is_a_third():
    share = sum(held_out(words) for row in texts("cola", "train") for words in row)
    assert share == 0
    drawn = [random_clause(Random(i)).active() for i in range(3000)]
    assert sum(map(held_out, drawn)) / 3000 == pytest.approx(1 / 3, abs=0.03)


def test_siblings_and_synonyms():
    rng = Random(0)
    assert {grammar.sibling(rng, "apple") for _ in range(50)} == set(lexicon.THINGS["fruit"]) - {"apple"}
    assert grammar.sibling(rng, "bird") in lexicon.ANIMALS
    assert all(lexicon.SYNONYM[lexicon.SYNONYM[word]] == word for word in lexicon.SYNONYM)
