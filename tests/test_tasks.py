"""GLUE's tasks from a folder in the hub's exact layout: rows, labels, held-out part, tokens, and every error."""

from __future__ import annotations

import itertools
import tempfile
from pathlib import Path

import numpy as np
import published
import pyarrow
import pyarrow.parquet
import pytest
import tiny
from datasets import ClassLabel, Dataset, Features, Value, load_dataset
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from helpers import mini_glue, models, scores, tasks
from helpers.environment import InputError, RunError

GLUE = sorted(published.COLUMNS)


@pytest.fixture(scope="session")
def words(tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("words")
    published.tinybert(folder)
    return models.tokenizer(folder)


def _refused(task: str, folder: Path | str) -> str:
    with pytest.raises(InputError) as caught:
        tasks.load(task, data=str(folder))
    message = str(caught.value)
    assert "\n" not in message
    assert message.endswith(".")
    return message


def test_the_tasks_are_glues() -> None:
    assert sorted(tasks.TASKS) == GLUE
    for name, task in tasks.TASKS.items():
        assert list(task.text) == published.COLUMNS[name]
        assert list(task.labels) == (published.LABELS[name] or [])
        assert task.outputs == {"stsb": 1, "mnli": 3}.get(name, 2)


@pytest.mark.parametrize("task", GLUE)
def test_every_task_loads_and_scores(task: str, tmp_path: Path) -> None:
    data = tasks.load(task, data=str(published.glue(tmp_path / "glue", task)))
    assert data.describe() == {
        "source": "folder",
        "name": "glue",
        "revision": None,
        "fingerprint": data.fingerprint,
        "rows": {"train": 36, "heldout": 4, "validation": 12},
        "note": "train is a part: 40 of 104,743 rows" if task == "qnli" else None,
    }
    made = published.rows(task, 12, seed=1)  # the validation split; mnli's is the matched one
    assert data.validation.column_names == [*published.COLUMNS[task], "label"]
    assert data.validation[published.COLUMNS[task][-1]][:] == made[published.COLUMNS[task][-1]]
    labels = data.labels("validation")
    assert labels == pytest.approx(np.array(made["label"]))

    outputs = data.task.outputs
    right = np.asarray(labels, dtype=np.float32)[:, None] if outputs == 1 else np.eye(outputs, dtype=np.float32)[labels]
    perfect = scores.score(task, scores.predictions(task, right), labels)
    assert perfect == pytest.approx(dict.fromkeys(scores.TASK_METRICS[task], 1.0))
    wrong = scores.score(task, scores.predictions(task, -right), labels)
    assert wrong[scores.main_metric(task)] <= 0.0


def test_the_layout_is_the_one_that_datasets_reads(tmp_path: Path) -> None:
    """The made-up folder stands for the hub's: the library itself finds class names in it."""
    published.glue(tmp_path, "rte")
    files = {split: str(tmp_path / "rte" / f"{split}-*.parquet") for split in ("train", "validation", "test")}
    read = load_dataset("parquet", data_files=files, cache_dir=str(tmp_path / "cache"))
    assert read["train"].features["label"] == ClassLabel(names=["entailment", "not_entailment"])
    assert read["test"]["label"][:] == [-1] * 6
    assert tasks.load("rte", data=str(tmp_path)).train.features["label"] == read["train"].features["label"]


@pytest.mark.parametrize("task", ["rte", "stsb", "mnli"])
def test_the_fingerprint_is_of_rows_not_of_files(task: str, tmp_path: Path) -> None:
    usual = tasks.load(task, data=str(published.glue(tmp_path / "usual", task))).fingerprint
    validation = tasks.TASKS[task].validation
    made = {"train": published.rows(task, 40), validation: published.rows(task, 12, seed=1)}
    other, folder = published.features(task), tmp_path / "other" / task
    for split, table in made.items():
        # three files instead of one, columns in another order, compressed otherwise, no row numbers, plain labels
        rows = Dataset.from_dict(table, features=other).remove_columns("idx")
        rows = rows.select_columns(["label", *reversed(published.COLUMNS[task])])
        for part in range(3):
            shard = rows.shard(3, part, contiguous=True).data.table.replace_schema_metadata(None)
            folder.mkdir(parents=True, exist_ok=True)
            pyarrow.parquet.write_table(shard, folder / f"{split}-0000{part}-of-00003.parquet", compression="gzip")
    again = tasks.load(task, data=str(tmp_path / "other"))
    assert again.fingerprint == usual
    assert again.validation["label"][:] == pytest.approx(made[validation]["label"])

    for change in ("label", "text", "order", "missing"):
        table = published.rows(task, 40)
        if change == "label":
            table["label"][3] = table["label"][4]
        elif change == "text":
            table[published.COLUMNS[task][0]][3] += "."
        elif change == "order":
            table = {name: values[::-1] for name, values in table.items()}
        else:
            table = {name: values[:-1] for name, values in table.items()}
        published.glue(tmp_path / change, task)
        published.write(tmp_path / change / task / "train-00000-of-00001.parquet", table, published.features(task))
        assert tasks.load(task, data=str(tmp_path / change)).fingerprint != usual, change


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(count=some.integers(10, 120))
def test_a_fixed_tenth_is_held_out(tmp_path: Path, count: int) -> None:
    folder = published.glue(tmp_path / str(count), "sst2", train=count)
    first, second = tasks.load("sst2", data=str(folder)), tasks.load("sst2", data=str(folder), seed=5)
    assert len(first.heldout) == count // 10
    train, heldout = first.train["sentence"][:], first.heldout["sentence"][:]
    assert sorted(train + heldout) == sorted(published.rows("sst2", count)["sentence"])
    assert not set(train) & set(heldout)
    assert second.heldout["sentence"][:] == heldout
    # the rows keep their labels
    told = dict(zip(published.rows("sst2", count)["sentence"], published.rows("sst2", count)["label"], strict=True))
    assert [told[sentence] for sentence in heldout] == list(first.labels("heldout"))


def test_the_heldout_rows_are_spread(tmp_path: Path) -> None:
    data = tasks.load("sst2", data=str(published.glue(tmp_path, "sst2", train=1000)))
    index = [int(sentence.split()[-1]) for sentence in data.heldout["sentence"]]
    assert index == sorted(index)
    assert 350 < np.mean(index) < 650
    assert index[0] < 100 < 900 < index[-1]


def test_the_held_out_rows_are_the_ones_that_stored_models_did_not_see(tmp_path: Path) -> None:
    # the split is in no artifact's key: change it only together with every training step's version
    data = tasks.load("sst2", data=str(published.glue(tmp_path, "sst2", train=100)))
    index = [int(sentence.split()[-1]) for sentence in data.heldout["sentence"]]
    assert index == [5, 16, 20, 36, 52, 72, 82, 90, 93, 94]


def test_fewer_training_rows_are_other_data(tmp_path: Path) -> None:
    folder = str(published.glue(tmp_path, "sst2", train=100))
    whole, some = tasks.load("sst2", data=folder), tasks.load("sst2", data=folder, train_rows=30)
    kept = [int(sentence.split()[-1]) for sentence in some.train["sentence"]]
    assert len(kept) == 30 and kept == sorted(kept) and set(some.train["sentence"]) < set(whole.train["sentence"])
    assert kept[0] < 30 and kept[-1] > 70, "drawn from all of them"
    assert some.heldout["sentence"][:] == whole.heldout["sentence"][:]
    assert some.note == "models are trained on 30 of 90 rows" and some.describe()["rows"]["train"] == 30
    assert some.fingerprint != whole.fingerprint != tasks.load("sst2", data=folder, train_rows=31).fingerprint
    for as_many in (0, 90, 1000):
        same = tasks.load("sst2", data=folder, train_rows=as_many)
        assert (same.fingerprint, same.note, len(same.train)) == (whole.fingerprint, None, 90)
    generated = tasks.load("cola", data="generated", train_rows=20)
    assert generated.note == ("generated rows: scores say nothing about GLUE; models are trained on 20 of 2,700 rows")


def test_generated_tasks_load_and_others_say_so() -> None:
    data = tasks.load("cola", data="generated")
    assert data.describe()["source"] == "generated"
    assert data.describe()["note"] == "generated rows: scores say nothing about GLUE"
    assert len(data.heldout) == (len(data.train) + len(data.heldout)) // 10
    assert sorted(mini_glue.TASKS) == ["cola", "qnli", "rte", "sst2", "stsb"]
    assert "There is no generated 'mnli'" in _refused("mnli", "generated")


def test_encode_single_sentences(words, tmp_path: Path) -> None:
    rows = Dataset.from_dict({"sentence": ["The film was good", "a", "dull dull films unheard"], "label": [1, 0, 0]})
    encoded = tasks.encode(rows, tasks.TASKS["sst2"], words, max_length=5)
    names = {word: index for index, word in enumerate(published.WORDS)}
    cls, sep, unk = names["[CLS]"], names["[SEP]"], names["[UNK]"]
    assert encoded["input_ids"][:] == [
        [cls, names["the"], names["film"], names["was"], sep],  # cut to five
        [cls, names["a"], sep],
        [cls, names["dull"], names["dull"], names["film"], sep],
    ]
    full = tasks.encode(rows, tasks.TASKS["sst2"], words, max_length=20)
    assert full["input_ids"][2] == [cls, names["dull"], names["dull"], names["film"], names["##s"], unk, sep]
    assert [len(row) for row in full["attention_mask"]] == [6, 3, 7], "rows are not padded"
    assert {value for row in full["token_type_ids"] for value in row} == {0}
    assert {value for row in full["attention_mask"] for value in row} == {1}
    assert encoded["labels"][:] == [1, 0, 0]
    assert all(isinstance(label, int) for label in encoded["labels"])


def test_encode_pairs(words) -> None:
    rows = Dataset.from_dict(
        {
            "sentence1": ["the film was good", "good " * 30],
            "sentence2": ["a play", "bad " * 30],
            "label": [3.8, 0.0],
        }
    )
    encoded = tasks.encode(rows, tasks.TASKS["stsb"], words, max_length=12)
    assert words.decode(encoded["input_ids"][0]) == "[CLS] the film was good [SEP] a play [SEP]"
    assert encoded["token_type_ids"][0] == [0] * 6 + [1] * 3
    assert len(encoded["input_ids"][1]) == 12
    text = words.decode(encoded["input_ids"][1])
    assert abs(text.count("good") - text.count("bad")) <= 1, "the longer text is cut first"
    assert encoded["token_type_ids"][1].count(1) == text.count("bad") + 1
    assert encoded["labels"][:] == [3.8, 0.0]
    assert all(isinstance(label, float) for label in encoded["labels"])


def test_encode_keeps_the_order_over_many_rows(words) -> None:
    count = 2500  # more than one batch of the tokenizer's
    rows = Dataset.from_dict(
        {"sentence": ["good " * (1 + i % 7) for i in range(count)], "label": [i % 2 for i in range(count)]}
    )
    encoded = tasks.encode(rows, tasks.TASKS["cola"], words, max_length=16)
    assert [len(row) for row in encoded["input_ids"]] == [3 + i % 7 for i in range(count)]
    assert encoded["labels"][:] == rows["label"][:]


def test_an_inference_folder(tmp_path: Path) -> None:
    kinds = published.features("mnli")
    for split, count in (("train", 30), ("validation", 9)):
        table = published.rows("mnli", count) | {"source": ["mnli"] * count}
        typed = Features({**kinds, "source": Value("string")})
        published.write(tmp_path / "nli" / f"{split}-00000-of-00001.parquet", table, typed)
    data = tasks.load_nli(str(tmp_path / "nli"))
    assert (data.source, data.name, len(data.train), len(data.validation)) == ("folder", "nli", 30, 9)
    assert data.train.column_names == ["premise", "hypothesis", "label"]
    assert data.task.outputs == 3
    with pytest.raises(InputError, match="nli2 does not exist"):
        tasks.load_nli(str(tmp_path / "nli2"))
    (tmp_path / "nli" / "validation-00000-of-00001.parquet").unlink()
    with pytest.raises(InputError, match=r"There is no file validation-\*\.parquet"):
        tasks.load_nli(str(tmp_path / "nli"))


def test_a_text_folder(tmp_path: Path) -> None:
    table = {"text": ["one line", "another"], "source": ["a", "b"]}
    published.write(tmp_path / "text" / "train-00000-of-00001.parquet", table)
    found = tasks.load_text(str(tmp_path / "text"))
    assert (found.rows["text"][:], found.source) == (["one line", "another"], "text")
    table["source"] = ["c", "d"]
    published.write(tmp_path / "again" / "train-00000-of-00001.parquet", table)
    assert tasks.load_text(str(tmp_path / "again")).fingerprint == found.fingerprint
    table["text"][1] += "!"
    published.write(tmp_path / "again" / "train-00000-of-00001.parquet", table)
    assert tasks.load_text(str(tmp_path / "again")).fingerprint != found.fingerprint


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        (None, "There is no file train-*.parquet"),
        ({"line": ["a"]}, "no column 'text'; they have line"),
        ({"text": ["a", None]}, "have rows without text"),
        ({"text": [1, 2]}, "have rows without text"),
        ({"text": []}, "hold no text"),
        ({"text": ["", " ", " = "]}, "hold no text"),
    ],
    ids=["no file", "no column", "missing text", "numbers", "empty", "blank"],
)
def test_a_wrong_text_folder(tmp_path: Path, table: dict | None, expected: str) -> None:
    if table is not None:
        kinds = None if table.get("text") else Features({name: Value("string") for name in table})
        published.write(tmp_path / "train-00000-of-00001.parquet", table, kinds)
    with pytest.raises(InputError) as caught:
        tasks.load_text(str(tmp_path))
    assert expected in str(caught.value)
    with pytest.raises(InputError, match="The text folder .*nowhere does not exist"):
        tasks.load_text(str(tmp_path / "nowhere"))


