"""The stages on text and with stored outputs, killed and started again: they end, to the byte, where they would have.

Each runs in a process that is killed as `kill -9` does it. `test_training` tries the loop itself at every bad moment.
"""

from __future__ import annotations

from pathlib import Path

import processes
import pytest
import tiny
from datasets import Dataset
from transformers import BertForMaskedLM

from helpers import models, tasks
from helpers.artifacts.store import CHECKPOINTS
from helpers.compress import distilbert, distillation
from helpers.training import Training, loop, pretraining, read_curve

STEPS = 70
SHAPE = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 12}


def text() -> tasks.Text:
    lines = tiny.task_rows(200)["sentence"]
    return tasks.Text(Dataset.from_dict({"text": lines}), "generated", "lines")


def stage(folder: Path, inputs: Path, *, name: str, kill_at_step: int = 0) -> None:
    """Make one stage's result in `folder`; count its steps, and die at one of them."""
    done, whole = [], loop._Steps.on_step_end

    def counted(*arguments: object, **others: object) -> None:
        whole(*arguments, **others)
        done.append(1)
        if len(done) == kill_at_step:
            processes.die()

    loop._Steps.on_step_end = counted
    training = Training(epochs=1, learning_rate=3e-3, batch_size=8, precision="bf16" if "bf16" in name else "float32")
    on_text = {"text": text(), "length": 12, "steps": STEPS, "training": training}
    if name == "general distillation":
        distillation.distil_on_text(
            folder, language_model=inputs / "teacher", start="embeddings", shape=SHAPE, **on_text
        )
    elif name == "DistilBERT's distillation":
        distilbert.distil_masked_words(
            folder,
            language_model=inputs / "language model",
            layers=[2],
            start="layers",
            weights={"soft": 5.0, "masked": 2.0, "cosine": 1.0},
            temperature=2.0,
            masked_share=0.25,
            everywhere=False,
            **on_text,
        )
    elif name == "more pretraining":
        pretraining.continue_pretraining(folder, start=inputs / "teacher", masked_share=0.25, **on_text)
    else:
        rows = tiny.task_data()
        distillation.distil(
            folder,
            teacher=inputs / "teacher",
            student=inputs / "student",
            data=rows,
            stage="intermediate",
            training=training,
            max_length=16,
            teacher_outputs="all",
            max_steps=STEPS,
        )
    (folder / "steps").write_text(str(len(done)))


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("inputs")
    tiny.saved(folder / "teacher", tiny.classifier(layers=2, spread=6, dropout=0.2))
    tiny.saved(folder / "language model", BertForMaskedLM(tiny.config(layers=2, dropout=0.2)))
    tiny.saved(folder / "student", tiny.classifier(layers=1, width=8, seed=1, dropout=0.2))
    return folder


@pytest.mark.xdist_group("killed")
@pytest.mark.parametrize(
    "name",
    [
        "general distillation",
        "more pretraining",
        "DistilBERT's distillation",
        "stored outputs",
        "stored outputs in bf16",
    ],
)
def test_a_killed_stage_ends_where_an_uninterrupted_one_ends(tmp_path: Path, inputs: Path, name: str) -> None:
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    for folder in (whole, stopped):
        folder.mkdir()
    given = {"inputs": inputs, "name": name, "errors": tmp_path / "stderr"}
    assert processes.run(stage, folder=whole, **given) == 0
    assert processes.run(stage, folder=stopped, kill_at_step=60, **given) == -9
    (kept,) = (path.parent.name for path in (stopped / CHECKPOINTS).glob("checkpoint-*/complete"))
    before = {path: path.stat().st_mtime_ns for path in (stopped / CHECKPOINTS / "teacher").glob("*")}
    assert bool(before) == name.startswith("stored"), "what the teacher said is kept, too"
    assert processes.run(stage, folder=stopped, **given) == 0
    assert int((whole / "steps").read_text()) == STEPS
    assert int((stopped / "steps").read_text()) == STEPS - int(kept.partition("-")[2]) < 30
    assert all(path.stat().st_mtime_ns == time for path, time in before.items()), "and not asked again"
    assert (stopped / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()
    assert read_curve(stopped) == read_curve(whole) != []
    assert (tmp_path / "stderr").read_text() == ""
    assert models.read(whole).tensors, "a model"
