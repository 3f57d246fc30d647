"""Turn rows of text into tokens, and rows of tokens into batches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from datasets import Dataset, concatenate_datasets
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from helpers.tasks.glue import Task

__all__ = ["FIELDS", "collate", "encode"]

FIELDS = ("input_ids", "token_type_ids", "attention_mask")


def encode(rows: Dataset, task: Task, tokenizer: PreTrainedTokenizerBase, *, max_length: int) -> Dataset:
    """Tokenize rows: input_ids, token_type_ids, attention_mask (lists of T ints, not padded) and labels."""

    def tokens(batch: dict[str, list]) -> dict[str, list]:
        encoded = tokenizer(*(batch[column] for column in task.text), truncation=True, max_length=max_length)
        return {**encoded, "labels": [float(x) if not task.labels else int(x) for x in batch["label"]]}

    encoded = [tokens(rows[start : start + 1000]) for start in range(0, len(rows), 1000)]
    return concatenate_datasets([Dataset.from_dict(part) for part in encoded])


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
