"""TinyBERT's task distillation: embedding, hidden, attention and prediction losses (Jiao et al. 2019, section 3)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from transformers import BertConfig, BertForSequenceClassification

from helpers import models, tasks
from helpers.artifacts import step
from helpers.environment import InputError, set_seed
from helpers.training import Batch, Training, fit, sum_of_parts, write_curve

__all__ = [
    "IntermediateLoss",
    "PredictionLoss",
    "attention_loss",
    "distil",
    "hidden_loss",
    "prediction_loss",
    "start_student",
]


def attention_loss(student: Tensor, teacher: Tensor, mask: Tensor) -> Tensor:
    """Mean squared error of attention scores before the softmax (equation 7), over pairs of real tokens.

    `student`, `teacher` (B, A, T, T); `mask` (B, T), 1 for real tokens. Heads must be as many: raises `InputError`.
    """
    if student.shape[1] != teacher.shape[1]:
        raise InputError(
            f"Attention needs as many heads: the student has {student.shape[1]}, the teacher {teacher.shape[1]}."
        )
    pairs = (mask[:, None, :, None] * mask[:, None, None, :]).float()
    error = (student.float() - teacher.float()).square() * pairs
    return error.sum() / (pairs.sum() * student.shape[1])


def hidden_loss(student: Tensor, teacher: Tensor, projection: nn.Module, mask: Tensor) -> Tensor:
    """Mean squared error of projected hidden states (equation 8; equation 9 for embeddings), over real tokens.

    `student` (B, T, h), `teacher` (B, T, H), `projection` from h to H, `mask` (B, T).
    """
    error = (projection(student).float() - teacher.float()).square()
    real = mask[:, :, None].float()
    return (error * real).sum() / (real.sum() * teacher.shape[-1])


def prediction_loss(student: Tensor, teacher: Tensor, *, temperature: float = 1.0) -> Tensor:
    """Soft cross-entropy between logits (B, C) at a temperature (equation 10), or squared error of scores if C is 1."""
    if student.shape[-1] == 1:
        return nn.functional.mse_loss(student.float(), teacher.float())
    soft = (teacher.float() / temperature).softmax(dim=-1)
    return -(soft * (student.float() / temperature).log_softmax(dim=-1)).sum(dim=-1).mean()


class _Teacher:
    """A frozen teacher, kept out of the student's parameters and checkpoints."""

    def __init__(self, model: nn.Module) -> None:
        self.model = model.eval().requires_grad_(False)

    @torch.no_grad()
    def __call__(self, inputs: Batch, **outputs: bool) -> object:
        return self.model.to(inputs["input_ids"].device)(**inputs, **outputs)


class IntermediateLoss(nn.Module):
    """A student with the projections that intermediate distillation trains beside it, one per compared layer.

    Layer 0 are the embeddings: g(0) = 0. `layers` is g(1..M).
    """

    def __init__(self, student: nn.Module, teacher: nn.Module, layers: Sequence[int], *, seed: int) -> None:
        super().__init__()
        self.student = models.expose_scores(student)
        self.teacher = _Teacher(models.expose_scores(teacher))
        self.layers = list(layers)
        set_seed(seed)
        narrow, wide = student.config.hidden_size, teacher.config.hidden_size
        self.projections = nn.ModuleList(nn.Linear(narrow, wide, bias=False) for _ in range(len(layers) + 1))

    def forward(self, **batch: Tensor) -> dict[str, Tensor]:
        """Return the three losses, each summed over layers: `embedding`, `hidden`, `attention`."""
        inputs = {name: value for name, value in batch.items() if name != "labels"}
        mask = inputs["attention_mask"]
        ours = self.student(**inputs, output_attentions=True, output_hidden_states=True)
        theirs = self.teacher(inputs, output_attentions=True, output_hidden_states=True)
        if len(ours.attentions) != len(self.layers) or len(ours.hidden_states) != len(self.layers) + 1:
            raise RuntimeError("The student returned no attention scores or hidden states; nothing would be compared.")
        pairs = list(enumerate(self.layers, start=1))
        return {
            "embedding": hidden_loss(ours.hidden_states[0], theirs.hidden_states[0], self.projections[0], mask),
            "hidden": sum(
                hidden_loss(ours.hidden_states[m], theirs.hidden_states[g], self.projections[m], mask) for m, g in pairs
            ),
            "attention": sum(attention_loss(ours.attentions[m - 1], theirs.attentions[g - 1], mask) for m, g in pairs),
        }


class PredictionLoss(nn.Module):
    """A student whose logits are compared with a teacher's."""

    def __init__(self, student: nn.Module, teacher: nn.Module, *, temperature: float) -> None:
        super().__init__()
        self.student, self.teacher, self.temperature = student, _Teacher(teacher), temperature

    def forward(self, **batch: Tensor) -> dict[str, Tensor]:
        """Return the loss under `prediction`."""
        inputs = {name: value for name, value in batch.items() if name != "labels"}
        ours, theirs = self.student(**inputs).logits, self.teacher(inputs).logits
        return {"prediction": prediction_loss(ours, theirs, temperature=self.temperature)}


@step(version=1)
def start_student(
    folder: Path, *, start: str, language_model: Path, shape: Mapping[str, int], task: str, seed: int
) -> None:
    """Make a student before any training: `random`, or `embeddings` from the language model's principal directions."""
    words = models.tokenizer(language_model)
    source = models.read(language_model)
    config = BertConfig(
        **{
            **shape,
            "vocab_size": source.config.vocab_size,
            "max_position_embeddings": source.config.max_position_embeddings,
            "num_labels": tasks.TASKS[task].outputs,
        }
    )
    set_seed(seed)
    student = BertForSequenceClassification(config)
    if start == "embeddings":
        models.project_embeddings(student, source.tensors)
    elif start != "random":
        raise InputError(f"student_start must be random, embeddings, a model folder or a hub id, not {start!r}.")
    models.save(student, words, folder)


@step(version=1)
def distil(
    folder: Path,
    *,
    teacher: Path,
    student: Path,
    data: tasks.TaskData,
    stage: str,
    training: Training,
    max_length: int,
    layers: str | list[int] = "uniform",
    temperature: float = 1.0,
) -> None:
    """Train a student on a teacher's `intermediate` states, or on its `prediction`. The labels are not used.

    Raises `InputError` if the two do not share one vocabulary.
    """
    words = models.tokenizer(student)
    if words.get_vocab() != models.tokenizer(teacher).get_vocab():
        raise InputError("Teacher and student have different vocabularies; distillation compares them token by token.")
    pupil, master = models.load(student), models.load(teacher)
    if stage == "intermediate":
        chosen = models.layer_map(pupil.config.num_hidden_layers, master.config.num_hidden_layers, layers)
        loss = IntermediateLoss(pupil, master, chosen, seed=training.seed)
    else:
        loss = PredictionLoss(pupil, master, temperature=temperature)
    rows = tasks.encode(data.train, data.task, words, max_length=max_length)
    write_curve(folder, fit(loss, rows, loss=sum_of_parts, training=training, folder=folder))
    models.save(pupil, words, folder)
