"""The overview's other systems for one recipe, named as a chain names TinyBERT's models."""

from __future__ import annotations

import functools
from typing import Any

from transformers import BertConfig

from helpers import models
from helpers.artifacts import Node, node
from helpers.compress import distilbert, factorization, structured
from helpers.compress.chain import Chain
from helpers.compress.checks import config_of
from helpers.compress.losses import LossOptions
from helpers.environment import InputError

__all__ = ["Systems"]

SHAPE = ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size")


class Systems(Chain):
    """DistilBERT, ALBERT, low ranks and smaller structures beside a chain: the same teacher, rows, text and steps."""

    @functools.cached_property
    def language_model_config(self) -> BertConfig:
        """The language model's configuration, known before it is built."""
        return config_of(self.sources, ("language_model",), self.recipe.language_model_shape)

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
        """Name ALBERT, or one of another shape (`albert_shape`), on the task.

        Where the language model is made here it is pretrained from scratch in the same way, then fine-tuned for as many
        steps as other students take; else it copies the language model on text and the teacher on the task, as
        TinyBERT's student does.
        """
        shape, recipe = self.albert_shape(**changes), self.recipe
        if recipe.language_model == "built":
            start = self._pretrained(recipe.albert_steps, shape=shape)
            return self._fine_tuned(start, self.data, self.control_epochs, self.label_rate)
        shape = {name: value for name, value in shape.items() if name != "max_position_embeddings"}
        return self.changed(student_shape=shape, student_start="general", general_steps=recipe.albert_steps).student

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

    def recovered_by_teacher(self, model: Node) -> Node:
        """A smaller model after it has learned the teacher's answers, for as many steps as other students take."""
        recipe = self.recipe
        training = self.training(epochs=self.control_epochs, learning_rate=recipe.prediction_learning_rate)
        return self._distilled(model, "prediction", training, LossOptions(), temperature=recipe.temperature)

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
        return models.layer_map(len(wanted), depth, wanted)

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

    @functools.cached_property
    def distilbert(self) -> Node:
        """DistilBERT, fine-tuned on the labels, for as many steps as TinyBERT's student takes on the task."""
        return self._fine_tuned(self.distilbert_general, self.data, self.control_epochs, self.label_rate)

    @functools.cached_property
    def distilbert_two_stage(self) -> Node:
        """DistilBERT(D): fine-tuned on the labels and on the fine-tuned teacher's answers."""
        recipe = self.recipe
        return node(
            distilbert.fine_tune_beside,
            start=self.distilbert_general,
            teacher=self.teacher,
            data=self.data,
            training=self.training(epochs=self.control_epochs, learning_rate=self.label_rate),
            max_length=recipe.max_length,
            share=recipe.distilbert_share,
            temperature=recipe.distilbert_temperature,
        )
