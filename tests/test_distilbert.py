"""DistilBERT: its losses by hand, which layers a student takes, and what it learns on text and on a task."""

from __future__ import annotations

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
from transformers import BertForMaskedLM, BertTokenizer

from helpers import models, tasks, training
from helpers.compress import distilbert
from helpers.compress.distilbert import TripleLoss, TwofoldLoss, cosine_loss, half, soft_target_loss, take_layers
from helpers.environment import InputError
from helpers.tasks import collate
from helpers.training import Training
from helpers.training.masking import mask_tokens

WEIGHTS = {"soft": 5.0, "masked": 2.0, "cosine": 1.0}


def normal(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def masked_model(*, layers: int = 4, seed: int = 0, width: int = 16) -> BertForMaskedLM:
    torch.manual_seed(seed)
    made = BertForMaskedLM(tiny.config(layers=layers, width=width)).eval()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.3)
    return made


@pytest.fixture
def words(tmp_path: Path) -> BertTokenizer:
    return tiny.words(tmp_path / "words")


def batch(rows: int = 6) -> dict[str, torch.Tensor]:
    data = collate(list(tiny.tokens(rows, longest=20)))
    assert (data["attention_mask"] == 0).any()
    return data


# the losses


@given(seed=st.integers(0, 2**31), temperature=st.floats(0.5, 8), rows=st.integers(1, 5))
@settings(max_examples=30, deadline=None)
def test_soft_targets_by_hand(seed: int, temperature: float, rows: int) -> None:
    student, teacher = normal(seed, rows, 7) * 3, normal(seed + 1, rows, 7) * 3

    def softmax(logits: torch.Tensor) -> np.ndarray:
        values = np.exp(logits.double().numpy() / temperature)
        return values / values.sum(1, keepdims=True)

    ours, theirs = softmax(student), softmax(teacher)
    by_hand = (theirs * (np.log(theirs) - np.log(ours))).sum(1).mean() * temperature**2
    assert soft_target_loss(student, teacher, temperature=temperature).item() == pytest.approx(
        by_hand, rel=1e-3, abs=1e-5
    )
    assert soft_target_loss(teacher, teacher, temperature=temperature).item() == pytest.approx(0, abs=1e-5)
    assert soft_target_loss(student[:0], teacher[:0], temperature=temperature).item() == 0


def test_the_square_keeps_the_size_of_gradients() -> None:
    """At high temperatures the gradient is that of half the squared difference of centred logits (Hinton et al.)."""
    student, teacher = normal(0, 4, 9).requires_grad_(), normal(1, 4, 9)
    found = []
    for temperature in (50.0, 100.0):
        (gradient,) = torch.autograd.grad(soft_target_loss(student, teacher, temperature=temperature), student)
        found.append(gradient)
    assert torch.allclose(*found, rtol=0.1, atol=1e-4)


def test_cosine_by_hand() -> None:
    student = torch.tensor([[[1.0, 0.0], [0.0, 2.0], [5.0, 5.0]]])
    teacher = torch.tensor([[[3.0, 0.0], [1.0, 0.0], [-1.0, -1.0]]])
    assert cosine_loss(student, teacher, torch.tensor([[1, 1, 0]])).item() == pytest.approx((0 + 1) / 2)
    assert cosine_loss(student, teacher, torch.tensor([[1, 1, 1]])).item() == pytest.approx((0 + 1 + 2) / 3)


def triple(words: BertTokenizer, **changes: object) -> TripleLoss:
    options = {"weights": WEIGHTS, "temperature": 2.0, "masked_share": 0.3} | changes
    return TripleLoss(masked_model(layers=2, seed=1), masked_model(), words, **options).eval()


@pytest.mark.parametrize("everywhere", [False, True])
def test_the_triple_loss_is_the_sum_of_its_parts_by_hand(words: BertTokenizer, everywhere: bool) -> None:
    module, data = triple(words, everywhere=everywhere), batch()
    torch.manual_seed(3)
    with torch.no_grad():
        found = module(**data)
    torch.manual_seed(3)
    never = torch.isin(data["input_ids"], torch.tensor([0, 2, 3]))
    tokens, labels = mask_tokens(data["input_ids"], never, share=0.3, mask_id=4, vocabulary_size=len(words))
    inputs = {name: data[name] for name in tasks.FIELDS} | {"input_ids": tokens}
    with torch.no_grad():
        ours, theirs = (model(**inputs, output_hidden_states=True) for model in (module.student, module.teacher.model))
        chosen, real = labels != -100, data["attention_mask"].bool()
        asked = real if everywhere else chosen
        soft = nn.KLDivLoss(reduction="batchmean")(
            (ours.logits[asked] / 2).log_softmax(-1), (theirs.logits[asked] / 2).softmax(-1)
        )
        masked = nn.functional.cross_entropy(ours.logits.flatten(0, 1), labels.flatten())
        flat = [each.hidden_states[-1][real] for each in (ours, theirs)]
        cosine = nn.CosineEmbeddingLoss()(*flat, torch.ones(len(flat[0])))
    assert chosen.sum() > 5 and real.sum() > chosen.sum()
    expected = {"soft": 5 * 4 * soft, "masked": 2 * masked, "cosine": cosine}
    assert found.keys() == expected.keys()
    for part, value in expected.items():
        assert found[part].item() == pytest.approx(value.item(), rel=1e-4), part


