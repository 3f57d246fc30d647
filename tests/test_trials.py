"""Trials of settings on held-out rows: the command, its records, and the table of what was tried."""

import copy
import json
import os
from pathlib import Path

import fake_records
import pytest
import throwaway
import tiny

from helpers import records, report, scores
from helpers.artifacts import Store
from helpers.study import commands, stored
from helpers.study.trials import trials_folder

PARTS = ("latency", "scores", "versus", "retention", "sparsity")


def tried(task: str, model: str, value: float, *, seed: int = 0, **parameters: object) -> dict:
    """A trial's record with an invented score."""
    record = copy.deepcopy(fake_records.make("01_distillation", task, seed, profile="mini", source="generated"))
    name = f"00_{model}_{abs(hash(tuple(parameters.items()))):x}"[:40]
    record |= {"notebook": name, "latency_setup": None, "curves": None}
    arm = fake_records.trained(model, task, seed) | dict.fromkeys(PARTS)
    metrics = dict.fromkeys(record["metrics"], value)
    ends = {"value": value, "low": value - 0.02, "high": value + 0.02}
    record["arms"] = [arm | {"heldout_scores": metrics, "parameter": ends}]
    record["parameters"] = {"intermediate_epochs": 3, "teacher_epochs": 2, "threads": 1} | parameters
    return record


def published(task: str, **parameters: object) -> dict:
    record = fake_records.make("01_distillation", task, 0, profile="mini", source="generated")
    return record | {"parameters": {"intermediate_epochs": 3, "teacher_epochs": 2, "threads": 2} | parameters}


def test_the_table_names_what_differs_and_what_was_used() -> None:
    trials = [
        tried("cola", "student", 0.2),
        tried("cola", "student", 0.3, intermediate_epochs=10),
        tried("cola", "student", 0.4, seed=1, intermediate_epochs=10),
        tried("cola", "teacher", 0.5, intermediate_epochs=10),
        tried("sst2", "student", 0.8, threads=4),
    ]
    texts = report.render_trials(trials, [published("cola", intermediate_epochs=10)])
    header, *rows = texts["trials.csv"].splitlines()
    assert header == "Task,Model,Setting,Held-out score,Seeds,Minutes,Used"
    assert [row.rpartition(",")[0].rpartition(",")[0] for row in rows] == [
        'CoLA,fine-tuned teacher,—,"Matthews 0.500 [0.480, 0.520]",0',
        'CoLA,distilled student,intermediate_epochs 10,Matthews 0.350,"0, 1"',
        'CoLA,distilled student,intermediate_epochs 3,"Matthews 0.200 [0.180, 0.220]",0',
        'SST-2,distilled student,—,"accuracy 0.800 [0.780, 0.820]",0',
    ], "a student's epochs are none of a teacher's settings, and threads nobody's"
    assert [row.rpartition(",")[2] for row in rows] == ["yes", "yes", "", "—"]
    text = texts["trials.md"]
    held = {task: next(t for t in trials if t["task"] == task)["data"]["rows"]["heldout"] for task in ("cola", "sst2")}
    assert f"Held-out rows: CoLA {held['cola']:,}, SST-2 {held['sst2']:,}." in text
    assert "nothing here was asked about validation rows" in text and "helpers.study try --profile mini" in text
    assert report.render_trials([], [published("cola")]) == {}
    young = tried("cola", "student", 0.1, nli_epochs=0)
    assert "nli_epochs" not in report.render_trials([*trials, young], [])["trials.csv"], "the others are older than it"


def test_a_trial_is_scored_on_held_out_rows_and_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    tiny.few_rows(monkeypatch)
    throwaway.house(tmp_path, monkeypatch, "01_first")
    words = ["try", "--profile", "mini", "--tasks", "sst2", "--seeds", "0,1", "-p", "intermediate_epochs", "2"]
    for name, value in {"pretraining_steps": 4, **tiny.RECIPE}.items():
        words += ["-p", name, json.dumps(value)] if name != "intermediate_epochs" else []
    asked = []
    predictions = scores.predictions
    monkeypatch.setattr(scores, "predictions", lambda *given: asked.append(len(given[1])) or predictions(*given))
    assert commands.main(words) == 0
    said = capsys.readouterr().out.splitlines()
    found = sorted(records.read_all(trials_folder("mini")), key=lambda record: record["seed"])
    assert [record["seed"] for record in found] == [0, 1] and len(said) == 2
    rows = found[0]["data"]["rows"]
    assert set(asked) == {rows["heldout"]} and rows["heldout"] != rows["validation"], "no other rows were asked about"
    for line, record in zip(said, found, strict=True):
        (arm,) = record["arms"]
        value = arm["heldout_scores"]["accuracy"]
        assert line.startswith(f"student, sst2, seed {record['seed']}: accuracy {value:.4f} on {rows['heldout']} held-")
        assert arm["parameter"]["low"] <= value == arm["parameter"]["value"] <= arm["parameter"]["high"]
        assert line.endswith(
            f"; {os.path.relpath(trials_folder('mini'))}/{record['notebook']}.sst2.seed{record['seed']}.json"
        )
        assert arm["scores"] is None and record["parameters"]["intermediate_epochs"] == 2
    stored.clean()
    kept = Store().manifests()
    assert all(record["arms"][0]["predictions"]["artifact"] in kept for record in found), "they belong to a record"
    before = sorted(path.name for path in trials_folder("mini").iterdir())
    assert commands.main([*words, "-p", "latency_repeats", "40"]) == 0
    assert sorted(path.name for path in trials_folder("mini").iterdir()) == before, "the same model, the same record"


def test_what_cannot_be_tried_is_named_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    throwaway.house(tmp_path, monkeypatch, "01_first")
    for words, message in {
        "--model best": "There is no model 'best' to try; known are teacher, control, student.",
        "--seeds x": "--seeds takes whole numbers from 0, with commas, not 'x'.",
        "-p intermediate_epoch 3": "There is no parameter 'intermediate_epoch' to set; the nearest known: "
        "intermediate_epochs",
        "--tasks colla": "'colla'",
    }.items():
        assert commands.main(["try", "--profile", "mini", *words.split()]) == 2
        error = capsys.readouterr().err
        assert error.startswith("error: ") and message in error and error.count("\n") == 1
    assert not trials_folder("mini").exists()
