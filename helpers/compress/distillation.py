"""TinyBERT's distillation (Jiao et al. 2019, section 3): on text, then on a task, intermediate and prediction."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from transformers import BertConfig, BertForSequenceClassification

from helpers import models, tasks
from helpers.artifacts import Bound, step
from helpers.artifacts.store import CHECKPOINTS
from helpers.compress import pruning
from helpers.compress.losses import IntermediateLoss, LossOptions, PredictionLoss
from helpers.compress.quantization import Rounded
from helpers.compress.teacher_outputs import TeacherOutputs, with_outputs
from helpers.environment import InputError, set_seed
from helpers.storage import Coding
from helpers.training import Training, fit, logits_of, sum_of_parts, write_curve
from helpers.training.pretraining import fit_on_text

__all__ = ["distil", "distil_on_text", "start_from_general", "start_student"]


@step(version=1)
def start_student(
    folder: Path, *, start: str, language_model: Path, shape: Mapping[str, int], task: str, seed: int
) -> None:
    """Make a student before any training: `random`, or from the language model in its principal directions.

    `embeddings` takes the embeddings alone, `projected` the layers, too.
    """
    outputs = tasks.TASKS[task].outputs
    models.save(_begin(start, language_model, shape, outputs, seed), models.tokenizer(language_model), folder)


def _begin(
    start: str, language_model: Path, shape: Mapping[str, int], outputs: int, seed: int
) -> BertForSequenceClassification:
    source = models.read(language_model)
    config = BertConfig(
        **{
            **shape,
            "vocab_size": source.config.vocab_size,
            "max_position_embeddings": source.config.max_position_embeddings,
            "num_labels": outputs,
        }
    )
    set_seed(seed)
    student = models.build(BertForSequenceClassification, config)
    if start in ("embeddings", "projected"):
        models.project_embeddings(student, source.tensors)
    if start == "projected":
        if getattr(config, "compact", None):
            raise InputError("Shared or smaller layers cannot start from projected ones; take embeddings.")
        layers = models.layer_map(config.num_hidden_layers, source.config.num_hidden_layers)
        models.project_layers(student, source.tensors, layers)
    if start not in ("random", "embeddings", "projected"):
        raise InputError(f"A student starts from random, embeddings or projected weights, not {start!r}.")
    return student


@step(version=1)
def distil_on_text(
    folder: Path,
    *,
    language_model: Path,
    start: str,
    shape: Mapping[str, int],
    text: tasks.Text,
    training: Training,
    length: int,
    steps: int,
) -> None:
    """Make a general student: it copies a language model's states on text, before any task and without its answers.

    The text is read in pieces of `length` tokens for `steps` batches. Section 3.1; its equation 10 has no part in it.
    """
    words, teacher = models.tokenizer(language_model), models.encoder(models.read(language_model))
    student = _begin(start, language_model, shape, 2, training.seed).bert
    chosen = models.layer_map(student.config.num_hidden_layers, teacher.config.num_hidden_layers)
    whole = IntermediateLoss(student, teacher, chosen, seed=training.seed)
    fit_on_text(whole, text, words, loss=sum_of_parts, training=training, length=length, steps=steps, folder=folder)
    models.save(student, words, folder)


@step(version=1)
def start_from_general(folder: Path, *, general: Path, task: str, seed: int) -> None:
    """Make a task's student from a general student: its encoder, with a new head."""
    model = models.classifier(models.read(general), outputs=tasks.TASKS[task].outputs, seed=seed)
    models.save(model, models.tokenizer(general), folder)


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
    teacher_outputs: str = "off",
    bound_gb: Bound | None = None,
    options: LossOptions | None = None,
    variants: Path | None = None,
    max_steps: int | None = None,
    first_epoch: int = 0,
    drop_incomplete: bool = False,
    hold_zeros: bool | str = False,
    rounding: Coding | None = None,
) -> None:
    """Train a student on a teacher's `intermediate` states, or on its `prediction`. The labels are not used.

    `teacher_outputs`: `off` asks the teacher in every epoch, `logits` and `all` ask once and read the answers again,
    `all` also the states, `bound_gb` gigabytes of them at the most. `variants` (of `augmentation.augment`) join the
    rows; `max_steps` ends the training earlier or later than its epochs do, `first_epoch` numbers the first of them,
    `drop_incomplete` leaves out batches that are not full (see `fit`), `hold_zeros` keeps zeros of the encoder's
    matrices at zero, or of what it names (as in `pruning.prune`). With `rounding` the student is asked with its weights
    rounded; those that are stored are not rounded yet. Raises `InputError` if the two models do not share one
    vocabulary, or if `options` ask for a teacher whose outputs cannot be stored, `RunError` if they take too much room.
    """
    options = options or LossOptions()
    if teacher_outputs != "off" and options.needs_live_teacher:
        raise InputError(
            "With padding_counts or teacher_dropout the teacher is asked anew: set teacher_outputs to off."
        )
    words = models.common_tokenizer(student, teacher)
    pupil, master = models.load(student), models.load(teacher)
    if variants is not None:
        data = tasks.with_variants(data, variants)
    rows = tasks.encode(data.train, data.task, words, max_length=max_length)
    collator = tasks.collate
    if stage == "intermediate":
        chosen = models.layer_map(pupil.config.num_hidden_layers, master.config.num_hidden_layers, layers)
        loss = IntermediateLoss(pupil, master, chosen, seed=training.seed, options=options)
        if teacher_outputs == "all":
            kept = folder / CHECKPOINTS / "teacher"
            room = bound_gb.value if bound_gb else None
            outputs = TeacherOutputs(master, rows.to_list(), chosen, kept, precision=training.precision, bound_gb=room)
            collator = with_outputs(outputs.batch)
    else:
        loss = PredictionLoss(pupil, master, temperature=temperature, options=options)
        if teacher_outputs != "off":
            logits = torch.from_numpy(logits_of(master, rows))
            collator = with_outputs(lambda ids, _: {"teacher_logits": logits[ids]})
    if rounding is not None:
        loss.student = Rounded(loss.student, rounding)
    numbered = rows.add_column("row", range(len(rows)))
    settings = {"training": training, "folder": folder, "collator": collator, "max_steps": max_steps}
    settings |= {"first_epoch": first_epoch, "drop_incomplete": drop_incomplete}
    if hold_zeros:
        settings |= {"after_step": pruning.holding(pupil, of="encoder" if hold_zeros is True else hold_zeros)}
    write_curve(folder, fit(loss, numbered, loss=sum_of_parts, **settings))
    models.save(pupil, words, folder)
