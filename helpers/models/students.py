"""How a small model begins and from which layers it learns: layer maps and principal directions."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from helpers.environment import InputError

__all__ = ["layer_map", "project_embeddings"]


def layer_map(student_layers: int, teacher_layers: int, kind: str | list[int] = "uniform") -> list[int]:
    """Return, for student layers 1..M, the teacher layers g(m) they learn from (1..N; TinyBERT, section 3.1).

    `uniform` spreads them evenly and ends at the last, also when the depths do not divide; `top` and `bottom` take a
    run of neighbours; a list names them. Raises `InputError` for another kind or layers that do not exist.

    >>> layer_map(4, 12), layer_map(4, 6), layer_map(2, 6, "bottom")
    ([3, 6, 9, 12], [2, 3, 5, 6], [1, 2])
    """
    chosen = {
        "uniform": [math.ceil(m * teacher_layers / student_layers) for m in range(1, student_layers + 1)],
        "top": list(range(teacher_layers - student_layers + 1, teacher_layers + 1)),
        "bottom": list(range(1, student_layers + 1)),
    }
    layers = kind if isinstance(kind, list) else chosen.get(kind)
    if layers is None:
        raise InputError(f"layer_map must be uniform, top, bottom or a list of teacher layers, not {kind!r}.")
    if len(layers) != student_layers or any(not 1 <= layer <= teacher_layers for layer in layers):
        raise InputError(
            f"layer_map {layers} does not fit: it must name {student_layers} of the teacher's layers 1 to "
            f"{teacher_layers}."
        )
    return list(layers)


@torch.no_grad()
def project_embeddings(student: nn.Module, source: Mapping[str, Tensor]) -> float:
    """Start a student's embeddings from a wider model's, along the principal directions of its word embeddings.

    With W (V x H) the source's word embeddings and P (H x h) their first h right singular vectors, every embedding
    table E becomes E P. Returns the share of W's energy (squared Frobenius norm) that the h directions keep, 0 to 1.
    """
    words = source["bert.embeddings.word_embeddings.weight"]
    target = student.bert.embeddings
    width = target.word_embeddings.embedding_dim
    if width > words.shape[1]:
        raise InputError(
            f"A student of width {width} cannot start from embeddings of width {words.shape[1]}; take random."
        )
    # the Gram matrix is H x H: its eigenvectors are W's right singular vectors, far cheaper than an SVD of V rows
    energy, directions = torch.linalg.eigh(words.double().T @ words.double())
    directions = directions.flip(1)[:, :width].float()
    for table in ("word_embeddings", "position_embeddings", "token_type_embeddings"):
        full = source[f"bert.embeddings.{table}.weight"]
        getattr(target, table).weight.copy_(full @ directions)
    return float(energy.flip(0)[:width].sum() / energy.sum())
