"""Arms: what is measured of a model equals what is computed directly, and a record of it is whole and portable."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import published
import pytest
import tiny
import torch
from torch import nn

from helpers import arms, labels, latency, mini_glue, models, profiles, records, runs, scores, storage, tasks
from helpers.artifacts import Store
from helpers.compress import pruning, quantization
from helpers.compress.chain import Chain
from helpers.environment import RunError

SMALL = tiny.RECIPE | {"pretraining_steps": 4, "latency_repeats": 3, "latency_threads": 1}
SMALL |= {"latency_blocks": ["batch1_true", "batch1_padded", "batch32_true"]}


@pytest.fixture(scope="module", autouse=True)
def few_rows() -> Any:
    """Generate few rows and lines, whatever is asked for."""
    corpus = tasks.Text(mini_glue.text(lines=120), "generated", "120 lines")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(mini_glue.ROWS, "train", 80)
        patch.setitem(mini_glue.ROWS, "validation", 60)
        patch.setattr(tasks, "load_text", lambda text, **_: corpus)
        yield


def make(folder: Path, task: str, **changes: object) -> Chain:
    return Chain(profiles.load("mini", task=task, **(SMALL | changes)), store=Store(folder))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("store")


@pytest.fixture(scope="module")
def chain(store: Path) -> Chain:
    return make(store, "sst2")


@pytest.fixture(scope="module")
def graded(store: Path) -> Chain:
    return make(store, "stsb")


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Have records written to a folder of the test."""
    monkeypatch.setattr(profiles, "ROOT", tmp_path)
    monkeypatch.setattr(profiles, "departs", lambda recipe: False)  # small as these settings are
    return tmp_path / "results"


def direct_logits(chain: Chain, model: nn.Module) -> np.ndarray:
    """Compute logits without store, batches or `logits_of`: one row at a time."""
    words = models.tokenizer(chain.store.path(chain.student))
    columns = [chain.data.validation[column][:] for column in chain.data.task.text]
    with torch.inference_mode():
        cut = {"truncation": True, "max_length": chain.recipe.max_length}
        rows = [words(*texts, **cut, return_tensors="pt") for texts in zip(*columns, strict=True)]
        return np.concatenate([model(**row).logits.numpy() for row in rows])


# what is measured


@pytest.mark.parametrize("task", ["sst2", "stsb"])
def test_scores_are_those_of_the_model(store: Path, task: str) -> None:
    one = make(store, task)
    arm = arms.measure(one, "student", one.student, described="distil", heldout=True)
    labels = one.data.labels("validation")
    logits = direct_logits(one, one.load(one.student))
    assert np.allclose(one.logits(one.student), logits, atol=1e-5)
    stored = scores.predictions(task, one.logits(one.student))
    expected = scores.score(task, stored, labels)
    assert {name: found["value"] for name, found in arm["scores"].items()} == pytest.approx(expected, abs=1e-9)
    for name, found in arm["scores"].items():
        assert tuple(found.values()) == tuple(scores.interval(task, stored, labels, metric=name))
        assert found["low"] <= found["value"] <= found["high"]
    assert arm["n"] == len(labels) == 60
    assert arm["heldout_scores"] == one.score(one.student, split="heldout")
    assert len(one.data.heldout) == 8
    assert arm["heldout_scores"] != expected
    assert (arm["arm"], arm["title"], arm["chain"]) == ("student", "distilled student", "distil")
    assert arm["parameter"] is arm["versus"] is arm["latency"] is None


def test_what_is_not_asked_for_is_absent(chain: Chain) -> None:
    arm = arms.measure(chain, "student", chain.student, described="distil")
    assert arm["heldout_scores"] is None
    assert arm["bytes"]["gzip"] is None
    whole = arms.measure(chain, "student", chain.student, described="distil", compressed=True, title="other")
    assert 0 < whole["bytes"]["gzip"] < whole["bytes"]["file"]
    assert whole["title"] == "other"


class Fixed(Chain):
    """A chain whose models say what a test wants."""

    def __init__(self, of: Chain, said: dict[str, np.ndarray]) -> None:
        super().__init__(of.recipe, store=of.store)
        self.said = {getattr(of, name).key: logits for name, logits in said.items()}

    def logits(self, model: Any, *steps: Any, split: str = "validation") -> np.ndarray:
        return self.said[model.key]


def fixed(of: Chain, **right: int) -> Fixed:
    """Return a chain whose models are right on their first rows, as many as given, and wrong on the others."""
    labels = of.data.labels("validation")
    return Fixed(of, {name: np.eye(2)[np.where(np.arange(60) < n, labels, 1 - labels)] for name, n in right.items()})


