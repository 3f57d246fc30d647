"""One training on two processes: the curve of one process, and its checkpoints.

The models here have no dropout, which each process draws for itself, so that only rounding may differ.
"""

from __future__ import annotations

import json
from pathlib import Path

import processes
import pytest
import throwaway
import tiny
import torch
from datasets import Dataset
from transformers import BertForMaskedLM

from helpers import models, tasks
from helpers.artifacts import Node, Store, node, step
from helpers.compress import distilbert, distillation
from helpers.study import begin, commands
from helpers.training import Training, loop, pretraining, read_curve, together

STEPS = 60
SHAPE = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 12}
STILL = SHAPE | {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}


@step(version=1)
def given(folder: Path, *, name: str) -> None:
    """Make a tiny model to begin with."""
    made = {
        "teacher": lambda: tiny.classifier(layers=2, spread=6, dropout=0.0),
        "language model": lambda: BertForMaskedLM(tiny.config(layers=2, dropout=0.0)),
        "student": lambda: tiny.classifier(layers=1, width=8, seed=1, dropout=0.0),
    }
    torch.manual_seed(0)
    tiny.saved(folder, made[name]())


def stage(name: str) -> Node:
    """Name one stage's result."""
    text = tasks.Text(Dataset.from_dict({"text": tiny.task_rows(200)["sentence"]}), "generated", "lines")
    training = Training(epochs=1, learning_rate=3e-3, batch_size=8)
    on_text = {"text": text, "length": 12, "steps": STEPS, "training": training}
    teacher, language_model = node(given, name="teacher"), node(given, name="language model")
    if name == "general distillation":
        start = {"language_model": teacher, "start": "embeddings", "shape": STILL}
        return node(distillation.distil_on_text, **start, **on_text)
    if name == "masked words":
        return node(pretraining.continue_pretraining, start=teacher, masked_share=0.25, **on_text)
    if name == "DistilBERT's distillation":
        return node(
            distilbert.distil_masked_words,
            language_model=language_model,
            layers=[2],
            start="layers",
            weights={"soft": 5.0, "masked": 2.0, "cosine": 1.0},
            temperature=2.0,
            masked_share=0.25,
            everywhere=False,
            **on_text,
        )
    return node(
        distillation.distil,
        teacher=teacher,
        student=node(given, name="student"),
        data=tiny.task_data(),
        stage="intermediate",
        training=training,
        max_length=16,
        teacher_outputs="all",
        max_steps=STEPS,
    )


def train(folder: Path, *, name: str, die_at: int = 0) -> None:
    """Build a stage in a store, with whoever else does; die at a step."""
    whole, done = loop._Steps.on_step_end, []

    def counted(*arguments: object, **others: object) -> None:
        whole(*arguments, **others)
        done.append(1)
        if len(done) == die_at:
            processes.die()

    loop._Steps.on_step_end = counted
    folder.mkdir(exist_ok=True)
    said = begin.build(stage(name), Store(folder))
    (folder / f"said.{together.number()}").write_text(json.dumps([said, len(done)]))


def curve(folder: Path, name: str) -> list[dict[str, float]]:
    return read_curve(folder / stage(name).key)


def close(ours: list[dict[str, float]], theirs: list[dict[str, float]], tolerance: float) -> None:
    assert len(ours) == len(theirs) > 10
    for one, other in zip(ours, theirs, strict=True):
        assert one.keys() == other.keys()
        for part in one:
            assert one[part] == pytest.approx(other[part], rel=tolerance), (part, one, other)


@pytest.mark.xdist_group("killed")
@pytest.mark.parametrize(
    ("name", "tolerance"),
    [
        ("general distillation", 1e-4),
        ("masked words", 1e-3),
        ("DistilBERT's distillation", 1e-3),
        # rows of unequal length: a mean over tokens is one over each process's, of which they have not as many
        ("stored outputs", 1e-2),
    ],
)
def test_two_processes_have_the_curve_of_one(tmp_path: Path, name: str, tolerance: float) -> None:
    alone, both, errors = tmp_path / "alone", tmp_path / "both", tmp_path / "stderr"
    assert processes.run(train, folder=alone, name=name, errors=errors) == 0
    assert processes.run_together(train, folder=both, name=name, errors=errors) == [0, 0], _errors(tmp_path)
    close(curve(both, name), curve(alone, name), tolerance)
    assert [json.loads((both / f"said.{i}").read_text()) for i in (0, 1)] == [
        ["built by 2 processes", STEPS],
        ["", STEPS],
    ]
    assert models.read(both / stage(name).key).tensors, "a model"
    # and it is there now
    assert processes.run_together(train, folder=both, name=name, errors=errors) == [0, 0]
    assert json.loads((both / "said.0").read_text()) == ["stored before", 0]


@pytest.mark.xdist_group("killed")
@pytest.mark.parametrize("ended_by", ["two", "one"])
def test_both_are_killed_and_it_goes_on(tmp_path: Path, ended_by: str) -> None:
    folder, name, errors = tmp_path / "both", "masked words", tmp_path / "stderr"
    assert set(processes.run_together(train, folder=folder, name=name, die_at=55, errors=errors)) == {-9}
    again = processes.run_together if ended_by == "two" else processes.run
    ended = again(train, folder=folder, name=name, errors=errors)
    assert ended in ([0, 0], 0), _errors(tmp_path)
    assert json.loads((folder / "said.0").read_text())[1] < 30, "it went on from a checkpoint"
    alone = tmp_path / "alone"
    assert processes.run(train, folder=alone, name=name, errors=errors) == 0
    # one process does not find the state of chance of two, so that its masks are others
    close(curve(folder, name)[:17], curve(alone, name)[:17], 1e-3)
    if ended_by == "two":
        close(curve(folder, name), curve(alone, name), 1e-3)


def _errors(folder: Path) -> str:
    return "\n".join(file.read_text()[-2000:] for file in folder.glob("stderr*"))


def test_the_command_builds_what_is_learned_from_text_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    throwaway.house(tmp_path, monkeypatch, "02_second")
    throwaway.write(tmp_path / "notebooks", "01_first", throwaway.TELL, required=True)
    built, here = [], Path.cwd()

    def build(node: Node) -> str:
        built.append((node.function.__name__, Path.cwd()))
        return "built"

    monkeypatch.setattr(begin, "build", build)
    assert commands.main(["begin", "--profile", "mini"]) == 0
    assert [name for name, _ in built][-1] == "distil_on_text" and {name for name, _ in built} == {
        "pretrain",
        "distil_on_text",
    }, "the general student after the language model; no task's teacher"
    assert {folder for _, folder in built} == {tmp_path / "notebooks"} and Path.cwd() == here
    said = capsys.readouterr().out.splitlines()
    assert len(said) == len(built) and all(line.endswith(": built") for line in said)