@pytest.mark.parametrize("left_out", distilbert.PARTS)
def test_a_part_may_be_left_out(words: BertTokenizer, left_out: str) -> None:
    found = []
    for weights in (WEIGHTS, {part: weight for part, weight in WEIGHTS.items() if part != left_out}):
        torch.manual_seed(0)
        with torch.no_grad():
            found.append(triple(words, weights=weights)(**batch()))
    assert found[1] == {part: value for part, value in found[0].items() if part != left_out}


def test_masks_are_drawn_anew_and_the_teacher_is_frozen(words: BertTokenizer, tmp_path: Path) -> None:
    module = triple(words)
    with torch.no_grad():
        assert module(**batch())["masked"] != module(**batch())["masked"]
    before = {name: value.clone() for name, value in module.teacher.model.state_dict().items()}
    settings = Training(epochs=1, learning_rate=1e-2, batch_size=8)
    training.fit(module, tiny.tokens(24), loss=training.sum_of_parts, training=settings, folder=tmp_path / "made")
    assert all(torch.equal(value, before[name]) for name, value in module.teacher.model.state_dict().items())
    assert not any(p.requires_grad or p.grad is not None for p in module.teacher.model.parameters())
    assert not module.teacher.model.training


def test_a_batch_in_which_nothing_is_masked_teaches_by_the_cosine_alone(words: BertTokenizer) -> None:
    found = triple(words, masked_share=0.0)(**batch())
    assert found["soft"].item() == found["masked"].item() == 0 < found["cosine"].item()
    sum(found.values()).backward()


@pytest.mark.parametrize("weights", [{}, {"soft": 0.0}, {"hard": 1.0}])
def test_parts_that_do_not_exist_are_refused(words: BertTokenizer, weights: dict) -> None:
    with pytest.raises(InputError, match="one or more of the parts soft, masked, cosine"):
        triple(words, weights=weights)


# the student


def test_half_the_layers() -> None:
    assert half(12) == [2, 4, 6, 8, 10, 12]
    with pytest.raises(InputError, match="depth of 5 layers does not halve; name the layers"):
        half(5)


@pytest.fixture
def teacher(tmp_path: Path) -> Path:
    return tiny.saved(tmp_path / "teacher", masked_model())


def test_a_student_takes_layers_embeddings_and_head(teacher: Path) -> None:
    whole, student = models.masked_language_model(teacher), take_layers(teacher, [2, 4], start="layers", seed=0)
    assert student.config.num_hidden_layers == 2
    for mine, theirs in ((0, 1), (1, 3)):
        for name, value in student.bert.encoder.layer[mine].state_dict().items():
            assert torch.equal(value, whole.bert.encoder.layer[theirs].state_dict()[name]), name
    for part in ("bert.embeddings", "cls"):
        for name, value in student.get_submodule(part).state_dict().items():
            assert torch.equal(value, whole.get_submodule(part).state_dict()[name]), name
    assert student.cls.predictions.decoder.weight is student.bert.embeddings.word_embeddings.weight
    # all layers: the teacher itself
    ids = torch.tensor([[2, 9, 30, 3]])
    assert torch.equal(take_layers(teacher, [1, 2, 3, 4], start="layers", seed=0).eval()(ids).logits, whole(ids).logits)


def test_a_random_student_has_nothing_of_the_teacher(teacher: Path) -> None:
    whole = models.own_tensors(models.masked_language_model(teacher))
    first, second = (models.own_tensors(take_layers(teacher, [2, 4], start="random", seed=s)) for s in (0, 1))
    again = models.own_tensors(take_layers(teacher, [2, 4], start="random", seed=0))
    for name, value in first.items():
        if value.dim() > 1:
            assert not torch.equal(value, whole[name]) and not torch.equal(value, second[name]), name
        assert torch.equal(value, again[name]), name


