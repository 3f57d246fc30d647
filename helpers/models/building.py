"""Build BERT models: of the true shapes, from checkpoints, with new or old heads."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from transformers import (
    BertConfig,
    BertForMaskedLM,
    BertForPreTraining,
    BertForSequenceClassification,
    BertModel,
)

from helpers.environment import InputError, set_seed
from helpers.models.checkpoints import Checkpoint, compare, read
from helpers.models.compact import build

__all__ = ["SHAPES", "classifier", "encoder", "language_model", "load", "masked_language_model", "shaped"]

Model = TypeVar("Model", bound=nn.Module)
TIED = "cls.predictions.decoder."  # the same tensors as the word embeddings and the head's bias

SHAPES: dict[str, dict[str, Any]] = {
    "bert-base": {
        "vocab_size": 30522,
        "hidden_size": 768,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
        "intermediate_size": 3072,
    },
    "tinybert": {
        "vocab_size": 30522,
        "hidden_size": 312,
        "num_hidden_layers": 4,
        "num_attention_heads": 12,
        "intermediate_size": 1200,
    },
    "albert-base": {
        "vocab_size": 30000,
        "hidden_size": 768,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
        "intermediate_size": 3072,
        "compact": {"embedding_size": 128, "sharing": "all"},
    },
}


def shaped(name: str, *, outputs: int = 2, seed: int = 0) -> BertForSequenceClassification:
    """Build a classifier of a published shape with random weights: its bytes and its speed are the real ones."""
    set_seed(seed)
    return build(BertForSequenceClassification, BertConfig(**SHAPES[name], num_labels=outputs)).eval()


def encoder(checkpoint: Checkpoint, *, seed: int = 0) -> BertModel:
    """Build a checkpoint's encoder without any head; a missing pooler is initialised.

    Raises `InputError` naming keys that are missing or of another shape.
    """
    tensors = {name.removeprefix("bert."): t for name, t in checkpoint.tensors.items() if name.startswith("bert.")}
    return _filled(BertModel, checkpoint.config, tensors, checkpoint.where, optional=("pooler.",), seed=seed).eval()


def _filled(
    kind: type[Model],
    config: BertConfig,
    tensors: Mapping[str, Tensor],
    where: str,
    *,
    optional: tuple[str, ...],
    seed: int,
) -> Model:
    """Build a model and give it weights; what may be missing of them stays random. Raises `InputError` as `compare`."""
    with torch.device("meta"):  # memory is taken only for what the weights really hold
        compare(build(kind, config), tensors, where, optional=optional)
    set_seed(seed)
    model = build(kind, config)
    model.load_state_dict(tensors, strict=False)  # more strictly than that it was compared above
    return model


def classifier(
    checkpoint: Checkpoint, *, outputs: int, seed: int, labels: tuple[str, ...] = (), head: bool = False
) -> BertForSequenceClassification:
    """Build a classifier on a checkpoint's encoder: with a new head, or with `head=True` with the checkpoint's own.

    A head with label names in another order than `labels` is put in order. A missing pooler is initialised, as it is
    when a masked language model is fine-tuned. Raises `InputError` naming keys that are missing or of another shape.
    """
    # the number of labels comes from their names where there are any, so the old ones go
    old = {name: value for name, value in checkpoint.config.to_dict().items() if name not in ("id2label", "label2id")}
    config = BertConfig.from_dict({**old, "num_labels": outputs})
    tensors = {
        name: tensor for name, tensor in checkpoint.tensors.items() if head or not name.startswith("classifier.")
    }
    optional = ("bert.pooler.",) if head else ("bert.pooler.", "classifier.")
    model = _filled(BertForSequenceClassification, config, tensors, checkpoint.where, optional=optional, seed=seed)
    if head and checkpoint.labels and labels and checkpoint.labels != labels:
        if sorted(checkpoint.labels) != sorted(labels):
            raise InputError(
                f"{checkpoint.where} predicts {', '.join(checkpoint.labels)}; the task has {', '.join(labels)}."
            )
        order = [checkpoint.labels.index(name) for name in labels]
        model.classifier.weight.data = model.classifier.weight.data[order]
        model.classifier.bias.data = model.classifier.bias.data[order]
    return model.eval()


def language_model(shape: Mapping[str, float], *, seed: int) -> BertForPreTraining:
    """Build a BERT with its two pretraining heads and random weights."""
    set_seed(seed)
    return build(BertForPreTraining, BertConfig(**shape))


def masked_language_model(folder: Path, *, new_head: bool = False, seed: int = 0) -> BertForMaskedLM:
    """Load a checkpoint's encoder and the head that fills masks, in eval mode; with `new_head` this head is random.

    The output layer is the word embeddings again, as in every BERT. Raises `InputError` if there is no such head.
    """
    checkpoint = read(folder, masked_head=not new_head)
    if not new_head and "cls.predictions.transform.dense.weight" not in checkpoint.tensors:
        raise InputError(
            f"The language model {checkpoint.where} has no head that fills masks; take one with such a head, or set "
            "pretraining_steps to train one on text."
        )
    other = ("bert.pooler.", "classifier.", TIED)
    wanted = {name: tensor for name, tensor in checkpoint.tensors.items() if not name.startswith(other)}
    optional = ("cls.",) if new_head else ()
    return _filled(BertForMaskedLM, checkpoint.config, wanted, checkpoint.where, optional=optional, seed=seed).eval()


def load(folder: Path) -> BertForSequenceClassification:
    """Load a classifier that `save` wrote, in eval mode."""
    checkpoint = read(folder)
    outputs = checkpoint.tensors["classifier.weight"].shape[0]
    return classifier(checkpoint, outputs=outputs, seed=0, head=True)
