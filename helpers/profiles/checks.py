"""Whether values have the types and lie in the ranges that a recipe wants."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any, get_args, get_origin

from helpers.environment import InputError
from helpers.profiles.ablations import ABLATIONS, DISTILBERT
from helpers.profiles.recipe import (
    BACKENDS,
    BLOCKS,
    DISTILBERT_WEIGHTS,
    LOSSES,
    MOST_LADDER_STEPS,
    MOST_LAYERS,
    SHARINGS,
    STARTS,
    TEACHER_STARTS,
    Recipe,
)
from helpers.wording import SHOWN, nearest, shown

__all__ = ["SHAPE", "check_ranges", "check_types"]

MOST_SIZE = 2**20  # of a width or a number of positions: no memory holds a matrix of that many rows and columns
LEAST = dict.fromkeys(("batch_size", "max_length", "threads", "latency_threads", "latency_repeats"), 1)
LEAST |= {"vocabulary_size": 100}  # the letters alone are dozens
LEAST |= dict.fromkeys(("general_batch_size", "pretraining_batch_size", "word_vectors_size"), 1)
LEAST |= {
    "augmentation_steps": 1,
    "augmentation_variants": 1,
    "augmentation_candidates": 1,
    "piece_length": 3,
}  # [CLS], a token, [SEP]
LISTS = {
    "speed_backends": BACKENDS,
    "latency_blocks": BLOCKS,
    "loss_parts": LOSSES,
    "compared_starts": STARTS,
    "teacher_starts": TEACHER_STARTS,
    "ablations": tuple(ABLATIONS),
    "distilbert_ablations": tuple(DISTILBERT),
    "albert_sharings": SHARINGS,
}
CHOICES = {
    "precision": ("auto", "bf16", "float32"),
    "general_start": ("random", "embeddings", "projected"),
    "teacher_outputs": ("off", "logits", "all"),
    "augmented": ("off", "teacher", "gold"),
    "distilbert_start": ("layers", "random"),
    "albert_sharing": SHARINGS,
}
SHARES = ("pretraining_masked_share", "warmup_fraction", "augmentation_probability", "distilbert_share")
SHAPE = (
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "intermediate_size",
    "max_position_embeddings",
    "type_vocab_size",
    "hidden_dropout_prob",
    "attention_probs_dropout_prob",
    "initializer_range",
)


def check_types(values: Mapping[str, Any], types: Mapping[str, Any], *, where: str) -> None:
    """Raise `InputError` for a name that `types` does not know, or a value of another type than it says."""
    for name, value in values.items():
        if name not in types:
            raise InputError(f"{where}: there is no parameter {shown(name)}; {nearest(name, types)}.")
        if not _fits(value, types[name]):
            kind = str(types[name]) if get_args(types[name]) else types[name].__name__
            hint = " (YAML reads 2e-5 as text; write 2.0e-5)" if isinstance(value, str) and _is_number(value) else ""
            part = _misfit(value, types[name])
            text = shown(value)
            whole = part is value or len(text) < SHOWN
            said = f"not {text}" if whole else f"and {shown(part)} in it is not"
            raise InputError(f"{where}: {name} must be {kind}, {said}{hint}.")


def _misfit(value: Any, kind: Any) -> Any:
    """Return the innermost part of a value that is of another type than it should be."""
    parts: list[tuple[Any, Any]] = []
    if get_origin(kind) is dict and isinstance(value, Mapping):
        of_key, of_value = get_args(kind)
        parts = [pair for key, each in value.items() for pair in ((key, of_key), (each, of_value))]
    elif get_origin(kind) is list and isinstance(value, list):
        parts = [(each, *get_args(kind)) for each in value]
    return next((_misfit(part, wanted) for part, wanted in parts if not _fits(part, wanted)), value)


def check_ranges(recipe: Recipe) -> None:
    """Raise `InputError` for a value outside its range."""
    for name in ("pruning_amounts", "recovery_amounts", "structured_shares"):
        _check_amounts(name, getattr(recipe, name))
    for name, value in dataclasses.asdict(recipe).items():
        least = LEAST.get(name, 0)
        if isinstance(value, int | float) and not (math.isfinite(value) and value >= least):
            raise InputError(f"{name} must be a number of at least {least}, not {value}.")
    for name in ("language_model_shape", "student_shape", "albert_shape"):
        _check_shape(name, getattr(recipe, name))
    for name, known in LISTS.items():
        _check_list(name, getattr(recipe, name), known)
    for name, known in CHOICES.items():
        if getattr(recipe, name) not in known:
            raise InputError(f"{name} must be {', '.join(known[:-1])} or {known[-1]}, not {getattr(recipe, name)!r}.")
    for name in SHARES:
        if getattr(recipe, name) > 1:
            raise InputError(f"{name} is a share, from 0 to 1, not {getattr(recipe, name)}.")
    for name in ("loss_parts", "teacher_starts"):
        if not getattr(recipe, name):
            raise InputError(f"{name} is empty; name one at least.")
    if recipe.ladder_steps > MOST_LADDER_STEPS:
        raise InputError(f"ladder_steps may be {MOST_LADDER_STEPS} at the most, not {recipe.ladder_steps}.")
    for name in ("temperature", "distilbert_temperature"):
        if getattr(recipe, name) <= 0:
            raise InputError(f"{name} must be above 0, not {getattr(recipe, name)}.")
    weights = recipe.distilbert_weights
    known_only = weights.keys() <= DISTILBERT_WEIGHTS.keys()
    if not known_only or not any(weights.values()) or min(weights.values()) < 0:
        known = ", ".join(DISTILBERT_WEIGHTS)
        raise InputError(f"distilbert_weights gives a factor above 0 to one or more of {known}, not {weights}.")


def _check_list(name: str, values: Sequence[str], known: Sequence[str]) -> None:
    unknown = [value for value in values if value not in known]
    if unknown:
        raise InputError(f"{name}: there is no {unknown[0]!r}; known are {', '.join(known)}.")
    if len(set(values)) < len(values):
        raise InputError(f"{name} names one twice: {values}.")


def _check_amounts(name: str, amounts: Sequence[float]) -> None:
    for amount in amounts:
        if not 0 <= amount < 1:
            raise InputError(
                f"{name}: an amount is the share of weights to remove, from 0 up to below 1, not {amount}."
            )
    if len(set(amounts)) < len(amounts):
        raise InputError(f"{name} names an amount twice: {amounts}.")
    if any(amount != round(amount, 4) for amount in amounts):  # an amount is part of its arm's name
        raise InputError(f"{name}: give amounts with four digits at most, not {amounts}.")


def _check_shape(name: str, shape: Mapping[str, float]) -> None:
    unknown = [key for key in shape if key not in SHAPE]
    if unknown:  # the library would take it without a word and build its usual size
        raise InputError(f"{name}: there is no {unknown[0]!r}; known are {', '.join(SHAPE)}.")
    for key, value in shape.items():
        if key.endswith("_prob"):
            fits, wanted = 0 <= value < 1, "from 0 to below 1"
        elif key.endswith("_range"):
            fits, wanted = 0 < value < 1, "above 0 and below 1"  # all weights zero would never learn
        else:
            most = MOST_LAYERS if key == "num_hidden_layers" else MOST_SIZE
            least, wanted = isinstance(value, int) and value >= 1, "a whole number of at least 1"
            fits, wanted = (least and value <= most), f"{most:,} at most" if least else wanted
        if not fits:
            raise InputError(f"{name}: {key} must be {wanted}, not {value}.")
    width, heads = shape.get("hidden_size"), shape.get("num_attention_heads")
    if width and heads and width % heads:
        raise InputError(f"{name}: hidden_size must be a multiple of num_attention_heads, in {shape}.")


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _fits(value: Any, kind: Any) -> bool:
    if get_origin(kind) is list:
        return isinstance(value, list) and all(_fits(item, get_args(kind)[0]) for item in value)
    if get_origin(kind) is dict:
        return isinstance(value, dict) and all(
            isinstance(k, str) and _fits(v, get_args(kind)[1]) for k, v in value.items()
        )
    if get_args(kind):
        return any(_fits(value, option) for option in get_args(kind))
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    return isinstance(value, kind) and not (kind is int and isinstance(value, bool))
