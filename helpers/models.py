"""Build, load and save BERT models: true shapes, strict checkpoints, student starts and layer maps."""

from __future__ import annotations

import json
import math
import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import safetensors.torch
import torch
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError
from torch import Tensor, nn
from transformers import (
    AttentionInterface,
    AttentionMaskInterface,
    BertConfig,
    BertForPreTraining,
    BertForSequenceClassification,
    BertModel,
    BertTokenizer,
)
from transformers.masking_utils import eager_mask

from helpers.environment import InputError, set_seed

__all__ = [
    "SHAPES",
    "Checkpoint",
    "classifier",
    "encoder",
    "expose_scores",
    "layer_map",
    "load",
    "language_model",
    "project_embeddings",
    "read",
    "save",
    "shaped",
    "tokenizer",
]

SHAPES: dict[str, dict[str, int]] = {
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
}
# Parts of published checkpoints that no encoder uses: pretraining heads, TinyBERT's projections, position counters.
EXTRAS = ("cls.", "fit_dense", "bert.embeddings.position_ids")
CONFIG_KEYS = set(BertConfig().to_dict()) - {
    "architectures",
    "transformers_version",
    "dtype",
    "id2label",
    "label2id",
    "use_cache",  # about generating text; Trainer switches it, and it would make equal models unequal files
}


@dataclass(frozen=True)
class Checkpoint:
    """What a model folder holds: its shape, its weights under Hugging Face's names, its label names if it has any."""

    config: BertConfig
    tensors: Mapping[str, Tensor]
    labels: tuple[str, ...]
    where: str


def shaped(name: str, *, outputs: int = 2, seed: int = 0) -> BertForSequenceClassification:
    """Build a classifier of a published shape with random weights: its bytes and its speed are the real ones."""
    set_seed(seed)
    return BertForSequenceClassification(BertConfig(**SHAPES[name], num_labels=outputs)).eval()


def read(folder: Path) -> Checkpoint:
    """Read a BERT checkpoint: `config.json` with `model.safetensors` or, loaded without code, `pytorch_model.bin`.

    Old names (`gamma`, `beta`, no `bert.` prefix) become today's; heads and projections that no encoder uses are left
    out.
    Raises `InputError` if a file is missing or broken or the model is not a BERT.
    """
    try:
        raw = dict(json.loads((folder / "config.json").read_text(encoding="utf-8")))
        labels = {int(key): str(name) for key, name in dict(raw.get("id2label") or {}).items()}
        if (folder / "model.safetensors").exists():
            tensors = safetensors.torch.load_file(folder / "model.safetensors")
        else:
            tensors = torch.load(folder / "pytorch_model.bin", map_location="cpu", weights_only=True)
            if not isinstance(tensors, dict) or not all(isinstance(tensor, Tensor) for tensor in tensors.values()):
                raise ValueError("pytorch_model.bin is no mapping of names to tensors")
    except FileNotFoundError as error:
        raise InputError(
            f"{folder} is no model folder: {Path(error.filename).name} is missing; it needs config.json and "
            "model.safetensors or pytorch_model.bin."
        ) from error
    except (ValueError, TypeError, SafetensorError, RuntimeError, EOFError, OSError, KeyError) as error:
        reason = " ".join(str(error).split())[:100]
        raise InputError(f"The model in {folder} cannot be read ({reason}); copy it again.") from error
    except pickle.UnpicklingError as error:  # code in a pickle, or no weights at all, as in a pointer to large files
        raise InputError(
            f"{folder}/pytorch_model.bin holds something else than weights and is not loaded; use safetensors, or copy "
            "it again."
        ) from error
    if raw.get("model_type", "bert") != "bert":
        raise InputError(f"{folder} is a {raw['model_type']!r} model; this study needs a BERT.")
    names = tuple(labels[key] for key in sorted(labels))
    config = _config({key: value for key, value in raw.items() if key in CONFIG_KEYS}, folder / "config.json")
    renamed = {_today(name): tensor.float() for name, tensor in tensors.items() if not _today(name).startswith(EXTRAS)}
    return Checkpoint(config, renamed, () if all(n.startswith("LABEL_") for n in names) else names, str(folder))


def _config(values: Mapping[str, object], where: Path) -> BertConfig:
    try:
        config = BertConfig(**values)
        with torch.device("meta"):  # without memory: sizes that do not divide and unknown activations show only here
            BertModel(config)
    except (StrictDataclassError, TypeError, ValueError, KeyError) as error:
        raise InputError(
            f"{where} does not describe a BERT ({' '.join(str(error).split())[:120]}); copy it again."
        ) from error
    return config


def _today(name: str) -> str:
    name = name.replace(".gamma", ".weight").replace(".beta", ".bias")
    return name if name.startswith(("bert.", "cls.", "classifier.", "fit_dense")) else f"bert.{name}"


def encoder(checkpoint: Checkpoint, *, seed: int = 0) -> BertModel:
    """Build a checkpoint's encoder without any head; a missing pooler is initialised.

    Raises `InputError` naming keys that are missing or of another shape.
    """
    set_seed(seed)
    model = BertModel(checkpoint.config)
    tensors = {name.removeprefix("bert."): t for name, t in checkpoint.tensors.items() if name.startswith("bert.")}
    fill(model, tensors, checkpoint.where, optional=("pooler.",))
    return model.eval()