def test_blank_lines_of_a_text_are_left_out(tmp_path: Path) -> None:
    for name, lines in (("wiki", ["", " = Title = ", " ", "one line", " – "]), ("plain", [" = Title = ", "one line"])):
        published.write(tmp_path / name / "train-00000-of-00001.parquet", {"text": lines})
    wiki, plain = (tasks.load_text(str(tmp_path / name)) for name in ("wiki", "plain"))
    assert wiki.rows["text"][:] == plain.rows["text"][:] == [" = Title = ", "one line"]
    assert wiki.fingerprint == plain.fingerprint
    assert wiki.describe() == {"source": "wiki", "revision": None, "fingerprint": wiki.fingerprint, "lines": 2}


def test_a_text_that_is_not_utf_8(tmp_path: Path) -> None:
    latin = pyarrow.array([b"caf\xe9", b"tea"], pyarrow.binary()).view(pyarrow.string())
    pyarrow.parquet.write_table(pyarrow.table({"text": latin}), tmp_path / "train-00000-of-00001.parquet")
    with pytest.raises(InputError, match="hold text that is not UTF-8; save it as such"):
        tasks.load_text(str(tmp_path))


def test_a_text_on_the_hub_is_a_folder_of_a_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    published.write(tmp_path / "small" / "train-00000-of-00001.parquet", {"text": ["one line"]})
    asked = []
    monkeypatch.setattr(
        "helpers.tasks.text.hub.snapshot", lambda name, **given: asked.append((name, given)) or (tmp_path, "abc123")
    )
    found = tasks.load_text("owner/name/small")
    assert asked == [("owner/name", {"patterns": ["small/train-*.parquet"], "kind": "dataset"})]
    assert (found.source, found.revision, len(found.rows)) == ("owner/name/small", "abc123", 1)


