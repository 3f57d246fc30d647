"""The doors through which input comes in: how to make a good one, how to spoil it, and what may come of it."""

from __future__ import annotations

import functools
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any
from unittest import mock

import fake_records
import pyarrow
import pyarrow.parquet
import tiny
import torch
import yaml
from mutations import damage_file, nasty, spoil_columns, spoil_tree, tagged_yaml, write_harmful_weights

from helpers import hub, models, profiles, records, report, storage, tasks
from helpers.artifacts import Store, node, step
from helpers.compress import steps
from helpers.compress.word_vectors import WordVectors
from helpers.profiles import files
from helpers.report import claims
from helpers.study import options, planning

__all__ = ["DOORS", "Door"]

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Door:
    """One kind of input, from a good example to what is made of a spoilt one."""

    name: str
    tried: int  # inputs in the long run
    make: Callable[[Path], None]  # write good input into an empty folder
    spoil: Callable[[Path, Random], None]
    enter: Callable[[Path], Any]
    # raise AssertionError for a result that no input should have
    check: Callable[[Path, Any], None] = lambda folder, result: None


def _one_file(folder: Path, random: Random, pattern: str = "*") -> Path:
    return random.choice(sorted(path for path in folder.rglob(pattern) if path.is_file()))


# a profile


def _make_profile(folder: Path) -> None:
    shutil.copy(files.PARAMS / "mini.yaml", folder / "base.yaml")
    shutil.copy(files.PARAMS / "minilm.yaml", folder / "tried.yaml")


def _spoil_profile(folder: Path, random: Random) -> None:
    path = folder / "tried.yaml"
    how = random.randrange(10)
    if how <= 5:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
        # other values in place of the few that a tree has at its top, where most are
        spoilt = spoil_tree(values, random) if how else {"extends": nasty(random)} | values
        path.write_text(yaml.safe_dump(spoilt, allow_unicode=True), encoding="utf-8")
    elif how <= 7:
        damage_file(path, random)
    else:
        text = tagged_yaml(folder, random)
        old = path.read_text(encoding="utf-8") if how == 8 else ""
        path.write_text(old + text, encoding="utf-8")


def _enter_profile(folder: Path) -> list[profiles.Recipe]:
    with mock.patch.object(files, "PARAMS", folder):
        profiles.settings("tried")
        return [profiles.load("tried", task=task) for task in ("cola", "rte", "stsb")]


def _check_recipes(folder: Path, found: list[profiles.Recipe]) -> None:
    for recipe in found:
        assert isinstance(recipe, profiles.Recipe)
        # papermill hands it on as YAML, a record as JSON
        assert yaml.safe_load(yaml.safe_dump(vars(recipe))) == vars(recipe)
        json.dumps(vars(recipe), allow_nan=False)


# the words of a command


def _make_words(folder: Path) -> None:
    words = ["run", "--tasks", "cola,sst2", "--seeds", "0,1", "-p", "teacher_epochs", "2"]
    (folder / "words.json").write_text(json.dumps(words), encoding="utf-8")


def _spoil_words(folder: Path, random: Random) -> None:
    path = folder / "words.json"
    words = json.loads(path.read_text(encoding="utf-8"))
    if random.random() < 0.3:
        at = random.randrange(len(words))
        words[at] = str(nasty(random))
    else:
        name = random.choice(sorted(profiles.SETTINGS))
        if random.random() < 0.1:
            name = random.choice([name[:-1], name.upper(), name.replace("_", "-"), str(nasty(random))])
        value = nasty(random)
        text = str(value) if random.random() < 0.3 else json.dumps(value, ensure_ascii=False)
        words += ["-p", name, text]
    path.write_text(json.dumps(words), encoding="utf-8")


def _enter_words(folder: Path) -> list[profiles.Recipe]:
    given = options.parse(json.loads((folder / "words.json").read_text(encoding="utf-8")))
    changes = planning.changed(options.places(given), options.parameters(given))
    chosen, seeds = planning.grid(given.profile, given.tasks, options.seeds(given))
    return [profiles.load(given.profile, task=task, seed=seed, **changes) for task in chosen for seed in seeds]


# rows of a task, of pairs, of text


def _make_rows(folder: Path) -> None:
    for task in ("sst2", "stsb", "rte"):
        (folder / task).mkdir()
        for number, split in enumerate(("train", "validation")):
            rows = tiny.task_rows(30, task=task, seed=number)
            pyarrow.parquet.write_table(rows.data.table, folder / task / f"{split}-00000-of-00001.parquet")


def _spoil_rows(folder: Path, random: Random) -> None:
    path = _one_file(folder, random, "*.parquet")
    how = random.randrange(10)
    if how <= 2:
        return damage_file(path, random)
    table = pyarrow.parquet.read_table(path)
    if how == 3:  # another format under the name of this one
        lines = table.to_pylist()
        text = "\n".join("\t".join(map(str, row.values())) for row in lines)
        path.write_text(text if random.random() < 0.5 else json.dumps(lines), encoding="utf-8")
    elif how == 4:  # two files whose columns do not agree
        other = spoil_columns(table, random)
        pyarrow.parquet.write_table(other, path.with_name(path.name.replace("00000-of", "00001-of")))
    else:
        for _ in range(random.choice([1, 1, 2])):
            table = spoil_columns(table, random) if table.column_names else table
        try:
            pyarrow.parquet.write_table(table, path)
        except (pyarrow.ArrowException, ValueError):  # a table that no parquet file holds is no input
            damage_file(path, random)
    return None