def test_a_difference_is_this_arm_minus_the_other(chain: Chain) -> None:
    one = fixed(chain, teacher=54, student=30)
    of_teacher = ("teacher", one.teacher, ())
    arm = arms.measure(one, "student", one.student, described="distil", versus=of_teacher)
    assert arm["scores"]["accuracy"]["value"] == 0.5
    assert arm["versus"]["arm"] == "teacher"
    assert arm["versus"]["difference"] == pytest.approx(-0.4)
    assert arm["versus"]["low"] < -0.4 < arm["versus"]["high"] < 0, "the student is worse, and not by chance"
    back = arms.measure(one, "teacher", one.teacher, described="fine-tune", versus=("student", one.student, ()))
    assert back["versus"]["difference"] == pytest.approx(0.4)
    assert back["versus"]["low"] > 0
    same = arms.measure(one, "control", one.student, described="small", versus=("student", one.student, ()))
    assert [same["versus"][part] for part in ("difference", "low", "high")] == [0.0, 0.0, 0.0]


def test_retention_is_the_share_of_the_teacher_s_lead(chain: Chain) -> None:
    labels, train = chain.data.labels("validation"), chain.data.labels("train")
    floor = arms.floor(chain)
    assert floor == (labels == np.bincount(train).argmax()).mean()
    one = fixed(chain, teacher=57, student=45)
    teacher = arms.measure(one, "teacher", one.teacher, described="fine-tune")
    student = arms.measure(one, "student", one.student, described="distil")
    assert teacher["retention"] == 1.0
    assert student["retention"] == pytest.approx((45 / 60 - floor) / (57 / 60 - floor))
    useless = fixed(chain, teacher=10, student=45)
    assert arms.measure(useless, "student", useless.student, described="distil")["retention"] is None


def test_bytes_and_weights(chain: Chain, tmp_path: Path) -> None:
    plain, pruned, int8 = (
        arms.measure(chain, name, chain.student, *steps, described="distil")
        for name, steps in (("student", ()), ("pruned", (("prune", 0.4),)), ("int8", (("int8",),)))
    )
    model = chain.load(chain.student)
    for arm, expected in (
        (plain, model),
        (pruned, pruning.prune(model, 0.4)),
        (int8, quantization.quantize(model)),
    ):
        assert arm["bytes"]["file"] == storage.save(expected, tmp_path / "file")
        parts = arm["bytes"]
        assert 0 < parts["embedding"] + parts["encoder"] + parts["head"] < parts["file"]
        assert parts["state_dict"] == storage.state_dict_bytes(expected)
    weights = sum(parameter.numel() for parameter in model.parameters())
    assert plain["parameters"] == pruned["parameters"] == int8["parameters"] == weights
    assert pruned["nonzero"] == sum((p != 0).sum().item() for p in pruning.prune(model, 0.4).parameters())
    assert pruned["bytes"]["file"] == plain["bytes"]["file"], "a zero takes as many bytes as any other number"
    assert int8["bytes"]["encoder"] < plain["bytes"]["encoder"]
    assert int8["bytes"]["embedding"] == plain["bytes"]["embedding"]


def test_sparsity(chain: Chain) -> None:
    steps = ("prune", 0.4)
    pruned = arms.measure(chain, "pruned", chain.student, steps, described="prune", parameter={"amount": 0.4})
    assert pruned["sparsity"] == pruning.sparsity(chain.load(chain.student, steps))
    assert pruned["sparsity"]["pool"] == pytest.approx(0.4, abs=1e-3)
    assert pruned["parameter"] == {"amount": 0.4}
    # how a quantized model's zeros are counted is another question
    assert arms.measure(chain, "int8", chain.student, ("int8",), described="int8")["sparsity"] is None


def test_predictions_are_named(chain: Chain) -> None:
    arm = arms.measure(chain, "pruned", chain.student, ("prune", 0.4), described="prune")
    folder = chain.store.folder / arm["predictions"]["artifact"]
    assert np.array_equal(np.load(folder / "logits.npy"), chain.logits(chain.student, ("prune", 0.4)))
    plain = arms.measure(chain, "student", chain.student, described="distil")
    assert plain["predictions"]["artifact"] != arm["predictions"]["artifact"]
    assert len(arm["predictions"]["sha256"]) == 64


