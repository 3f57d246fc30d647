"""Trials of settings on held-out rows: the command, its records, and the table of what was tried."""

import copy
import json
import os
from pathlib import Path

import fake_records
import pytest
import throwaway
import tiny

from helpers import profiles, records, report, scores
from helpers.artifacts import Store, digest
from helpers.study import commands, stored, trials
from helpers.study.trials import trials_folder

NOT_MEASURED = ("latency", "scores", "versus", "retention", "sparsity", "parameter")


def tried(task: str, model: str, value: float, *, seed: int = 0, created: int = 1, **changed: object) -> dict:
    """A trial's record with an invented score."""
    record = copy.deepcopy(fake_records.make("01_distillation", task, seed, profile="mini", source="generated"))
    record |= {"notebook": f"00_{model}_{digest([changed, created])[:9]}", "latency_setup": None, "curves": None}
    record["created"] = f"2026-01-01T00:00:0{created}Z"
    arm = fake_records.trained(model, task, seed) | dict.fromkeys(NOT_MEASURED)
    record["arms"] = [arm | {"heldout_scores": dict.fromkeys(record["metrics"], value)}]
    ends = {"low": value - 0.02, "high": value + 0.02}
    record["facts"] = {f"heldout_{end}": {"value": found, "unit": "score"} for end, found in ends.items()}
    record["parameters"] = vars(profiles.load("mini", task=task, seed=seed)) | changed
    return record


def table(*some: dict) -> list[str]:
    """The lines of a table of trials, without its head."""
    usual = {task: vars(profiles.load("mini", task=task)) for task in fake_records.TASKS}
    return report.render_trials(some, usual)["trials.csv"].splitlines()[1:]


def test_a_row_names_what_is_not_as_in_the_profile() -> None:
    usual = profiles.load("mini", task="cola").intermediate_epochs
    assert table(
        tried("cola", "student", 0.2),
        tried("cola", "student", 0.3, intermediate_epochs=usual + 1, threads=7, latency_repeats=99),
        tried("cola", "student", 0.5, seed=1, intermediate_epochs=usual + 1),
        tried("cola", "teacher", 0.6, intermediate_epochs=usual + 1, teacher_epochs=77),
        tried("sst2", "student", 0.8, layer_map=[1, 2], general_steps=9),
        tried("sst2", "student", 0.7, shared_projection=True),
    ) == [
        'CoLA,fine-tuned teacher,teacher_epochs 77,"Matthews 0.600 [0.58, 0.62]",2',
        f"CoLA,distilled student,intermediate_epochs {usual + 1},Matthews 0.400 ± 1.271 (2 seeds),2",
        'CoLA,distilled student,as in the profile,"Matthews 0.200 [0.18, 0.22]",2',
        'SST-2,distilled student,"general_steps 9, layer_map [1, 2]","accuracy 0.800 [0.78, 0.82]",2',
        'SST-2,distilled student,shared_projection true,"accuracy 0.700 [0.68, 0.72]",2',
    ], "best first; a student's epochs are none of a teacher's settings, and threads nobody's"


def test_other_rows_and_older_trials_of_a_seed_are_told_apart() -> None:
    other = tried("cola", "student", 0.3)
    other["data"]["fingerprint"] = "another"
    first, second = table(tried("cola", "student", 0.2), other)
    assert "data another," in first and f"data {tried('cola', 'student', 0.2)['data']['fingerprint']}," in second
    (row,) = table(tried("cola", "student", 0.4), tried("cola", "student", 0.1, created=2))
    assert "0.100" in row, "one seed counts once: the newer trial"


def test_what_stands_below_says_how_to_make_a_row_again() -> None:
    trials = [tried("cola", "student", 0.2), tried("sst2", "student", 0.8)]
    usual = {task: vars(profiles.load("mini", task=task)) for task in ("cola", "sst2")}
    text = report.render_trials(trials, usual)["trials.md"]
    rows = [trial["data"]["rows"]["heldout"] for trial in trials]
    assert f"Held-out rows: CoLA {rows[0]:,}, SST-2 {rows[1]:,}." in text
    assert "nothing here was asked about validation rows" in text
    assert "`python -m helpers.study try --profile mini --tasks … --model … --seeds …`" in text
    assert report.render_trials([], {}) == {}


