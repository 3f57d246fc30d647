"""Measure one arm of a study: its score with intervals, its bytes, its zeros, its time beside others."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn
from transformers import BertTokenizer

from helpers import latency, models, scores, storage, tasks
from helpers.artifacts import Node
from helpers.compress import pruning, quantization
from helpers.compress.chain import Chain
from helpers.compress.steps import Step
from helpers.labels import ARMS

__all__ = [
    "floor",
    "heldout",
    "measure",
    "rows",
    "shape",
    "shapes",
    "speed",
    "student_variant",
]


def _bare(name: str, model: nn.Module, chain: str, *, title: str | None = None, **how: Any) -> dict[str, Any]:
    """An arm with what can be told from the weights alone; `how` it is stored goes to `storage.size`."""
    return {
        "arm": name,
        "title": title or ARMS[name],
        "chain": chain,
        "parameter": None,
        "scores": None,
        "n": None,
        "heldout_scores": None,
        "versus": None,
        "retention": None,
        "predictions": None,
        **storage.count(model),
        "bytes": storage.size(model, **{"compressed": False, **how}),
        "sparsity": None,
        "latency": None,
    }


def shapes() -> dict[str, nn.Module]:
    """Build BERT-base, TinyBERT and TinyBERT in int8 at their true shapes, with random weights."""
    base, tiny = models.shaped("bert-base"), models.shaped("tinybert")
    return {"bert_base_shape": base, "tinybert_shape": tiny, "tinybert_shape_int8": quantization.quantize(tiny)}


def shape(name: str, model: nn.Module) -> dict[str, Any]:
    """Measure one model of `shapes`: its bytes."""
    return _bare(name, model, "random weights" + (" > int8" if name.endswith("int8") else ""))


def measure(
    chain: Chain,
    name: str,
    model: Node,
    *steps: Step,
    described: str,
    title: str | None = None,
    versus: tuple[str, Node, tuple[Step, ...]] | None = None,
    parameter: Mapping[str, Any] | None = None,
    heldout: bool = False,
    compressed: bool = False,
    tokenizer: BertTokenizer | None = None,
    layouts: Sequence[str] = ("dense",),
) -> dict[str, Any]:
    """Measure one arm on the validation split: metrics with intervals, what differs from `versus`, bytes, zeros.

    `described` is the chain in words, `versus` = (arm, node, steps) names the model to compare with on the same rows.
    `heldout` adds the score on the held-out rows, `compressed` the bytes after gzip. `tokenizer` and `layouts` say what
    the file has (`storage.save`).
    """
    task, labels = chain.recipe.task, chain.data.labels("validation")
    metric = scores.main_metric(task)
    predicted = scores.predictions(task, chain.logits(model, *steps))
    loaded = chain.load(model, *steps)
    how = {"compressed": compressed, "tokenizer": tokenizer, "layouts": layouts}
    arm = _bare(name, loaded, described, title=title, **how)
    arm["scores"] = {
        each: scores.interval(task, predicted, labels, metric=each)._asdict() for each in scores.TASK_METRICS[task]
    }
    arm["n"] = len(labels)
    arm["parameter"] = dict(parameter) if parameter else None
    arm["heldout_scores"] = chain.score(model, *steps, split="heldout") if heldout else None
    if versus:
        other, other_model, other_steps = versus
        reference = scores.predictions(task, chain.logits(other_model, *other_steps))
        value, low, high = scores.paired(task, predicted, reference, labels)
        flips = scores.flips(task, predicted, reference, labels)
        arm["versus"] = {"arm": other, "difference": value, "low": low, "high": high}
        arm["versus"]["flips"] = flips._asdict() if flips else None
    teacher = scores.score(task, scores.predictions(task, chain.logits(chain.teacher)), labels)[metric]
    kept = scores.retention(arm["scores"][metric]["value"], teacher, floor(chain))
    arm["retention"] = None if math.isnan(kept) else kept
    stored = chain.prediction(model, *steps)
    arm["predictions"] = {"artifact": stored.key, "sha256": chain.store.checksum(stored, "logits.npy")}
    if pruning.pool(loaded) and not quantization.quantized_layers(loaded):
        arm["sparsity"] = pruning.sparsity(loaded)
    return arm


def heldout(chain: Chain, name: str, model: Node, *, described: str) -> dict[str, Any]:
    """Measure one model on held-out rows alone."""
    task, labels = chain.recipe.task, chain.data.labels("heldout")
    predicted = scores.predictions(task, chain.logits(model, split="heldout"))
    stored = chain.prediction(model, split="heldout")
    return _bare(name, chain.load(model), described) | {
        "n": len(labels),
        "heldout_scores": scores.score(task, predicted, labels),
        "predictions": {"artifact": stored.key, "sha256": chain.store.checksum(stored, "logits.npy")},
    }


def student_variant(
    chain: Chain,
    name: str,
    *,
    described: str,
    versus: tuple[str, Node, tuple[Step, ...]] | None = None,
    **changes: Any,
) -> dict[str, Any]:
    """Measure the student of a recipe that differs in `changes`; compared with the recipe's own unless told."""
    other = chain.changed(**changes)
    whole = ("student", chain.student, ())
    return measure(
        other, name, other.student, described=described, versus=versus or whole, parameter=changes, heldout=True
    )


def floor(chain: Chain, *, split: str = "validation") -> float:
    """Return the main metric of the majority or mean predictor on a split."""
    return scores.floor_score(chain.recipe.task, chain.data.labels("train"), chain.data.labels(split))


def rows(chain: Chain) -> list[dict[str, list[int]]]:
    """Return the validation split's rows as tokens, not padded, shortest first: batches then have little padding."""
    words = models.tokenizer(chain.store.path(chain.teacher))
    encoded = tasks.encode(chain.data.validation, chain.data.task, words, max_length=chain.recipe.max_length)
    return sorted(encoded, key=lambda row: len(row["input_ids"]))


def speed(
    chain: Chain, arms: Sequence[dict[str, Any]], built: Mapping[str, nn.Module], *, baseline: str
) -> dict[str, Any]:
    """Time models side by side on the validation rows; fill in each arm's `latency` and return the common setup."""
    recipe = chain.recipe
    # a shape of another vocabulary may have fewer words: which ones are looked up makes no difference to the time
    words = min(model.config.vocab_size for model in built.values())
    inputs = [row | {"input_ids": [word % words for word in row["input_ids"]]} for row in rows(chain)]
    measured = latency.measure(
        built,
        inputs,
        padded_length=max(len(row["input_ids"]) for row in inputs),
        threads=recipe.latency_threads,
        repeats=recipe.latency_repeats,
        max_batches=recipe.latency_max_batches,
        blocks=recipe.latency_blocks,
        baseline=baseline,
    )
    for arm in arms:
        arm["latency"] = measured["arms"].get(arm["arm"])
    return measured["setup"]
