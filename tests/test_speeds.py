"""What a run measures of programs: their answers in order, their arms, floors, the ladder from BERT-base down."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tiny
from transformers import BertForSequenceClassification

from helpers import arms, factors, latency, models, profiles, speeds
from helpers.artifacts import Store
from helpers.backends import programs
from helpers.compress.chain import Chain
from helpers.environment import InputError, RunError
from helpers.labels import RUNGS

pytestmark = pytest.mark.usefixtures("few_rows")
SMALL = tiny.RECIPE | {
    "pretraining_steps": 12,
    "pretraining_batch_size": 16,
    "speed_backends": ["torch_float32", "torch_int8"],
    "speed_lengths": [6],
    "speed_rounds": 2,
    "latency_repeats": 2,
    "latency_max_batches": 2,
    "latency_threads": 1,
}


def chain(folder: Path | None = None, *, task: str = "sst2", **changes: object) -> Chain:
    return Chain(profiles.load("mini", task=task, **(SMALL | changes)), store=Store(folder) if folder else None)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"speed_backends": ["torch_int8"]}, "speed_backends lacks torch_float32"),
        ({"speed_backends": ["torch_float32"]}, "speed_backends lacks torch_int8"),
        ({"speed_lengths": [0]}, r"from 1 to 64.*not \[0\]"),
        ({"speed_lengths": [16, 65]}, r"from 1 to 64.*not \[65\]"),
        ({"speed_rounds": 0}, "speed_rounds are 1 or more: not 0"),
    ],
)
def test_what_cannot_be_is_said_before_any_training(change: dict, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        speeds.check(chain(**change))


@pytest.mark.parametrize("task", ["sst2", "stsb"])
def test_a_run_from_end_to_end(task: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = chain(tmp_path / "store", task=task)
    speeds.check(one)
    student = one.load(one.student)
    names = [*one.recipe.speed_backends, "openvino_int8"]
    monkeypatch.setattr("helpers.backends.programs.importlib.util.find_spec", lambda name: None)
    built, missing = speeds.take(one, student, names)
    assert list(built) == names[:2] and list(missing) == names[2:]

    given = {name: speeds.answers(one, program) for name, program in built.items()}
    assert np.allclose(given["torch_float32"], one.logits(one.student), atol=1e-4), "in the split's order"

    trained = arms.measure(one, "student", one.student, described="distil")
    found = [speeds.arm(one, name, logits, given["torch_float32"], trained) for name, logits in given.items()]
    first, other = found
    assert first["arm"] == "speed_torch_float32" and first["versus"] is None and first["bytes"] == trained["bytes"]
    assert first["parameter"]["max_difference"] == 0 and other["parameter"]["max_difference"] > 0
    assert other["versus"]["arm"] == first["arm"] and other["chain"] == "distil > PyTorch, int8"
    assert ("changed" in other["parameter"]) == (task == "sst2")
    metric = "accuracy" if task == "sst2" else "pearson"
    assert first["scores"][metric]["value"] == pytest.approx(trained["scores"][metric]["value"])

    shape = tiny.config()  # in the place of BERT-base's, which takes seconds
    shape.max_position_embeddings = 128
    small = models.build(BertForSequenceClassification, shape).eval()
    monkeypatch.setattr(models, "shaped", lambda name: small)
    monkeypatch.setattr(latency, "matrix_rates", lambda threads: {"float32": 50.0, "bf16": 100.0, "int8": 200.0})
    monkeypatch.setattr(latency, "read_rate", lambda threads, size_bytes: 10.0)
    shapes = [arms.shape(speeds.BASE, small)]
    setup = speeds.measure(one, [*shapes, *found], built)
    assert setup["baseline"] == speeds.BASE and setup["batch_size"] == 32
    assert {"batch1_length6", "batch32_length6", "batch32_true"} <= first["latency"].keys()

    rates = speeds.floors(one, [*shapes, *found], small, student)
    assert rates == {
        speeds.BASE: {"matrix": 50.0, "read": 10.0},
        "speed_torch_float32": {"matrix": 50.0, "read": 10.0},
        "speed_torch_int8": {"matrix": 200.0, "read": 10.0},
    }
    by_hand = latency.floor_ms(student, latency.Rates(200.0, 10.0), precision="int8", batch_size=32, length=6)
    assert other["parameter"]["floor_ms"]["batch32_length6"] == by_hand
    assert speeds.fastest([*shapes, *found]) in built
    quick = {"arm": "speed_torch_int8_cls", "latency": {"validation_seconds": 1e-9}}
    assert speeds.fastest([*found, quick]) in built, "the ladder has a rung of its own for it"

    rungs = factors.ladder(one, student, built, "torch_float32")
    assert [rung["way"] for rung in rungs] == list(RUNGS)
    assert all(rung["seconds"] > 0 for rung in rungs) and rungs[0]["total"]["median"] == 1
    monkeypatch.setattr(speeds, "take", lambda *_: ({}, {"torch_float32_cls": "no such layer"}))
    without = [rung["way"] for rung in factors.ladder(one, student, built, "torch_float32")]
    assert without == [way for way in RUNGS if way != "cls"], "a rung that cannot be is left out"
    taken = speeds.takes(one, student, "torch_float32")
    assert set(taken) == {"first_answer_seconds", "memory_before_mb", "peak_memory_mb"}


def test_a_program_that_fails_is_left_out_with_its_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise ValueError("no such instruction")

    one = chain(tmp_path / "store")
    names = ["torch_float32", "torch_bf16"]
    for name in names:
        kept = programs.BACKENDS[name]
        monkeypatch.setitem(programs.BACKENDS, name, replace(kept, take=fail, flags=frozenset()))
        if name == "torch_float32":
            with pytest.raises(RunError, match="PyTorch, float32 cannot take this model: no such instruction"):
                speeds.take(one, one.load(one.student), names)
            monkeypatch.setitem(programs.BACKENDS, name, kept)
    built, missing = speeds.take(one, one.load(one.student), names)
    assert list(built) == names[:1] and missing == {
        "torch_bf16": "PyTorch, bf16 cannot take this model: no such instruction"
    }


def test_batches_are_of_like_length_and_complete(tmp_path: Path) -> None:
    one = chain(tmp_path / "store")
    batches = speeds.batches(one)
    lengths = [len(row["input_ids"]) for batch in batches for row in batch]
    assert lengths == sorted(lengths) and len(lengths) == len(one.data.validation)
    assert all(len(batch) == speeds.BATCH_SIZE for batch in batches[:-1])
    assert all(row.keys() == {"input_ids", "token_type_ids", "attention_mask"} for row in batches[0])
    training = speeds.training_batches(one)
    assert 0 < sum(len(batch) for batch in training) <= 256
