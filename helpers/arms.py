"""Measure one arm of a study: its score with intervals, its bytes, its zeros; and put a run's arms into a record."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from helpers import environment, hub, latency, models, profiles, records, scores, storage, tasks
from helpers.artifacts import Node, default_folder
from helpers.compress import pruning, quantization
from helpers.compress.chain import Chain
from helpers.compress.steps import Step
from helpers.labels import ARMS

__all__ = [
    "floor",
    "measure",
    "minutes",
    "record",
    "records_folder",
    "results_folder",
    "rows",
    "shape",
    "shapes",
    "speed",
    "student_variant",
]


def results_folder(profile: str) -> Path:
    """Return where a profile's records lie."""
    return profiles.ROOT / "results" / profile / "records"


def records_folder(recipe: profiles.Recipe) -> Path:
    """Return where a run's record goes: to its profile's, or, with other settings, beside the models it made.

    A trial with another learning rate must not replace what tables and README are made from.
    """
    aside = default_folder() / "records" / recipe.profile
    return aside if profiles.departs(recipe) else results_folder(recipe.profile)


def _bare(
    name: str, model: nn.Module, chain: str, *, title: str | None = None, compressed: bool = False
) -> dict[str, Any]:
    """An arm with what can be told from the weights alone."""
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
        "bytes": storage.size(model, compressed=compressed),
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
) -> dict[str, Any]:
    """Measure one arm on the validation split: metrics with intervals, the paired difference to `versus`, bytes, zeros.

    `described` is the chain in words, `versus` = (arm, node, steps) names the model to compare with on the same rows.
    `heldout` adds the score on the held-out rows, `compressed` the bytes after gzip.
    """
    task, labels = chain.recipe.task, chain.data.labels("validation")
    metric = scores.main_metric(task)
    predicted = scores.predictions(task, chain.logits(model, *steps))
    loaded = chain.load(model, *steps)
    arm = _bare(name, loaded, described, title=title, compressed=compressed)
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
        arm["versus"] = {"arm": other, "difference": value, "low": low, "high": high}
    teacher = scores.score(task, scores.predictions(task, chain.logits(chain.teacher)), labels)[metric]
    kept = scores.retention(arm["scores"][metric]["value"], teacher, floor(chain))
    arm["retention"] = None if math.isnan(kept) else kept
    stored = chain.prediction(model, *steps)
    arm["predictions"] = {"artifact": stored.key, "sha256": chain.store.checksum(stored, "logits.npy")}
    if pruning.pool(loaded) and not quantization.quantized_layers(loaded):
        arm["sparsity"] = pruning.sparsity(loaded)
    return arm


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


def minutes(chain: Chain, model: Node) -> float:
    """Return the minutes that a stored result took to build."""
    chain.store.path(model)
    return chain.store.manifests()[model.key]["seconds"] / 60


def floor(chain: Chain) -> float:
    """Return the main metric of the majority or mean predictor on the validation split."""
    return scores.floor_score(chain.recipe.task, chain.data.labels("train"), chain.data.labels("validation"))


def rows(chain: Chain) -> list[dict[str, list[int]]]:
    """Return the validation split's rows as tokens, not padded, shortest first: batches then have little padding."""
    words = models.tokenizer(chain.store.path(chain.student))
    encoded = tasks.encode(chain.data.validation, chain.data.task, words, max_length=chain.recipe.max_length)
    return sorted(encoded, key=lambda row: len(row["input_ids"]))


def speed(
    chain: Chain, arms: Sequence[dict[str, Any]], built: Mapping[str, nn.Module], *, baseline: str
) -> dict[str, Any]:
    """Time models side by side on the validation rows; fill in each arm's `latency` and return the common setup."""
    recipe = chain.recipe
    inputs = rows(chain)
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


def _portable(value: Any) -> Any:
    """Reduce a place on this machine to its name: a record says what was read, not where somebody keeps it."""
    return Path(value).name if isinstance(value, str) and Path(value).exists() else value


def _data(chain: Chain) -> dict[str, Any]:
    """Describe all rows that a run read: the task's, and the pairs that its teacher saw before."""
    described = chain.data.describe()
    if chain.nli is not None and "teacher" not in chain.sources:
        pairs = chain.nli
        told = (
            f"the teacher, not the control, was first trained on {len(pairs.train):,} inference pairs "
            f"({pairs.name}, fingerprint {pairs.fingerprint})"
        )
        described["note"] = "; ".join(note for note in (described["note"], told) if note)
    return described


def _building_seconds(chain: Chain, arms: Sequence[Mapping[str, Any]]) -> float:
    """Return the seconds that all stored results behind a run's arms took to build, now or earlier."""
    known = chain.store.manifests()
    waiting = [arm["predictions"]["artifact"] for arm in arms if arm["predictions"]]
    reached: set[str] = set()
    while waiting:
        key = waiting.pop()
        if key in known and key not in reached:
            reached.add(key)
            waiting += known[key]["inputs"]
    return sum(known[key]["seconds"] for key in reached)


def record(
    chain: Chain,
    notebook: str,
    arms: Sequence[Mapping[str, Any]],
    *,
    parameters: Mapping[str, Any],
    began: float,
    latency_setup: Mapping[str, Any] | None = None,
    curves: Mapping[str, Any] | None = None,
    facts: Mapping[str, tuple[float, str]] | None = None,
    ladder: Mapping[str, Any] | None = None,
    sources: Mapping[str, hub.Source] | None = None,
) -> Path:
    """Write a run's record and return its file. `began` is `time.monotonic()` at the run's start.

    `seconds` is what the run took apart from building models, `building_seconds` what all results behind its arms
    took to build, in this run or earlier ones: together what it takes from an empty store. `facts` are other numbers
    by name, each with its unit; `sources` are the published checkpoints, by default those of the chain.
    """
    recipe = chain.recipe
    published = [
        {"role": role, "name": s.name, "source": s.source, "revision": s.revision, "sha256": s.sha256}
        for role, s in (sources or chain.sources).items()
    ]
    built = {
        "role": "language_model",
        "name": "made here from text",
        "source": "built",
        "revision": None,
        "sha256": None,
    }
    return records.write(
        {
            "schema": 1,
            "notebook": notebook,
            "profile": recipe.profile,
            "task": recipe.task,
            "seed": recipe.seed,
            "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "parameters": {name: _portable(value) for name, value in parameters.items()},
            "data": _data(chain),
            "text": chain.text.describe() if recipe.text else None,
            "models": published or [built],
            "code": environment.git_state(profiles.ROOT, ignore=["results", "figures", "README.md"]),
            "environment": environment.describe(),
            "metrics": list(scores.TASK_METRICS[recipe.task]),
            "floor": floor(chain),
            "arms": list(arms),
            "latency_setup": dict(latency_setup) if latency_setup else None,
            "curves": dict(curves) if curves else None,
            "facts": {name: {"value": value, "unit": unit} for name, (value, unit) in facts.items()} if facts else None,
            "ladder": dict(ladder) if ladder else None,
            "seconds": round(max(0.0, time.monotonic() - began - chain.store.seconds), 1),
            "building_seconds": round(_building_seconds(chain, arms), 1),
            "peak_memory_mb": round(latency.peak_memory_mb(), 1),
        },
        records_folder(recipe),
    )