def test_shapes_are_measured_without_scores(monkeypatch: pytest.MonkeyPatch) -> None:
    small = tiny.SHAPE | {"vocab_size": 300}
    monkeypatch.setattr(models.building, "SHAPES", {"bert-base": small | {"num_hidden_layers": 3}, "tinybert": small})
    base, student, int8 = (arms.shape(name, model) for name, model in arms.shapes().items())
    assert [each["arm"] for each in (base, student, int8)] == [
        "bert_base_shape",
        "tinybert_shape",
        "tinybert_shape_int8",
    ]
    assert [each["chain"] for each in (base, student, int8)] == ["random weights"] * 2 + ["random weights > int8"]
    assert base["bytes"]["encoder"] == pytest.approx(1.5 * student["bytes"]["encoder"], rel=0.01)
    assert int8["bytes"]["encoder"] < student["bytes"]["encoder"]
    assert int8["bytes"]["embedding"] == student["bytes"]["embedding"]
    for each in (base, student, int8):
        assert each["scores"] is each["retention"] is each["n"] is each["predictions"] is None


# time


def test_speed_fills_in_each_arm_s_latency(chain: Chain) -> None:
    measured = [
        arms.measure(chain, "teacher", chain.teacher, described="fine-tune"),
        arms.measure(chain, "student", chain.student, described="distil"),
        arms.measure(chain, "int8", chain.student, ("int8",), described="int8"),
    ]
    built = {"teacher": chain.load(chain.teacher), "student": chain.load(chain.student)}
    setup = arms.speed(chain, measured, built, baseline="teacher")
    lengths = [len(row["input_ids"]) for row in arms.rows(chain)]
    assert setup["padded_length"] == max(lengths)
    assert (setup["threads"], setup["repeats"], setup["baseline"]) == (1, 3, "teacher")
    for arm in measured[:2]:
        assert set(arm["latency"]) == {*chain.recipe.latency_blocks, "validation_seconds", "validation_estimated"}
        assert arm["latency"]["batch1_padded"]["mean_tokens"] == max(lengths)
        assert arm["latency"]["validation_seconds"] > 0
    assert measured[0]["latency"]["batch32_true"]["speedup"] == {"median": 1.0, "low": 1.0, "high": 1.0}
    assert measured[2]["latency"] is None, "it was not timed"


def test_rows_are_the_validation_split_s_tokens_shortest_first(graded: Chain) -> None:
    found = arms.rows(graded)
    words = models.tokenizer(graded.store.path(graded.student))
    columns = [graded.data.validation[column][:] for column in graded.data.task.text]
    longest = graded.recipe.max_length
    expected = [words(*texts, truncation=True, max_length=longest) for texts in zip(*columns, strict=True)]
    for name in latency.batches.FIELDS:
        assert sorted(row[name] for row in found) == sorted(row[name] for row in expected)
    lengths = [len(row["input_ids"]) for row in found]
    assert lengths == sorted(lengths)
    assert lengths[0] < lengths[-1]


# the record


def written(chain: Chain, measured: list[dict], **more: object) -> dict:
    began = time.monotonic() - 2.0
    parameters = {"profile": chain.recipe.profile, **vars(chain.recipe)}
    path = runs.record(chain, "04_dynamic_quantization", measured, parameters=parameters, began=began, **more)
    assert path.parent == runs.results_folder("mini") == profiles.ROOT / "results" / "mini" / "records"
    assert path.name == f"04_dynamic_quantization.{chain.recipe.task}.seed0.json"
    return records.read(path)


