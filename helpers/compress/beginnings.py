"""What a chain begins with: rows, text, published checkpoints, language models, students before any training."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from helpers import hub, models, tasks
from helpers.artifacts import Node, Store, node
from helpers.compress import distillation
from helpers.compress.checks import check_parts
from helpers.compress.steps import bring
from helpers.compress.word_vectors import WordVectors, make_vectors
from helpers.environment import InputError, device, precision
from helpers.profiles import STARTS, Recipe
from helpers.training import Training, continue_pretraining
from helpers.training.pretraining import pretrain

__all__ = ["Beginnings"]


class Beginnings:
    """What the models of one recipe are made from. Nothing is built by naming it."""

    needs_language_model = False  # beside a published teacher and student, too

    def __init__(self, recipe: Recipe, *, store: Store | None = None) -> None:
        self.recipe, self.store = recipe, store or Store()

    @functools.cached_property
    def data(self) -> tasks.TaskData:
        """The task's rows."""
        return tasks.load(self.recipe.task, data=self.recipe.data, train_rows=self.recipe.train_rows)

    @functools.cached_property
    def nli(self) -> tasks.TaskData | None:
        """The inference pairs that the models made here pass through before the task, if the recipe says so."""
        return tasks.load_nli(self.recipe.nli) if self.recipe.nli_epochs and self.recipe.nli else None

    @functools.cached_property
    def text(self) -> tasks.Text:
        """The text corpus."""
        if self.recipe.text is None:
            raise InputError("What is learned from text needs some; give text=... a folder or 'generated'.")
        return tasks.load_text(self.recipe.text)

    def training(self, *, epochs: int, learning_rate: float, seed: int | None = None) -> Training:
        """The recipe's training settings, with what the stage sets itself; `seed` is the run's unless it is given."""
        recipe = self.recipe
        return Training(
            epochs=epochs,
            learning_rate=learning_rate,
            batch_size=recipe.batch_size,
            warmup_fraction=recipe.warmup_fraction,
            weight_decay=recipe.weight_decay,
            precision=precision(recipe.precision),
            device=device().type,
            seed=recipe.seed if seed is None else seed,
        )

    def _on_text(self, batch_size: int, learning_rate: float) -> Training:
        """What is made from text is made once per profile: its seed is 0 whatever the run's."""
        return replace(self.training(epochs=1, learning_rate=learning_rate, seed=0), batch_size=batch_size)

    @functools.cached_property
    def sources(self) -> dict[str, hub.Source]:
        """Published checkpoints in use, by role, located but not yet loaded; all parts are known to fit together.

        Raises `InputError` for parts that do not fit, `RunError` for a hub out of reach.
        """
        recipe = self.recipe
        wanted = {"teacher": recipe.teacher, "student": recipe.student_start}
        published = {role: name for role, name in wanted.items() if name not in ("fine-tuned", *STARTS)}
        needed = self.needs_language_model or len(published) < 2 or recipe.augmented != "off" or recipe.compared_starts
        if needed and recipe.language_model != "built":
            published["language_model"] = recipe.language_model
        checks = {"language_model": recipe.language_model_sha256}
        found = {role: hub.locate(name, sha256=checks.get(role)) for role, name in published.items()}
        # here, since every model asks for its sources: a wrong layer map must not show up after the teacher's hours
        check_parts(recipe, found)
        return found

    @functools.cached_property
    def language_model(self) -> Node:
        """The pretrained encoder, before any task."""
        if "language_model" in self.sources:
            return node(bring, source=self.sources["language_model"])
        if self.recipe.language_model != "built":  # a shape that nobody gave would be pretrained in its place
            raise InputError(
                f"The language model {self.recipe.language_model} has no part in this recipe: teacher and student are "
                "both published. Set augmented or compared_starts, which need it, or take another start."
            )
        return self._pretrained(self.recipe.pretraining_steps)

    def _pretrained(self, steps: int, *, shape: Mapping[str, Any] | None = None) -> Node:
        recipe = self.recipe
        training = self._on_text(recipe.pretraining_batch_size, recipe.pretraining_learning_rate)
        return node(
            pretrain,
            text=self.text,
            shape=shape or recipe.language_model_shape,
            vocabulary_size=recipe.vocabulary_size,
            masked_share=recipe.pretraining_masked_share,
            steps=steps,
            # random weights alone have learned nothing from text: each run has its own
            training=training if steps else replace(training, seed=recipe.seed),
            max_length=recipe.max_length,
        )

    @functools.cached_property
    def masked_language_model(self) -> Node:
        """The language model with the head that fills masks, which a published one may have to be given here.

        Raises `InputError` if there is no such head and no pretraining that would make one.
        """
        recipe = self.recipe
        if "language_model" not in self.sources:
            return self.language_model
        source = self.sources["language_model"]
        if not recipe.pretraining_steps:
            models.masked_language_model(source.folder)  # now, and not after an hour of other work
            return node(bring, source=source, head=True)
        return node(
            continue_pretraining,
            start=self.language_model,
            text=self.text,
            masked_share=recipe.pretraining_masked_share,
            steps=recipe.pretraining_steps,
            training=self._on_text(recipe.pretraining_batch_size, recipe.pretraining_learning_rate),
            length=recipe.piece_length,
        )

    def teacher_start(self, name: str) -> Node:
        """Return what a teacher is fine-tuned from: `given`, `continued` or `random`."""
        if name == "given":
            return self.language_model
        return self.masked_language_model if name == "continued" else self._pretrained(0)

    @functools.cached_property
    def vectors(self) -> WordVectors | Node:
        """Word vectors: the file that the recipe names, or some trained on the text."""
        recipe = self.recipe
        if recipe.word_vectors:
            return WordVectors.read(Path(recipe.word_vectors))
        return node(make_vectors, text=self.text, dimension=recipe.word_vectors_size)

    @property
    def _copied(self) -> dict[str, Any]:
        """What a student made here takes after, and its own shape."""
        return {"language_model": self.language_model, "shape": self.recipe.student_shape}

    @functools.cached_property
    def general(self) -> Node:
        """The student that has copied the language model on text, before any task."""
        recipe = self.recipe
        return node(
            distillation.distil_on_text,
            start=recipe.general_start,
            **self._copied,
            text=self.text,
            steps=recipe.general_steps,
            training=self._on_text(recipe.general_batch_size, recipe.general_learning_rate),
            length=recipe.piece_length,
        )

    @functools.cached_property
    def start(self) -> Node:
        """The student before any task."""
        recipe = self.recipe
        if "student" in self.sources:
            return node(bring, source=self.sources["student"], task=recipe.task, head=False, seed=recipe.seed)
        if recipe.student_start == "general":
            return node(distillation.start_from_general, general=self.general, task=recipe.task, seed=recipe.seed)
        of_task = {"task": recipe.task, "seed": recipe.seed}
        return node(distillation.start_student, start=recipe.student_start, **self._copied, **of_task)
