"""TinyBERT's four losses (Jiao et al. 2019, section 3): embeddings, hidden states, attention and answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from helpers import models
from helpers.environment import InputError, set_seed
from helpers.tasks import FIELDS
from helpers.training import Batch

__all__ = [
    "IntermediateLoss",
    "LossOptions",
    "PARTS",
    "PredictionLoss",
    "SumOfSquares",
    "Teacher",
    "attention_loss",
    "hidden_loss",
    "prediction_loss",
]

PARTS = ("embedding", "hidden", "attention")
IN_CACHE = 2**18  # numbers, 1 MB of float32


@dataclass(frozen=True, kw_only=True)
class LossOptions:
    """What is compared, and how: the defaults are the paper's, each switch is something that its authors' code does."""

    parts: Sequence[str] = PARTS  # of the intermediate loss
    shared_projection: bool = False  # one matrix for all layers, not one each
    padding_counts: bool | str = False  # "authors": the means are over all positions, padded ones too
    temperature_squared: bool = False  # keeps the gradients' size when the temperature changes (Hinton et al. 2015)
    mean_over_classes: bool = False  # the prediction loss is divided by the number of classes
    gold_scores: bool = False  # where the task is a score, the student learns from the label, not from the teacher
    teacher_dropout: bool = False  # the teacher stays in training mode

    def __post_init__(self) -> None:
        wrong = [part for part in self.parts if part not in PARTS]
        if wrong or not self.parts:
            raise InputError(
                f"The intermediate loss has one or more of the parts {', '.join(PARTS)}, not {self.parts}."
            )

    @property
    def needs_live_teacher(self) -> bool:
        """Whether a teacher's stored outputs will not do: they are of eval mode, and without padding."""
        return self.padding_counts or self.teacher_dropout


