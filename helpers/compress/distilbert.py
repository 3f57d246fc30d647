"""DistilBERT (Sanh et al. 2019): a student of every second layer, distilled on text, then fine-tuned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from transformers import BertConfig, BertForMaskedLM, BertTokenizer

from helpers import models, tasks
from helpers.artifacts import step
from helpers.compress.losses import Teacher
from helpers.environment import InputError, set_seed
from helpers.profiles import DISTILBERT_WEIGHTS
from helpers.tasks import FIELDS
from helpers.training import Training, fit, sum_of_parts, together, write_curve
from helpers.training.masking import IGNORED, Masking, chosen_token_loss
from helpers.training.pretraining import fit_on_text

__all__ = [
    "PARTS",
    "TripleLoss",
    "TwofoldLoss",
    "cosine_loss",
    "distil_masked_words",
    "fine_tune_beside",
    "half",
    "soft_target_loss",
    "take_layers",
]

PARTS = tuple(DISTILBERT_WEIGHTS)


def half(layers: int) -> list[int]:
    """Return every second of a model's layers 1..N, the last among them. Raises `InputError` for an odd depth.

    >>> half(6)
    [2, 4, 6]
    """
    if layers % 2:
        raise InputError(
            f"A depth of {layers} layers does not halve; name the layers that the student takes in distilbert_layers."
        )
    return list(range(2, layers + 1, 2))


def soft_target_loss(student: Tensor, teacher: Tensor, *, temperature: float) -> Tensor:
    """Kullback-Leibler divergence of logits (n, V) at a temperature, times its square; the mean over n, 0 for none.

    The square keeps the gradients' size when the temperature changes (Hinton et al. 2015, section 2).
    """
    ours, theirs = ((logits.float() / temperature).log_softmax(dim=-1) for logits in (student, teacher))
    total = nn.functional.kl_div(ours, theirs, reduction="sum", log_target=True)
    return total * temperature**2 / max(1, together.count(len(student), student.device))


def cosine_loss(student: Tensor, teacher: Tensor, mask: Tensor) -> Tensor:
    """One minus the cosine of last hidden states (B, T, H), the mean over real tokens; `mask` (B, T)."""
    cosine = nn.functional.cosine_similarity(student.float(), teacher.float(), dim=-1)
    return ((1 - cosine) * mask).sum() / mask.sum()


class TripleLoss(nn.Module):
    """A student with the three losses of section 3: soft targets, masked words, and the direction of hidden states.

    `weights` gives each part's factor; what is left out has none and is not computed. Soft targets are compared at the
    tokens that were chosen for masking, with `everywhere` at all real tokens, as in the authors' code, for which the
    output layer, as large as the vocabulary, is applied to six times as many. Masks are drawn anew at each step.
    """

    def __init__(
        self,
        student: BertForMaskedLM,
        teacher: BertForMaskedLM,
        words: BertTokenizer,
        *,
        weights: Mapping[str, float],
        temperature: float,
        masked_share: float,
        everywhere: bool = False,
    ) -> None:
        super().__init__()
        wrong = [part for part in weights if part not in PARTS]
        if wrong or not any(weights.values()):
            raise InputError(f"DistilBERT's loss has one or more of the parts {', '.join(PARTS)}, not {dict(weights)}.")
        self.student, self.teacher = student, Teacher(teacher)
        self.weights, self.temperature, self.everywhere = dict(weights), temperature, everywhere
        self.masking = Masking(words, share=masked_share)

    def forward(self, **batch: Tensor) -> dict[str, Tensor]:
        """Return the weighted parts by name."""
        (inputs, labels), mask = self.masking(batch), batch["attention_mask"]
        hidden = self.student.bert(**inputs).last_hidden_state
        with torch.no_grad():
            theirs = self.teacher.model.to(labels.device).bert(**inputs).last_hidden_state
        chosen, parts = labels != IGNORED, {}
        asked = mask.bool() if self.everywhere else chosen
        on = {part for part in PARTS if self.weights.get(part)}
        if on & {"soft", "masked"}:
            logits = self.student.cls.predictions(hidden[asked if "soft" in on else chosen]).float()
        if "soft" in on:
            with torch.no_grad():
                expected = self.teacher.model.cls.predictions(theirs[asked])
            parts["soft"] = soft_target_loss(logits, expected, temperature=self.temperature)
        if "masked" in on:
            logits = logits[chosen[asked]] if "soft" in on else logits
            parts["masked"] = chosen_token_loss(logits, labels[chosen])
        if "cosine" in on:
            parts["cosine"] = cosine_loss(hidden, theirs, mask)
        return {part: self.weights[part] * value for part, value in parts.items()}


def take_layers(language_model: Path, layers: Sequence[int], *, start: str, seed: int) -> BertForMaskedLM:
    """Build a student that has the teacher's embeddings, head and some `layers` (1..N); `start` random leaves it so."""
    teacher = models.masked_language_model(language_model)
    depth = teacher.config.num_hidden_layers
    models.layer_map(len(layers), depth, list(layers))
    set_seed(seed)
    config = BertConfig.from_dict({**teacher.config.to_dict(), "num_hidden_layers": len(layers)})
    student = models.build(BertForMaskedLM, config)
    if start == "layers":
        place = {f"bert.encoder.layer.{number - 1}.": f"bert.encoder.layer.{i}." for i, number in enumerate(layers)}
        given = {}
        for name, tensor in models.own_tensors(teacher).items():
            parts = [old for old in place if name.startswith(old)]
            if parts or not name.startswith("bert.encoder.layer."):
                given[name.replace(parts[0], place[parts[0]], 1) if parts else name] = tensor
        student.load_state_dict(given, strict=False)
    elif start != "random":
        raise InputError(f"DistilBERT's student starts from layers of the teacher or from random, not {start!r}.")
    return student


