"""TinyBERT's losses against a computation by hand, and the step that trains a student with them."""

import copy
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tiny
import torch
from datasets import Dataset
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from transformers import BertForSequenceClassification

from helpers import models, tasks, training
from helpers.compress import losses
from helpers.compress.distillation import distil, distil_on_text, start_from_general, start_student
from helpers.compress.losses import (
    PARTS,
    IntermediateLoss,
    LossOptions,
    PredictionLoss,
    attention_loss,
    hidden_loss,
    prediction_loss,
)
from helpers.environment import InputError
from helpers.profiles import ABLATIONS
from helpers.tasks import collate
from helpers.training import Training

MASK = torch.tensor([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1], [1, 0, 0, 0, 0]])


def normal(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


# each loss by hand


def test_attention_loss_by_hand() -> None:
    student, teacher = normal(0, 3, 2, 5, 5), normal(1, 3, 2, 5, 5)
    total, count = 0.0, 0
    for b in range(3):
        for head in range(2):
            for i in range(5):
                for j in range(5):
                    if MASK[b, i] and MASK[b, j]:
                        total += (student[b, head, i, j].item() - teacher[b, head, i, j].item()) ** 2
                        count += 1
    assert count == 2 * (9 + 25 + 1)
    assert attention_loss(student, teacher, MASK).item() == pytest.approx(total / count, rel=1e-5)
    assert attention_loss(student, student, MASK).item() == 0.0


def test_attention_loss_on_a_toy() -> None:
    student = torch.tensor([[[[1.0, 9.0], [9.0, 9.0]]]])
    assert attention_loss(student, torch.zeros(1, 1, 2, 2), torch.tensor([[1, 0]])).item() == 1.0
    assert attention_loss(student, torch.zeros(1, 1, 2, 2), torch.tensor([[1, 1]])).item() == (1 + 3 * 81) / 4


def test_hidden_loss_by_hand() -> None:
    student, teacher = normal(0, 3, 5, 4), normal(1, 3, 5, 6)
    projection = nn.Linear(4, 6, bias=False)
    weight = projection.weight.detach().double().numpy()
    error = (student.double().numpy() @ weight.T - teacher.double().numpy()) ** 2
    real = MASK.numpy().astype(bool)
    loss = hidden_loss(student, teacher, projection, MASK)
    assert loss.item() == pytest.approx(error[real].mean(), rel=1e-5)
    assert hidden_loss(student, projection(student), projection, MASK).item() == 0.0


@pytest.mark.parametrize("in_cache", [1, 100, 2**18])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_losses_gradients_are_the_formula_s(
    monkeypatch: pytest.MonkeyPatch, dtype: torch.dtype, in_cache: int
) -> None:
    monkeypatch.setattr(losses, "IN_CACHE", in_cache)
    pairs = (MASK[:, None, :, None] * MASK[:, None, None, :]).float()
    student, teacher = normal(0, 3, 2, 5, 5).to(dtype).requires_grad_(), normal(1, 3, 2, 5, 5).half()
    loss = attention_loss(student, teacher, MASK)
    assert loss.dtype == torch.float32
    expected = ((student.float() - teacher.float()).square() * pairs).sum() / (2 * pairs.sum())
    assert loss.item() == pytest.approx(expected.item(), rel=1e-6)
    (formula,) = torch.autograd.grad(3 * expected, student)
    for _ in range(2):  # a second way back finds what the first found
        (found,) = torch.autograd.grad(3 * loss, student, retain_graph=True)
        assert found.dtype == dtype
        assert torch.allclose(found.float(), formula.float(), rtol=1e-6 if dtype == torch.float32 else 0.02)


def test_gradients_reach_states_and_projection_of_real_tokens_only() -> None:
    student, teacher = normal(0, 3, 5, 4).requires_grad_(), normal(1, 3, 5, 6)
    projection = nn.Linear(4, 6, bias=False)
    wanted = (student, projection.weight)
    found = torch.autograd.grad(hidden_loss(student, teacher, projection, MASK), wanted)
    formula = torch.autograd.grad((projection(student) - teacher)[MASK.bool()].square().mean(), wanted)
    for ours, theirs in zip(found, formula, strict=True):
        assert torch.allclose(ours, theirs, rtol=1e-5, atol=1e-7)
    assert (found[0][~MASK.bool()] == 0).all()


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_prediction_loss_by_hand(temperature: float) -> None:
    student, teacher = normal(0, 7, 3) * 3, normal(1, 7, 3) * 3

    def softmax(logits: torch.Tensor) -> np.ndarray:
        values = np.exp(logits.double().numpy() / temperature)
        return values / values.sum(1, keepdims=True)

    by_hand = -(softmax(teacher) * np.log(softmax(student))).sum(1).mean()
    loss = prediction_loss(student, teacher, temperature=temperature)
    assert loss.item() == pytest.approx(by_hand, rel=1e-5)
    # it is least, and equal to the teacher's entropy, where the two agree
    entropy = -(softmax(teacher) * np.log(softmax(teacher))).sum(1).mean()
    assert prediction_loss(teacher, teacher, temperature=temperature).item() == pytest.approx(entropy, rel=1e-5)
    assert loss.item() > entropy


def test_prediction_loss_of_scores_is_squared_error() -> None:
    student, teacher = torch.tensor([[1.0], [2.0], [5.0]]), torch.tensor([[0.0], [2.0], [2.0]])
    assert prediction_loss(student, teacher).item() == pytest.approx((1 + 0 + 9) / 3)
    # a temperature has no meaning for a score
    assert prediction_loss(student, teacher, temperature=4.0).item() == pytest.approx(10 / 3)


@given(
    seed=st.integers(0, 2**31), scale=st.floats(-1e4, 1e4), lengths=st.lists(st.integers(1, 6), min_size=1, max_size=4)
)
@settings(max_examples=50, deadline=None)
def test_padding_never_counts(seed: int, scale: float, lengths: list[int]) -> None:
    size = len(lengths)
    mask = torch.tensor([[int(t < length) for t in range(6)] for length in lengths])
    projection = nn.Linear(3, 4, bias=False)
    scores = [normal(seed + k, size, 2, 6, 6) for k in range(2)]
    hidden = [normal(seed + 2, size, 6, 3), normal(seed + 3, size, 6, 4)]
    before = attention_loss(*scores, mask), hidden_loss(*hidden, projection, mask)
    pair = (mask[:, None, :, None] * mask[:, None, None, :]).bool()
    for k in range(2):
        scores[k] = torch.where(pair, scores[k], scale * normal(seed + 4 + k, *scores[k].shape))
        hidden[k] = torch.where(mask[:, :, None].bool(), hidden[k], scale * normal(seed + 6 + k, *hidden[k].shape))
    assert attention_loss(*scores, mask).item() == before[0].item()
    assert hidden_loss(*hidden, projection, mask).item() == before[1].item()
    # and a longer padding is no smaller loss
    wider = nn.functional.pad
    assert hidden_loss(
        *(wider(h, (0, 0, 0, 3)) for h in hidden), projection, wider(mask, (0, 3))
    ).item() == pytest.approx(before[1].item(), rel=1e-5)
    assert attention_loss(*(wider(s, (0, 3, 0, 3)) for s in scores), wider(mask, (0, 3))).item() == pytest.approx(
        before[0].item(), rel=1e-5
    )


def test_heads_must_be_as_many() -> None:
    with pytest.raises(InputError, match="the student has 2, the teacher 3"):
        attention_loss(torch.zeros(1, 2, 4, 4), torch.zeros(1, 3, 4, 4), torch.ones(1, 4))


# the two modules


def batch(rows: int = 6, *, regression: bool = False) -> dict[str, torch.Tensor]:
    return collate(list(tiny.tokens(rows, regression=regression)))


def test_intermediate_loss_of_a_copy_is_zero() -> None:
    teacher = tiny.classifier(layers=3, spread=4)
    module = IntermediateLoss(copy.deepcopy(teacher), teacher, [1, 2, 3], seed=0).eval()
    with torch.no_grad():
        for projection in module.projections:
            projection.weight.copy_(torch.eye(16))
        same = module(**batch())
        assert {name: loss.item() for name, loss in same.items()} == {"embedding": 0.0, "hidden": 0.0, "attention": 0.0}
        # whichever part of the student changes, the loss that looks at it sees it
        module.student.bert.encoder.layer[2].output.dense.weight.mul_(1.5)
        changed = module(**batch())
        assert changed["embedding"].item() == changed["attention"].item() == 0.0
        assert changed["hidden"].item() > 1e-6
        module.student.bert.encoder.layer[2].attention.self.key.weight.mul_(1.5)
        assert module(**batch())["attention"].item() > 1e-6
        module.student.bert.embeddings.word_embeddings.weight.mul_(1.5)
        assert module(**batch())["embedding"].item() > 1e-6


def test_intermediate_loss_compares_the_layers_of_its_map() -> None:
    teacher, student = tiny.classifier(layers=4, spread=4), tiny.classifier(layers=2, width=8, spread=4, seed=1)
    data = batch()
    module = IntermediateLoss(student, teacher, [2, 4], seed=0).eval()
    with torch.no_grad():
        losses = module(**data)
        inputs = {name: data[name] for name in data if name != "labels"}
        theirs = teacher(**inputs, output_hidden_states=True, output_attentions=True)
        ours = student(**inputs, output_hidden_states=True, output_attentions=True)
        mask = data["attention_mask"]

        def states(m: int, g: int) -> float:
            error = (module.projections[m](ours.hidden_states[m]) - theirs.hidden_states[g]).double() ** 2
            return error[mask.bool()].mean().item()

        def attention(m: int, g: int) -> float:
            scores = []
            for model, layer, attended in ((student, m, ours), (teacher, g, theirs)):
                # scores by hand, from the states that go into the layer: Q K^T / sqrt(d)
                own, entering = model.bert.encoder.layer[layer - 1].attention.self, attended.hidden_states[layer - 1]
                query, key = (
                    part(entering).unflatten(-1, (2, -1)).transpose(1, 2).double() for part in (own.query, own.key)
                )
                scores.append(query @ key.transpose(2, 3) / query.shape[-1] ** 0.5)
            pair = (mask[:, None, :, None] * mask[:, None, None, :]).bool().expand_as(scores[0])
            return ((scores[0] - scores[1]) ** 2)[pair].mean().item()

    assert losses["embedding"].item() == pytest.approx(states(0, 0), rel=1e-4)
    assert losses["hidden"].item() == pytest.approx(states(1, 2) + states(2, 4), rel=1e-4)
    assert losses["attention"].item() == pytest.approx(attention(1, 2) + attention(2, 4), rel=1e-4)
    # nothing is compared for nothing: each loss is well above zero between models that differ
    assert min(loss.item() for loss in losses.values()) > 1e-3
    other = IntermediateLoss(student, teacher, [1, 2], seed=0).eval()
    with torch.no_grad():
        assert other(**data)["attention"].item() != pytest.approx(losses["attention"].item(), rel=1e-3)


def test_intermediate_loss_refuses_to_compare_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    # the trap: with default attention there are no maps, and a loss over zip() would be a silent 0
    monkeypatch.setattr(models, "expose_scores", lambda model: model)
    module = IntermediateLoss(tiny.classifier(layers=2), tiny.classifier(layers=2, seed=1), [1, 2], seed=0)
    with pytest.raises(RuntimeError, match="no attention scores"):
        module(**batch())


def test_prediction_loss_of_models() -> None:
    teacher, student = tiny.classifier(spread=5, outputs=3), tiny.classifier(spread=5, outputs=3, seed=1)
    data = batch()
    module = PredictionLoss(student, teacher, temperature=2.0).eval()
    with torch.no_grad():
        inputs = {name: data[name] for name in data if name != "labels"}
        ours, theirs = student(**inputs).logits, teacher(**inputs).logits
        expected = prediction_loss(ours, theirs, temperature=2.0)
        assert module(**data)["prediction"].item() == expected.item()


@pytest.mark.parametrize("stage", ["intermediate", "prediction"])
def test_the_teacher_is_frozen_and_the_labels_do_not_count(tmp_path: Path, stage: str) -> None:
    teacher, student = tiny.classifier(layers=2, dropout=0.3), tiny.classifier(layers=1, width=8, dropout=0.3, seed=1)
    before = {name: value.clone() for name, value in teacher.state_dict().items()}
    if stage == "intermediate":
        module = IntermediateLoss(student, teacher, [2], seed=0)
    else:
        module = PredictionLoss(student, teacher, temperature=1.0)
    projections = {n: p.detach().clone() for n, p in module.named_parameters() if n.startswith("projections")}
    assert len(projections) == (2 if stage == "intermediate" else 0)
    module.train()
    assert student.training
    assert not any(part.training for part in teacher.modules())
    names = set(module.state_dict())
    assert names == {f"student.{name}" for name in student.state_dict()} | set(projections)
    assert not {id(p) for p in module.parameters()} & {id(p) for p in teacher.parameters()}
    settings = Training(epochs=2, learning_rate=1e-3, batch_size=8)
    training.fit(module, tiny.tokens(32), loss=training.sum_of_parts, training=settings, folder=tmp_path)
    assert all(p.grad is None and not p.requires_grad for p in teacher.parameters())
    assert not any(part.training for part in teacher.modules())
    assert all(torch.equal(value, before[name]) for name, value in teacher.state_dict().items())
    for name, parameter in module.named_parameters():
        if name in projections:
            assert (parameter - projections[name]).abs().max() > 1e-4, name


# the switches


def test_the_paper_s_options_are_the_default_and_the_authors_code_differs_in_each() -> None:
    usual, theirs = vars(LossOptions()), ABLATIONS["authors_code"]
    assert {name for name in usual if usual[name] != theirs.get(name, usual[name])} == {
        *("shared_projection", "padding_counts", "mean_over_classes", "gold_scores", "teacher_dropout"),
    }
    with pytest.raises(InputError, match="one or more of the parts embedding, hidden, attention, not"):
        LossOptions(parts=("embeddings",))
    with pytest.raises(InputError, match="one or more of the parts"):
        LossOptions(parts=())


def intermediate(**options: object) -> IntermediateLoss:
    teacher, student = tiny.classifier(layers=4, spread=4), tiny.classifier(layers=2, width=8, spread=4, seed=1)
    return IntermediateLoss(student, teacher, [2, 4], seed=0, options=LossOptions(**options)).eval()


@pytest.mark.parametrize("left_out", PARTS)
def test_a_part_may_be_left_out(left_out: str) -> None:
    with torch.no_grad():
        whole, rest = intermediate()(**batch()), intermediate(parts=[p for p in PARTS if p != left_out])(**batch())
    assert rest == {part: value for part, value in whole.items() if part != left_out}


def test_one_projection_may_serve_all_layers() -> None:
    module = intermediate(shared_projection=True)
    assert len(module.projections) == 1
    own = intermediate()
    with torch.no_grad():
        for projection in own.projections:
            projection.weight.copy_(module.projections[0].weight)
        assert module(**batch()) == own(**batch())


def test_padding_may_count_as_it_does_in_the_authors_code() -> None:
    data = batch(4)
    assert (data["attention_mask"] == 0).any()
    module = intermediate(padding_counts="authors")
    with torch.no_grad():
        found = module(**data)
        inputs = {name: data[name] for name in tasks.FIELDS}
        ours = module.student(**inputs, output_hidden_states=True, output_attentions=True)
        theirs = module.teacher.model(**inputs, output_hidden_states=True, output_attentions=True)
        states = list(zip(ours.hidden_states, (theirs.hidden_states[i] for i in (0, 2, 4)), strict=True))
        errors = [(p(a) - b).square().mean() for (a, b), p in zip(states, module.projections, strict=True)]
        # their scores of padded tokens lie below -100 and are set to 0 on both sides; the mean is over all of them
        padded = (1 - data["attention_mask"])[:, None, None, :] * -10000.0
        attention = 0.0
        for a, b in zip(ours.attentions, (theirs.attentions[i] for i in (1, 3)), strict=True):
            a, b = (torch.where(scores + padded <= -1e2, 0.0, scores + padded) for scores in (a, b))
            attention += nn.functional.mse_loss(a, b)
    expected = {"embedding": errors[0], "hidden": errors[1] + errors[2], "attention": attention}
    plain = intermediate()(**data)
    for part, value in expected.items():
        assert found[part].item() == pytest.approx(value.item(), rel=1e-5), part
        assert found[part].item() != pytest.approx(plain[part].item(), rel=1e-3), part


def test_the_prediction_loss_has_switches() -> None:
    student, teacher = normal(0, 7, 3), normal(1, 7, 3)
    plain = prediction_loss(student, teacher, temperature=3.0).item()
    squared = prediction_loss(student, teacher, temperature=3.0, options=LossOptions(temperature_squared=True)).item()
    averaged = prediction_loss(student, teacher, temperature=3.0, options=LossOptions(mean_over_classes=True)).item()
    assert squared == pytest.approx(9 * plain) and averaged == pytest.approx(plain / 3)


def test_scores_may_be_learned_from_the_labels() -> None:
    teacher, student = tiny.classifier(spread=5, outputs=1), tiny.classifier(spread=5, outputs=1, seed=1)
    data = batch(regression=True)
    module = PredictionLoss(student, teacher, temperature=1.0, options=LossOptions(gold_scores=True)).eval()
    with torch.no_grad():
        ours = student(**{name: data[name] for name in tasks.FIELDS}).logits.squeeze(-1)
        assert module(**data)["prediction"].item() == pytest.approx(((ours - data["labels"]) ** 2).mean().item())
    # a class is still learned from the teacher
    classes = [
        PredictionLoss(tiny.classifier(seed=1), tiny.classifier(), temperature=1.0, options=o).eval()
        for o in (LossOptions(), LossOptions(gold_scores=True))
    ]
    with torch.no_grad():
        assert classes[0](**batch())["prediction"] == classes[1](**batch())["prediction"]


def test_the_teacher_may_keep_its_dropout() -> None:
    teacher = tiny.classifier(layers=2, dropout=0.5, spread=4)
    module = IntermediateLoss(
        tiny.classifier(layers=1, width=8), teacher, [2], seed=0, options=LossOptions(teacher_dropout=True)
    ).eval()
    with torch.no_grad():
        said = [module(**batch())["hidden"].item() for _ in range(2)]
    assert said[0] != said[1]
    assert not any(p.requires_grad for p in teacher.parameters())


def test_outputs_that_change_are_not_stored(tmp_path: Path, folders: tuple[Path, Path]) -> None:
    for options in (LossOptions(teacher_dropout=True), LossOptions(padding_counts="authors")):
        with pytest.raises(InputError, match="the teacher is asked anew: set teacher_outputs to off"):
            run(
                tmp_path / f"dropout {options.teacher_dropout}",
                folders,
                stage="intermediate",
                teacher_outputs="all",
                options=options,
            )
    made = run(
        tmp_path / "made", folders, stage="intermediate", epochs=1, options=LossOptions(**ABLATIONS["authors_code"])
    )
    assert made.config.num_hidden_layers == 1


# the steps


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    teacher = tiny.saved(tmp_path / "teacher", tiny.classifier(layers=2, spread=6, dropout=0.1))
    student = tiny.saved(tmp_path / "student", tiny.classifier(layers=1, width=8, seed=1, dropout=0.1))
    return teacher, student


def run(
    folder: Path, folders: tuple[Path, Path], *, epochs: int = 6, **changes: object
) -> BertForSequenceClassification:
    folder.mkdir()
    teacher, student = folders
    arguments = {"teacher": teacher, "student": student, "data": tiny.task_data(), "max_length": 16}
    arguments["training"] = Training(epochs=epochs, learning_rate=1e-2, batch_size=16)
    distil(folder, **(arguments | changes))
    return models.load(folder)


@pytest.mark.parametrize("stage", ["intermediate", "prediction"])
def test_distil_teaches_without_labels(tmp_path: Path, folders: tuple[Path, Path], stage: str) -> None:
    made = run(tmp_path / "made", folders, stage=stage)
    curve = training.read_curve(tmp_path / "made")
    parts = ["attention", "embedding", "hidden"] if stage == "intermediate" else ["prediction"]
    assert sorted(curve[0]) == sorted(["loss", "step", *parts])
    for part in parts:
        first, last = (sum(entry[part] for entry in some) for some in (curve[:4], curve[-4:]))
        assert 0 < last < first, part
    assert [entry["loss"] for entry in curve] == pytest.approx([sum(e[p] for p in parts) for e in curve], abs=1e-3)
    # other labels, same student, to the bit
    data = tiny.task_data()
    turned = data.train.map(lambda row: {"label": 1 - row["label"]})
    assert turned["label"] != data.train["label"]
    again = run(tmp_path / "again", folders, stage=stage, data=replace(data, train=turned))
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in made.state_dict().items())
    # while another seed would show
    other = Training(epochs=6, learning_rate=1e-2, batch_size=16, seed=1)
    seeded = run(tmp_path / "seeded", folders, stage=stage, training=other)
    assert any(not torch.equal(value, seeded.state_dict()[name]) for name, value in made.state_dict().items())


