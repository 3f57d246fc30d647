"""Measure programs: one student by several back ends, each beside PyTorch's float32 and beside its floor."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from helpers import arms, backends, environment, latency, models, scores, storage, tasks
from helpers.backends import BACKENDS, Workers
from helpers.compress.chain import Chain
from helpers.environment import InputError, RunError
from helpers.labels import ARMS

__all__ = [
    "BASE",
    "answers",
    "arm",
    "batches",
    "check",
    "fastest",
    "floors",
    "measure",
    "stored",
    "take",
    "takes",
    "training_batches",
]

BASE = "bert_base_shape"
NEEDED = ("torch_float32", "torch_int8")
BATCH_SIZE = 32

Rows = Sequence[Mapping[str, list[int]]]


def check(chain: Chain) -> None:
    """Raise `InputError` for back ends, lengths or rounds that cannot be, before any training."""
    recipe = chain.recipe
    missing = [name for name in NEEDED if name not in recipe.speed_backends]
    if missing:
        raise InputError(f"speed_backends lacks {missing[0]}, with which the others are compared: add it.")
    longest = (recipe.language_model_shape | recipe.student_shape).get("max_position_embeddings", 512)
    wrong = [length for length in recipe.speed_lengths if not 1 <= length <= longest]
    if wrong or recipe.speed_rounds < 1:
        raise InputError(
            f"speed_lengths are tokens, from 1 to {longest:.0f}, and speed_rounds are 1 or more: not "
            f"{wrong or recipe.speed_rounds}."
        )


def batches(chain: Chain) -> list[Rows]:
    """Return the validation rows as batches of 32, rows of like length together, not yet padded."""
    rows = [{name: row[name] for name in tasks.FIELDS} for row in arms.rows(chain)]
    return _cut(rows)


def _cut(rows: Rows) -> list[Rows]:
    return [rows[start : start + BATCH_SIZE] for start in range(0, len(rows), BATCH_SIZE)]


def take(chain: Chain, model: nn.Module, names: Sequence[str]) -> tuple[dict[str, nn.Module], dict[str, str]]:
    """Return the programs that have taken a model over, by back end, and why the others have not.

    One that fails is left out like one that is not installed. Raises `RunError` if PyTorch's own fail.
    """
    examples = [tasks.collate(batch) for batch in training_batches(chain)]
    built, missing = {}, {}
    for name in names:
        reason = backends.why_not(name)
        if reason:
            missing[name] = reason
            continue
        try:
            built[name] = backends.build(name, model, threads=chain.recipe.latency_threads, batches=examples)
        except RunError as error:
            if name in NEEDED:
                raise
            missing[name] = str(error)
    return built, missing


def training_batches(chain: Chain) -> list[Rows]:
    """Return some training rows as batches: the ranges of eight bits are not chosen on what is measured."""
    words = models.tokenizer(chain.store.path(chain.teacher))
    few = chain.data.train.select(range(min(256, len(chain.data.train))))
    encoded = tasks.encode(few, chain.data.task, words, max_length=chain.recipe.max_length)
    rows = [{name: row[name] for name in tasks.FIELDS} for row in encoded]
    return _cut(sorted(rows, key=lambda row: len(row["input_ids"])))


def answers(chain: Chain, program: nn.Module) -> np.ndarray:
    """Return a program's logits for the validation split, `[n, C]`, in its order; asked in batches of like length."""
    words = models.tokenizer(chain.store.path(chain.teacher))
    rows = tasks.encode(chain.data.validation, chain.data.task, words, max_length=chain.recipe.max_length)
    order = sorted(range(len(rows)), key=lambda index: len(rows[index]["input_ids"]))
    found: list[np.ndarray] = [np.empty(0)] * len(rows)
    with environment.threads(chain.recipe.latency_threads), torch.inference_mode():
        for start in range(0, len(order), BATCH_SIZE):
            part = order[start : start + BATCH_SIZE]
            logits = program(**tasks.collate([{name: rows[i][name] for name in tasks.FIELDS} for i in part]))
            for index, row in zip(part, logits.numpy(), strict=True):
                found[index] = row
    return np.stack(found)


