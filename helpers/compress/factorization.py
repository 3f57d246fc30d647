"""Low rank after training: a matrix becomes the product of two, by its truncated singular value decomposition."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn
from transformers import BertForSequenceClassification

from helpers import models
from helpers.artifacts import step
from helpers.environment import InputError

__all__ = [
    "EMBEDDINGS",
    "energy",
    "equal_shares",
    "factorize",
    "linear_layers",
    "low_rank",
    "rank_for",
    "ranks_for",
    "truncated",
]

EMBEDDINGS = "bert.embeddings.word_embeddings"


def linear_layers(model: nn.Module) -> dict[str, nn.Linear]:
    """Return the linear layers of the encoder, by name; what layers share is there once."""
    return {
        name: module
        for name, module in model.named_modules()
        if name.startswith("bert.encoder.") and isinstance(module, nn.Linear)
    }


def truncated(weight: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    """Return (m, r) and (r, n) whose product is the matrix of rank r nearest to `weight` (Eckart, Young 1936)."""
    u, sizes, v = torch.linalg.svd(weight.double(), full_matrices=False)
    root = sizes[:rank].sqrt()
    return (u[:, :rank] * root).to(weight.dtype), (root[:, None] * v[:rank]).to(weight.dtype)


def energy(weight: Tensor, rank: int) -> float:
    """Return the share of a matrix's squared Frobenius norm that its nearest one of rank r keeps, 0 to 1."""
    sizes = torch.linalg.svdvals(weight.detach().double()).square()
    return float(sizes[:rank].sum() / sizes.sum())


def rank_for(shape: tuple[int, int], share: float) -> int:
    """Return the largest rank at which the two matrices have at most a share of the weights of one (m, n).

    >>> rank_for((768, 768), 0.5)
    192
    """
    rows, columns = shape
    return int(share * rows * columns / (rows + columns) + 1e-9)


def ranks_for(model: nn.Module, *, embeddings: float | None = None, linear: float | None = None) -> dict[str, int]:
    """Return ranks that leave a share of the weights of the word embeddings, and of each of the encoder's matrices.

    None leaves them whole. Raises `InputError` for a share that leaves no rank, or would make a matrix larger.
    """
    wanted: dict[str, tuple[Tensor, float]] = {}
    if embeddings is not None:
        words = model.get_submodule(EMBEDDINGS)
        if not isinstance(words, nn.Embedding):
            raise InputError("The word embeddings are a product already; give them no other rank.")
        wanted[EMBEDDINGS] = (words.weight, embeddings)
    if linear is not None:
        wanted |= {name: (layer.weight, linear) for name, layer in linear_layers(model).items()}
    found = {}
    for name, (weight, share) in wanted.items():
        if not 0 < share < 1:
            raise InputError(f"A low rank leaves a share of the weights, above 0 and below 1, not {share}.")
        found[name] = rank_for(tuple(weight.shape), share)
        if not found[name]:
            raise InputError(f"{share:.0%} of the weights of {name} are less than a rank of one takes; leave more.")
    return found


def equal_shares(model: nn.Module, rank: int) -> dict[str, float]:
    """Return two shares that save as many weights: of the embeddings at a rank, and of the encoder's matrices."""
    table = model.get_submodule(EMBEDDINGS).weight
    layers = sum(layer.weight.numel() for layer in linear_layers(model).values())
    left = rank * sum(table.shape)
    return {"embeddings": left / table.numel(), "linear": 1 - (table.numel() - left) / layers}


@torch.no_grad()
def low_rank(model: nn.Module, ranks: Mapping[str, int]) -> BertForSequenceClassification:
    """Return a copy in which the named layers are the nearest products of two matrices of the given ranks.

    Raises `InputError` for a rank above the full one or a layer that is not there (`models.compact.check`).
    """
    config = copy.deepcopy(model.config)
    before = dict(getattr(config, "compact", None) or {})
    again = [name for name in ranks if name in before.get("ranks", {})]
    if again:
        raise InputError(f"{again[0]} is a product of two matrices already; give it no other rank.")
    config.compact = before | {"ranks": {**before.get("ranks", {}), **ranks}}
    small = models.build(type(model), config).eval()
    small.config._attn_implementation = model.config._attn_implementation
    given = {}
    for name, tensor in models.own_tensors(model).items():
        where, _, kind = name.rpartition(".")
        if where not in ranks:
            given[name] = tensor
        elif kind == "bias":
            given[f"{where}.1.bias"] = tensor
        else:
            left, right = truncated(tensor, ranks[where])
            # a linear layer computes x W', an embedding takes rows of W: the factor next to the input comes first
            first, second = (left, right.T) if where == EMBEDDINGS else (right, left)
            given |= {f"{where}.0.weight": first, f"{where}.1.weight": second}
    small.load_state_dict(given, strict=False)
    return small


@step(version=1)
def factorize(folder: Path, *, model: Path, embeddings: float | None, linear: float | None) -> None:
    """Write a classifier whose word embeddings, and whose encoder's matrices, keep a share of their weights."""
    whole = models.load(model)
    ranks = ranks_for(whole, embeddings=embeddings, linear=linear)
    models.save(low_rank(whole, ranks), models.tokenizer(model), folder)
