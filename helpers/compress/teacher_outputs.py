"""What a teacher says of every row, computed once and read again in every epoch.

A frozen teacher in eval mode says the same of a row each time, whatever batch the row is in. So its hidden states and
attention scores are written once, in 16 bits and without padding, and read through memory maps: the operating system
keeps in memory what fits.
"""

from __future__ import annotations

import contextlib
import copy
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from torch import Tensor, nn

from helpers import models, tasks
from helpers.environment import RunError, device
from helpers.training import together

__all__ = ["TeacherOutputs", "check_room", "with_outputs"]

COMPLETE = "complete"


def _sizes(lengths: np.ndarray, layers: int, width: int, heads: int) -> dict[str, np.ndarray]:
    """Return how many numbers each row has in each file."""
    return {"hidden": (layers + 1) * width * lengths, "scores": layers * heads * lengths**2}


def check_room(
    lengths: Sequence[int] | np.ndarray,
    *,
    layers: int,
    width: int,
    heads: int,
    folder: Path,
    bound_gb: float | None,
    instead: str = "set teacher_outputs to logits",
) -> None:
    """Raise `RunError` if the outputs for rows of these lengths take more than `bound_gb`, or than is free."""
    sizes = _sizes(np.asarray(lengths, dtype=np.int64), layers, width, heads)
    needed = 2 * sum(int(size.sum()) for size in sizes.values())
    if bound_gb is not None and needed > bound_gb * 1e9:
        raise RunError(
            f"The teacher's outputs of {len(lengths):,} rows take {needed / 1e9:.2g} GB, more than "
            f"teacher_outputs_gb, {bound_gb:g}; raise it, or {instead}."
        )
    there = next(place for place in (folder, *folder.parents) if place.exists())
    free = shutil.disk_usage(there).free
    if needed > free:
        raise RunError(
            f"The teacher's outputs take {needed / 1e9:.1f} GB, {free / 1e9:.1f} GB are free where artifacts are "
            f"kept; make room, set STUDY_ARTIFACTS, or {instead}."
        )