def test_distil_may_drop_incomplete_batches(tmp_path: Path, folders: tuple[Path, Path]) -> None:
    settings = Training(epochs=1, learning_rate=1e-2, batch_size=21)
    whole, rest = divmod(len(tiny.task_data().train), 21)
    assert rest
    for dropped in (False, True):
        run(tmp_path / str(dropped), folders, stage="prediction", training=settings, drop_incomplete=dropped)
        assert training.read_curve(tmp_path / str(dropped))[-1]["step"] == (whole if dropped else whole + 1)


@pytest.mark.parametrize("stage", ["intermediate", "prediction"])
def test_distil_learns_the_same_from_stored_outputs(tmp_path: Path, folders: tuple[Path, Path], stage: str) -> None:
    asked = run(tmp_path / "asked", folders, stage=stage, epochs=2)
    read = run(tmp_path / "read", folders, stage=stage, epochs=2, teacher_outputs="all")
    curves = [training.read_curve(tmp_path / name) for name in ("asked", "read")]
    assert [e["loss"] for e in curves[0]] == pytest.approx([e["loss"] for e in curves[1]], rel=2e-3)
    for name, value in asked.state_dict().items():
        assert torch.allclose(value, read.state_dict()[name], atol=5e-3), name


def test_distil_writes_a_model_that_transformers_loads(tmp_path: Path, folders: tuple[Path, Path]) -> None:
    made = run(tmp_path / "made", folders, stage="intermediate", epochs=1)
    loaded, report = BertForSequenceClassification.from_pretrained(tmp_path / "made", output_loading_info=True)
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]
    data = {name: value for name, value in batch().items() if name != "labels"}
    with torch.no_grad():
        assert torch.allclose(loaded.eval()(**data).logits, made(**data).logits, atol=1e-6)
    assert "scores" not in json.loads((tmp_path / "made" / "config.json").read_text()).values()


