"""What every notebook shows: its parameters, header, sources, tables and the published run."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import fake_records
import numpy as np
import pytest
import torch

from helpers import notebook, profiles
from helpers.compress import losses
from helpers.environment import InputError


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Return what a notebook would display."""
    outputs: list[Any] = []
    monkeypatch.setattr(notebook, "display", outputs.append)
    return outputs


def test_a_recipe_is_made_of_the_parameters_cell() -> None:
    cell = {
        "profile": "mini",
        "task": "cola",
        "seed": 3,
        "data": None,
        "temperature": 2.0,
        "teacher_epochs": None,
        "overrides": {"batch_size": 8},
        "torch": torch,  # whatever else a notebook has
        "metric": "accuracy",
    }
    expected = profiles.load("mini", task="cola", seed=3, temperature=2.0, batch_size=8)
    assert notebook.recipe(cell) == expected
    assert notebook.recipe(cell | {"overrides": {}}).batch_size == profiles.load("mini", task="cola").batch_size
    with pytest.raises(InputError, match="there is no parameter 'batchsize'"):
        notebook.recipe(cell | {"overrides": {"batchsize": 8}})
    with pytest.raises(InputError, match="There is no profile 'mimi'"):
        notebook.recipe(cell | {"profile": "mimi"})


def test_the_header(shown: list, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    threads: list[int] = []
    monkeypatch.setattr(notebook.environment, "set_threads", threads.append)
    usual = profiles.load("mini", task="sst2", seed=5)
    notebook.header(usual)
    said, err = capsys.readouterr()
    assert err == ""
    assert said.startswith("profile mini, task sst2, seed 5\n")
    assert f"torch {torch.__version__.partition('+')[0]}" in said
    assert threads == [usual.threads]
    drawn = [random.random(), float(np.random.rand()), torch.rand(1).item()]
    (folded,) = shown  # nothing departs from the profile
    frame = folded.frame
    assert frame.loc["teacher_epochs", "value"] == str(usual.teacher_epochs)
    assert not {"profile", "task", "seed", "data"} & set(frame.index), "they stand above"
    html, text = folded._repr_html_(), repr(folded)
    assert html.startswith(f"<details><summary>all {len(frame)} settings of this run</summary>")
    for said in (html, text):
        assert all(name in said for name in frame.index), "no row is left out, however many there are"
    assert str(usual.language_model_shape) in text, "nor is a value cut short"
    notebook.header(profiles.load("mini", task="sst2", seed=5, teacher_epochs=99))
    _, changed, folded = shown
    assert changed.to_dict("index") == {"teacher_epochs": {"value": "99", "in the profile": str(usual.teacher_epochs)}}
    assert folded.frame.loc["teacher_epochs", "value"] == "99"
    assert drawn == [random.random(), float(np.random.rand()), torch.rand(1).item()], "the header seeds"


def test_the_source_that_is_shown_is_the_one_that_runs(shown: list) -> None:
    notebook.show_source(losses.prediction_loss, losses.IntermediateLoss.forward)
    assert all(code.data.startswith("```python\n") and code.data.endswith("\n```") for code in shown)
    first, second = (code.data.removeprefix("```python\n").removesuffix("```") for code in shown)
    assert first.startswith("def prediction_loss(")
    assert second.startswith("def forward(self"), "a method without its indentation"
    source = Path(losses.__file__).read_text(encoding="utf-8")
    assert first.rstrip() in source


def test_a_table_without_arms_has_its_columns() -> None:
    table = notebook.arms_table([], "sst2")
    assert len(table) == 0 and list(table.columns)[0] == "accuracy"


def test_the_table_of_arms() -> None:
    arms = fake_records.make("01_distillation", "sst2", 0)["arms"]
    by_name = {arm["arm"]: arm for arm in arms}
    by_name["student"]["versus"] = {"arm": "teacher", "difference": -0.031, "low": -0.05, "high": -0.01}
    by_name["control"]["versus"] = {"arm": "teacher", "difference": 0.01, "low": -0.02, "high": 0.03}
    by_name["control"]["retention"] = None  # of a teacher at its floor
    table = notebook.arms_table(arms, "sst2")
    assert list(table.index) == [arm["title"] for arm in arms]
    student = table.loc[by_name["student"]["title"]]
    score = by_name["student"]["scores"]["accuracy"]
    assert student["accuracy"] == f"{score['value']:.3f} [{score['low']:.3f}, {score['high']:.3f}]"
    assert student["difference"] == f"-0.031 to {by_name['teacher']['title']}"
    assert student["lead kept"] == f"{by_name['student']['retention']:.0%}"
    assert student["MB"] == f"{by_name['student']['bytes']['file'] / 1e6:.2f}"
    control = table.loc[by_name["control"]["title"]]
    assert control["difference"] == f"+0.010 to {by_name['teacher']['title']} (inside noise)"
    assert control["lead kept"] == "–"


def test_verdicts_are_told_in_words() -> None:
    def arm(name: str, low: float, high: float, versus: str = "student") -> dict:
        return {"arm": name, "title": f"the {name}", "versus": {"arm": versus, "low": low, "high": high}}

    some = [arm("a", 0.1, 0.2), arm("b", -0.2, -0.1), arm("c", -0.1, 0.1), arm("d", -0.3, -0.2), arm("e", 0, 1, "a")]
    assert notebook.verdicts(some) == (
        "better than distilled student: the a; worse than distilled student: the b, the d; "
        "inside noise of distilled student: the c; inside noise of the a: the e"
    )


def test_the_table_of_times() -> None:
    arms = fake_records.make("04_dynamic_quantization", "sst2", 0)["arms"]
    table = notebook.speed_table(arms)
    assert list(table.index) == [arm["title"] for arm in arms]
    assert list(table.columns) == ["batch1_true", "batch1_padded", "batch32_true", "batch32_padded", "whole split"]
    block = arms[0]["latency"]["batch32_true"]
    assert table.loc[arms[0]["title"], "batch32_true"] == (
        f"{block['median_ms']:.2f} ({block['p95_ms']:.2f}) ms, {block['speedup']['median']:.2f}x"
    )
    assert table.loc[arms[0]["title"], "whole split"] == f"{arms[0]['latency']['validation_seconds']:.2f} s"


def test_the_published_run(shown: list, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(profiles, "ROOT", tmp_path)
    for name in ("table1", "figure1.png"):
        notebook.published(name)
    assert [output.data for output in shown] == [
        f"*Of the profile `minilm`, {name} has not been published yet; `make study PROFILE=minilm` makes it.*"
        for name in ("table1", "figure1.png")
    ]
    (tmp_path / "results" / "minilm").mkdir(parents=True)
    (tmp_path / "results" / "minilm" / "table1.md").write_text("| a |\n| --- |\n", encoding="utf-8")
    (tmp_path / "figures" / "minilm").mkdir(parents=True)
    (tmp_path / "figures" / "minilm" / "figure1.png").write_bytes(b"picture")
    notebook.published("table1")
    notebook.published("figure1.png")
    assert shown[2].data == "| a |\n| --- |\n"
    assert shown[3].data == b"picture", "the picture itself, wherever the notebook is opened"
    assert shown[3].alt == "figure1 of the minilm profile"
