"""Teachers: what students copy, and the rows that they pass through before the task."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any, Self, TypeVar

from helpers import scores
from helpers.artifacts import Node, node
from helpers.compress.answers import Answers
from helpers.compress.steps import bring
from helpers.profiles import Recipe
from helpers.training import fine_tune

__all__ = ["Teachers"]

# rows, and what decides them
READ_FROM = {"data": ("data", "task", "train_rows"), "nli": ("nli", "nli_epochs"), "text": ("text",)}
Other = TypeVar("Other", bound="Teachers")


class Teachers(Answers):
    """The fine-tuned models of one recipe: the language model > inference pairs, where there are some > the task."""

    def changed(self, **changes: Any) -> Self:
        """Return the chain of a recipe that differs in some values, over the same rows and in the same store."""
        self.data  # noqa: B018 - read once, for both
        return self.beside(type(self), dataclasses.replace(self.recipe, **changes))

    def beside(self, kind: type[Other], recipe: Recipe) -> Other:
        """Return the chain of another recipe in the same store, with what was read here and is the same there."""
        other = kind(recipe, store=self.store)
        for name, fields in READ_FROM.items():
            same = all(getattr(recipe, field) == getattr(self.recipe, field) for field in fields)
            if name in self.__dict__ and same:
                other.__dict__[name] = self.__dict__[name]
        return other

    @functools.cached_property
    def pairs(self) -> Self | None:
        """The same chain on inference pairs, which the models pass through first where the recipe says so.

        It is one for all seeds, as what is learned from text.
        """
        if self.nli is None or "teacher" in self.sources:
            return None
        recipe = self.recipe
        other = self.changed(
            task="mnli",
            data=recipe.nli,
            seed=0,
            train_rows=0,
            nli_epochs=0,
            nli_intermediate_epochs=0,
            nli_prediction_epochs=0,
            augmented="off",
            # the pairs are many, and read a few times only
            teacher_outputs="off" if recipe.teacher_outputs == "off" else "logits",
            teacher_epochs=recipe.nli_epochs,
            intermediate_epochs=recipe.nli_intermediate_epochs,
            prediction_epochs=recipe.nli_prediction_epochs,
        )
        other.__dict__["data"] = self.nli
        return other

    @functools.cached_property
    def teachers(self) -> dict[str, Node]:
        """The fine-tuned baselines by what they start from; one that is published has the name `published`."""
        recipe = self.recipe
        if "teacher" in self.sources:
            return {"published": node(bring, source=self.sources["teacher"], task=recipe.task, head=True)}
        found = {}
        for name in recipe.teacher_starts:
            start = self.teacher_start(name) if self.pairs is None else self.pairs.teachers[name]
            found[name] = self._fine_tuned(start, recipe.teacher_epochs, recipe.teacher_learning_rate)
        return found

    @functools.cached_property
    def chosen_teacher(self) -> str:
        """The name of the teacher with the best held-out score, of equal ones the first. Several are built for it."""
        if len(self.teachers) == 1:
            return next(iter(self.teachers))
        metric = scores.main_metric(self.recipe.task)
        return max(self.teachers, key=lambda name: self.score(self.teachers[name], split="heldout")[metric])

    @functools.cached_property
    def teacher(self) -> Node:
        """The fine-tuned baseline that the student copies."""
        return self.teachers[self.chosen_teacher]

    def _fine_tuned(self, start: Node, epochs: int, learning_rate: float, **more: Any) -> Node:
        """A model that learns the labels of the task's rows."""
        training = self.training(epochs=epochs, learning_rate=learning_rate)
        return node(
            fine_tune,
            start=start,
            data=self.data,
            training=training,
            max_length=self.recipe.max_length,
            **more,
        )

    def check_teacher(self) -> None:
        """Stop with `RunError` if the teacher does not beat its floor on held-out rows by two standard errors."""
        task = self.recipe.task
        predicted = scores.predictions(task, self.logits(self.teacher, split="heldout"))
        labels = self.data.labels("heldout")
        scores.check_teacher(task, predicted, labels, scores.floor_score(task, self.data.labels("train"), labels))