def test_distil_of_scores_follows_the_teacher(tmp_path: Path) -> None:
    teacher = tiny.saved(tmp_path / "teacher", tiny.classifier(layers=2, outputs=1, spread=8))
    student = tiny.saved(tmp_path / "student", tiny.classifier(layers=1, width=8, outputs=1, seed=1))
    made = run(tmp_path / "made", (teacher, student), stage="prediction", data=tiny.task_data(task="stsb"), epochs=12)
    rows = tiny.tokens(40, regression=True)
    theirs = training.logits_of(models.load(teacher), rows)
    before, after = (np.abs(training.logits_of(model, rows) - theirs).mean() for model in (models.load(student), made))
    assert after < 0.8 * before


def test_distil_refuses_another_vocabulary(tmp_path: Path, folders: tuple[Path, Path]) -> None:
    teacher, student = folders
    other = list(tiny.VOCABULARY)
    other[10], other[11] = other[11], other[10]
    for file in student.glob("*token*"):
        file.unlink()
    (student / "vocab.txt").write_text("\n".join(other) + "\n")
    with pytest.raises(InputError, match="different vocabularies"):
        run(tmp_path / "made", (teacher, student), stage="prediction")


def test_distil_refuses_a_layer_map_that_does_not_fit(tmp_path: Path, folders: tuple[Path, Path]) -> None:
    with pytest.raises(InputError, match="layer_map"):
        run(tmp_path / "made", folders, stage="intermediate", layers=[3])


