"""The overview's other systems for one recipe, named as a chain names TinyBERT's models."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any, Self

import torch
from torch import nn
from transformers import BertConfig, BertForSequenceClassification

from helpers import models
from helpers.artifacts import Node, node
from helpers.compress import distilbert, factorization, pruning, structured
from helpers.compress.chain import Chain
from helpers.compress.checks import config_of
from helpers.compress.losses import LossOptions
from helpers.environment import InputError

__all__ = ["Systems"]

SHAPE = ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size")


class Systems(Chain):
    """DistilBERT, ALBERT, low ranks and smaller structures beside a chain: the same teacher, rows and text.

    On the task each new student takes as many steps as the chain's own; on text as many as its own setting says.
    """

    needs_language_model = True

    @property
    def text_of_student(self) -> str:
        """Say how much text TinyBERT's student reads before the task."""
        recipe = self.recipe
        if "student" in self.sources:
            return "what its publishers gave it"
        return f"{recipe.general_steps} batches" if recipe.student_start == "general" else "none"

    @property
    def text_of_teacher(self) -> str:
        """Say how much text the language model reads here, on top of what a published one has read."""
        return f"{self.recipe.pretraining_steps} batches{' more' if 'language_model' in self.sources else ''}"

    @functools.cached_property
    def language_model_config(self) -> BertConfig:
        """The language model's configuration, known before it is built; its vocabulary may become a little smaller."""
        shape = {"vocab_size": self.recipe.vocabulary_size, **self.recipe.language_model_shape}
        return config_of(self.sources, ("language_model",), shape)

    def albert_shape(self, *, embedding_size: int | None = None, sharing: str | None = None) -> dict[str, Any]:
        """Return ALBERT's shape, or one with other embeddings or another sharing.

        Raises `InputError` for embeddings wider than the hidden states.
        """
        recipe = self.recipe
        shape: dict[str, Any] = dict(recipe.albert_shape or recipe.language_model_shape)
        if "language_model" in self.sources and not recipe.albert_shape:
            shape = {name: getattr(self.language_model_config, name) for name in SHAPE}
        size = recipe.albert_embedding_size if embedding_size is None else embedding_size
        compact: dict[str, Any] = {"sharing": recipe.albert_sharing if sharing is None else sharing}
        compact |= {"embedding_size": size} if size else {}
        shape["compact"] = compact
        models.check(BertConfig(**shape))
        return shape

    def albert(self, **changes: Any) -> Node:
        """Name ALBERT, or one of another shape (`albert_shape`), on the task, made as TinyBERT's student is.

        It copies the language model on text, for `albert_steps`, and the teacher on the task.
        """
        return self._copying(**changes).student

    def _copying(self, **changes: Any) -> Self:
        shape = {
            name: value for name, value in self.albert_shape(**changes).items() if name != "max_position_embeddings"
        }
        return self.changed(student_shape=shape, student_start="general", general_steps=self.recipe.albert_steps)

    def from_scratch(self, shape: Mapping[str, Any]) -> Node:
        """A BERT or ALBERT of some shape, from the run's random weights, on the labels alone.

        It takes as many steps as students take.

        Where no language model is made here, `InputError`: nobody compares that with a published one.
        """
        if self.recipe.language_model != "built":
            raise InputError(
                "A model is trained from scratch only beside a language model made here, not a published one."
            )
        start = self._pretrained(0, shape=shape)
        return self._fine_tuned(start, self.control_epochs, self.recipe.teacher_learning_rate)

    def check_albert(self) -> None:
        """Raise `InputError` for no steps or no text to make ALBERT with, or a shape or a low rank that cannot be."""
        recipe = self.recipe
        if not recipe.albert_steps:
            raise InputError("ALBERT needs albert_steps of distillation on text; give a number above 0.")
        self.check_without_pairs("ALBERT")
        self.text  # noqa: B018 - asking for it checks that there is some
        sizes = recipe.albert_embedding_sizes
        if len({*sizes}) < len(sizes) or 0 in sizes:
            raise InputError(f"albert_embedding_sizes names each of the others once, and none is 0, not {sizes}.")
        shapes = [{}, *({"embedding_size": size} for size in sizes)]
        for change in (*shapes, *({"sharing": kind} for kind in recipe.albert_sharings)):
            self._copying(**change).sources  # noqa: B018 - asking for them checks that all parts fit together
        with torch.device("meta"):  # shapes alone
            whole = models.build(BertForSequenceClassification, self.language_model_config)
        for cut in self._cuts(whole).values():
            factorization.ranks_for(whole, **cut)

    def low_rank_cuts(self) -> dict[str, dict[str, float]]:
        """Return the shares for `low_rank` that save what ALBERT's embeddings save: of the embeddings, of the layers.

        A cut that would leave no weight, or save none, is not there.
        """
        return self._cuts(self.load(self.teacher))

    def _cuts(self, whole: nn.Module) -> dict[str, dict[str, float]]:
        size = self.recipe.albert_embedding_size or whole.config.hidden_size // 4
        shares = factorization.equal_shares(whole, size)
        return {name: {name: share} for name, share in shares.items() if 0 < share < 1}

    def low_rank(self, *, embeddings: float | None = None, linear: float | None = None) -> Node:
        """The teacher whose word embeddings, and whose encoder's matrices, keep a share of their weights, untrained."""
        return node(factorization.factorize, model=self.teacher, embeddings=embeddings, linear=linear)

    def structured(self, *, heads: float = 0.0, neurons: float = 0.0, layers: int = 0) -> Node:
        """The teacher without the least important share of its heads and neurons, and some layers fewer, untrained."""
        return node(
            structured.remove,
            model=self.teacher,
            data=self.data,
            max_length=self.recipe.max_length,
            heads=heads,
            neurons=neurons,
            layers=layers,
        )

    def check_structured(self) -> None:
        """Raise `InputError` for shares of heads and neurons, or numbers of layers, that the teacher cannot lose."""
        config, recipe = self.language_model_config, self.recipe
        depth = config.num_hidden_layers
        percents = [round(100 * share) for share in recipe.structured_shares]
        if not percents and not recipe.structured_layers:
            raise InputError("Nothing is to be removed; give structured_shares or structured_layers.")
        if len({*percents}) < len(percents) or len({*recipe.structured_layers}) < len(recipe.structured_layers):
            raise InputError("structured_shares (in whole percents) and structured_layers must name each amount once.")
        for share in recipe.structured_shares:
            for parts in (config.num_attention_heads, config.intermediate_size):
                structured.count_removed(depth * parts, share, layers=depth)
        if 0 in percents or any(layers < 1 for layers in recipe.structured_layers):
            raise InputError("structured_shares and structured_layers say how much goes: 1 % or more, 1 layer or more.")
        for layers in recipe.structured_layers:
            if layers >= depth:
                raise InputError(f"structured_layers: {layers} of {depth} layers are to go; one at least must stay.")

    def left_of_encoder(self, smaller: Node) -> float:
        """Return the share of the weights of the teacher's linear layers that a smaller model has."""
        counts = [
            sum(layer.weight.numel() for layer in factorization.linear_layers(self.load(model)).values())
            for model in (smaller, self.teacher)
        ]
        return counts[0] / counts[1]

    def with_zeros(self, left: float) -> Node:
        """The teacher with the smallest weights of its encoder's matrices set to zero, a share `left` as they are."""
        return node(pruning.zero, model=self.teacher, amount=round(1 - left, 4))

    def recovered_by_teacher(self, model: Node) -> Node:
        """A smaller teacher after it has learned the whole one's answers again, for the epochs of a recovery.

        Its learning rate is the teacher's, whose width it has. Weights that were set to zero stay zero.
        """
        recipe = self.recipe
        training = self.training(epochs=recipe.recovery_epochs, learning_rate=recipe.teacher_learning_rate)
        method: dict[str, Any] = {"hold_zeros": True} if model.function is pruning.zero else {}
        return self._distilled(model, "prediction", training, LossOptions(), temperature=recipe.temperature, **method)

    @functools.cached_property
    def distilbert_layers(self) -> list[int]:
        """The layers of the language model that DistilBERT's student takes.

        Raises `InputError` for a depth that does not halve, or layers that do not exist.
        """
        wanted, depth = self.recipe.distilbert_layers, self.language_model_config.num_hidden_layers
        if wanted == "half":
            return distilbert.half(depth)
        if not isinstance(wanted, list) or not wanted:
            raise InputError(f"distilbert_layers must be half or a list of layers, not {wanted!r}.")
        if any(not 1 <= layer <= depth for layer in wanted):
            raise InputError(
                f"distilbert_layers {wanted} does not fit: the language model has the layers 1 to {depth}."
            )
        return list(wanted)

    @functools.cached_property
    def distilbert_general(self) -> Node:
        """DistilBERT's student after its distillation on text, once for all tasks."""
        recipe = self.recipe
        return node(
            distilbert.distil_masked_words,
            language_model=self.masked_language_model,
            layers=self.distilbert_layers,
            start=recipe.distilbert_start,
            weights=recipe.distilbert_weights,
            temperature=recipe.distilbert_temperature,
            masked_share=recipe.pretraining_masked_share,
            everywhere=recipe.distilbert_everywhere,
            text=self.text,
            training=self._on_text(recipe.general_batch_size, recipe.distilbert_learning_rate),
            length=recipe.piece_length,
            steps=recipe.distilbert_steps,
        )

    def check_distilbert(self) -> None:
        """Raise `InputError` if there are no steps or no text to make DistilBERT with, or its layers do not exist."""
        if not self.recipe.distilbert_steps:
            raise InputError("DistilBERT needs distilbert_steps of distillation on text; give a number above 0.")
        self.check_without_pairs("DistilBERT")
        self.distilbert_general  # noqa: B018 - naming it checks the rest

    @functools.cached_property
    def distilbert(self) -> Node:
        """DistilBERT, fine-tuned on the labels, for as many steps as TinyBERT's student takes on the task.

        Its learning rate is the teacher's, whose width it has.
        """
        rate = self.recipe.teacher_learning_rate
        return self._fine_tuned(self.distilbert_general, self.control_epochs, rate)

    @functools.cached_property
    def distilbert_two_stage(self) -> Node:
        """DistilBERT(D): fine-tuned on the labels and on the fine-tuned teacher's answers."""
        recipe = self.recipe
        return node(
            distilbert.fine_tune_beside,
            start=self.distilbert_general,
            teacher=self.teacher,
            data=self.data,
            training=self.training(epochs=self.control_epochs, learning_rate=recipe.teacher_learning_rate),
            max_length=recipe.max_length,
            share=recipe.distilbert_share,
            temperature=recipe.distilbert_temperature,
        )
