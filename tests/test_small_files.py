"""The ladder of files: what each rung is made of, what is shared, what is refused; training that expects rounding."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tiny
import torch
from torch.func import functional_call
from transformers import BertForMaskedLM

from helpers import models, profiles, storage, tasks
from helpers.artifacts import Store
from helpers.compress import distillation, pruning, quantization, steps
from helpers.compress.small_files import SmallFiles
from helpers.environment import InputError
from helpers.labels import ARMS
from helpers.storage import Coding
from helpers.training import Training, logits_of, read_curve

pytestmark = pytest.mark.usefixtures("few_rows")
SMALL = tiny.RECIPE | {"pretraining_steps": 12, "pretraining_batch_size": 16, "storage_group": 4}


def chain(folder: Path | None = None, *, task: str = "sst2", **changes: object) -> SmallFiles:
    recipe = profiles.load("mini", task=task, **(SMALL | changes))
    return SmallFiles(recipe, store=Store(folder) if folder else None)


def test_every_rung_is_a_file_that_gives_its_score_and_is_smaller(tmp_path: Path) -> None:
    one = chain(tmp_path / "store")
    sizes = {}
    rows = {"input_ids": torch.tensor([[2, 7, 9, 3]])}
    for rung in one.rungs():
        model = one.load(rung.model, *rung.steps)
        tokenizer = models.tokenizer(one.store.path(rung.model))
        path = tmp_path / rung.arm
        sizes[rung.arm] = storage.save(model, path, tokenizer=tokenizer, layouts=rung.layouts)
        with torch.no_grad():
            assert torch.equal(storage.load(path)(**rows).logits, model(**rows).logits)
        assert one.score(rung.model, *rung.steps).keys() == {"accuracy"}
        assert rung.arm in ARMS
        parts = storage.breakdown(model, layouts=rung.layouts)
        assert parts["total"] < storage.breakdown(one.load(one.student))["total"] or rung.arm == "stored_float32"
    assert sizes["stored_float32"] > sizes["stored_bf16"] > sizes["stored_int4"]
    assert sizes["stored_int4"] >= sizes["stored_int4_entropy"]
    assert sizes["stored_vocabulary"] >= sizes["stored_task_words"]


def test_what_is_made_from_text_is_made_once() -> None:
    one, other = chain(), chain(task="cola", seed=2)
    assert one.counts.key == other.counts.key
    assert one.with_fewer_pieces(one.student).key != one.with_fewer_pieces(one.student, of="task").key
    assert chain(storage_min_count=3).counts.key == one.counts.key
    assert [rung.arm for rung in chain(storage_epochs=0).rungs()] == [rung.arm for rung in one.rungs()][:-3]


def test_training_for_rounding_helps_and_keeps_zeros(tmp_path: Path) -> None:
    teacher = tiny.saved(tmp_path / "teacher", tiny.classifier(spread=12, dropout=0.0))
    data, whole = tiny.task_data(rows=256), models.load(teacher)
    rows = tasks.encode(data.validation, data.task, models.tokenizer(teacher), max_length=16)
    training = Training(epochs=4, learning_rate=1e-3, batch_size=16)

    def away(model: torch.nn.Module) -> float:
        return np.abs(logits_of(model, rows) - logits_of(whole, rows)).mean()

    for amount in (0.0, 0.5):
        start, made = tmp_path / f"start {amount}", tmp_path / f"made {amount}"
        start.mkdir(), made.mkdir()
        pruning.zero(start, model=teacher, amount=amount, of="pool")
        distillation.distil(
            made,
            teacher=teacher,
            student=start,
            data=data,
            stage="prediction",
            training=training,
            max_length=16,
            hold_zeros="pool",
            rounding=Coding("int4"),
        )
        before, after = models.load(start), models.load(made)
        assert away(quantization.rounded(after, "int4")) < 0.8 * away(quantization.rounded(before, "int4"))
        for name, mask in pruning.masks(before).items():
            assert (after.get_parameter(name)[~mask] == 0).all()
        assert not torch.equal(after.classifier.weight, quantization.rounded(after, "int4").classifier.weight)


def test_states_are_copied_with_weights_rounded_and_zeros_held(tmp_path: Path) -> None:
    data, teacher = tiny.task_data(rows=128), tiny.saved(tmp_path / "teacher", tiny.classifier(seed=1, spread=3))
    settings = {"teacher": teacher, "data": data, "stage": "intermediate", "max_length": 16}
    settings |= {"training": Training(epochs=6, learning_rate=2e-3, batch_size=16)}
    start, plain, held_only, made = (tmp_path / name for name in ("start", "plain", "held", "made"))
    for folder in (start, plain, held_only, made):
        folder.mkdir()
    words = models.tokenizer(teacher)
    models.save(pruning.prune(tiny.classifier(spread=2), 0.5, of="matrices"), words, start)
    distillation.distil(plain, student=start, **settings)
    distillation.distil(held_only, student=start, hold_zeros="matrices", **settings)
    distillation.distil(made, student=start, hold_zeros="matrices", rounding=Coding("int4"), **settings)
    curves = [read_curve(folder) for folder in (held_only, made)]
    assert curves[1][-1]["loss"] < 0.9 * curves[1][0]["loss"] and curves[1][0] != curves[0][0], "it is asked rounded"
    held = pruning.masks(models.load(start), of="matrices")
    after = models.load(made)
    assert all((after.get_parameter(name)[~mask] == 0).all() for name, mask in held.items())
    assert any((models.load(plain).get_parameter(name)[~mask] != 0).any() for name, mask in held.items())


def test_the_last_rungs_are_trained_as_the_student_is() -> None:
    one = chain(temperature=2.0, gold_scores=True)
    longer, aware = one.recovered_in_bits(rounded=False), one.recovered_in_bits()
    pruned = one.recovered_in_bits(0.3)
    assert aware.arguments["options"] == one.student.arguments["options"] and aware.arguments["temperature"] == 2.0
    assert {**aware.arguments, "rounding": None} == {**longer.arguments, "rounding": None}
    assert aware.arguments["rounding"] == Coding("int4", one.recipe.storage_group)
    assert pruned.arguments["hold_zeros"] == "pool" and pruned.arguments["student"].arguments["of"] == "pool"
    with pytest.raises(InputError, match="set storage_epochs to 0"):
        chain(loss_parts=["hidden"]).check_storage()
    chain(loss_parts=["hidden"], storage_epochs=0).check_storage()


def test_a_rounded_model_is_asked_with_rounded_weights_and_trains_the_others() -> None:
    model = tiny.classifier(spread=3, dropout=0.0)
    asked = quantization.Rounded(model, Coding("int4", 4))
    rows = {"input_ids": torch.tensor([[2, 7, 9, 3]]), "labels": torch.tensor([1])}
    expected = quantization.rounded(model, "int4", 4)
    before = model.classifier.weight.detach().clone()
    out = asked(**rows)
    assert torch.equal(out.logits, expected(**rows).logits)
    out.loss.backward()
    expected(**rows).loss.backward()
    for name, parameter in model.named_parameters():
        assert torch.allclose(parameter.grad, expected.get_parameter(name).grad, atol=1e-7), name
    assert torch.equal(model.classifier.weight, before)


@pytest.mark.parametrize("coding", [Coding("int4", 3), Coding("int8"), Coding("float8"), Coding("bf16")])
@pytest.mark.parametrize("head", ["classifier", "words"])
def test_rounding_the_rows_that_are_asked_for_is_rounding_them_all(coding: Coding, head: str) -> None:
    model = tiny.classifier(spread=3, dropout=0.0)
    if head == "words":  # its last layer is the table of words: that is rounded whole
        model = BertForMaskedLM(model.config).eval()
    rows = {"input_ids": torch.tensor([[2, 7, 9, 7, 3, 0], [2, 5, 3, 0, 0, 0]])}
    rows["attention_mask"] = (rows["input_ids"] != 0).long()
    rows["labels"] = rows["input_ids"] if head == "words" else torch.tensor([1, 0])
    names = quantization.codings(model, coding)
    whole = {name: quantization.straight_through(model.get_parameter(name), of) for name, of in names.items()}
    asked = quantization.Rounded(model, coding)
    assert len(asked.tables) == (2 if head == "words" else 3)
    outcomes = []
    for out in (functional_call(model, whole, kwargs=rows), asked(**rows)):
        model.zero_grad()
        out.loss.backward()
        grads = {
            name: parameter.grad.clone() for name, parameter in model.named_parameters() if parameter.grad is not None
        }
        outcomes.append((out.logits, grads))
    (logits, grads), (others, theirs) = outcomes
    assert torch.equal(logits, others) and grads.keys() == theirs.keys()
    assert all(torch.equal(grads[name], theirs[name]) for name in grads)
    assert not any(module._forward_hooks for module in model.modules()), "nothing stays at the model"


def test_the_slope_of_rounding_is_one() -> None:
    weight = torch.tensor([[0.3, -1.0, 0.05]], requires_grad=True)
    rounded = quantization.straight_through(weight, Coding("int4"))
    rounded.backward(torch.tensor([[1.0, 2.0, 3.0]]))
    assert weight.grad.tolist() == [[1.0, 2.0, 3.0]]
    assert not torch.equal(rounded, weight)


def test_quick_steps_round(tmp_path: Path) -> None:
    model = tiny.classifier(spread=3)
    embeddings = steps.apply(model, [("round_embeddings", "int8")])
    assert all("embeddings" in name for name in storage.codes_of(embeddings))
    assert torch.equal(embeddings.classifier.weight, model.classifier.weight)
    everything = storage.codes_of(steps.apply(model, [("round", "bf16")]))
    assert everything.keys() == dict(model.named_parameters()).keys()
    both = steps.apply(model, [("round_embeddings", "int8"), ("int8",)])
    assert storage.codes_of(both) and quantization.quantized_layers(both)
    with pytest.raises(InputError, match="round the embeddings alone"):
        steps.apply(model, [("round", "int4"), ("int8",)])
    with pytest.raises(InputError, match="embeddings or all, not 'head'"):
        quantization.rounded(model, "int4", of="head")
    pruned = steps.apply(model, [("prune", 0.5), ("round", "int4", 4)])
    zeros = np.mean([float((module.weight == 0).float().mean()) for _, module in pruning.pool(pruned)])
    assert zeros >= 0.4


@pytest.mark.parametrize(("kind", "group"), [("int4", 4), ("int8", 0), ("float8", 3), ("bf16", 0)])
def test_of_rounded_weights_the_smallest_are_pruned_and_the_others_keep_their_values(
    kind: str, group: int, tmp_path: Path
) -> None:
    model = tiny.classifier(spread=3)
    rounded = steps.apply(model, [("round", kind, group)])
    pruned = steps.apply(model, [("round", kind, group), ("prune", 0.5, "matrices")])
    before, after, gone = [], [], []
    for name in quantization.codings(model, storage.Coding("int8")):
        old, new = rounded.get_parameter(name), pruned.get_parameter(name)
        before.append(old.flatten())
        after.append(new.flatten())
        gone.append((new == 0).flatten())
    old, new, zero = torch.cat(before), torch.cat(after), torch.cat(gone)
    assert torch.equal(new[~zero], old[~zero]) and float(zero.float().mean()) == pytest.approx(0.5, abs=0.01)
    assert old[zero].abs().max() <= old[~zero].abs().min()
    storage.save(pruned, tmp_path / "model", layouts=("dense", "bitmask"))
    row = torch.tensor([[2, 7, 9, 3]])
    assert torch.equal(storage.load(tmp_path / "model")(row).logits, pruned(row).logits)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"storage_group": -1}, "storage_group must be a number of at least 0"),
        ({"storage_amount": 0.0}, "above 0 and below 1, not 0"),
        ({"storage_amount": 1.5}, "above 0 and below 1, not 1.5"),
        ({"storage_min_count": 0}, "kept, 1 or more, not 0"),
        ({"storage_epochs": -1}, "storage_epochs must be a number of at least 0"),
    ],
)
def test_settings_that_cannot_be_are_refused_before_any_training(changes: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        chain(**changes).check_storage()
