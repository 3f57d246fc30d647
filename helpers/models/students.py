"""How a small model begins and from which layers it learns: layer maps and principal directions."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from helpers.environment import InputError

__all__ = ["layer_map", "project_embeddings", "project_layers"]


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
    table E becomes E P. Factorized embeddings keep fewer directions, and their linear layer begins by passing them on.
    Returns the share of W's energy (squared Frobenius norm) that the directions keep, 0 to 1.
    """
    tables = student.bert.embeddings
    directions, kept = _directions(tables.word_embeddings.embedding_dim, source)
    for name in ("word_embeddings", "position_embeddings", "token_type_embeddings"):
        getattr(tables, name).weight.copy_(source[f"bert.embeddings.{name}.weight"] @ directions)
    if hasattr(tables, "projection"):
        nn.init.eye_(tables.projection.weight)
    return kept


@torch.no_grad()
def project_layers(student: nn.Module, source: Mapping[str, Tensor], layers: Sequence[int]) -> None:
    """Start a student's layers from a wider model's `layers` (1..N), in the directions P of `project_embeddings`.

    A hidden state x becomes P'x. What decides a head's attention, x'Q'Ky, and what the head adds, O V y, are products
    of two matrices: each is replaced by the best product of the student's smaller head size (Eckart and Young 1936).
    Of the feed-forward neurons those with the largest weights stay. LayerNorm mixes all directions, so its weights
    carry over only approximately, and so does the whole.
    """
    directions, _ = _directions(student.config.hidden_size, source)
    heads, size = student.config.num_attention_heads, student.config.hidden_size // student.config.num_attention_heads
    _project_norm(student.bert.embeddings.LayerNorm, source, "bert.embeddings.LayerNorm", directions)
    for layer, number in zip(student.bert.encoder.layer, layers, strict=True):
        name = f"bert.encoder.layer.{number - 1}"
        parts = {
            part: (source[f"{name}.attention.{part}.weight"], source[f"{name}.attention.{part}.bias"])
            for part in ("self.query", "self.key", "self.value", "output.dense")
        }
        queries, keys, values = (
            # (A, d, h + 1): the bias is the weight of a one behind the hidden state
            torch.cat([weight @ directions, bias[:, None]], dim=1).unflatten(0, (heads, -1))
            for weight, bias in (parts["self.query"], parts["self.key"], parts["self.value"])
        )
        scale = (size / queries.shape[1]) ** 0.5  # each model divides scores by the root of its own head size
        query, key = _best_product(queries.transpose(1, 2) * scale, keys, size)
        out = (directions.T @ parts["output.dense"][0]).unflatten(1, (heads, -1)).transpose(0, 1)  # (A, h, d)
        back, value = _best_product(out, values, size)
        ours = layer.attention
        for module, found in ((ours.self.query, query.transpose(1, 2)), (ours.self.key, key), (ours.self.value, value)):
            module.weight.copy_(found[..., :-1].flatten(0, 1))
            module.bias.copy_(found[..., -1].flatten())
        ours.output.dense.weight.copy_(back.transpose(0, 1).flatten(1))
        ours.output.dense.bias.copy_(directions.T @ parts["output.dense"][1])
        into, bias = (source[f"{name}.intermediate.dense.{kind}"] for kind in ("weight", "bias"))
        back = source[f"{name}.output.dense.weight"]
        count = layer.intermediate.dense.out_features
        if count > len(into):
            raise InputError(
                f"A student with {count} feed-forward neurons cannot start from layers with {len(into)}; make "
                "intermediate_size smaller, or take student_start embeddings."
            )
        chosen = (into.norm(dim=1) * back.norm(dim=0)).topk(count).indices.sort().values
        layer.intermediate.dense.weight.copy_(into[chosen] @ directions)
        layer.intermediate.dense.bias.copy_(bias[chosen])
        layer.output.dense.weight.copy_(directions.T @ back[:, chosen])
        layer.output.dense.bias.copy_(directions.T @ source[f"{name}.output.dense.bias"])
        for norm, where in ((ours.output.LayerNorm, "attention.output"), (layer.output.LayerNorm, "output")):
            _project_norm(norm, source, f"{name}.{where}.LayerNorm", directions)


def _directions(width: int, source: Mapping[str, Tensor]) -> tuple[Tensor, float]:
    """Return the first h principal directions (H, h) of the source's word embeddings and their share of the energy."""
    words = source["bert.embeddings.word_embeddings.weight"]
    if width > words.shape[1]:
        raise InputError(
            f"A student of width {width} cannot start from embeddings of width {words.shape[1]}; take random."
        )
    # the Gram matrix is H x H: its eigenvectors are W's right singular vectors, far cheaper than an SVD of V rows
    energy, directions = torch.linalg.eigh(words.double().T @ words.double())
    return directions.flip(1)[:, :width].float(), float(energy.flip(0)[:width].sum() / energy.sum())


def _best_product(left: Tensor, right: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    """Return (A, m, r) and (A, r, n) whose product is nearest to that of (A, m, d) and (A, d, n), by heads."""
    u, sizes, v = torch.linalg.svd(left @ right, full_matrices=False)
    root = sizes[:, :rank].sqrt()
    return u[..., :rank] * root[:, None, :], root[..., None] * v[:, :rank]


def _project_norm(norm: nn.Module, source: Mapping[str, Tensor], name: str, directions: Tensor) -> None:
    norm.weight.copy_((source[f"{name}.weight"].square() @ directions.square()).sqrt())
    norm.bias.copy_(source[f"{name}.bias"] @ directions)