@pytest.mark.parametrize("start", ["random", "embeddings"])
def test_a_student_starts_from_its_seed(tmp_path: Path, folders: tuple[Path, Path], start: str) -> None:
    shape = {"hidden_size": 8, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 12}
    made = {}
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        (tmp_path / name).mkdir()
        start_student(tmp_path / name, start=start, language_model=folders[0], shape=shape, task="stsb", seed=seed)
        made[name] = models.load(tmp_path / name).state_dict()
    assert all(torch.equal(value, made["b"][name]) for name, value in made["a"].items())
    assert not torch.equal(made["a"]["classifier.weight"], made["c"]["classifier.weight"])
    assert made["a"]["classifier.weight"].shape == (1, 8)
    assert made["a"]["bert.embeddings.word_embeddings.weight"].shape == (len(tiny.VOCABULARY), 8)
    words = [made[name]["bert.embeddings.word_embeddings.weight"] for name in "ac"]
    assert torch.equal(*words) == (start == "embeddings")


def test_a_student_cannot_start_from_an_unknown_word(tmp_path: Path, folders: tuple[Path, Path]) -> None:
    shape = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 12}
    with pytest.raises(InputError, match="'nothing'"):
        start_student(tmp_path, start="nothing", language_model=folders[0], shape=shape, task="rte", seed=0)