class SumOfSquares(torch.autograd.Function):
    """The sum of ((ours - theirs) * mask)², counted in float32; `mask` holds zeros and ones. `theirs` has no gradient.

    On a CPU a few rows are taken at a time, so that they stay in a core's cache: in one piece, memory would be waited
    for in each operation.
    """

    @staticmethod
    def forward(ctx: Any, ours: Tensor, theirs: Tensor, mask: Tensor) -> Tensor:
        gaps, total = torch.empty_like(ours), ours.new_zeros((), dtype=torch.float32)
        rows = max(1, IN_CACHE // ours[0].numel()) if ours.device.type == "cpu" else len(ours)
        for kept, *some in zip(*(each.split(rows) for each in (gaps, ours, theirs, mask)), strict=True):
            gap = (some[0].float() - some[1].float()).mul_(some[2])
            total += torch.dot(gap.flatten(), gap.flatten())
            kept.copy_(gap)
        ctx.save_for_backward(gaps)
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        (gaps,) = ctx.saved_tensors
        return torch.mul(gaps, 2 * gradient), None, None


def attention_loss(student: Tensor, teacher: Tensor, mask: Tensor, *, padding_counts: bool | str = False) -> Tensor:
    """Mean squared error of attention scores before the softmax (equation 7), over pairs of real tokens.

    `student`, `teacher` (B, A, T, T); `mask` (B, T), 1 for real tokens. With `padding_counts` the mean is over all
    pairs, and padded tokens count where they look at real ones; where they are looked at the authors' code, too, sets
    both scores to 0. Heads must be as many: raises `InputError`.
    """
    if student.shape[1] != teacher.shape[1]:
        raise InputError(
            f"Attention needs as many heads: the student has {student.shape[1]}, the teacher {teacher.shape[1]}."
        )
    keys = mask[:, None, None, :].expand(-1, 1, mask.shape[1], -1).float()
    pairs = keys if padding_counts else keys * mask[:, None, :, None]
    error = SumOfSquares.apply(student, teacher, pairs)
    return error / ((pairs.numel() if padding_counts else pairs.sum()) * student.shape[1])


def hidden_loss(student: Tensor, teacher: Tensor, projection: nn.Module, mask: Tensor) -> Tensor:
    """Mean squared error of projected hidden states (equation 8; equation 9 for embeddings), over real tokens.

    `student` (B, T, h), `teacher` (B, T, H), `projection` from h to H, `mask` (B, T).
    """
    real = mask[:, :, None].float()
    return SumOfSquares.apply(projection(student), teacher, real) / (real.sum() * teacher.shape[-1])


def prediction_loss(
    student: Tensor, teacher: Tensor, *, temperature: float = 1.0, options: LossOptions | None = None
) -> Tensor:
    """Soft cross-entropy between logits (B, C) at a temperature (equation 10), or squared error of scores if C is 1."""
    options = options or LossOptions()
    if student.shape[-1] == 1:
        return nn.functional.mse_loss(student.float(), teacher.float())
    soft = (teacher.float() / temperature).softmax(dim=-1)
    loss = -(soft * (student.float() / temperature).log_softmax(dim=-1)).sum(dim=-1).mean()
    loss = loss * temperature**2 if options.temperature_squared else loss
    return loss / student.shape[-1] if options.mean_over_classes else loss


class Teacher:
    """A frozen teacher, kept out of the student's parameters and checkpoints."""

    def __init__(self, model: nn.Module, *, dropout: bool = False) -> None:
        self.model = model.train(dropout).requires_grad_(False)

    @torch.no_grad()
    def __call__(self, inputs: Batch, **outputs: bool) -> object:
        return self.model.to(inputs["input_ids"].device)(**inputs, **outputs)


class IntermediateLoss(nn.Module):
    """A student with the projections that intermediate distillation trains beside it, one per compared layer.

    Layer 0 are the embeddings: g(0) = 0. `layers` is g(1..M). A batch may bring the teacher's outputs with it
    (`TeacherOutputs.batch`); then the teacher itself is not asked.
    """

    def __init__(
        self,
        student: nn.Module,
        teacher: nn.Module,
        layers: Sequence[int],
        *,
        seed: int,
        options: LossOptions | None = None,
    ) -> None:
        super().__init__()
        self.options = options or LossOptions()
        self.student = models.lighten(models.expose_scores(student))
        self.teacher = Teacher(models.expose_scores(teacher), dropout=self.options.teacher_dropout)
        self.layers = list(layers)
        set_seed(seed)
        narrow, wide = student.config.hidden_size, teacher.config.hidden_size
        count = 1 if self.options.shared_projection else len(layers) + 1
        self.projections = nn.ModuleList(nn.Linear(narrow, wide, bias=False) for _ in range(count))

    def forward(self, **batch: Tensor) -> dict[str, Tensor]:
        """Return `embedding`, `hidden` and `attention`, or those that `options` name, each summed over layers."""
        inputs, mask = {name: batch[name] for name in FIELDS}, batch["attention_mask"]
        ours = self.student(**inputs, output_attentions=True, output_hidden_states=True)
        if len(ours.attentions) != len(self.layers) or len(ours.hidden_states) != len(self.layers) + 1:
            raise RuntimeError("The student returned no attention scores or hidden states; nothing would be compared.")
        hidden, scores = self._teacher_outputs(batch, inputs)
        counted = torch.ones_like(mask) if self.options.padding_counts else mask
        attention = {"padding_counts": self.options.padding_counts}
        projections = self.projections if len(self.projections) > 1 else [*self.projections] * len(hidden)
        states = list(zip(ours.hidden_states, hidden, projections, strict=True))
        losses = {
            "embedding": hidden_loss(*states[0], counted),
            "hidden": sum(hidden_loss(*each, counted) for each in states[1:]),
            "attention": sum(
                attention_loss(*each, mask, **attention) for each in zip(ours.attentions, scores, strict=True)
            ),
        }
        return {part: losses[part] for part in self.options.parts}

    def _teacher_outputs(self, batch: Batch, inputs: Batch) -> tuple[Sequence[Tensor], Sequence[Tensor]]:
        """Return the teacher's states (B, T, H) of layer 0 and the compared ones, and their scores (B, A, T, T)."""
        if "teacher_hidden" in batch:
            return batch["teacher_hidden"].unbind(1), batch["teacher_scores"].unbind(1)
        theirs = self.teacher(inputs, output_attentions=True, output_hidden_states=True)
        hidden = [theirs.hidden_states[layer] for layer in (0, *self.layers)]
        return hidden, [theirs.attentions[layer - 1] for layer in self.layers]


class PredictionLoss(nn.Module):
    """A student whose logits are compared with a teacher's, which a batch may bring with it as `teacher_logits`."""

    def __init__(
        self, student: nn.Module, teacher: nn.Module, *, temperature: float, options: LossOptions | None = None
    ) -> None:
        super().__init__()
        self.options, self.temperature = options or LossOptions(), temperature
        # nobody asks for scores here: it is that attention's dropout, too, which is light on a CPU
        self.student = models.lighten(models.expose_scores(student))
        self.teacher = Teacher(teacher, dropout=self.options.teacher_dropout)

    def forward(self, **batch: Tensor) -> dict[str, Tensor]:
        """Return the loss under `prediction`."""
        inputs = {name: batch[name] for name in FIELDS}
        ours = self.student(**inputs).logits
        if self.options.gold_scores and ours.shape[-1] == 1:
            theirs = batch["labels"][:, None]
        else:
            theirs = batch["teacher_logits"] if "teacher_logits" in batch else self.teacher(inputs).logits
        return {"prediction": prediction_loss(ours, theirs, temperature=self.temperature, options=self.options)}