def test_a_record_of_other_settings_goes_elsewhere(
    chain: Chain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STUDY_ARTIFACTS", str(tmp_path))
    assert runs.records_folder(chain.recipe) == tmp_path / "records" / "mini", "its settings are not the profile's"
    assert runs.records_folder(profiles.load("mini", task="sst2")) == runs.results_folder("mini")


def values(part: Any) -> list[str]:
    """Return every text in a record."""
    if isinstance(part, dict):
        return [text for item in part.values() for text in values(item)] + list(part)
    if isinstance(part, list):
        return [text for item in part for text in values(item)]
    return [part] if isinstance(part, str) else []


def test_a_record_is_whole(chain: Chain, results: Path) -> None:
    measured = [arms.measure(chain, "student", chain.student, described="distil")]
    setup = arms.speed(chain, measured, {"student": chain.load(chain.student)}, baseline="student")
    curves = {"student": [{"step": 1, "loss": 0.5}]}
    record = written(chain, measured, latency_setup=setup, curves=curves)
    assert record["arms"] == json.loads(json.dumps(measured))
    assert record["latency_setup"] == setup
    assert record["curves"] == curves
    assert (record["profile"], record["task"], record["seed"]) == ("mini", "sst2", 0)
    assert record["metrics"] == ["accuracy"]
    assert record["floor"] == arms.floor(chain)
    assert record["data"] == chain.data.describe()
    built = chain.store.manifests()
    behind = {key for key in built if key.split("-")[0] in ("pretrain", "fine_tune", "start_student", "distil")}
    teacher = {chain.teacher.key, chain.language_model.key, chain.start.key, chain.intermediate.key, chain.student.key}
    predicted = chain.prediction(chain.student).key
    assert teacher <= behind
    assert record["building_seconds"] == pytest.approx(sum(built[k]["seconds"] for k in teacher | {predicted}), abs=0.1)
    assert record["peak_memory_mb"] > 100
    assert record["data"]["rows"] == {"train": 72, "heldout": 8, "validation": 60}
    fresh = Chain(chain.recipe, store=Store(chain.store.folder))
    assert 2.0 <= written(fresh, measured)["seconds"] < 60
    assert record["parameters"]["vocabulary_size"] == 200
    assert record["models"] == [
        {"role": "language_model", "name": "made here from text", "source": "built", "revision": None, "sha256": None}
    ]
    assert not list(results.rglob("*.part"))


def test_a_record_holds_other_facts_and_the_text(chain: Chain, results: Path) -> None:
    measured = [arms.measure(chain, "student", chain.student, described="distil")]
    rungs = {"plain": {"steps": 5, "training": 6.0, "first_epoch": 1.0, "ten_epochs": 1.0}}
    ladder = {"teacher": "big", "student": "small", "batch_size": 32, "rungs": rungs}
    record = written(chain, measured, facts={"survival": (0.9, "share")}, ladder=ladder)
    assert record["facts"] == {"survival": {"value": 0.9, "unit": "share"}}
    assert record["ladder"] == ladder
    assert record["text"] == {"source": "generated", "revision": None, "fingerprint": "120 lines", "lines": 120}
    assert written(chain, measured)["facts"] is None
    with pytest.raises(RunError, match="ladder.rungs.plain"):
        written(chain, measured, ladder=ladder | {"rungs": {"plain": {"training": 6.0}}})


def test_a_variant_of_the_student_is_compared_with_it(chain: Chain) -> None:
    arm = arms.student_variant(chain, "ablation_no_prediction", described="distil, changed", loss_parts=["attention"])
    assert arm["title"] == labels.ARMS["ablation_no_prediction"]
    assert arm["parameter"] == {"loss_parts": ["attention"]}
    assert arm["versus"]["arm"] == "student"
    assert arm["predictions"]["artifact"] == chain.prediction(chain.changed(loss_parts=["attention"]).student).key
    assert arm["heldout_scores"] is not None
    assert runs.minutes(chain, chain.student) == chain.store.manifests()[chain.student.key]["seconds"] / 60


def test_a_regression_record_is_whole(graded: Chain, results: Path) -> None:
    record = written(graded, [arms.measure(graded, "student", graded.student, described="distil")])
    assert record["metrics"] == ["pearson", "spearmanr"]
    assert set(record["arms"][0]["scores"]) == {"pearson", "spearmanr"}


def test_a_record_names_its_published_sources_and_no_folder_of_this_machine(tmp_path: Path, results: Path) -> None:
    kept = tmp_path / "somebody" / "private"
    published.textattack(kept / "teacher-model", names=["negative", "positive"])
    published.tinybert(kept / "student-model")
    published.glue(kept / "glue", "sst2", train=40, validation=30)
    one = make(
        tmp_path / "store",
        "sst2",
        data=str(kept / "glue"),
        teacher=str(kept / "teacher-model"),
        student_start=os.path.relpath(kept / "student-model"),
        student_shape={"hidden_size": 8, "num_hidden_layers": 1},
        max_length=32,
    )
    record = written(one, [arms.measure(one, "teacher", one.teacher, described="fine-tune")])
    assert [(each["role"], each["name"], each["source"]) for each in record["models"]] == [
        ("teacher", "teacher-model", "folder"),
        ("student", "student-model", "folder"),
    ]
    assert all(len(each["sha256"]) == 64 for each in record["models"])
    assert record["data"]["source"] == "folder"
    assert (record["data"]["name"], record["parameters"]["data"]) == ("glue", "glue")
    assert record["parameters"]["teacher"] == "teacher-model"
    assert record["parameters"]["student_start"] == "student-model"
    for text in values(record):
        assert not text.startswith((os.sep, "..")), text
        assert not any(str(place) in text for place in (tmp_path, Path.home(), Path.cwd(), "somebody")), text


def test_a_record_of_this_machine_holds_no_path(chain: Chain, results: Path) -> None:
    record = written(chain, [arms.measure(chain, "student", chain.student, described="distil")])
    places = {f"{os.sep}home", str(Path.home()), f"{os.sep}tmp", str(Path.cwd()), str(chain.store.folder)} - {os.sep}
    for text in values(record):
        assert not any(place in text for place in places), text
