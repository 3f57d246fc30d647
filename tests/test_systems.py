"""The overview's other systems: what each is made of, what it shares with the chain, what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import tiny
import torch

from helpers import mini_glue, models, profiles, tasks
from helpers.artifacts import Store
from helpers.compress import distilbert
from helpers.compress.systems import Systems
from helpers.environment import InputError

SMALL = tiny.RECIPE | {"pretraining_steps": 12, "pretraining_batch_size": 16, "distilbert_steps": 12}


@pytest.fixture(autouse=True)
def few_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Generate few rows and lines, whatever is asked for."""
    monkeypatch.setitem(mini_glue.ROWS, "train", 120)
    monkeypatch.setitem(mini_glue.ROWS, "validation", 50)
    corpus = tasks.Text(mini_glue.text(lines=200), "generated", "200 lines")
    monkeypatch.setattr(tasks, "load_text", lambda text, **_: corpus)


def systems(folder: Path | None = None, *, task: str = "sst2", **changes: object) -> Systems:
    recipe = profiles.load("mini", task=task, **(SMALL | changes))
    return Systems(recipe, store=Store(folder) if folder else None)


def test_distilbert_is_made_once_on_text_and_fine_tuned_twice(tmp_path: Path) -> None:
    one = systems(tmp_path)
    assert one.distilbert_layers == [2], "every second of two"
    assert one.distilbert_general.key == systems(task="cola", seed=3).distilbert_general.key, "once for all tasks"
    assert one.distilbert_general.arguments["language_model"].key == one.masked_language_model.key
    assert one.distilbert.arguments["start"] is one.distilbert_two_stage.arguments["start"] is one.distilbert_general
    assert one.distilbert_two_stage.arguments["teacher"] is one.teacher
    # as many steps as TinyBERT's student and the control
    epochs = {model.arguments["training"].epochs for model in (one.distilbert, one.distilbert_two_stage, one.control)}
    assert epochs == {one.recipe.intermediate_epochs + one.recipe.prediction_epochs}
    made = one.load(one.distilbert_two_stage)
    assert made.config.num_hidden_layers == 1 and one.score(one.distilbert).keys() == {"accuracy"}
    assert one.store.has(one.distilbert_general) and not one.store.has(one.student)


@pytest.mark.parametrize("name", profiles.DISTILBERT)
def test_an_ablation_of_distilbert_changes_its_text_stage_alone(name: str) -> None:
    one = systems()
    other = one.changed(**profiles.DISTILBERT[name])
    assert isinstance(other, Systems)
    assert other.distilbert_general.key != one.distilbert_general.key
    assert other.teacher.key == one.teacher.key and other.student.key == one.student.key
    weights = other.distilbert_general.arguments["weights"]
    assert set(distilbert.PARTS) - set(weights) == {name[3:]} & set(distilbert.PARTS)


def test_without_steps_on_text_it_is_the_teacher_s_layers(tmp_path: Path) -> None:
    one = systems(tmp_path).changed(**profiles.DISTILBERT["no_text"])
    made = models.own_tensors(models.masked_language_model(one.store.path(one.distilbert_general)))
    whole = models.own_tensors(models.masked_language_model(one.store.path(one.masked_language_model)))
    name = "bert.encoder.layer.{}.output.dense.weight"
    assert torch.equal(made[name.format(0)], whole[name.format(1)])


def test_layers_may_be_named() -> None:
    assert systems(distilbert_layers=[1]).distilbert_layers == [1]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"distilbert_layers": [3]}, "must name 1 of the teacher's layers 1 to 2"),
        ({"distilbert_layers": []}, "distilbert_layers must be half or a list of layers"),
        ({"distilbert_layers": "third"}, "must be half or a list of layers, not 'third'"),
    ],
)
def test_layers_that_cannot_be_are_refused(change: dict[str, object], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        systems(**change).distilbert  # noqa: B018 - named, not yet built


def test_a_depth_that_does_not_halve_is_refused() -> None:
    one = systems()
    one.recipe = replace(one.recipe, language_model_shape=one.recipe.language_model_shape | {"num_hidden_layers": 3})
    with pytest.raises(InputError, match="A depth of 3 layers does not halve"):
        one.distilbert_two_stage  # noqa: B018 - named, not yet built


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"distilbert_weights": {"hard": 1.0}}, "distilbert_weights gives a factor above 0 to one or more of soft"),
        ({"distilbert_weights": {}}, "distilbert_weights gives a factor"),
        ({"distilbert_weights": {"soft": 0.0}}, "distilbert_weights gives a factor"),
        ({"distilbert_weights": {"soft": 1.0, "masked": -1.0}}, "distilbert_weights gives a factor"),
        ({"distilbert_temperature": 0.0}, "distilbert_temperature must be above 0"),
        ({"distilbert_share": 1.5}, "distilbert_share is a share, from 0 to 1"),
        ({"distilbert_start": "top"}, "distilbert_start must be layers or random"),
        ({"distilbert_ablations": ["no_hard"]}, "distilbert_ablations: there is no 'no_hard'"),
    ],
)
def test_settings_out_of_range_are_a_sentence(change: dict[str, object], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        systems(**change)
