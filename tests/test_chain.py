"""Chains: what is shared, what is compared with what, and whole chains on a handful of rows."""

import copy
import math
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import published
import pytest
import tiny
import torch
from datasets import Dataset
from transformers import BertForSequenceClassification

from helpers import hub, models, profiles, scores, tasks, training
from helpers.artifacts import Store, node
from helpers.compress import pruning, quantization
from helpers.compress.chain import Chain
from helpers.compress.orders import Orders
from helpers.compress.steps import apply, bring
from helpers.compress.systems import Systems
from helpers.environment import InputError, RunError
from helpers.labels import REPORT_AMOUNTS

SMALL = tiny.RECIPE | {"pretraining_steps": 12, "pretraining_batch_size": 16, "intermediate_epochs": 2}


pytestmark = pytest.mark.usefixtures("few_rows")


def chain(folder: Path | None = None, *, task: str = "sst2", seed: int = 0, **changes: object) -> Chain:
    return Chain(profiles.load("mini", task=task, seed=seed, **(SMALL | changes)), store=Store(folder))


# quick steps


def logits(model: torch.nn.Module) -> torch.Tensor:
    batch = tasks.collate(list(tiny.tokens(9).remove_columns("labels")))
    with torch.no_grad():
        return model(**batch).logits


def test_apply_puts_steps_in_order() -> None:
    model = tiny.classifier(layers=2, spread=5)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    pruned = apply(model, [("prune", 0.4)])
    assert torch.equal(logits(pruned), logits(pruning.prune(model, 0.4)))
    both = apply(model, [("prune", 0.4), ("int8",)])
    assert torch.equal(logits(both), logits(quantization.quantize(pruning.prune(model, 0.4))))
    assert not torch.equal(logits(both), logits(apply(model, [("int8",)])))
    assert pruning.sparsity(apply(model, [("prune", 0.4), ("prune", 0.7)]))["pool"] == pytest.approx(0.7, abs=1e-3)
    assert torch.equal(logits(apply(model, [])), logits(model))
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        ([("distil",)], "no step 'distil'"),
        ([("prune", 0.1), ("Prune", 0.1)], "no step 'Prune'"),
        ([("int8",), ("prune", 0.1)], "'prune' cannot follow int8"),
        ([("int8",), ("int8",)], "'int8' cannot follow int8"),
        ([("prune", 1.5)], "from 0 to 1, not 1.5"),
    ],
)
def test_apply_refuses(steps: list[tuple], message: str) -> None:
    with pytest.raises(InputError, match=message):
        apply(tiny.classifier(), steps)


# what is shared


def test_teacher_and_language_model_are_shared(tmp_path: Path) -> None:
    one = chain(tmp_path)
    assert one.teacher.arguments["start"].key == one.language_model.key
    for stage in (one.intermediate, one.student):
        assert stage.arguments["teacher"].key == one.teacher.key
    assert one.student.arguments["student"].key == one.intermediate.key
    assert one.intermediate.arguments["student"].key == one.start.key
    assert one.recovered(0.5).arguments["model"].key == one.student.key
    assert one.recovered(0.5).key != one.recovered(0.6).key
    assert not list(tmp_path.iterdir())  # a name costs nothing


def keys(of: Chain) -> dict[str, str]:
    names = ("language_model", "teacher", "start", "control", "intermediate", "student")
    return {name: getattr(of, name).key for name in names}


@pytest.mark.parametrize(
    ("change", "other"),
    [
        ({}, set()),
        ({"seed": 1}, {"teacher", "start", "control", "intermediate", "student"}),
        ({"task": "cola"}, {"teacher", "control", "intermediate", "student"}),
        ({"temperature": 2.0}, {"student"}),
        ({"prediction_epochs": 2}, {"control", "student"}),
        ({"layer_map": "bottom"}, {"intermediate", "student"}),
        ({"teacher_epochs": 3}, {"teacher", "intermediate", "student"}),
        ({"student_start": "embeddings"}, {"start", "control", "intermediate", "student"}),
        (
            {"pretraining_steps": 13},
            {"language_model", "teacher", "start", "control", "intermediate", "student"},
        ),
        # how models are measured makes no other model
        ({"pruning_amounts": [0.5], "latency_repeats": 3, "threads": 2}, set()),
    ],
)
def test_a_change_changes_what_depends_on_it(change: dict[str, object], other: set[str]) -> None:
    usual, changed = keys(chain()), keys(chain(**change))
    different = {name for name in usual if usual[name] != changed[name]}
    if "task" in change:
        different -= {"start"}  # the start of another task may have another head
    assert different == other


