"""Records: what is written is checked, comes back equal, and a wrong file is named with its wrong field."""

import copy
import json
import os

import fake_records
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from helpers import records
from helpers.environment import RunError


@pytest.fixture
def record():
    return fake_records.make("01_distillation", "cola", 0)


def test_the_schema_is_itself_valid_and_closed():
    Draft202012Validator.check_schema(records.schema())
    assert records.schema()["additionalProperties"] is False


@pytest.mark.parametrize("seeds", [(0,), (0, 1, 2)])
def test_every_record_of_a_study_comes_back_equal_and_in_order(tmp_path, seeds):
    study = fake_records.study(seeds=seeds)
    for record in reversed(study):
        records.write(record, tmp_path)
    assert records.read_all(tmp_path) == study


def test_the_file_is_named_after_its_run_and_readable_as_text(tmp_path, record):
    file = records.write(record, tmp_path / "records")
    assert file == records.path(tmp_path / "records", "01_distillation", "cola", 0)
    text = file.read_text(encoding="utf-8")
    assert text.startswith('{\n "arms": [') and text.endswith("}\n")
    assert [p.name for p in file.parent.iterdir()] == ["01_distillation.cola.seed0.json"]
    assert records.write(record, file.parent).read_text(encoding="utf-8") == text


def test_nan_numpy_and_tuples_become_plain_json(tmp_path, record):
    record["arms"][0]["retention"] = float("nan")
    record["arms"][0]["scores"]["matthews_correlation"]["low"] = np.float32("nan")
    record["arms"][0]["n"] = np.int64(300)
    record["parameters"] = {"amounts": (0.1, np.float64(0.2)), "flag": np.True_}
    back = records.read(records.write(record, tmp_path))
    assert back["arms"][0]["retention"] is None
    assert back["arms"][0]["scores"]["matthews_correlation"]["low"] is None
    assert back["arms"][0]["n"] == 300
    assert back["parameters"] == {"amounts": [0.1, 0.2], "flag": True}


def _set(record, keys, value):
    *path, last = keys
    target = record
    for key in path:
        target = target[key]
    if value is ...:
        del target[last]
    else:
        target[last] = value


WRONG = [
    (("schema",), 2, "schema"),
    (("task",), "../cola", "task"),
    (("seed",), -1, "seed"),
    (("seed",), True, "seed"),
    (("created",), "yesterday", "created"),
    (("floor",), ..., "floor"),
    (("data", "source"), "web", "data.source"),
    (("data", "rows", "test"), 3, "data.rows"),
    (("models", 0, "sha256"), "abc", "models[0].sha256"),
    (("environment", "cpu"), ..., "environment"),
    (("arms",), [], "arms"),
    (("arms", 1, "arm"), "Control", "arms[1].arm"),
    (("arms", 1, "arm"), "teacher", "arms[1].arm"),
    (("arms", 0, "bytes", "file"), 1.5, "arms[0].bytes.file"),
    (("arms", 0, "colour"), "red", "arms[0]"),
    (("arms", 0, "n"), None, "arms[0].n"),
    (("arms", 0, "scores"), {"accuracy": {"value": 1, "low": 1, "high": 1}}, "arms[0].scores"),
    (("arms", 0, "nonzero"), 10**12, "arms[0].nonzero"),
    (("arms", 2, "versus", "arm"), "student", "arms[2].versus.arm"),
    (("arms", 0, "retention"), float("inf"), "arms[0].retention"),
    (("parameters",), {"folder": object()}, "parameters.folder"),
]


@pytest.mark.parametrize(("keys", "value", "field"), WRONG, ids=[f"{field}-{i}" for i, (*_, field) in enumerate(WRONG)])
def test_a_wrong_field_is_named_and_nothing_is_written(tmp_path, record, keys, value, field):
    _set(record, keys, value)
    with pytest.raises(RunError) as caught:
        records.write(record, tmp_path)
    assert field in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("block", ["batch32", "batch_true", "validation"])
def test_an_unknown_latency_block_is_refused(tmp_path, block):
    record = fake_records.make("04_dynamic_quantization", "cola", 0)
    record["arms"][0]["latency"][block] = record["arms"][0]["latency"]["batch1_true"]
    with pytest.raises(RunError, match="latency"):
        records.write(record, tmp_path)


@pytest.mark.parametrize("damage", ["cut", "nan", "binary", "field", "missing"])
def test_a_damaged_file_is_named(tmp_path, record, damage):
    file = records.write(record, tmp_path)
    text = file.read_text(encoding="utf-8")
    if damage == "cut":
        file.write_text(text[: len(text) // 2], encoding="utf-8")
    elif damage == "nan":
        file.write_text(text.replace('"floor": 0.0', '"floor": NaN'), encoding="utf-8")
    elif damage == "binary":
        file.write_bytes(b"\xff\xfe\x00")
    elif damage == "field":
        file.write_text(text.replace('"floor": 0.0', '"flor": 0.0'), encoding="utf-8")
    else:
        file.unlink()
    with pytest.raises(RunError, match="01_distillation.cola.seed0.json"):
        records.read(file)


def test_two_files_of_one_run_are_refused(tmp_path, record):
    file = records.write(record, tmp_path)
    (tmp_path / "copy.json").write_text(file.read_text(encoding="utf-8"), encoding="utf-8")
    with pytest.raises(RunError, match="copy.json.*both hold"):
        records.read_all(tmp_path)


def test_a_missing_folder_holds_no_record(tmp_path):
    assert records.read_all(tmp_path / "none") == []


def test_a_write_that_fails_leaves_the_old_file_whole(tmp_path, record, monkeypatch):
    file = records.write(record, tmp_path)
    before = file.read_bytes()
    changed = copy.deepcopy(record)
    changed["seconds"] = 99.0

    def full(handle):
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(RunError, match="cannot be written: No space left"):
        records.write(changed, tmp_path)
    assert file.read_bytes() == before and len(list(tmp_path.iterdir())) == 1


@given(
    value=st.floats(allow_infinity=False),
    task=st.sampled_from(sorted(fake_records.TASKS)),
    seed=st.integers(0, 99),
)
def test_any_finite_or_undefined_score_survives_the_round_trip(tmp_path_factory, value, task, seed):
    record = fake_records.make("01_distillation", task, seed)
    metric = record["metrics"][0]
    record["arms"][0]["scores"][metric]["value"] = value
    back = records.read(records.write(record, tmp_path_factory.mktemp("any")))
    expected = None if value != value else value
    assert back["arms"][0]["scores"][metric]["value"] == expected
    record["arms"][0]["scores"][metric]["value"] = expected
    assert back == json.loads(json.dumps(record))
