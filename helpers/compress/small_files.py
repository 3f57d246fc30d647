"""The ladder of files of one student: each rung stores it in fewer bytes than the one before."""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

from helpers import models, storage
from helpers.artifacts import Node, node
from helpers.compress import pruning, vocabulary
from helpers.compress.chain import Chain
from helpers.compress.steps import Step
from helpers.compress.vocabulary import Fallback
from helpers.environment import InputError

__all__ = ["Rung", "SmallFiles"]


class Rung(NamedTuple):
    """One file of the ladder: the arm it is, its chain in words, the model and the quick steps that make it."""

    arm: str
    described: str
    model: Node
    steps: tuple[Step, ...] = ()
    layouts: tuple[str, ...] = ("dense",)


class SmallFiles(Chain):
    """A chain whose student is stored in fewer and fewer bytes."""

    needs_language_model = True

    def check_storage(self) -> None:
        """Raise `InputError` for an amount or a count that cannot be, or no text, before any training."""
        amount, count = self.recipe.storage_amount, self.recipe.storage_min_count
        if not 0 < amount < 1:
            raise InputError(
                f"storage_amount is the share of weights that is pruned before, above 0 and below 1, not {amount}."
            )
        if count < 1:
            raise InputError(
                f"storage_min_count says how often the text has a piece that is kept, 1 or more, not {count}."
            )
        if self.recipe.storage_epochs and not self.learns_answers:
            raise InputError(
                "Training for rounding goes on with the teacher's answers, and this student learns labels: set "
                "storage_epochs to 0."
            )
        self.text  # noqa: B018 - asking for it checks that there is some

    @functools.cached_property
    def counts(self) -> Node:
        """How often the text has each piece of the vocabulary, once for all tasks and seeds."""
        return node(vocabulary.count_in_text, language_model=self.language_model, text=self.text)

    def with_fewer_pieces(self, model: Node, *, of: str = "text") -> Node:
        """A model with the pieces of the vocabulary that its task's training rows need, or these and the `text`."""
        more = {"counts": self.counts, "min_count": self.recipe.storage_min_count} if of == "text" else {}
        return node(vocabulary.cut_vocabulary, model=model, data=self.data, **more)

    def recovered_in_bits(self, amount: float = 0.0, *, rounded: bool = True) -> Node:
        """The student, pruned or not, after more of its last stage, with its weights rounded to int4 in each step.

        With `rounded=False` the same training without rounding: what the steps alone do.
        """
        recipe = self.recipe
        start = node(pruning.zero, model=self.student, amount=amount, of="pool") if amount else self.student
        more: dict[str, Any] = {"hold_zeros": "pool"} if amount else {}
        if rounded:
            more["rounding"] = storage.Coding("int4", recipe.storage_group)
        return self._answering(start, epochs=recipe.storage_epochs, **more)

    def rungs(self) -> list[Rung]:
        """Name the files from float32 down."""
        recipe, student, fewer = self.recipe, self.student, self.with_fewer_pieces
        int4: Step = ("round", "int4", recipe.storage_group)
        prune: Step = ("prune", recipe.storage_amount)
        pruned, small = f"prune {recipe.storage_amount:g}", {"layouts": storage.LAYOUTS}
        found = [
            Rung("stored_float32", "distil", student),
            Rung("stored_bf16", "distil > bf16", student, (("round", "bf16"),)),
            Rung("stored_int8_linear", "distil > int8 layers", student, (("int8",),)),
            Rung("stored_int8", "distil > int8", student, (("round_embeddings", "int8"), ("int8",))),
            Rung("stored_float8", "distil > float8", student, (("round", "float8"),)),
            Rung("stored_int4", "distil > int4", student, (int4,)),
            Rung("stored_int4_entropy", "distil > int4", student, (int4,), **small),
            Rung("stored_pruned", f"distil > {pruned} > int4", student, (prune, int4), **small),
            Rung("stored_vocabulary", "distil > vocabulary > int4", fewer(student), (int4,), **small),
            Rung("stored_task_words", "distil > vocabulary > int4", fewer(student, of="task"), (int4,), **small),
        ]
        if recipe.storage_epochs:
            last = "vocabulary > int4"
            longer, aware = self.recovered_in_bits(rounded=False), self.recovered_in_bits()
            part = self.recovered_in_bits(recipe.storage_amount)
            found += [
                Rung("stored_longer", f"distil > recover > {last}", fewer(longer), (int4,), **small),
                Rung("stored_aware", f"distil > recover in int4 > {last}", fewer(aware), (int4,), **small),
                Rung(
                    "stored_pruned_aware",
                    f"distil > {pruned} > recover in int4 > {last}",
                    fewer(part),
                    (int4,),
                    **small,
                ),
            ]
        return found

    def fallback(self, smaller: Node) -> Fallback:
        """Return what the vocabulary of a smaller model does to the words of the validation rows."""
        before, after = (models.tokenizer(self.store.path(each)) for each in (self.student, smaller))
        texts = [text for name in self.data.task.text for text in self.data.validation[name][:]]
        return vocabulary.fallback(before, after, texts)