def test_a_general_student_learns_from_text_alone(tmp_path: Path) -> None:
    teacher = tiny.saved(tmp_path / "teacher", tiny.classifier(layers=2, spread=6, dropout=0.1).bert)
    lines = tiny.task_rows(120)["sentence"]
    arguments = {
        "language_model": teacher,
        "start": "embeddings",
        "shape": {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 12},
        "text": tasks.Text(Dataset.from_dict({"text": lines}), "generated", "lines"),
        "training": Training(epochs=1, learning_rate=1e-2, batch_size=8),
        "length": 10,
        "steps": 48,
    }
    for name in ("made", "again"):
        (tmp_path / name).mkdir()
        distil_on_text(tmp_path / name, **arguments)
    curve = training.read_curve(tmp_path / "made")
    assert sorted(curve[0]) == ["attention", "embedding", "hidden", "loss", "step"], "no answers: a text has none"
    for part in ("attention", "hidden"):
        first, last = (sum(entry[part] for entry in some) for some in (curve[:4], curve[-4:]))
        assert 0 < last < 0.9 * first, part
    encoders = [models.read(tmp_path / name).tensors for name in ("made", "again")]
    assert all(torch.equal(value, encoders[1][name]) for name, value in encoders[0].items())
    # a task's student is this encoder with a new head, which depends on the seed
    heads = []
    for seed in (0, 1):
        (tmp_path / f"start{seed}").mkdir()
        start_from_general(tmp_path / f"start{seed}", general=tmp_path / "made", task="stsb", seed=seed)
        start = models.load(tmp_path / f"start{seed}").state_dict()
        assert all(torch.equal(start[name], value) for name, value in encoders[0].items())
        heads.append(start["classifier.weight"])
    assert heads[0].shape == (1, 8) and not torch.equal(*heads)