def test_a_path_of_three_parts_that_is_not_there_is_said_to_be_a_folder_too(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_hub(*_: object, **__: object) -> None:
        raise RunError("The hub could not be reached.")

    monkeypatch.setattr("helpers.tasks.text.hub.snapshot", no_hub)
    with pytest.raises(RunError, match="There is no text folder data/my/text here. The hub could not be reached"):
        tasks.load_text("data/my/text")


def test_variants_join_the_training_rows_alone(tmp_path: Path) -> None:
    data = tiny.task_data(rows=12)
    made = {"sentence": ["new one", "new two"], "label": [1, 0], "row": [3, 7]}
    Dataset.from_dict(made).to_parquet(tmp_path / tasks.VARIANTS)
    more = tasks.with_variants(data, tmp_path)
    assert more.train["sentence"][:] == [*data.train["sentence"][:], "new one", "new two"]
    assert more.train["label"][:] == [*data.train["label"][:], 1, 0]
    assert more.train.features == data.train.features
    assert more.heldout is data.heldout and more.validation is data.validation


def test_what_is_not_there(tmp_path: Path) -> None:
    published.glue(tmp_path, "sst2")
    assert "There is no task 'sst-2'; known are cola, rte" in _refused("sst-2", tmp_path)
    assert f"The data folder {tmp_path}/nowhere does not exist" in _refused("sst2", tmp_path / "nowhere")
    assert "The data folder nowhere does not exist" in _refused("sst2", "nowhere")
    assert f"The data folder {tmp_path} has no folder 'rte'" in _refused("rte", tmp_path)
    (tmp_path / "sst2" / "validation-00000-of-00001.parquet").unlink()
    assert "There is no file validation-*.parquet in" in _refused("sst2", tmp_path)
    published.glue(tmp_path, "mnli")
    (tmp_path / "mnli" / "validation_matched-00000-of-00001.parquet").unlink()
    assert "There is no file validation_matched-*.parquet in" in _refused("mnli", tmp_path)


def _change(table: dict[str, list], **columns: object) -> tuple[dict[str, list], Features | None]:
    changed = {name: columns.get(name, values) for name, values in table.items()}
    return {name: values for name, values in changed.items() if values is not None}, columns.get("kinds")


PLAIN = Features({"sentence": Value("string"), "label": Value("int64"), "idx": Value("int32")})


def _named(*names: str) -> Features:
    return Features({**published.features("sst2"), "label": ClassLabel(names=list(names))})


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ({"label": None}, "sst2/train has no column 'label'; its columns are sentence, idx"),
        ({"sentence": None}, "sst2/train has no column 'sentence'; its columns are label, idx"),
        (
            {"label": [-1] * 20, "kinds": _named("negative", "positive")},
            "20 rows without a label (GLUE's test split has none)",
        ),
        ({"label": [0, None] * 10}, "sst2/train has 10 rows without a label"),
        ({"label": [0.0, float("nan")] * 10}, "sst2/train has 10 rows without a label"),
        (
            {"kinds": _named("positive", "negative")},
            "names its labels positive, negative; sst2 needs negative, positive in",
        ),
        ({"kinds": _named("no", "yes")}, "names its labels no, yes; sst2 needs negative, positive in this order"),
        ({"kinds": _named("negative", "neutral", "positive")}, "names its labels negative, neutral, positive"),
        ({"label": ["negative", "positive"] * 10}, "labels that are no numbers, like 'negative'"),
        ({"label": [0, 2] * 10, "kinds": PLAIN}, "sst2/train has labels outside 0 to 1: [0, 2]"),
        ({"label": [0, -2] * 10, "kinds": PLAIN}, "sst2/train has labels outside 0 to 1: [-2, 0]"),
        ({"label": [0, 0.5] * 10}, "sst2/train has labels outside 0 to 1: [0.0, 0.5]"),
        ({"sentence": ["good", " "] * 10}, "sst2/train has rows without text"),
        ({"sentence": ["good", None] * 10}, "sst2/train has rows without text"),
        ({"sentence": [1, 2] * 10}, "sst2/train has rows without text"),
        ({"sentence": [], "label": [], "idx": [], "kinds": published.features("sst2")}, "sst2/train has no rows"),
        ({"sentence": ["good"] * 9, "label": [0] * 9, "idx": [0] * 9}, "sst2/train has 9 rows; it needs 10 at least"),
    ],
)
def test_malformed_rows(tmp_path: Path, columns: dict[str, object], expected: str) -> None:
    published.glue(tmp_path, "sst2")
    table, kinds = _change(published.rows("sst2", 20), **columns)
    published.write(tmp_path / "sst2" / "train-00000-of-00001.parquet", table, kinds)
    assert expected in _refused("sst2", tmp_path)


