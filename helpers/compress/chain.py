"""Chains: which steps make which model. Every model of the study is named here, once, and built when asked for."""

from __future__ import annotations

import functools
from dataclasses import replace

import numpy as np
import torch
from torch import nn

from helpers import hub, models, scores, tasks
from helpers.artifacts import Node, Store, node
from helpers.compress import distillation, pruning
from helpers.compress.checks import check_shapes
from helpers.compress.steps import Step, apply, bring, predict
from helpers.environment import InputError, device, precision
from helpers.labels import REPORT_AMOUNTS
from helpers.profiles import Recipe
from helpers.training import Training, fine_tune
from helpers.training.pretraining import pretrain

__all__ = ["Chain"]


class Chain:
    """The study's models for one recipe: a tree whose common beginnings are built once.

    language model > fine-tune (teacher); student start > control; student start > intermediate > prediction (student);
    student > prune, int8.
    """

    def __init__(self, recipe: Recipe, *, store: Store | None = None) -> None:
        self.recipe, self.store = recipe, store or Store()
        # a student's epochs all count for the control too: the same start, rows and number of steps, only no teacher
        self.control_epochs = recipe.intermediate_epochs + recipe.prediction_epochs

    @functools.cached_property
    def data(self) -> tasks.TaskData:
        """The task's rows."""
        return tasks.load(self.recipe.task, data=self.recipe.data)

    @functools.cached_property
    def nli(self) -> tasks.TaskData | None:
        """The inference pairs that a teacher made here passes through first, if the recipe says so."""
        return tasks.load_nli(self.recipe.nli) if self.recipe.nli_epochs and self.recipe.nli else None

    def training(self, *, epochs: int, learning_rate: float) -> Training:
        """The recipe's training settings, with what the stage sets itself."""
        recipe = self.recipe
        return Training(
            epochs=epochs,
            learning_rate=learning_rate,
            batch_size=recipe.batch_size,
            warmup_fraction=recipe.warmup_fraction,
            weight_decay=recipe.weight_decay,
            precision=precision(recipe.precision),
            device=device().type,
            seed=recipe.seed,
        )

    @functools.cached_property
    def sources(self) -> dict[str, hub.Source]:
        """Published checkpoints in use, by role, located but not yet loaded; all parts are known to fit together.

        Raises `InputError` for parts that do not fit, `RunError` for a hub out of reach.
        """
        recipe = self.recipe
        wanted = {"teacher": recipe.teacher, "student": recipe.student_start}
        published = {role: name for role, name in wanted.items() if name not in ("fine-tuned", "random", "embeddings")}
        if len(published) < 2 and recipe.language_model != "built":
            published["language_model"] = recipe.language_model
        checks = {"language_model": recipe.language_model_sha256}
        found = {role: hub.locate(name, sha256=checks.get(role)) for role, name in published.items()}
        # here, since every model asks for its sources: a wrong layer map must not show up after the teacher's hours
        check_shapes(recipe, found)
        return found

    @functools.cached_property
    def language_model(self) -> Node:
        """The pretrained encoder, before any task. One per profile: its seed is 0 whatever the run's."""
        recipe = self.recipe
        if "language_model" in self.sources:
            return node(bring, source=self.sources["language_model"])
        if recipe.text is None:
            raise InputError("A language model that is built here needs text; give text=... a folder or 'generated'.")
        training = self.training(epochs=1, learning_rate=recipe.pretraining_learning_rate)
        return node(
            pretrain,
            text=tasks.load_text(recipe.text),
            shape=recipe.language_model_shape,
            vocabulary_size=recipe.vocabulary_size,
            masked_share=recipe.pretraining_masked_share,
            steps=recipe.pretraining_steps,
            training=replace(training, batch_size=recipe.pretraining_batch_size, seed=0),
            max_length=recipe.max_length,
        )

    @functools.cached_property
    def teacher(self) -> Node:
        """The fine-tuned baseline that the student copies."""
        recipe = self.recipe
        if "teacher" in self.sources:
            return node(bring, source=self.sources["teacher"], task=recipe.task, head=True)
        start = self.language_model
        if self.nli is not None:
            start = self._fine_tuned(start, self.nli, recipe.nli_epochs, recipe.teacher_learning_rate)
        return self._fine_tuned(start, self.data, recipe.teacher_epochs, recipe.teacher_learning_rate)

    def _fine_tuned(self, start: Node, data: tasks.TaskData, epochs: int, learning_rate: float) -> Node:
        training = self.training(epochs=epochs, learning_rate=learning_rate)
        return node(fine_tune, start=start, data=data, training=training, max_length=self.recipe.max_length)

    @functools.cached_property
    def start(self) -> Node:
        """The student before any training."""
        recipe = self.recipe
        if "student" in self.sources:
            return node(bring, source=self.sources["student"], task=recipe.task, head=False, seed=recipe.seed)
        return node(
            distillation.start_student,
            start=recipe.student_start,
            language_model=self.language_model,
            shape=recipe.student_shape,
            task=recipe.task,
            seed=recipe.seed,
        )

    @functools.cached_property
    def control(self) -> Node:
        """The student's shape and start, trained on the labels for as many steps: what distillation must beat."""
        rate = self.recipe.control_learning_rate or self.recipe.prediction_learning_rate
        return self._fine_tuned(self.start, self.data, self.control_epochs, rate)

    @functools.cached_property
    def intermediate(self) -> Node:
        """The student after it has copied the teacher's embeddings, hidden states and attention."""
        recipe = self.recipe
        training = self.training(epochs=recipe.intermediate_epochs, learning_rate=recipe.intermediate_learning_rate)
        return self._distilled(self.start, "intermediate", training, layers=recipe.layer_map)

    @functools.cached_property
    def student(self) -> Node:
        """The distilled student: intermediate, then prediction."""
        recipe = self.recipe
        training = self.training(epochs=recipe.prediction_epochs, learning_rate=recipe.prediction_learning_rate)
        return self._distilled(self.intermediate, "prediction", training, temperature=recipe.temperature)

    def _distilled(self, student: Node, stage: str, training: Training, **method: object) -> Node:
        # only what a stage uses: another temperature must not cost another intermediate stage
        return node(
            distillation.distil,
            teacher=self.teacher,
            student=student,
            data=self.data,
            stage=stage,
            training=training,
            max_length=self.recipe.max_length,
            **method,
        )

    def recovered(self, amount: float) -> Node:
        """The student pruned and then trained for a while under held masks."""
        recipe = self.recipe
        training = self.training(epochs=recipe.recovery_epochs, learning_rate=recipe.prediction_learning_rate)
        return node(
            pruning.recover,
            model=self.student,
            amount=amount,
            data=self.data,
            training=training,
            max_length=recipe.max_length,
        )

    def load(self, model: Node, *steps: Step) -> nn.Module:
        """Build or find a model and apply quick steps to it."""
        return apply(models.load(self.store.path(model)), steps)

    def prediction(self, model: Node, *steps: Step, split: str = "validation") -> Node:
        """Name the stored logits of a model on a split."""
        on = f"cpu/{torch.backends.quantized.engine}" if ("int8",) in map(tuple, steps) else device().type
        return node(
            predict,
            on=on,
            model=model,
            steps=list(steps),
            data=self.data,
            split=split,
            max_length=self.recipe.max_length,
        )

    def logits(self, model: Node, *steps: Step, split: str = "validation") -> np.ndarray:
        """Return logits (n, C), float32, from the store or computed now."""
        path = self.store.path(self.prediction(model, *steps, split=split))
        return np.load(path / "logits.npy", allow_pickle=False)

    def score(self, model: Node, *steps: Step, split: str = "validation") -> dict[str, float]:
        """Return the task's metrics of a model on a split."""
        task = self.recipe.task
        predicted = scores.predictions(task, self.logits(model, *steps, split=split))
        return scores.score(task, predicted, self.data.labels(split))

    def check_teacher(self) -> None:
        """Stop with `RunError` if the teacher does not beat its floor on held-out rows by two standard errors."""
        task = self.recipe.task
        predicted = scores.predictions(task, self.logits(self.teacher, split="heldout"))
        labels = self.data.labels("heldout")
        scores.check_teacher(task, predicted, labels, scores.floor_score(task, self.data.labels("train"), labels))

    def chosen_amount(self) -> float:
        """Return the pruning amount of the report's range with the best held-out score; of equal ones the larger."""
        metric = scores.main_metric(self.recipe.task)
        found = {a: self.score(self.student, ("prune", a), split="heldout")[metric] for a in REPORT_AMOUNTS}
        return max(found, key=lambda amount: (found[amount], amount))