@pytest.mark.parametrize("name", profiles.ABLATIONS)
def test_an_ablation_changes_the_stage_that_it_is_about(name: str) -> None:
    task = "stsb" if name == "gold_scores" else "sst2"
    usual = chain(task=task)
    changed = usual.changed(**profiles.ABLATIONS[name])
    assert changed.data is usual.data
    of_answers = ("no_prediction", "temperature_4", "temperature_4_squared", "mean_over_classes", "gold_scores")
    assert (changed.intermediate.key == usual.intermediate.key) == (name in of_answers)
    assert changed.student.key != usual.student.key
    assert keys(changed).keys() == keys(usual).keys()
    for model in ("teacher", "start", "control"):
        assert getattr(changed, model).key == getattr(usual, model).key, "compared with the same"


def test_the_authors_pairs_are_a_switch_of_augmentation() -> None:
    for stays in (False, True):
        settings = chain(augmented="teacher", first_text_stays_changed=stays).variants.arguments["settings"]
        assert settings.first_text_stays_changed is stays


def test_whole_batches_need_rows() -> None:
    for changes in ({"drop_incomplete": True}, {"ablations": ["drop_incomplete"]}):
        one = chain(**changes)
        one.check_room()
        with pytest.raises(
            InputError, match="rows fill no batch of 100000: set drop_incomplete to false, or a lower batch_size"
        ):
            one.changed(batch_size=100_000).check_room()
    chain(batch_size=100_000).check_room()


def test_the_authors_code_is_all_that_its_losses_do_otherwise() -> None:
    one = chain(**profiles.ABLATIONS["authors_code"])
    said = {
        name
        for stage in (one.intermediate, one.student)
        for name, on in vars(stage.arguments["options"]).items()
        if on and name != "parts"
    }
    assert said == set(profiles.ABLATIONS["authors_code"])


def test_ablations_mean_something_for_their_task() -> None:
    every = list(profiles.ABLATIONS)
    classes, score = (profiles.load("mini", task=task, ablations=every) for task in ("sst2", "stsb"))
    assert set(every) - set(profiles.ablations_for(classes)) == {"gold_scores"}
    assert set(every) - set(profiles.ablations_for(score)) == {
        "temperature_4",
        "temperature_4_squared",
        "mean_over_classes",
    }


def test_what_is_left_out_is_not_trained() -> None:
    labels = chain(loss_parts=["embedding", "hidden", "attention"])
    assert labels.student.function is training.fine_tune and labels.student.arguments["head"]
    assert labels.student.arguments["start"].key == chain().intermediate.key
    answers = chain(loss_parts=["prediction"])
    assert answers.intermediate is answers.start
    assert answers.student.arguments["student"].key == chain().start.key


def test_outputs_are_stored_where_the_teacher_can_be() -> None:
    kept = chain(teacher_outputs="all", teacher_outputs_gb=3.0)
    assert kept.intermediate.arguments["teacher_outputs"] == "all"
    assert kept.intermediate.arguments["bound_gb"].value == 3.0
    assert kept.student.arguments["teacher_outputs"] == "logits"
    roomier = kept.changed(teacher_outputs_gb=30.0)
    assert roomier.student.key == kept.student.key, "a bound changes no result"
    logits = kept.changed(teacher_outputs="logits")
    assert "teacher_outputs" not in logits.intermediate.arguments
    assert logits.student.arguments["teacher_outputs"] == "logits"
    live = kept.changed(teacher_dropout=True)
    for stage in (live.intermediate, live.student, kept.changed(augmented="teacher").student):
        assert "teacher_outputs" not in stage.arguments


def test_the_better_teacher_is_used(tmp_path: Path) -> None:
    one = chain(tmp_path / "store", teacher_starts=["given", "random"])
    assert list(one.teachers) == ["given", "random"]
    assert one.teachers["random"].arguments["start"].arguments["steps"] == 0
    data = tiny.task_data(rows=40)
    right = undecided(tmp_path, data)
    wrong = copy.deepcopy(right)
    wrong.classifier.weight.data.neg_()
    wrong.classifier.bias.data.neg_()
    said = training.logits_of(right, encoded(tmp_path, data, "heldout")).argmax(1)
    one.data = poisoned(replace(data, heldout=labelled(data.heldout, said)))
    one.teachers = {
        "given": brought(tmp_path / "given", one, wrong),
        "random": brought(tmp_path / "random", one, right),
    }
    assert one.chosen_teacher == "random" and one.teacher is one.teachers["random"]
    one = chain(tmp_path / "store")
    one.teachers = {"given": None}
    assert one.chosen_teacher == "given", "one alone is not built to be chosen"