def test_the_validation_split_is_checked_too(tmp_path: Path) -> None:
    published.glue(tmp_path, "rte")
    (tmp_path / "rte" / "test-00000-of-00001.parquet").replace(tmp_path / "rte" / "validation-00000-of-00001.parquet")
    assert "rte/validation has 6 rows without a label" in _refused("rte", tmp_path)


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ([5.5, 1.0] * 10, "stsb/train has scores outside 0 to 5, from 1.0 to 5.5"),
        ([-0.5, 1.0] * 10, "stsb/train has scores outside 0 to 5, from -0.5 to 1.0"),
        ([-1.0, 1.0] * 10, "stsb/train has 10 rows without a label"),
        ([float("nan"), 1.0] * 10, "stsb/train has 10 rows without a label"),
        (["high", "low"] * 10, "labels that are no numbers, like 'high'"),
    ],
)
def test_malformed_scores(tmp_path: Path, labels: list, expected: str) -> None:
    published.glue(tmp_path, "stsb")
    table, _ = _change(published.rows("stsb", 20), label=labels)
    published.write(tmp_path / "stsb" / "train-00000-of-00001.parquet", table)
    assert expected in _refused("stsb", tmp_path)
    kinds = Features({**published.features("stsb"), "label": ClassLabel(names=["low", "high"])})
    table["label"] = [0, 1] * 10
    published.write(tmp_path / "stsb" / "train-00000-of-00001.parquet", table, kinds)
    assert "names its labels low, high; stsb needs scores from 0 to 5" in _refused("stsb", tmp_path)


