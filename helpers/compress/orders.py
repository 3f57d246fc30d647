"""The same steps in other orders: chains that are written as text, built as one tree, and end in equal bytes."""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

from transformers import BertConfig

from helpers import models, tasks
from helpers.artifacts import Node, node
from helpers.compress import budgets, conditions, factorization, notation
from helpers.compress.budgets import Weights
from helpers.compress.chain import Chain
from helpers.compress.checks import config_of
from helpers.compress.notation import ROUNDINGS, Link
from helpers.compress.steps import Step
from helpers.environment import InputError
from helpers.storage import Coding
from helpers.training.pretraining import train_tokenizer

__all__ = ["Made", "Orders"]


class Made(NamedTuple):
    """A model somewhere in the tree: the stored one and the quick steps that are not in it yet."""

    model: Node
    steps: tuple[Step, ...] = ()
    pruned: bool = False
    rounding: Coding | None = None
    trained: bool = False

    @property
    def held(self) -> dict[str, Any]:
        """What a training from here on keeps to, as steps of training take it."""
        zeros = {"hold_zeros": "matrices"} if self.pruned else {}
        return zeros | ({"rounding": self.rounding} if self.rounding else {})


class Orders(Chain):
    """A chain whose steps are put in other orders, left out, or repeated (`recipe.order_chains`)."""

    needs_language_model = True

    @functools.cached_property
    def wanted(self) -> dict[str, tuple[tuple[Link, ...], ...]]:
        """The chains of each budget as they are written. Raises `InputError` for one that cannot be."""
        given = self.recipe.order_chains
        for budget, texts in given.items():
            alike = [other for other in given if other != budget and budgets.size(other) == budgets.size(budget)]
            if alike:
                raise InputError(f"order_chains has the budgets {budget!r} and {alike[0]!r}, which are one: join them.")
            if not texts:
                raise InputError(f"order_chains: the budget {budget!r} has no chain; give one, or leave it out.")
        return {budget: tuple(notation.parse(text) for text in texts) for budget, texts in given.items()}

    def check_orders(self) -> None:
        """Raise `InputError`, before anything is built, for a chain that cannot be, or ends above its budget."""
        if not self.wanted:
            raise InputError(
                "order_chains names no chain: give a budget and chains, as in {'5 MB': ['distil > int4']}."
            )
        if not self.learns_answers:
            raise InputError(
                "The study of orders distils with the teacher's answers, and this student learns labels: leave "
                "prediction in loss_parts and set augmented to off or teacher."
            )
        self.check_without_pairs("orders")
        for budget, chains in self.chains.items():
            first: dict[tuple[Link, ...], str] = {}
            for chain in self.wanted[budget]:
                text, end = notation.write(chain), chains[chain]
                if end in first:
                    same = first[end] == text
                    twice = f"Chain {text!r} stands twice" if same else f"Chains {first[end]!r} and {text!r} are one"
                    raise InputError(f"{twice} under {budget!r}; leave one out.")
                first[end] = text
                if not self.recipe.recovery_epochs and any(link[0] == "recover" for link in chain):
                    raise InputError(f"Chain {text!r} recovers for no epoch: set recovery_epochs to 1 or more.")

    @functools.cached_property
    def chains(self) -> dict[str, dict[tuple[Link, ...], tuple[Link, ...]]]:
        """For each budget the chains as they are written, and with the amounts that fit."""
        group = self.recipe.storage_group
        return {
            budget: {chain: budgets.fitted(chain, budget, self.weights(chain), group=group) for chain in chains}
            for budget, chains in self.wanted.items()
        }

    def weights(self, chain: tuple[Link, ...]) -> Weights:
        """Count the weights of a chain's model, with the largest head of any task: then an amount fits all tasks."""
        shape = (chain[0] == ("teacher",), next((link[1] for link in chain if link[0] == "low_rank"), None))
        if shape not in self._counted:
            try:
                self._counted[shape] = Weights.of(self._config(of_teacher=shape[0]), low_rank=shape[1])
            except InputError as error:
                raise InputError(f"Chain {notation.write(chain)!r}: {error}") from error
        return self._counted[shape]

    @functools.cached_property
    def _counted(self) -> dict[tuple[bool, float | None], Weights]:
        """The weights of each shape that was asked for: to count them a model is built."""
        return {}

    def _config(self, *, of_teacher: bool) -> BertConfig:
        recipe = self.recipe
        shape = {"vocab_size": self.pieces, **recipe.language_model_shape}
        config = config_of(self.sources, ("teacher", "language_model"), shape)
        if not of_teacher:
            read = {name: getattr(config, name) for name in ("vocab_size", "max_position_embeddings")}
            config = config_of(self.sources, ("student",), recipe.student_shape | read)
        labels = {number: str(number) for number in range(max(task.outputs for task in tasks.TASKS.values()))}
        return BertConfig(**config.to_dict() | {"id2label": labels})

    @functools.cached_property
    def pieces(self) -> int:
        """How many pieces a vocabulary that is made here has; it is known before any training."""
        if "language_model" in self.sources:
            return models.read_config(self.sources["language_model"].folder).vocab_size
        if self.store.has(self.language_model):
            return len(models.tokenizer(self.store.path(self.language_model)))
        with tempfile.TemporaryDirectory() as folder:
            lines = self.text.rows["text"][:]
            return len(train_tokenizer(lines, vocabulary_size=self.recipe.vocabulary_size, folder=Path(folder)))

    @functools.cached_property
    def tree(self) -> dict[tuple[Link, ...], Made]:
        """Every model on the way to one of the chains, once, each after the one that it is made from."""
        found: dict[tuple[Link, ...], Made] = {}
        for part in notation.beginnings([chain for chains in self.chains.values() for chain in chains.values()]):
            before = found[part[:-1]] if len(part) > 1 else Made(self.start)
            found[part] = self._after(before, part[-1])
        return found

    def _after(self, made: Made, link: Link) -> Made:
        """Return the model that a step makes of another."""
        name, *values = link
        if name == "teacher":
            return Made(self.teacher, trained=True)
        if name == "prune":
            return made._replace(steps=(*made.steps, ("prune", values[0], "each")), pruned=True)
        if name in ROUNDINGS:
            coding = budgets.coding(name, self.recipe.storage_group)
            return made._replace(steps=(*made.steps, ("round", name, coding.group)), rounding=coding)
        if name == "low_rank":
            return made._replace(
                model=node(factorization.factorize, model=made.model, embeddings=None, linear=values[0])
            )
        trained = self._trained(self._settled(made), link, **made.held)
        # what is pruned stays pruned in training; what is stored of it is not rounded
        again: tuple[Step, ...] = ()
        if made.rounding:
            again = (("round", made.rounding.kind, made.rounding.group),)
        return made._replace(model=trained, steps=again, trained=True)

    def _settled(self, made: Made) -> Node:
        """The stored model that training goes on from: pruned, but with weights as they were before rounding.

        Rounding before a training is done in each of its steps. Where pruning came after rounding, what it left of the
        rounded weights is what there is.
        """
        last = max((i for i, step in enumerate(made.steps) if step[0] == "prune"), default=-1)
        steps = made.steps[: last + 1]
        return node(conditions.settle, model=made.model, steps=list(steps)) if steps else made.model

    def _trained(self, start: Node, link: Link, **held: Any) -> Node:
        recipe = self.recipe
        if link == ("distil",):
            return self._answering(self._copied_states(start, **held), epochs=recipe.prediction_epochs, **held)
        if link == ("recover",):
            return self._answering(start, epochs=recipe.recovery_epochs, **held)
        if link == ("train",) and start is self.start and not held:
            return self.control
        epochs = self.control_epochs if link == ("train",) else recipe.recovery_epochs
        return node(
            conditions.learn_labels,
            model=start,
            data=self.data,
            training=self.training(epochs=epochs, learning_rate=self.label_rate),
            max_length=recipe.max_length,
            **held,
        )