def test_a_general_student_is_made_once() -> None:
    one, other = chain(student_start="general"), chain(student_start="general", task="cola", seed=3)
    assert one.start.arguments["general"].key == other.start.arguments["general"].key == one.general.key
    assert one.start.key != other.start.key, "but each seed has its own head"
    assert one.general.arguments["language_model"].key == one.language_model.key
    top = one.changed(layer_map="top")
    assert top.start.key == one.start.key and top.intermediate.key != one.intermediate.key


def test_inference_pairs_come_before_the_task_and_are_learned_once_for_all_seeds(tmp_path: Path) -> None:
    for split in ("train", "validation"):
        made = published.rows("mnli", 24)
        published.write(tmp_path / "nli" / f"{split}-00000-of-00001.parquet", made, published.features("mnli"))
    one = chain(tmp_path / "store", task="rte", nli=str(tmp_path / "nli"), nli_epochs=1)
    teacher, other = one.teacher, one.changed(seed=3).teacher
    before = teacher.arguments["start"]
    assert before.function is training.fine_tune and before.arguments["data"].task.name == "nli"
    assert other.key != teacher.key and other.arguments["start"].key == before.key
    assert before.arguments["training"].seed == 0 and other.arguments["training"].seed == 3
    assert one.logits(teacher).shape == (50, 2), "the head of three answers is replaced"
    assert one.changed(nli_epochs=0).teacher.arguments["start"].key == one.language_model.key
    assert one.intermediate.arguments["student"].key == one.control.arguments["start"].key == one.start.key
    both = one.changed(nli_intermediate_epochs=2, nli_prediction_epochs=1, teacher_outputs="all")
    begun, pairs = both.intermediate.arguments["student"], both.pairs
    assert begun.arguments["general"].key == pairs.student.key and begun.arguments["seed"] == both.recipe.seed
    copied, answered = pairs.student.arguments["student"], pairs.student
    assert copied.arguments["teacher"].key == answered.arguments["teacher"].key == before.key, "it copies that teacher"
    assert copied.arguments["data"].task.name == "nli" and "teacher_outputs" not in copied.arguments
    assert [each.arguments["training"].epochs for each in (copied, answered)] == [2, 1]
    assert both.control.arguments["start"].key == pairs.control.key, "which has learned the pairs from their labels"
    assert pairs.control.arguments["training"].epochs == 3 and pairs.control.arguments["data"].task.name == "nli"
    assert both.changed(seed=3).pairs.student.key == pairs.student.key, "once for all seeds"
    assert both.changed(student_start="embeddings").intermediate.key != both.intermediate.key
    assert both.logits(both.student).shape == both.logits(both.control).shape == (50, 2)
    with pytest.raises(InputError, match="set nli_intermediate_epochs and nli_prediction_epochs to 0"):
        Orders(replace(both.recipe, order_chains={"1 MB": ["distil"]})).check_orders()
    with pytest.raises(InputError, match="In the study of DistilBERT no student passes through inference pairs"):
        Systems(replace(both.recipe, distilbert_steps=1)).check_distilbert()
    with pytest.raises(InputError, match="In the study of ALBERT no student"):
        Systems(replace(both.recipe, albert_steps=1)).check_albert()
    for changes in ({"nli_epochs": 0}, {"nli": None}):
        with pytest.raises(
            InputError, match="nli_intermediate_epochs is for tasks whose teacher .* leave it 0 for rte"
        ):
            both.changed(**changes).teacher  # noqa: B018 - naming it checks it


