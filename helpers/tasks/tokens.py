"""Turn rows of text into tokens, and rows of tokens into batches."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch
from datasets import Dataset, concatenate_datasets
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from helpers.environment import InputError
from helpers.tasks.glue import Task

__all__ = ["BATCH_TOKENS", "FIELDS", "batches", "collate", "encode", "pieces"]

FIELDS = ("input_ids", "token_type_ids", "attention_mask")
BATCH_TOKENS = 2048  # what a layer computes for them stays in a core's cache; larger batches are slower


def encode(rows: Dataset, task: Task, tokenizer: PreTrainedTokenizerBase, *, max_length: int) -> Dataset:
    """Tokenize rows: input_ids, token_type_ids, attention_mask (lists of T ints, not padded) and labels."""

    def tokens(batch: dict[str, list]) -> dict[str, list]:
        encoded = tokenizer(*(batch[column] for column in task.text), truncation=True, max_length=max_length)
        return {**encoded, "labels": [float(x) if not task.labels else int(x) for x in batch["label"]]}

    encoded = [tokens(rows[start : start + 1000]) for start in range(0, len(rows), 1000)]
    return concatenate_datasets([Dataset.from_dict(part) for part in encoded])


def pieces(
    lines: Sequence[str], tokenizer: PreTrainedTokenizerBase, *, length: int, count: int | None = None
) -> Dataset:
    """Cut a text into pieces of `length` tokens, [CLS] and [SEP] included, so that training on it needs no padding.

    A piece goes on in the line where the one before ended. `count` keeps as many at the most, drawn from the whole
    text, which is often sorted by source. Raises `InputError` for a text of less than one piece.
    """
    body = length - 2
    parts = [
        np.fromiter(itertools.chain.from_iterable(encoded), np.int64)
        for start in range(0, len(lines), 1000)
        if (encoded := tokenizer(list(lines[start : start + 1000]), add_special_tokens=False)["input_ids"])
    ]
    flat = np.concatenate(parts) if parts else np.empty(0, np.int64)
    found = len(flat) // body
    if not found:
        raise InputError(f"The text has {len(flat)} tokens; it needs {body} at least, or a smaller piece length.")
    wanted = found if count is None else min(found, count)
    chosen = np.sort(np.random.default_rng(0).permutation(found)[:wanted])
    ids = np.full((wanted, length), tokenizer.sep_token_id, np.int64)
    ids[:, 0] = tokenizer.cls_token_id
    ids[:, 1:-1] = flat[: found * body].reshape(found, body)[chosen]
    return Dataset.from_dict(
        {"input_ids": ids, "token_type_ids": np.zeros_like(ids), "attention_mask": np.ones_like(ids)}
    )


def collate(
    rows: Sequence[Mapping[str, list[int]]], *, length: int | None = None, pad_id: int = 0
) -> dict[str, Tensor]:
    """Pad rows to the longest, or to `length`: int64 tensors (B, T), and `labels` (B,) if the rows have them."""
    width = length or max(len(row["input_ids"]) for row in rows)
    fill = dict.fromkeys(FIELDS, 0) | {"input_ids": pad_id}
    batch = {
        name: torch.tensor([row[name] + [fill[name]] * (width - len(row[name])) for row in rows]) for name in FIELDS
    }
    if "labels" in rows[0]:
        batch["labels"] = torch.tensor([row["labels"] for row in rows])
    return batch


def batches(lengths: Sequence[int], *, tokens: int = BATCH_TOKENS) -> Iterator[list[int]]:
    """Part rows, the shortest first, into batches of at most `tokens` tokens, padding included, or of one row.

    >>> list(batches([3, 9, 2, 4], tokens=8))
    [[2, 0], [3], [1]]
    """
    batch: list[int] = []
    for i in sorted(range(len(lengths)), key=lambda i: lengths[i]):
        if batch and (len(batch) + 1) * lengths[i] > tokens:
            yield batch
            batch = []
        batch.append(i)
    if batch:
        yield batch