@pytest.mark.parametrize("content", [b"", b"not parquet at all", "cut"], ids=["empty", "text", "cut off"])
def test_a_broken_file(tmp_path: Path, content: bytes | str) -> None:
    published.glue(tmp_path, "sst2")
    path = tmp_path / "sst2" / "train-00000-of-00001.parquet"
    path.write_bytes(path.read_bytes()[:-40] if content == "cut" else content)
    message = _refused("sst2", tmp_path)
    assert "sst2/train-*.parquet cannot be read" in message
    assert "copy the files again" in message


def test_files_that_do_not_agree(tmp_path: Path) -> None:
    published.glue(tmp_path, "sst2")
    table = published.rows("sst2", 20) | {"label": ["good"] * 20}
    published.write(tmp_path / "sst2" / "train-00001-of-00002.parquet", table)
    assert "sst2/train-*.parquet cannot be read" in _refused("sst2", tmp_path)


# text in pieces


@given(
    some.lists(some.lists(some.sampled_from(tiny.WORDS), max_size=9).map(" ".join), min_size=1, max_size=30),
    some.integers(4, 12),
)
def test_pieces_are_the_text_cut_without_a_gap(lines: list[str], length: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        words = tiny.words(Path(folder))
    flat = [word for line in lines for word in words(line, add_special_tokens=False)["input_ids"]]
    if len(flat) < length - 2:
        with pytest.raises(InputError, match=f"The text has {len(flat)} tokens; it needs {length - 2} at least"):
            tasks.pieces(lines, words, length=length)
        return
    found = tasks.pieces(lines, words, length=length)
    assert {len(ids) for name in tasks.FIELDS for ids in found[name]} == {length}
    assert {(ids[0], ids[-1]) for ids in found["input_ids"]} == {(words.cls_token_id, words.sep_token_id)}
    assert [word for ids in found["input_ids"] for word in ids[1:-1]] == flat[: len(found) * (length - 2)]
    assert len(flat) - len(found) * (length - 2) < length - 2, "only the rest of a piece is left out"
    assert set(np.ravel(found["attention_mask"])) == {1} and set(np.ravel(found["token_type_ids"])) == {0}


def test_pieces_of_a_part_are_drawn_from_the_whole_text(tmp_path: Path) -> None:
    words = tiny.words(tmp_path)
    lines = [" ".join([word] * 8) for word in tiny.WORDS]  # sorted, as a corpus is by its sources
    whole, part = (tasks.pieces(lines, words, length=10, count=count)["input_ids"] for count in (None, 10))
    assert len(whole) == 40 and len(part) == 10
    places = [whole.index(ids) for ids in part]
    assert places == sorted(places) and places[0] < 10 and places[-1] > 30
    assert part == tasks.pieces(lines, words, length=10, count=10)["input_ids"]
    assert tasks.pieces(lines, words, length=10, count=10**9)["input_ids"] == whole


@given(lengths=some.lists(some.integers(1, 90)), tokens=some.integers(1, 200))
def test_batches_hold_every_row_once_and_no_more_tokens_than_said(lengths: list[int], tokens: int) -> None:
    order = sorted(range(len(lengths)), key=lengths.__getitem__)
    made = list(tasks.batches(lengths, tokens=tokens))
    assert [i for batch in made for i in batch] == order
    for batch in made:
        assert len(batch) == 1 or len(batch) * max(lengths[i] for i in batch) <= tokens
    for batch, after in itertools.pairwise(made):
        assert (len(batch) + 1) * lengths[after[0]] > tokens, "no room was left"