def test_augmented_students_take_as_many_steps() -> None:
    one = chain(augmented="teacher", intermediate_epochs=3, augmentation_steps=2)
    rows, usual = len(one.data.train), chain(intermediate_epochs=3)
    assert one.intermediate.arguments["max_steps"] == 2 * 3 * math.ceil(rows / 16)
    assert one.student.arguments["max_steps"] == 2 * 1 * math.ceil(rows / 16)
    assert one.intermediate.arguments["variants"].key == one.variants.key == one.student.arguments["variants"].key
    assert one.candidates.arguments["language_model"].key == one.language_model.key
    # less than one pass over all rows: another order, or prediction would see the same few again
    orders = [stage.arguments.get("first_epoch", 0) for stage in (one.intermediate, one.student)]
    assert orders == [0, 6] and usual.student.arguments.get("first_epoch") is None
    gold = one.changed(augmented="gold")
    assert gold.student.arguments["first_epoch"] == 6
    assert gold.intermediate.key == one.intermediate.key, "the labels enter with the answers"
    assert gold.student.function is training.fine_tune and gold.student.arguments["variants"].key == one.variants.key
    assert one.start.key == usual.start.key and one.control_epochs == 2 * usual.control_epochs
    seeded = one.changed(seed=1)
    assert seeded.variants.key != one.variants.key and seeded.candidates.key == one.candidates.key, "found once"


def test_given_vectors_are_read_and_others_are_made(tmp_path: Path) -> None:
    file = tmp_path / "vectors.txt"
    file.write_text("good 0.1 0.2\nfine 0.1 0.3\n", encoding="utf-8")
    given = chain(augmented="teacher", word_vectors=str(file))
    assert given.vectors.nearest("good", 1) == ["fine"]
    made = chain(augmented="teacher", word_vectors_size=7)
    assert made.vectors.arguments["dimension"] == 7
    assert given.variants.key != made.variants.key


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"student_start": "general", "general_steps": 0}, "general student needs general_steps of distillation"),
        ({"compared_starts": ["general"], "general_steps": 0}, "general student needs general_steps of distillation"),
        ({"teacher_starts": ["continued"]}, "continued needs a language_model that is given"),
        ({"text": None}, "A language model that is built needs text; give text="),
        ({"student_shape": tiny.SHAPE | {"hidden_size": 32}}, "no wider than its teacher"),
        ({"student_shape": tiny.SHAPE | {"num_hidden_layers": 3}, "ablations": ["top_layers"]}, "must name 3 of"),
        (
            {
                "compared_starts": ["projected"],
                "student_shape": tiny.SHAPE | {"hidden_size": 8, "intermediate_size": 99},
            },
            "99 feed-forward neurons cannot start from layers with 32",
        ),
        (
            {"compared_starts": ["embeddings"], "student_shape": tiny.SHAPE | {"hidden_size": 32}},
            "The student is 32 wide, the teacher 16",
        ),
        (
            {"compared_starts": ["general"], "student_shape": tiny.SHAPE | {"hidden_size": 32}},
            "The student is 32 wide, the teacher 16",
        ),
    ],
)
def test_what_does_not_fit_is_said_before_any_work(tmp_path: Path, change: dict[str, object], message: str) -> None:
    one = Chain(profiles.load("mini", task="sst2", **(SMALL | change)), store=Store(tmp_path))
    one.recipe = replace(one.recipe, **change)  # None in what is given means the profile's value
    with pytest.raises(InputError, match=message):
        one.sources  # noqa: B018 - every model asks for its sources
    assert not list(tmp_path.iterdir())


def test_a_chain_with_text_stages_and_augmented_rows(tmp_path: Path) -> None:
    one = chain(
        tmp_path, student_start="general", teacher_outputs="all", augmentation_variants=2, augmentation_candidates=5
    )
    augmented = one.changed(augmented="teacher")
    for model in (one.student, augmented.student, augmented.changed(augmented="gold").student):
        assert one.logits(model).shape == (50, 2)
    made = tasks.read_variants(one.store.path(augmented.variants))
    assert 0 < len(made) <= 2 * len(one.data.train)
    built = Counter(key.rpartition("-")[0] for key in one.store.manifests())
    del built["predict"]
    assert built == {
        "pretrain": 1,
        "fine_tune": 2,
        "distil_on_text": 1,
        "start_from_general": 1,
        "distil": 4,
        "make_vectors": 1,
        "find_candidates": 1,
        "augment": 1,
    }
    curve = training.read_curve(one.store.path(augmented.intermediate))
    assert curve[-1]["step"] <= augmented.intermediate.arguments["max_steps"]