def _enter_rows(folder: Path) -> list[tasks.TaskData]:
    return [tasks.load(task, data=str(folder)) for task in ("sst2", "stsb", "rte")]


def _check_rows(folder: Path, found: list[tasks.TaskData]) -> None:
    words = tiny.words(folder / "words")
    for data in found:
        for split in ("train", "heldout", "validation"):
            labels = data.labels(split)
            assert (
                len(labels)
                and labels.min() >= 0
                and labels.max() <= (len(data.task.labels) - 1 if data.task.labels else 5)
            )
            rows = getattr(data, split)
            encoded = tasks.encode(rows, data.task, words, max_length=16)
            assert len(encoded) == len(rows)
        json.dumps(data.describe(), allow_nan=False)


def _make_text(folder: Path) -> None:
    lines = [" ".join(tiny.WORDS[i : i + 5]) for i in range(20)]
    pyarrow.parquet.write_table(pyarrow.table({"text": lines, "source": ["x"] * 20}), folder / "train-0.parquet")


def _check_text(folder: Path, text: tasks.Text) -> None:
    assert len(text.rows) and all(isinstance(line, str) and line.strip() for line in text.rows["text"])


# records, and the tables made from them


@functools.cache
def _records() -> tuple[str, ...]:
    return tuple(json.dumps(record) for record in fake_records.study("mini", tasks=("cola", "stsb"), seeds=(0, 1)))


def _make_records(folder: Path) -> None:
    for text in _records():
        records.write(json.loads(text), folder)


def _spoil_record(folder: Path, random: Random) -> None:
    path = _one_file(folder, random)
    if random.random() < 0.3:
        damage_file(path, random)
    else:
        value = spoil_tree(json.loads(path.read_text(encoding="utf-8")), random)
        path.write_text(json.dumps(value), encoding="utf-8")


def _enter_records(folder: Path) -> dict[str, str]:
    found = records.read_all(folder)
    return report.render_tables(found) if found else {}


def _check_tables(folder: Path, tables: dict[str, str]) -> None:
    assert all(isinstance(text, str) and "/" not in name and ".." not in name for name, text in tables.items())


# a model folder


def _make_model(folder: Path) -> None:
    tiny.saved(folder, tiny.classifier(seed=1))


def _spoil_model(folder: Path, random: Random) -> None:
    how = random.randrange(10)
    if how <= 3:
        write_harmful_weights(folder, random)
    elif how <= 6:
        damage_file(_one_file(folder, random), random)
    else:
        path = folder / random.choice(["config.json", "tokenizer.json", "tokenizer_config.json"])
        value = spoil_tree(json.loads(path.read_text(encoding="utf-8")), random)
        path.write_text(json.dumps(value), encoding="utf-8")


def _enter_model(folder: Path) -> torch.Tensor:
    made = folder / "made"
    made.mkdir()
    steps.bring(made, source=hub.locate(str(folder)), task="sst2", head=True)
    rows = tasks.encode(tiny.task_rows(4), tasks.TASKS["sst2"], models.tokenizer(made), max_length=16)
    with torch.no_grad():
        return models.load(made)(input_ids=torch.tensor([rows[0]["input_ids"]])).logits


def _check_logits(folder: Path, logits: torch.Tensor) -> None:
    assert logits.shape == (1, 2)


# one file of a compressed model


def _make_stored(folder: Path) -> None:
    model = tiny.classifier(seed=2)
    coded = storage.code(model, {"bert.embeddings.word_embeddings.weight": storage.Coding("int4", 8)})
    storage.save(coded, folder / "tried.model", tokenizer=tiny.words(folder))


def _enter_stored(folder: Path) -> tuple[torch.Tensor, list[str]]:
    path = folder / "tried.model"
    model, words = storage.load(path), storage.load_tokenizer(path)
    with torch.no_grad():
        return model(input_ids=torch.tensor([[2, 7, 9, 3]])).logits, storage.pieces(words)


@functools.cache
def _stored(folder: Path) -> tuple[torch.Tensor, list[str]]:
    folder.mkdir()
    _make_stored(folder)
    return _enter_stored(folder)


def _check_stored(folder: Path, found: tuple[torch.Tensor, list[str]]) -> None:
    logits, pieces = _stored(folder.parent / "undamaged")
    assert torch.equal(found[0], logits) and found[1] == pieces, "damage that nobody noticed"


# word vectors


