"""TinyBERT's four losses (Jiao et al. 2019, section 3): embeddings, hidden states, attention and answers."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from helpers import models
from helpers.environment import InputError, set_seed
from helpers.tasks import FIELDS
from helpers.training import Batch

__all__ = ["IntermediateLoss", "PredictionLoss", "attention_loss", "hidden_loss", "prediction_loss"]


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

    Layer 0 are the embeddings: g(0) = 0. `layers` is g(1..M). A batch may bring the teacher's outputs with it
    (`TeacherOutputs.batch`); then the teacher itself is not asked.
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
        inputs, mask = {name: batch[name] for name in FIELDS}, batch["attention_mask"]
        ours = self.student(**inputs, output_attentions=True, output_hidden_states=True)
        if len(ours.attentions) != len(self.layers) or len(ours.hidden_states) != len(self.layers) + 1:
            raise RuntimeError("The student returned no attention scores or hidden states; nothing would be compared.")
        hidden, scores = self._teacher_outputs(batch, inputs)
        states = list(zip(ours.hidden_states, hidden, self.projections, strict=True))
        return {
            "embedding": hidden_loss(*states[0], mask),
            "hidden": sum(hidden_loss(*each, mask) for each in states[1:]),
            "attention": sum(attention_loss(*each, mask) for each in zip(ours.attentions, scores, strict=True)),
        }

    def _teacher_outputs(self, batch: Batch, inputs: Batch) -> tuple[Sequence[Tensor], Sequence[Tensor]]:
        """Return the teacher's states (B, T, H) of layer 0 and the compared ones, and their scores (B, A, T, T)."""
        if "teacher_hidden" in batch:
            return batch["teacher_hidden"].unbind(1), batch["teacher_scores"].unbind(1)
        theirs = self.teacher(inputs, output_attentions=True, output_hidden_states=True)
        hidden = [theirs.hidden_states[layer] for layer in (0, *self.layers)]
        return hidden, [theirs.attentions[layer - 1] for layer in self.layers]


class PredictionLoss(nn.Module):
    """A student whose logits are compared with a teacher's, which a batch may bring with it as `teacher_logits`."""

    def __init__(self, student: nn.Module, teacher: nn.Module, *, temperature: float) -> None:
        super().__init__()
        self.student, self.teacher, self.temperature = student, _Teacher(teacher), temperature

    def forward(self, **batch: Tensor) -> dict[str, Tensor]:
        """Return the loss under `prediction`."""
        inputs = {name: batch[name] for name in FIELDS}
        ours = self.student(**inputs).logits
        theirs = batch["teacher_logits"] if "teacher_logits" in batch else self.teacher(inputs).logits
        return {"prediction": prediction_loss(ours, theirs, temperature=self.temperature)}
