"""The overview's other systems: what each is made of, what it shares with the chain, what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import published
import pytest
import tiny
import torch

from helpers import models, profiles
from helpers.artifacts import Node, Store
from helpers.compress import distilbert, distillation, factorization
from helpers.compress.systems import Systems
from helpers.environment import InputError

# two by two: no rank of one is smaller
NARROW = {"hidden_size": 2, "num_hidden_layers": 2, "num_attention_heads": 1, "intermediate_size": 24}
SMALL = tiny.RECIPE | {"pretraining_steps": 12, "pretraining_batch_size": 16, "distilbert_steps": 12}


pytestmark = pytest.mark.usefixtures("few_rows")


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
    rates = {model.arguments["training"].learning_rate for model in (one.distilbert, one.distilbert_two_stage)}
    assert rates == {one.recipe.teacher_learning_rate}, "that of its width"
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


def test_fewer_rows_are_other_data_for_every_model() -> None:
    one = systems(train_rows=30)
    whole = one.changed(train_rows=0)
    assert len(one.data.train) == 30 < len(whole.data.train)
    assert one.data.heldout["sentence"][:] == whole.data.heldout["sentence"][:]
    assert one.teacher.key != whole.teacher.key and one.distilbert_general.key == whole.distilbert_general.key
    assert one.changed(temperature=2.0).data is one.data


def test_how_much_text_is_said(tmp_path: Path) -> None:
    assert systems(student_start="general", general_steps=7).text_of_student == "7 batches"
    assert systems(student_start="embeddings", general_steps=7).text_of_student == "none"
    assert systems().text_of_teacher == "12 batches"
    published.minilm(tmp_path / "lm")
    shape = {"hidden_size": 6, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
    given = systems(language_model=str(tmp_path / "lm"), student_shape=shape, max_length=32)
    assert given.text_of_teacher == "12 batches more"


def test_layers_may_be_named() -> None:
    assert systems(distilbert_layers=[1]).distilbert_layers == [1]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"distilbert_layers": [3]}, "the language model has the layers 1 to 2"),
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


# ALBERT


def test_albert_copies_as_tinybert_does(tmp_path: Path) -> None:
    one = systems(tmp_path, albert_steps=12, albert_embedding_size=4)
    node = one.albert()
    ours, theirs = (model.arguments["student"] for model in (node, one.student))
    assert node.arguments["training"] == one.student.arguments["training"]
    assert ours.arguments["training"] == theirs.arguments["training"], "as many steps as TinyBERT's student"
    general = ours.arguments["student"].arguments["general"]
    assert general.function is distillation.distil_on_text and general.arguments["steps"] == 12
    made = one.load(node)
    layers = made.bert.encoder.layer
    assert layers[0].output.dense is layers[1].output.dense
    assert made.bert.embeddings.word_embeddings.weight.shape[1] == 4
    assert one.score(node).keys() == {"accuracy"}


def test_from_scratch_learns_from_the_labels_alone(tmp_path: Path) -> None:
    one = systems(tmp_path, albert_embedding_size=4)
    node = one.from_scratch(one.albert_shape())
    start = node.arguments["start"]
    assert start.arguments["steps"] == 0
    assert start.arguments["shape"] == one.recipe.language_model_shape | {
        "compact": {"sharing": "all", "embedding_size": 4}
    }
    again = systems(albert_embedding_size=4, seed=1).from_scratch(one.albert_shape())
    assert again.arguments["start"].key != start.key, "each run has its own random weights"
    training = replace(one.control.arguments["training"], learning_rate=one.recipe.teacher_learning_rate)
    assert node.arguments["training"] == training, "as many steps as other students, at the rate of its width"
    assert one.load(node).config.compact == {"sharing": "all", "embedding_size": 4}
    published.minilm(tmp_path / "lm")
    with pytest.raises(InputError, match="only beside a language model made here"):
        systems(language_model=str(tmp_path / "lm")).from_scratch({})


def test_others_of_its_shape_are_named_beside_it() -> None:
    one = systems(albert_embedding_size=4)
    shapes = [
        one.albert_shape(),
        one.albert_shape(embedding_size=8),
        one.albert_shape(embedding_size=0),
        one.albert_shape(sharing="ffn"),
    ]
    assert [shape["compact"] for shape in shapes] == [
        {"sharing": "all", "embedding_size": 4},
        {"sharing": "all", "embedding_size": 8},
        {"sharing": "all"},
        {"sharing": "ffn", "embedding_size": 4},
    ]
    assert len({one.albert(embedding_size=size).key for size in (0, 4, 8)}) == 3
    named = systems(albert_shape=tiny.SHAPE | {"num_hidden_layers": 5}, albert_embedding_size=0).albert_shape()
    assert named["num_hidden_layers"] == 5


def test_a_given_language_model_is_distilled_into_albert(tmp_path: Path) -> None:
    published.minilm(tmp_path / "lm")
    shape = {"hidden_size": 6, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
    one = systems(
        tmp_path / "store",
        language_model=str(tmp_path / "lm"),
        student_shape=shape,
        albert_steps=8,
        albert_embedding_size=4,
        albert_sharing="all",
        max_length=32,
    )
    node = one.albert()
    source = models.read_config(tmp_path / "lm")
    made = one.load(node)
    assert made.config.num_hidden_layers == source.num_hidden_layers and made.config.hidden_size == source.hidden_size
    assert made.config.compact == {"sharing": "all", "embedding_size": 4}
    general = node.arguments["student"].arguments["student"].arguments["general"]
    assert general.function is distillation.distil_on_text and general.arguments["steps"] == 8
    assert node.arguments["teacher"].key == one.teacher.key
    assert one.general.key != general.key


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"embedding_size": 17}, "embedding_size is 17; factorized embeddings are 1 to 16 wide"),
        ({"sharing": "some"}, "not 'some'"),
    ],
)
def test_an_albert_that_cannot_be_is_refused(change: dict[str, object], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        systems(albert_embedding_size=0).albert(**change)


def test_projected_layers_do_not_fit_shared_ones(tmp_path: Path) -> None:
    folder = tiny.saved(tmp_path / "lm", tiny.classifier(layers=2))
    shape = tiny.SHAPE | {"compact": {"sharing": "all"}}
    with pytest.raises(InputError, match="cannot start from projected ones"):
        distillation.start_student(tmp_path, start="projected", language_model=folder, shape=shape, task="rte", seed=0)


@pytest.mark.parametrize("size", [4, 16])
def test_factorized_embeddings_start_from_principal_directions(tmp_path: Path, size: int) -> None:
    folder = tiny.saved(tmp_path / "lm", tiny.classifier(layers=2, spread=3))
    shape = tiny.SHAPE | {"compact": {"embedding_size": size}}
    distillation.start_student(tmp_path, start="embeddings", language_model=folder, shape=shape, task="rte", seed=0)
    ours, theirs = models.load(tmp_path).bert.embeddings, models.load(folder).bert.embeddings
    words = ours.word_embeddings.weight @ ours.projection.weight.T
    assert torch.equal(words[:, :size], ours.word_embeddings.weight) and not words[:, size:].any()
    # the first directions hold as much of the table as any of their number can
    kept = torch.linalg.svdvals(theirs.word_embeddings.weight)[:size].square().sum()
    assert words.square().sum().item() == pytest.approx(kept.item(), rel=1e-4)


# low ranks and smaller structures


def test_both_low_ranks_save_as_many_weights_and_halves_leave_half(tmp_path: Path) -> None:
    one = systems(tmp_path, albert_embedding_size=2)
    cuts = one.low_rank_cuts()
    assert set(cuts) == {"embeddings", "linear"}

    def weights(model: Node) -> int:
        return sum(weight.numel() for weight in one.load(model).parameters())

    whole = one.load(one.teacher)
    words, width = whole.bert.embeddings.word_embeddings.weight.shape
    saved = {name: weights(one.teacher) - weights(one.low_rank(**cut)) for name, cut in cuts.items()}
    assert saved["embeddings"] == words * width - 2 * (words + width)
    layers = [layer.weight for layer in factorization.linear_layers(whole).values()]
    assert abs(saved["linear"] - saved["embeddings"]) <= sum(sum(weight.shape) for weight in layers), "whole ranks"
    assert one.left_of_encoder(one.teacher) == 1.0
    assert one.left_of_encoder(one.structured(heads=0.5, neurons=0.5)) == 0.5


def test_a_smaller_teacher_learns_from_the_whole_one(tmp_path: Path) -> None:
    one = systems(tmp_path)
    small = one.structured(heads=0.5, neurons=0.5)
    low = one.low_rank(embeddings=0.5, linear=0.5)
    again = [one.recovered_by_teacher(model) for model in (small, low)]
    for before, after in zip((small, low), again, strict=True):
        assert before.arguments["model"] is one.teacher is after.arguments["teacher"]
        assert after.arguments["training"].epochs == one.recipe.recovery_epochs
        was, now = one.load(before), one.load(after)
        assert now.config.compact == was.config.compact != {}
        weights = [sum(p.numel() for p in each.parameters()) for each in (one.load(one.teacher), was, now)]
        assert weights[0] > weights[1] == weights[2]
        assert one.score(after).keys() == {"accuracy"}
    assert sum(one.load(again[0]).config.compact["heads"]) == 2
    # and goes on to int8
    assert one.logits(again[0], ("int8",)).shape == (50, 2)
    assert len(one.load(one.structured(layers=1)).bert.encoder.layer) == 1


def test_weights_set_to_zero_stay_zero_while_the_rest_learns(tmp_path: Path) -> None:
    one = systems(tmp_path)
    before = one.with_zeros(0.25)
    after = one.recovered_by_teacher(before)
    assert after.arguments["training"] == one.recovered_by_teacher(one.structured(layers=1)).arguments["training"]
    was, now = (factorization.linear_layers(one.load(model)) for model in (before, after))
    zeros = {name: layer.weight == 0 for name, layer in was.items()}
    share = sum(int(each.sum()) for each in zeros.values()) / sum(each.numel() for each in zeros.values())
    assert share == pytest.approx(0.75, abs=1e-3)
    assert not any(now[name].weight[each].any() for name, each in zeros.items())
    assert not any(torch.equal(now[name].weight[~each], was[name].weight[~each]) for name, each in zeros.items())
    assert "hold_zeros" not in one.recovered_by_teacher(one.structured(layers=1)).arguments


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            {"albert_embedding_size": 4, "albert_embedding_sizes": [17]},
            "embedding_size is 17; factorized embeddings are 1 to 16 wide",
        ),
        (
            {"language_model_shape": NARROW, "student_shape": NARROW, "albert_embedding_size": 1}
            | {"albert_embedding_sizes": []},
            "less than a rank of one takes",
        ),
    ],
)
def test_what_notebook_07_cannot_make_is_refused_before_any_training(change: dict[str, object], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        systems(**change).check_albert()