def test_a_parameter_that_is_younger_than_a_trial_had_its_default(tmp_path: Path) -> None:
    trial = tried("cola", "student", 0.2)
    del trial["parameters"]["shared_projection"]
    records.write(trial, trials_folder("mini", root=tmp_path))
    assert trials.profiles_tried(tmp_path) == ["mini"]
    assert "as in the profile" in trials.render("mini", root=tmp_path)["trials.csv"]


def test_a_trial_is_scored_on_held_out_rows_and_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    tiny.few_rows(monkeypatch)
    throwaway.house(tmp_path, monkeypatch, "01_first")
    words = ["try", "--profile", "mini", "--tasks", "sst2", "--seeds", "0,1,0", "-p", "intermediate_epochs", "2"]
    for name, value in {"pretraining_steps": 4, **tiny.RECIPE}.items():
        words += ["-p", name, json.dumps(value)] if name != "intermediate_epochs" else []
    asked = []
    predictions = scores.predictions
    monkeypatch.setattr(scores, "predictions", lambda *given: asked.append(len(given[1])) or predictions(*given))
    assert commands.main(words) == 0
    *said, last = capsys.readouterr().out.splitlines()
    assert last.startswith("`make report` lists it in ")
    found = sorted(records.read_all(trials_folder("mini")), key=lambda record: record["seed"])
    assert [record["seed"] for record in found] == [0, 1] and len(said) == 2
    rows = found[0]["data"]["rows"]
    assert set(asked) == {rows["heldout"]} and rows["heldout"] != rows["validation"], "no other rows were asked about"
    for line, record in zip(said, found, strict=True):
        (arm,) = record["arms"]
        value, ends = arm["heldout_scores"]["accuracy"], {name: fact["value"] for name, fact in record["facts"].items()}
        assert line.startswith(f"student, sst2, seed {record['seed']}: accuracy {value:.4f} on {rows['heldout']} held-")
        name = f"{record['notebook']}.sst2.seed{record['seed']}.json"
        assert line.endswith(f"; {os.path.relpath(trials_folder('mini'))}/{name}")
        assert ends["heldout_low"] <= value <= ends["heldout_high"]
        assert arm["scores"] is None and record["parameters"]["intermediate_epochs"] == 2
    stored.clean()
    kept = Store().manifests()
    assert all(record["arms"][0]["predictions"]["artifact"] in kept for record in found), "they belong to a record"
    before = {path.name: path.read_bytes() for path in trials_folder("mini").iterdir()}
    assert commands.main([*words, "-p", "latency_repeats", "40"]) == 0
    assert capsys.readouterr().out.count("held-out rows, tried before; ") == 2
    after = {path.name: path.read_bytes() for path in trials_folder("mini").iterdir()}
    assert after == before, "the same model keeps its record, whatever else was set"


def test_what_cannot_be_tried_is_named_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    throwaway.house(tmp_path, monkeypatch, "01_first")
    (tmp_path / "empty").mkdir(exist_ok=True)
    for words, message in {
        "--model best": "There is no model 'best' to try; known are teacher, control, student.",
        "--seeds x": "--seeds takes whole numbers from 0, with commas, not 'x'.",
        "--seeds ,": "There is no seed to run",
        "--tasks ,": "There is no task to run",
        "-p intermediate_epoch 3": "There is no parameter 'intermediate_epoch' to set; the nearest known: "
        "intermediate_epochs",
        "--tasks colla": "'colla'",
        f"--data {tmp_path / 'empty'}": "Trials of mini are of its kind of data, generated",
        "--tasks sst2 -p nli_prediction_epochs 2": "nli_prediction_epochs is for tasks whose teacher",
    }.items():
        assert commands.main(["try", "--profile", "mini", *words.split()]) == 2
        error = capsys.readouterr().err
        assert error.startswith("error: ") and message in error and error.count("\n") == 1
    assert not trials_folder("mini").exists()
