"""Chains: which steps make which model. Every model of the study is named here, once, and built when asked for."""

from __future__ import annotations

import functools
import math
from typing import Any

from helpers import scores
from helpers.artifacts import Bound, Node, node
from helpers.compress import distillation, pruning
from helpers.compress.augmentation import Augmentation, augment
from helpers.compress.candidates import find_candidates
from helpers.compress.checks import check_room, check_text
from helpers.compress.losses import PARTS, LossOptions
from helpers.compress.teachers import Teachers
from helpers.environment import InputError, device, precision
from helpers.labels import REPORT_AMOUNTS
from helpers.training import Training

__all__ = ["Chain"]


class Chain(Teachers):
    """The study's models for one recipe: a tree whose common beginnings are built once.

    language model > fine-tune (teacher); student start > control; student start > intermediate > prediction (student);
    student > prune, int8.
    """

    @property
    def control_epochs(self) -> int:
        """Epochs with as many steps as the student takes: the control has its start and rows, only no teacher."""
        recipe = self.recipe
        intermediate = recipe.intermediate_epochs if set(PARTS) & set(recipe.loss_parts) else 0
        times = 1 if recipe.augmented == "off" else recipe.augmentation_steps
        return (intermediate + recipe.prediction_epochs) * times

    @functools.cached_property
    def control(self) -> Node:
        """The student's shape and start, trained on the labels for as many steps: what distillation must beat."""
        start = self.pairs.control if self.starts_from_pairs else self.start
        return self._fine_tuned(start, self.control_epochs, self.label_rate)

    @property
    def starts_from_pairs(self) -> bool:
        """Whether control and student pass through the inference pairs, too, and not the teacher alone."""
        return self.pairs is not None and self.pairs.control_epochs > 0

    def check_without_pairs(self, study: str) -> None:
        """Raise `InputError` if students pass through inference pairs, which those beside them in a study do not."""
        if self.starts_from_pairs:
            raise InputError(
                f"In the study of {study} no student passes through inference pairs: set nli_intermediate_epochs and "
                "nli_prediction_epochs to 0."
            )

    @property
    def label_rate(self) -> float:
        """The learning rate of students that learn from the labels."""
        return self.recipe.control_learning_rate or self.recipe.prediction_learning_rate

    @functools.cached_property
    def intermediate(self) -> Node:
        """The student after it has copied the teacher's embeddings, hidden states and attention, if it is to."""
        if not self.starts_from_pairs:
            return self._copied_states(self.start)
        of_task = {"task": self.recipe.task, "seed": self.recipe.seed}
        return self._copied_states(node(distillation.start_from_general, general=self.pairs.student, **of_task))

    def _copied_states(self, start: Node, **more: Any) -> Node:
        """A student after it has copied the teacher's states on the task, if it is to."""
        recipe = self.recipe
        parts = tuple(part for part in PARTS if part in recipe.loss_parts)
        if not parts:
            return start
        options = LossOptions(
            parts=parts,
            shared_projection=recipe.shared_projection,
            padding_counts="authors" if recipe.padding_counts else False,
            teacher_dropout=recipe.teacher_dropout,
        )
        method: dict[str, Any] = {"layers": recipe.layer_map}
        if recipe.teacher_outputs == "all" and not options.needs_live_teacher and recipe.augmented == "off":
            method |= {"teacher_outputs": "all", "bound_gb": Bound(recipe.teacher_outputs_gb)}
        training = self.training(epochs=recipe.intermediate_epochs, learning_rate=recipe.intermediate_learning_rate)
        return self._distilled(start, "intermediate", training, options, **method, **more)

    @functools.cached_property
    def student(self) -> Node:
        """The distilled student: intermediate, then prediction, or the labels in place of the teacher's answers."""
        recipe = self.recipe
        if not self.learns_answers:
            rate, epochs = recipe.prediction_learning_rate, recipe.prediction_epochs
            more = self._more_rows(epochs, after=recipe.intermediate_epochs)
            return self._fine_tuned(self.intermediate, epochs, rate, head=True, **more)
        return self._answering(self.intermediate, epochs=recipe.prediction_epochs)

    @property
    def learns_answers(self) -> bool:
        """Whether the student's last stage is the teacher's answers, not the labels."""
        return "prediction" in self.recipe.loss_parts and self.recipe.augmented != "gold"

    def _answering(self, start: Node, *, epochs: int, **more: Any) -> Node:
        """A student after it has learned the teacher's answers on the task."""
        recipe = self.recipe
        options = LossOptions(
            temperature_squared=recipe.temperature_squared,
            mean_over_classes=recipe.mean_over_classes,
            gold_scores=recipe.gold_scores,
            teacher_dropout=recipe.teacher_dropout,
        )
        method: dict[str, Any] = {"temperature": recipe.temperature}
        if recipe.teacher_outputs != "off" and not options.needs_live_teacher and recipe.augmented == "off":
            method |= {"teacher_outputs": "logits"}
        training = self.training(epochs=epochs, learning_rate=recipe.prediction_learning_rate)
        return self._distilled(start, "prediction", training, options, **method, **more)

    def _distilled(self, student: Node, stage: str, training: Training, options: LossOptions, **method: Any) -> Node:
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
            **({"options": options} if options != LossOptions() else {}),
            **({"drop_incomplete": True} if self.recipe.drop_incomplete else {}),
            **self._more_rows(training.epochs, after=self.recipe.intermediate_epochs if stage == "prediction" else 0),
        )

    @functools.cached_property
    def candidates(self) -> Node:
        """What may stand in the place of each word of the task's training rows, whatever the seed."""
        recipe = self.recipe
        return node(
            find_candidates,
            language_model=self.masked_language_model,
            vectors=self.vectors,
            data=self.data,
            count=recipe.augmentation_candidates,
            max_length=recipe.max_length,
            precision=precision(recipe.precision),
            on=device().type,
        )

    @functools.cached_property
    def variants(self) -> Node:
        """The augmented rows of the task."""
        recipe = self.recipe
        settings = Augmentation(
            variants=recipe.augmentation_variants,
            probability=recipe.augmentation_probability,
            seed=recipe.seed,
            first_text_stays_changed=recipe.first_text_stays_changed,
        )
        return node(augment, found=self.candidates, data=self.data, settings=settings)

    def _more_rows(self, epochs: int, *, after: int) -> dict[str, Any]:
        """Return what an augmented stage is given: more rows, but no more steps than the recipe says.

        These steps are often less than one pass. A stage `after` some epochs draws another order of the rows, so that
        it does not read the same few again.
        """
        recipe = self.recipe
        if recipe.augmented == "off":
            return {}
        steps = math.ceil(len(self.data.train) / recipe.batch_size) * epochs
        order = {"first_epoch": after * recipe.augmentation_steps} if after else {}
        return {"variants": self.variants, "max_steps": steps * recipe.augmentation_steps, **order}

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

    def check_room(self) -> None:
        """Raise `RunError` or `InputError` for too little room, too few rows, or a text that is too short."""
        check_room(self.recipe, self.sources, self.data, self.store.folder)
        if self.recipe.text is not None:
            check_text(self.text, piece_length=self.recipe.piece_length)

    def chosen_amount(self) -> float:
        """Return the pruning amount of the report's range with the best held-out score; of equal ones the larger."""
        metric = scores.main_metric(self.recipe.task)
        found = {a: self.score(self.student, ("prune", a), split="heldout")[metric] for a in REPORT_AMOUNTS}
        return max(found, key=lambda amount: (found[amount], amount))
