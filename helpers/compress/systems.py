"""The overview's other systems for one recipe, named as a chain names TinyBERT's models."""

from __future__ import annotations

import functools

from helpers import models
from helpers.artifacts import Node, node
from helpers.compress import distilbert
from helpers.compress.chain import Chain
from helpers.environment import InputError

__all__ = ["Systems"]


class Systems(Chain):
    """DistilBERT beside the models of a chain: the same teacher, rows, text and number of steps."""

    @functools.cached_property
    def depth(self) -> int:
        """Layers of the language model, known before it is built."""
        source = self.sources.get("language_model")
        if source is not None:
            return models.read_config(source.folder).num_hidden_layers
        return int(self.recipe.language_model_shape["num_hidden_layers"])

    @functools.cached_property
    def distilbert_layers(self) -> list[int]:
        """The layers of the language model that DistilBERT's student takes.

        Raises `InputError` for a depth that does not halve, or layers that do not exist.
        """
        wanted = self.recipe.distilbert_layers
        if wanted == "half":
            return distilbert.half(self.depth)
        if not isinstance(wanted, list) or not wanted:
            raise InputError(f"distilbert_layers must be half or a list of layers, not {wanted!r}.")
        return models.layer_map(len(wanted), self.depth, wanted)

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