class TeacherOutputs:
    """A teacher's embeddings, hidden states and attention scores of chosen `layers` (1..N), row by row, in 16 bits.

    `rows` are tokenized (lists `input_ids` and so on). Files that a run before this one finished are used again.
    Raises `RunError` if the disk has no room, if they would take more than `bound_gb`, or if a value does not fit into
    16 bits.
    """

    def __init__(
        self,
        teacher: nn.Module,
        rows: Sequence[Mapping[str, list[int]]],
        layers: Sequence[int],
        folder: Path,
        *,
        precision: str = "float32",
        bound_gb: float | None = None,
    ) -> None:
        self.lengths = np.array([len(row["input_ids"]) for row in rows], dtype=np.int64)
        self.layers, self.folder = list(layers), folder
        self.width, self.heads = teacher.config.hidden_size, teacher.config.num_attention_heads
        sizes = _sizes(self.lengths, len(layers), self.width, self.heads)
        self.starts = {name: np.concatenate([[0], np.cumsum(size)]) for name, size in sizes.items()}
        if together.number() == 0 and not (folder / COMPLETE).exists():
            shutil.rmtree(folder, ignore_errors=True)
            shape = {"layers": len(layers), "width": self.width, "heads": self.heads}
            check_room(self.lengths, **shape, folder=folder, bound_gb=bound_gb)
            folder.mkdir(parents=True)
            self._compute(teacher, rows, precision)
            (folder / COMPLETE).touch()
        together.wait()  # one computes for all
        self.files = {name: self._open(name) for name in self.starts}

    def batch(self, ids: Sequence[int], length: int) -> dict[str, Tensor]:
        """Return rows by number, padded with zeros to `length`: float16 `teacher_hidden` (B, M + 1, T, H) and
        `teacher_scores` (B, M, A, T, T)."""
        count = len(self.layers)
        hidden = np.zeros((len(ids), count + 1, length, self.width), np.float16)
        scores = np.zeros((len(ids), count, self.heads, length, length), np.float16)
        for place, row in enumerate(ids):
            tokens = self.lengths[row]
            hidden[place, :, :tokens] = self._part("hidden", row).reshape(count + 1, tokens, self.width)
            part = self._part("scores", row).reshape(count, self.heads, tokens, tokens)
            scores[place, :, :, :tokens, :tokens] = part
        return {"teacher_hidden": torch.from_numpy(hidden), "teacher_scores": torch.from_numpy(scores)}

    def _reserve(self, name: str) -> None:
        """Make a file and set its room on the disk aside, so that none is missing later."""
        size = 2 * max(1, int(self.starts[name][-1]))
        with open(self.folder / name, "wb") as file:
            file.truncate(size)
            if hasattr(os, "posix_fallocate"):  # not on every system
                os.posix_fallocate(file.fileno(), 0, size)

    def _open(self, name: str) -> np.memmap:
        return np.memmap(self.folder / name, np.float16, "r", shape=(max(1, int(self.starts[name][-1])),))

    def _part(self, name: str, row: int) -> np.ndarray:
        start, end = self.starts[name][row : row + 2]
        return self.files[name][start:end]

    @torch.inference_mode()
    def _compute(self, teacher: nn.Module, rows: Sequence[Mapping[str, list[int]]], precision: str) -> None:
        for name in self.starts:
            self._reserve(name)
        where = device()
        teacher = models.expose_scores(teacher).to(where).eval()
        if precision == "bf16":  # otherwise each batch would round all the weights again
            teacher = _rounded(teacher)
        with contextlib.ExitStack() as stack:
            files = {name: stack.enter_context(open(self.folder / name, "r+b")) for name in self.starts}
            for chosen in tasks.batches(self.lengths.tolist()):
                batch = tasks.collate([{name: rows[i][name] for name in tasks.FIELDS} for i in chosen])
                inputs = {name: value.to(where) for name, value in batch.items()}
                with torch.autocast(where.type, torch.bfloat16, enabled=precision == "bf16"):
                    said = teacher(**inputs, output_hidden_states=True, output_attentions=True)
                hidden = torch.stack([said.hidden_states[layer] for layer in [0, *self.layers]], dim=1)
                scores = torch.stack([said.attentions[layer - 1] for layer in self.layers], dim=1)
                self._write(files["hidden"], "hidden", chosen, hidden.float())
                self._write(files["scores"], "scores", chosen, scores.float())
            for file in files.values():  # what is marked as complete must survive a power cut
                file.flush()
                os.fsync(file.fileno())

    def _write(self, file: BinaryIO, name: str, ids: Sequence[int], values: Tensor) -> None:
        """Write what a batch's rows have, without their padding. Not through a map: its pages would count as memory."""
        most = torch.finfo(torch.float16).max
        low, high = values.aminmax()
        fits = bool(low >= -most and high <= most)  # NaN does not either
        short = values.half().cpu().numpy()
        for place, row in enumerate(ids):
            tokens = self.lengths[row]
            part = np.s_[place, :, :tokens] if name == "hidden" else np.s_[place, :, :, :tokens, :tokens]
            if not fits and not (values[part].abs() <= most).all():
                raise RunError(
                    f"The teacher's {name} of row {row} reach {values[part].abs().max().item():.3g}, which 16 bits do "
                    "not hold; set teacher_outputs to off."
                )
            file.seek(2 * int(self.starts[name][row]))
            file.write(np.ascontiguousarray(short[part]).data)


def _rounded(model: nn.Module) -> nn.Module:
    """Return a copy whose linear layers hold bf16: what bf16 computing makes of them in any case."""
    model = copy.deepcopy(model)
    for layer in model.modules():
        if isinstance(layer, nn.Linear):
            layer.to(torch.bfloat16)
    return model


def with_outputs(
    outputs: Callable[[list[int], int], dict[str, Tensor]], *, length: int | None = None
) -> Callable[[Sequence[Mapping[str, list[int]]]], dict[str, Tensor]]:
    """Return a collator that puts a teacher's `outputs` (row numbers, padded length) for a batch beside it.

    The rows have their number as `row`.
    """

    def collator(rows: Sequence[Mapping[str, list[int]]]) -> dict[str, Tensor]:
        batch = tasks.collate(rows, length=length)
        return batch | outputs([row["row"] for row in rows], batch["input_ids"].shape[1])

    return collator