@pytest.mark.parametrize(
    ("layers", "start", "sentence"),
    [([2, 5], "layers", "must name 2 of the teacher's layers 1 to 4"), ([2], "top", "or from random, not 'top'")],
)
def test_a_student_that_cannot_be_is_refused(teacher: Path, layers: list[int], start: str, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        take_layers(teacher, layers, start=start, seed=0)


def on_text(folder: Path, teacher: Path, **changes: object) -> list[dict[str, float]]:
    folder.mkdir()
    arguments = {
        "language_model": teacher,
        "layers": [2, 4],
        "start": "layers",
        "weights": WEIGHTS,
        "temperature": 2.0,
        "masked_share": 0.2,
        "everywhere": False,
        "text": tasks.Text(Dataset.from_dict({"text": tiny.task_rows(120)["sentence"]}), "generated", "lines"),
        "training": Training(epochs=1, learning_rate=3e-3, batch_size=8),
        "length": 12,
        "steps": 60,
    }
    distilbert.distil_masked_words(folder, **(arguments | changes))
    return training.read_curve(folder)


def test_a_student_learns_on_text_and_fills_masks(tmp_path: Path, teacher: Path) -> None:
    curve = on_text(tmp_path / "made", teacher)
    assert sorted(curve[0]) == ["cosine", "loss", "masked", "soft", "step"]
    for part in ("soft", "cosine"):
        first, last = (np.mean([entry[part] for entry in some]) for some in (curve[:4], curve[-4:]))
        assert 0 < last < 0.9 * first, part
    made = models.masked_language_model(tmp_path / "made")
    assert made.config.num_hidden_layers == 2
    # and begins a task's classifier
    assert models.classifier(models.read(tmp_path / "made"), outputs=3, seed=0).config.num_hidden_layers == 2


# the task


@pytest.mark.parametrize("regression", [False, True])
def test_the_twofold_loss_by_hand(regression: bool) -> None:
    outputs = 1 if regression else 2
    student, teacher = (tiny.classifier(outputs=outputs, spread=5, seed=seed) for seed in (0, 1))
    data = collate(list(tiny.tokens(6, regression=regression)))
    inputs = {name: data[name] for name in tasks.FIELDS}
    with torch.no_grad():
        found = TwofoldLoss(student, teacher, share=0.25, temperature=2.0).eval()(**data)
        ours, theirs = student(**inputs).logits, teacher(**inputs).logits
    if regression:
        labels, copied = ((ours[:, 0] - data["labels"]) ** 2).mean(), ((ours - theirs) ** 2).mean()
    else:
        labels = nn.functional.cross_entropy(ours, data["labels"])
        copied = 4 * nn.KLDivLoss(reduction="batchmean")((ours / 2).log_softmax(-1), (theirs / 2).softmax(-1))
    assert found["labels"].item() == pytest.approx(0.75 * labels.item(), rel=1e-5)
    assert found["teacher"].item() == pytest.approx(0.25 * copied.item(), rel=1e-4)


def beside(folder: Path, teacher: Path, start: Path, **changes: object) -> dict[str, torch.Tensor]:
    folder.mkdir()
    arguments = {
        "teacher": teacher,
        "start": start,
        "data": tiny.task_data(),
        "training": Training(epochs=2, learning_rate=1e-2, batch_size=16),
        "max_length": 16,
        "share": 0.5,
        "temperature": 2.0,
    }
    distilbert.fine_tune_beside(folder, **(arguments | changes))
    return dict(models.load(folder).state_dict())


def test_fine_tuning_beside_a_teacher_learns_from_both(tmp_path: Path, teacher: Path) -> None:
    master = tiny.saved(tmp_path / "master", tiny.classifier(layers=2, spread=6))
    data = tiny.task_data()
    turned = replace(data, train=data.train.map(lambda row: {"label": 1 - row["label"]}))
    made = beside(tmp_path / "made", master, teacher)
    assert sorted(training.read_curve(tmp_path / "made")[0]) == ["labels", "loss", "step", "teacher"]
    other = beside(tmp_path / "turned", master, teacher, data=turned)
    assert any(not torch.equal(made[name], other[name]) for name in made), "labels count"
    alone = [
        beside(tmp_path / f"alone {i}", master, teacher, data=some, share=1.0) for i, some in enumerate((data, turned))
    ]
    assert all(torch.equal(alone[0][name], alone[1][name]) for name in alone[0]), "with share 1 they do not"
    # with share 0 it is plain fine-tuning
    (tmp_path / "plain").mkdir()
    settings = Training(epochs=2, learning_rate=1e-2, batch_size=16)
    training.fine_tune(tmp_path / "plain", start=teacher, data=data, training=settings, max_length=16)
    plain, nothing = models.load(tmp_path / "plain").state_dict(), beside(tmp_path / "none", master, teacher, share=0.0)
    assert all(torch.allclose(plain[name], nothing[name], atol=1e-6) for name in plain)


def test_another_vocabulary_is_refused(tmp_path: Path, teacher: Path) -> None:
    master = tmp_path / "master"
    other = [*tiny.VOCABULARY[:-2], *tiny.VOCABULARY[-1:], tiny.VOCABULARY[-2]]
    models.save(tiny.classifier(), tiny.words(master, other), master)
    with pytest.raises(InputError, match="different vocabularies"):
        beside(tmp_path / "made", master, teacher)