@step(version=1)
def distil_masked_words(
    folder: Path,
    *,
    language_model: Path,
    layers: Sequence[int],
    start: str,
    weights: Mapping[str, float],
    temperature: float,
    masked_share: float,
    everywhere: bool,
    text: tasks.Text,
    training: Training,
    length: int,
    steps: int,
) -> None:
    """Distil a language model into one of fewer layers on text, for `steps` batches of pieces of `length` tokens."""
    words, teacher = models.tokenizer(language_model), models.masked_language_model(language_model)
    student = take_layers(language_model, layers, start=start, seed=training.seed)
    whole = TripleLoss(
        student,
        teacher,
        words,
        weights=weights,
        temperature=temperature,
        masked_share=masked_share,
        everywhere=everywhere,
    )
    fit_on_text(whole, text, words, loss=sum_of_parts, training=training, length=length, steps=steps, folder=folder)
    models.save(student, words, folder)


class TwofoldLoss(nn.Module):
    """A student that learns from the labels and from a fine-tuned teacher at once (DistilBERT(D), section 3).

    The labels' part has the weight 1 - `share`; the teacher's, soft targets at a temperature, or its score, `share`.
    """

    def __init__(self, student: nn.Module, teacher: nn.Module, *, share: float, temperature: float) -> None:
        super().__init__()
        self.student, self.teacher, self.share, self.temperature = student, Teacher(teacher), share, temperature

    def forward(self, **batch: Tensor) -> dict[str, Tensor]:
        """Return the weighted parts `labels` and `teacher`."""
        inputs = {name: batch[name] for name in FIELDS}
        ours, theirs = self.student(**inputs).logits, self.teacher(inputs).logits
        if ours.shape[-1] == 1:
            learned = nn.functional.mse_loss(ours.float().squeeze(-1), batch["labels"])
            copied = nn.functional.mse_loss(ours.float(), theirs.float())
        else:
            learned = nn.functional.cross_entropy(ours.float(), batch["labels"])
            copied = soft_target_loss(ours, theirs, temperature=self.temperature)
        return {"labels": (1 - self.share) * learned, "teacher": self.share * copied}


@step(version=1)
def fine_tune_beside(
    folder: Path,
    *,
    start: Path,
    teacher: Path,
    data: tasks.TaskData,
    training: Training,
    max_length: int,
    share: float,
    temperature: float,
) -> None:
    """Fine-tune an encoder with a new head on the labels and on what a fine-tuned teacher says of the same rows."""
    words = models.common_tokenizer(start, teacher)
    student = models.classifier(models.read(start), outputs=data.task.outputs, seed=training.seed)
    loss = TwofoldLoss(student, models.load(teacher), share=share, temperature=temperature)
    rows = tasks.encode(data.train, data.task, words, max_length=max_length)
    write_curve(folder, fit(loss, rows, loss=sum_of_parts, training=training, folder=folder))
    models.save(student, words, folder)