def classifier(
    checkpoint: Checkpoint, *, outputs: int, seed: int, labels: tuple[str, ...] = (), head: bool = False
) -> BertForSequenceClassification:
    """Build a classifier on a checkpoint's encoder: with a new head, or with `head=True` with the checkpoint's own.

    A head with label names in another order than `labels` is put in order. A missing pooler is initialised, as it is
    when a masked language model is fine-tuned. Raises `InputError` naming keys that are missing or of another shape.
    """
    set_seed(seed)
    # the number of labels comes from their names where there are any, so the old ones go
    old = {name: value for name, value in checkpoint.config.to_dict().items() if name not in ("id2label", "label2id")}
    config = BertConfig.from_dict({**old, "num_labels": outputs})
    model = BertForSequenceClassification(config)
    tensors = {
        name: tensor for name, tensor in checkpoint.tensors.items() if head or not name.startswith("classifier.")
    }
    fill(
        model,
        tensors,
        checkpoint.where,
        optional=("bert.pooler.",) if head else ("bert.pooler.", "classifier."),
    )
    if head and checkpoint.labels and labels and checkpoint.labels != labels:
        if sorted(checkpoint.labels) != sorted(labels):
            raise InputError(
                f"{checkpoint.where} predicts {', '.join(checkpoint.labels)}; the task has {', '.join(labels)}."
            )
        order = [checkpoint.labels.index(name) for name in labels]
        model.classifier.weight.data = model.classifier.weight.data[order]
        model.classifier.bias.data = model.classifier.bias.data[order]
    return model.eval()


def fill(model: nn.Module, tensors: Mapping[str, Tensor], where: str, *, optional: tuple[str, ...] = ()) -> None:
    """Load weights strictly: only names that begin with one of `optional` may be missing, none may be left over."""
    own = model.state_dict()
    missing = [name for name in own if name not in tensors and not name.startswith(optional or ("\0",))]
    left_over = [name for name in tensors if name not in own]
    other = [name for name in own if name in tensors and own[name].shape != tensors[name].shape]
    if missing or left_over:
        raise InputError(
            f"The checkpoint {where} does not fit {type(model).__name__}: missing {missing[:3] or 'nothing'}, "
            f"not expected {left_over[:3] or 'nothing'}."
        )
    if other:
        name = other[0]
        raise InputError(
            f"The checkpoint {where} has another shape than its config says: {name} is {tuple(tensors[name].shape)}, "
            f"expected {tuple(own[name].shape)}."
        )
    model.load_state_dict({**own, **tensors})


def language_model(shape: Mapping[str, float], *, seed: int) -> BertForPreTraining:
    """Build a BERT with its two pretraining heads and random weights."""
    set_seed(seed)
    return BertForPreTraining(BertConfig(**shape))


def save(model: nn.Module, words: BertTokenizer, folder: Path) -> None:
    """Write `config.json`, `model.safetensors` and the tokenizer: a folder that Transformers loads too."""
    model.config.save_pretrained(folder)
    # a tensor that two modules share (the masked language model's output layer) is stored once, under its first name
    seen: set[int] = set()
    tensors = {}
    for name, tensor in model.state_dict().items():
        if tensor.data_ptr() not in seen:
            tensors[name] = tensor.detach().cpu().contiguous()
        seen.add(tensor.data_ptr())
    safetensors.torch.save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    words.save_pretrained(folder)


def load(folder: Path) -> BertForSequenceClassification:
    """Load a classifier that `save` wrote, in eval mode."""
    checkpoint = read(folder)
    outputs = checkpoint.tensors["classifier.weight"].shape[0]
    return classifier(checkpoint, outputs=outputs, seed=0, head=True)


def tokenizer(folder: Path) -> BertTokenizer:
    """Load a folder's WordPiece tokenizer, from `tokenizer.json` or an old `vocab.txt`."""
    if not any((folder / name).exists() for name in ("tokenizer.json", "vocab.txt")):
        raise InputError(f"{folder} has no tokenizer.json and no vocab.txt; copy the tokenizer's files there.")
    return BertTokenizer.from_pretrained(folder)


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


def expose_scores(model: nn.Module) -> nn.Module:
    """Make `output_attentions=True` return attention scores before the softmax: (B, A, T, T), scaled, unmasked.

    Default attention returns nothing and eager attention returns values after the softmax; TinyBERT compares scores.
    """
    AttentionInterface.register("scores", _attention_with_scores)
    AttentionMaskInterface.register("scores", eager_mask)
    model.set_attn_implementation("scores")
    return model


def _attention_with_scores(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float,
    dropout: float = 0.0,
    **_: object,
) -> tuple[Tensor, Tensor]:
    scores = torch.matmul(query, key.transpose(2, 3)) * scaling
    masked = scores if attention_mask is None else scores + attention_mask
    weights = nn.functional.dropout(masked.softmax(dim=-1), p=dropout, training=module.training)
    return torch.matmul(weights, value).transpose(1, 2).contiguous(), scores
