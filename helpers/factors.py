"""The ladder from BERT-base padded, in plain PyTorch, to the fastest program on all cores: one factor a rung."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from helpers import backends, environment, latency, models, speeds, tasks
from helpers.backends import Workers
from helpers.compress.chain import Chain
from helpers.labels import FIRST_TOKEN

__all__ = ["ladder"]

PADDED_LENGTH = 128  # of BERT-base's rows at the first rung, whatever the task
PADDED_BATCHES = 2  # of these, all alike, stand for the rest


def ladder(chain: Chain, student: nn.Module, programs: Mapping[str, nn.Module], best: str) -> list[dict[str, Any]]:
    """Time the validation split in several ways, each faster by one idea; return a row for each (`latency.factors`).

    BERT-base padded to 128 tokens in PyTorch's float32; rows of like length together, at their true lengths; the
    student; its int8 layers; the best program; the same without what the classifier does not read; one process of that
    on each core, the rows dealt among them. Padded batches are all alike, and a few stand for all.
    """
    recipe, rows = chain.recipe, speeds.batches(chain)
    base: Any = models.shaped("bert-base")
    words = base.config.vocab_size
    known = [[{**row, "input_ids": [word % words for word in row["input_ids"]]} for row in batch] for batch in rows]
    collated = [tasks.collate(batch) for batch in known]
    padded = [tasks.collate(batch, length=PADDED_LENGTH) for batch in known[:PADDED_BATCHES]]
    examples = sum(len(batch) for batch in rows)
    few = _few(collated, recipe.latency_max_batches)
    cores, examples_of_train = recipe.latency_threads, speeds.training_batches(chain)
    lean = f"{best}{FIRST_TOKEN}"
    built = {lean: programs[lean]} if lean in programs else speeds.take(chain, student, [lean])[0]
    last = lean if built else best
    with (
        speeds.stored(student) as file,
        Workers(file, last, backends.deal(rows, cores), examples=examples_of_train, threads=1) as workers,
        environment.threads(cores),
        torch.inference_mode(),
    ):
        ways: dict[str, Callable[[], float]] = {
            "padded": _pass(lambda **b: base(**b), padded, examples / sum(len(b["input_ids"]) for b in padded)),
            "true_lengths": _pass(lambda **b: base(**b), few, _tokens(collated) / _tokens(few)),
            "distilled": _pass(programs["torch_float32"], collated),
            "quantized": _pass(programs["torch_int8"], collated),
            "program": _pass(programs[best], collated),
        }
        if built:
            ways["cls"] = _pass(built[lean], collated)
        ways["processes"] = workers.seconds
        return latency.factors(latency.rounds(ways, recipe.speed_rounds))


def _few(collated: list[dict[str, Tensor]], most: int | None) -> list[dict[str, Tensor]]:
    n = min(most or len(collated), len(collated))
    return [collated[index] for index in np.linspace(0, len(collated) - 1, n).round().astype(int)]


def _tokens(collated: Sequence[Mapping[str, Tensor]]) -> int:
    return sum(batch["input_ids"].numel() for batch in collated)


def _pass(
    program: Callable[..., Any], collated: Sequence[Mapping[str, Tensor]], scale: float = 1.0
) -> Callable[[], float]:
    """Return a way to go through batches, which says how long it took, times `scale`."""

    def way() -> float:
        began = time.perf_counter()
        for batch in collated:
            program(**batch)
        return scale * (time.perf_counter() - began)

    return way