def arm(
    chain: Chain, name: str, found: np.ndarray, reference: np.ndarray, student: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the arm of a back end: its score, and its answers beside float32 PyTorch's.

    `student` is the arm of the model that was taken over: bytes and weights are its. `parameter` gets
    `max_difference` of a logit, and for classes the share of examples whose class is another, `changed`.
    """
    task, labels = chain.recipe.task, chain.data.labels("validation")
    ours, theirs = scores.predictions(task, found), scores.predictions(task, reference)
    value, low, high = scores.paired(task, ours, theirs, labels)
    facts: dict[str, Any] = {"max_difference": float(np.abs(found - reference).max())}
    if not np.issubdtype(theirs.dtype, np.floating):
        facts["changed"] = float((ours != theirs).mean())
    measured = {
        metric: scores.interval(task, ours, labels, metric=metric)._asdict() for metric in scores.TASK_METRICS[task]
    }
    versus = {"arm": "speed_torch_float32", "difference": value, "low": low, "high": high}
    return {
        **student,
        "arm": f"speed_{name}",
        "title": ARMS[f"speed_{name}"],
        "chain": f"{student['chain']} > {backends.title(name)}",
        "parameter": facts,
        "scores": measured,
        "versus": None if name == "torch_float32" else versus,
        "retention": None,
        "heldout_scores": None,
        "predictions": None,
        "sparsity": None,
        "latency": None,
    }


def measure(chain: Chain, found: Sequence[dict[str, Any]], programs: Mapping[str, nn.Module]) -> dict[str, Any]:
    """Time all programs beside BERT-base's shape in PyTorch; fill in the arms' `latency`, return the common setup."""
    recipe, base = chain.recipe, models.shaped("bert-base")
    rows = arms.rows(chain)
    words = base.config.vocab_size
    measured = latency.measure(
        {BASE: base, **{f"speed_{name}": program for name, program in programs.items()}},
        [{**row, "input_ids": [word % words for word in row["input_ids"]]} for row in rows],
        padded_length=max(len(row["input_ids"]) for row in rows),
        threads=recipe.latency_threads,
        repeats=recipe.latency_repeats,
        max_batches=recipe.latency_max_batches,
        batch_size=BATCH_SIZE,
        blocks=[block for block in recipe.latency_blocks if block.endswith("true")],
        lengths=recipe.speed_lengths,
        baseline=BASE,
    )
    for one in found:
        one["latency"] = measured["arms"].get(one["arm"])
    return measured["setup"]


def floors(
    chain: Chain, found: Sequence[dict[str, Any]], base: nn.Module, student: nn.Module
) -> dict[str, dict[str, float]]:
    """Measure the machine, and add to each arm the least milliseconds of each block, `floor_ms`; return the rates.

    A block of true lengths is taken at its mean: a floor that is a little too low, since attention grows faster.
    """
    found_rates: dict[str, dict[str, float]] = {}
    threads = chain.recipe.latency_threads
    matrix = latency.matrix_rates(threads)
    for one in found:
        backend = BACKENDS["torch_float32" if one["arm"] == BASE else one["arm"].removeprefix("speed_")]
        whole: Any = base if one["arm"] == BASE else student
        model, precision = models.first_token(whole) if backend.first_token else whole, backend.precision
        size = latency.weight_bytes(model, precision=precision, batch_size=1, length=1)
        measured = latency.Rates(matrix[precision], latency.read_rate(threads, size_bytes=size))
        found_rates[one["arm"]] = measured._asdict()
        one["parameter"] = {**(one["parameter"] or {}), "floor_ms": {}}
        for block, times in (one["latency"] or {}).items():
            if not block.startswith("batch"):
                continue
            rows = int(block.partition("_")[0].removeprefix("batch"))
            length = round(times["mean_tokens"] / rows)
            one["parameter"]["floor_ms"][block] = latency.floor_ms(
                model, measured, precision=precision, batch_size=rows, length=length
            )
    return found_rates


def takes(chain: Chain, student: nn.Module, name: str) -> dict[str, float]:
    """Return what a back end takes in a process of its own: seconds to the first answer, memory before and at most."""
    longest, examples = batches(chain)[-1:], training_batches(chain)  # the longest take most memory
    threads = chain.recipe.latency_threads
    with stored(student) as file, Workers(file, name, [longest], examples=examples, threads=threads) as workers:
        return dict(workers.facts[0])


def fastest(found: Sequence[Mapping[str, Any]]) -> str:
    """Return the back end that was fastest on the task's own batches, of those that compute the whole model."""
    timed = {
        name: one["latency"]["validation_seconds"]
        for one in found
        if one["latency"] and (name := one["arm"].removeprefix("speed_")) != BASE and not BACKENDS[name].first_token
    }
    return min(timed, key=lambda name: timed[name])


@contextmanager
def stored(model: nn.Module) -> Iterator[Path]:
    """Keep a model in a file while the block runs; give its path."""
    with tempfile.TemporaryDirectory() as folder:
        storage.save(model, Path(folder) / "model")
        yield Path(folder) / "model"
