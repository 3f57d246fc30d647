"""Ablations: one change of the recipe each, to see what it does to the student."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from helpers.profiles.recipe import DISTILBERT_WEIGHTS, LOSSES, Recipe

__all__ = ["ABLATIONS", "COMPARED_WITH", "DISTILBERT", "ablations_for"]

# of its losses: that batches are whole is another matter, less than one batch in an epoch
AUTHORS_CODE = ("shared_projection", "padding_counts", "mean_over_classes", "gold_scores", "teacher_dropout")

ABLATIONS: Mapping[str, Mapping[str, Any]] = {
    **{f"no_{loss}": {"loss_parts": [other for other in LOSSES if other != loss]} for loss in LOSSES},
    "top_layers": {"layer_map": "top"},
    "bottom_layers": {"layer_map": "bottom"},
    "shared_projection": {"shared_projection": True},
    "padding_counts": {"padding_counts": True},
    "temperature_4": {"temperature": 4.0},
    "temperature_4_squared": {"temperature": 4.0, "temperature_squared": True},
    "mean_over_classes": {"mean_over_classes": True},
    "gold_scores": {"gold_scores": True},
    "teacher_dropout": {"teacher_dropout": True},
    "drop_incomplete": {"drop_incomplete": True},
    "authors_code": dict.fromkeys(AUTHORS_CODE, True),
}
# of DistilBERT: each part of its loss left out; then weights that owe the teacher nothing, and no distillation on text
DISTILBERT: Mapping[str, Mapping[str, Any]] = {
    **{
        f"no_{part}": {"distilbert_weights": {name: w for name, w in DISTILBERT_WEIGHTS.items() if name != part}}
        for part in DISTILBERT_WEIGHTS
    },
    "random": {"distilbert_start": "random"},
    "no_text": {"distilbert_steps": 0},
}
# of two changes that are one step apart the second shows what that step does
COMPARED_WITH = {"temperature_4_squared": "temperature_4"}
OF_SCORES = ("gold_scores",)  # tasks whose label is a score
OF_CLASSES = ("temperature_4", "temperature_4_squared", "mean_over_classes")


def ablations_for(recipe: Recipe) -> list[str]:
    """Return the recipe's ablations that mean something for its task: a score has no classes, a class is no score."""
    none = OF_CLASSES if recipe.task == "stsb" else OF_SCORES
    return [name for name in recipe.ablations if name not in none]
