"""What the models of a recipe say: each built or found, asked for its logits, scored."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from helpers import models, scores
from helpers.artifacts import Node, node
from helpers.compress.beginnings import Beginnings
from helpers.compress.steps import Step, apply, predict
from helpers.environment import device

__all__ = ["Answers"]


class Answers(Beginnings):
    """Asks any model of a recipe, after quick steps, about the task's rows; what it said is stored."""

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