def _make_vectors(folder: Path) -> None:
    lines = [f"{word} {i}.5 -0.25 {i * i} 1e-3" for i, word in enumerate(tiny.WORDS)]
    (folder / "vectors.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _spoil_vectors(folder: Path, random: Random) -> None:
    path = folder / "vectors.txt"
    if random.random() < 0.4:
        return damage_file(path, random)
    lines = path.read_text(encoding="utf-8").splitlines()
    at = random.randrange(len(lines))
    word, *numbers = lines[at].split(" ")
    numbers[random.randrange(len(numbers))] = random.choice(
        ["", "nan", "inf", "-inf", "1e400", "a", "1,5", "0x1", "１", "1_0", "\t1", "1\u00a0", "--1", "9" * 400]
    )
    others = [
        " ".join([word, *numbers]),
        " ".join([word, *numbers[1:]]),
        " ".join([*lines[at].split(" "), "1"]),
        f"{len(lines)} 4",
        "",
        " ",
        lines[at].replace(" ", "\t"),
        lines[at - 1],
        "a b " + lines[at].partition(" ")[2],
        " " + lines[at].partition(" ")[2],
        "\u2028 0 0 0 0",
        "\x00 0 0 0 0",
        f"{word} 0 0 0 0",
    ]
    lines[at] = random.choice(others)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return None


def _enter_vectors(folder: Path) -> list[str]:
    vectors = WordVectors.read(folder / "vectors.txt")
    return [*vectors.nearest("word3", 2), *vectors.fingerprint[:1]]


def _check_words(folder: Path, words: list[str]) -> None:
    assert all(isinstance(word, str) for word in words)


# the claims


def _make_claims(folder: Path) -> None:
    shutil.copy(ROOT / "results" / "reported" / "claims.yaml", folder / "claims.yaml")


def _spoil_claims(folder: Path, random: Random) -> None:
    path = folder / "claims.yaml"
    how = random.randrange(10)
    if how <= 6:
        entries = spoil_tree(yaml.safe_load(path.read_text(encoding="utf-8")), random)
        path.write_text(yaml.safe_dump(entries, allow_unicode=True), encoding="utf-8")
    elif how <= 8:
        damage_file(path, random)
    else:
        path.write_text(tagged_yaml(folder, random), encoding="utf-8")


def _enter_claims(folder: Path) -> Any:
    found = claims.claims.__wrapped__(folder / "claims.yaml")
    with mock.patch.object(claims, "claims", lambda: found):
        return claims.judged([json.loads(text) for text in _records()])


# the store of artifacts


@step(version=1)
def write_numbers(folder: Path, *, first: int) -> None:
    """Make two files, for the faults to find."""
    (folder / "numbers.txt").write_text("\n".join(str(first + i) for i in range(500)), encoding="utf-8")
    (folder / "inner").mkdir()
    (folder / "inner" / "sum.txt").write_text(str(sum(range(first, first + 500))), encoding="utf-8")


@step(version=1)
def add_numbers(folder: Path, *, numbers: Path) -> None:
    """Make a file from another result."""
    total = sum(int(line) for line in (numbers / "numbers.txt").read_text(encoding="utf-8").splitlines())
    (folder / "total.txt").write_text(str(total), encoding="utf-8")


def _wanted() -> Any:
    return node(add_numbers, numbers=node(write_numbers, first=3))


def _make_store(folder: Path) -> None:
    Store(folder).path(_wanted())


def _spoil_store(folder: Path, random: Random) -> None:
    path = _one_file(folder, random)
    if path.name == "manifest.json" and random.random() < 0.5:
        value = spoil_tree(json.loads(path.read_text(encoding="utf-8")), random)
        path.write_text(json.dumps(value), encoding="utf-8")
    else:
        damage_file(path, random)


def _enter_store(folder: Path) -> list[str]:
    store = Store(folder)
    store.manifests()
    numbers = store.path(_wanted().arguments["numbers"])
    total = (store.path(_wanted()) / "total.txt").read_text(encoding="utf-8")
    store.clean({_wanted().key})
    return [total, (numbers / "inner" / "sum.txt").read_text(encoding="utf-8")]


def _check_store(folder: Path, found: list[str]) -> None:
    assert found == [str(sum(range(3, 503)))] * 2, "damage that nobody noticed"


DOORS = {
    door.name: door
    for door in (
        Door("profile", 900, _make_profile, _spoil_profile, _enter_profile, _check_recipes),
        Door("words of a command", 1500, _make_words, _spoil_words, _enter_words, _check_recipes),
        Door("rows of tasks", 700, _make_rows, _spoil_rows, _enter_rows, _check_rows),
        Door("lines of text", 300, _make_text, _spoil_rows, lambda folder: tasks.load_text(str(folder)), _check_text),
        Door("records", 700, _make_records, _spoil_record, _enter_records, _check_tables),
        Door("model folder", 700, _make_model, _spoil_model, _enter_model, _check_logits),
        Door(
            "file of a compressed model",
            500,
            _make_stored,
            lambda folder, random: damage_file(folder / "tried.model", random),
            _enter_stored,
            _check_stored,
        ),
        Door("word vectors", 300, _make_vectors, _spoil_vectors, _enter_vectors, _check_words),
        Door("claims", 300, _make_claims, _spoil_claims, _enter_claims),
        Door("stored artifacts", 300, _make_store, _spoil_store, _enter_store, _check_store),
    )
}