def test_the_control_differs_in_the_teacher_only() -> None:
    one = chain(intermediate_epochs=3, prediction_epochs=2)
    assert one.control.arguments["start"].key == one.start.key == one.intermediate.arguments["student"].key
    ours = one.control.arguments["training"]
    stages = [stage.arguments["training"] for stage in (one.intermediate, one.student)]
    assert ours.epochs == sum(stage.epochs for stage in stages) == 5
    for stage in stages:
        same = {"epochs": 0, "learning_rate": 0.0}
        assert replace(stage, **same) == replace(ours, **same)
    for stage in (one.intermediate, one.student):
        assert stage.arguments["data"] is one.control.arguments["data"]
        assert stage.arguments["max_length"] == one.control.arguments["max_length"]


def test_the_control_takes_as_many_steps_as_the_student() -> None:
    one = chain(intermediate_epochs=3, prediction_epochs=2, augmentation_steps=4, word_vectors=None)
    assert one.control_epochs == 5
    assert one.changed(augmented="teacher").control_epochs == 20
    assert one.changed(loss_parts=["prediction"]).control_epochs == 2
    assert one.changed(loss_parts=["hidden"]).control_epochs == 5, "labels in place of the teacher's answers"


def test_room_and_rows_are_checked_before_any_training(tmp_path: Path) -> None:
    one = chain(tmp_path / "store", ladder_steps=8)
    with pytest.raises(InputError, match="8 steps of 32 rows are to be timed, after 2 more; there are 108 rows"):
        one.check_room()
    chain(tmp_path / "store", ladder_steps=1).check_room()
    published.minilm(tmp_path / "lm")
    small = {"hidden_size": 6, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
    given = {
        "language_model": str(tmp_path / "lm"),
        "student_shape": small,
        "max_length": 32,
        "student_start": "random",
    }
    given |= {"compared_starts": [], "teacher_starts": ["given"]}
    for more in ({"teacher_outputs": "all"}, {"ladder_steps": 1}):
        with pytest.raises(RunError, match="of 108 rows take .* GB, more than teacher_outputs_gb, 1e-06"):
            chain(tmp_path / "store", teacher_outputs_gb=1e-6, **given | more).check_room()
        chain(tmp_path / "store", **given | more).check_room()
    for lines, sentence in ((["a b c"], "has 3 words, the most frequent 1 times"), (["a b"] * 4, "has 8 words")):
        short = chain(tmp_path / "store")
        short.text = tasks.Text(Dataset.from_dict({"text": lines}), "mine", "short")
        with pytest.raises(InputError, match=f"The text mine {sentence}.*takes 16 words"):
            short.check_room()
    assert not (tmp_path / "store").exists(), "nothing was built"


def test_a_language_model_without_a_part_is_not_taken_for_one_that_is_built(tmp_path: Path) -> None:
    published.minilm(tmp_path / "lm")
    one = chain(language_model=str(tmp_path / "lm"), student_start="random", compared_starts=[])
    one.__dict__["sources"] = {}  # as when teacher and student are both published
    with pytest.raises(InputError, match="has no part in this recipe: teacher and student are both published"):
        one.language_model  # noqa: B018 - naming it is what is refused


# choices are made on held-out rows


class Poisoned(tasks.TaskData):
    """A task whose validation rows may not be read."""

    def __getattribute__(self, name: str) -> object:
        if name == "validation":
            raise AssertionError("The validation rows were read.")
        return super().__getattribute__(name)


def brought(folder: Path, of: Chain, model: torch.nn.Module) -> object:
    """Return a node for a ready model."""
    tiny.saved(folder, model)
    return node(bring, source=hub.locate(str(folder)), task=of.recipe.task, head=True)


def poisoned(data: tasks.TaskData) -> Poisoned:
    parts = dict(data.__dict__)
    made = object.__new__(Poisoned)
    made.__dict__.update(parts)
    return made


def undecided(folder: Path, data: tasks.TaskData) -> BertForSequenceClassification:
    """Return a classifier that says 0 to half of the held-out rows and 1 to the others."""
    model = tiny.classifier(layers=2, spread=6, seed=4)
    lean = np.diff(training.logits_of(model, encoded(folder, data, "heldout")), axis=1)
    model.classifier.bias.data[1] -= float(np.median(lean))
    return model


def encoded(folder: Path, data: tasks.TaskData, split: str) -> Dataset:
    return tasks.encode(getattr(data, split), data.task, tiny.words(folder / "words"), max_length=48)


def labelled(rows: Dataset, labels: np.ndarray) -> Dataset:
    return rows.remove_columns("label").add_column("label", labels.tolist())


def test_the_amount_is_chosen_on_held_out_rows(tmp_path: Path) -> None:
    one = chain(tmp_path / "store")
    data = replace(tiny.task_data(rows=8), heldout=tiny.task_rows(300, seed=5))
    model = undecided(tmp_path, data)
    one.student = brought(tmp_path / "student", one, model)
    # the labels are what the model says when 0.2 of it is pruned: that amount is the best, and not the largest
    rows = encoded(tmp_path, data, "heldout")
    said = {a: training.logits_of(pruning.prune(model, a), rows).argmax(1) for a in REPORT_AMOUNTS}
    assert all((said[0.2] != said[a]).any() for a in REPORT_AMOUNTS if a != 0.2)
    one.data = poisoned(replace(data, heldout=labelled(data.heldout, said[0.2])))
    assert one.chosen_amount() == 0.2
    with pytest.raises(AssertionError, match="validation rows were read"):
        one.score(one.student)  # the poison works


def test_of_equal_amounts_the_larger_is_chosen(tmp_path: Path) -> None:
    one = chain(tmp_path / "store")
    constant = tiny.classifier()
    constant.classifier.weight.data.zero_()
    constant.classifier.bias.data = torch.tensor([0.0, 1.0])
    one.student = brought(tmp_path / "student", one, constant)
    one.data = poisoned(tiny.task_data(rows=8))
    assert one.chosen_amount() == max(REPORT_AMOUNTS)


def test_a_teacher_at_its_floor_stops_the_run(tmp_path: Path) -> None:
    one = chain(tmp_path / "store")
    data = tiny.task_data(rows=40)
    model = undecided(tmp_path, data)
    floor = copy.deepcopy(model)
    floor.classifier.weight.data.zero_()
    said = {
        split: labelled(getattr(data, split), training.logits_of(model, encoded(tmp_path, data, split)).argmax(1))
        for split in ("train", "heldout")
    }
    one.data = poisoned(replace(data, **said))
    one.teacher = brought(tmp_path / "good", one, model)
    one.check_teacher()
    one.teacher = brought(tmp_path / "floor", one, floor)
    with pytest.raises(RunError, match="sst2: the teacher's accuracy is .* does not beat the floor of .*learning rate"):
        one.check_teacher()


# whole chains


@pytest.mark.parametrize("task", ["sst2", "stsb"])
def test_a_whole_chain(tmp_path: Path, task: str) -> None:
    one = chain(tmp_path, task=task)
    metrics = scores.TASK_METRICS[task]
    outputs = tasks.TASKS[task].outputs
    for model in (one.teacher, one.control, one.intermediate, one.student):
        assert sorted(one.score(model)) == sorted(metrics)
        assert one.logits(model).shape == (50, outputs)
    assert one.logits(one.student, split="heldout").shape == (12, outputs)
    small = one.load(one.student, ("prune", 0.3), ("int8",))
    assert len(quantization.quantized_layers(small)) == 8
    stored = one.logits(one.student, ("prune", 0.3), ("int8",))
    rows = tasks.encode(
        one.data.validation, one.data.task, models.tokenizer(one.store.path(one.student)), max_length=48
    )
    assert np.array_equal(stored, training.logits_of(small, rows, on=torch.device("cpu")))
    assert one.chosen_amount() in REPORT_AMOUNTS
    recovered = models.load(one.store.path(one.recovered(0.5)))
    assert pruning.sparsity(recovered)["pool"] == pytest.approx(0.5, abs=1e-3)
    # the student has learned from its teacher: it is nearer to it than at its start
    teacher, start, student = (one.logits(model) for model in (one.teacher, one.start, one.student))
    assert np.abs(student - teacher).mean() < np.abs(start - teacher).mean()

    # every model was built once
    built = Counter(key.rpartition("-")[0] for key in one.store.manifests())
    del built["predict"]
    assert built == {"pretrain": 1, "fine_tune": 2, "start_student": 1, "distil": 2, "recover": 1}
    # and nothing is built again in another process, or under another name
    before = one.store.manifests()
    again = chain(tmp_path, task=task)
    assert np.array_equal(again.logits(again.student), student)
    assert again.store.manifests() == before
    assert not list((tmp_path / ".building").iterdir())


def test_a_built_language_model_needs_text() -> None:
    one = chain()
    one.recipe = replace(one.recipe, text=None)
    with pytest.raises(InputError, match="needs text"):
        _ = one.language_model
