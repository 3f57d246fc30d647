"""Read and write BERT checkpoints: published ones of every age, strictly, and our own."""

from __future__ import annotations

import json
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
    BertConfig,
    BertModel,
    BertTokenizer,
)

from helpers.environment import InputError
from helpers.models.compact import build, own_tensors
from helpers.profiles import MOST_LAYERS
from helpers.wording import reason, shown

__all__ = ["Checkpoint", "check_vocabulary", "common_tokenizer", "compare", "read", "read_config", "save", "tokenizer"]

# Parts of published checkpoints that no encoder uses: pretraining heads, TinyBERT's projections, position counters.
EXTRAS = ("cls.", "fit_dense", "bert.embeddings.position_ids")
CONFIG_KEYS = set(BertConfig().to_dict()) - {
    "architectures",
    "transformers_version",
    "dtype",
    "id2label",
    "label2id",
    "use_cache",  # about generating text; Trainer switches it, and it would make equal models unequal files
} | {"compact"}


@dataclass(frozen=True)
class Checkpoint:
    """What a model folder holds: its shape, its weights under Hugging Face's names, its label names if it has any."""

    config: BertConfig
    tensors: Mapping[str, Tensor]
    labels: tuple[str, ...]
    where: str


def read(folder: Path, *, masked_head: bool = False) -> Checkpoint:
    """Read a BERT checkpoint: `config.json` with `model.safetensors` or, loaded without code, `pytorch_model.bin`.

    Old names (`gamma`, `beta`, no `bert.` prefix) become today's; heads and projections that no encoder uses are left
    out, but with `masked_head` the one that fills masks is kept.
    Raises `InputError` if a file is missing or broken or the model is not a BERT.
    """
    try:
        config, labels = _described(folder)
        if (folder / "model.safetensors").exists():
            tensors = safetensors.torch.load_file(folder / "model.safetensors")
        else:
            tensors = torch.load(folder / "pytorch_model.bin", map_location="cpu", weights_only=True)
            if not isinstance(tensors, dict) or not all(isinstance(tensor, Tensor) for tensor in tensors.values()):
                raise ValueError("pytorch_model.bin is no mapping of names to tensors")
    except InputError:
        raise
    except FileNotFoundError as error:
        raise InputError(
            f"{folder} is no model folder: {Path(error.filename).name} is missing; it needs config.json and "
            "model.safetensors or pytorch_model.bin."
        ) from error
    except (ValueError, TypeError, SafetensorError, RuntimeError, EOFError, OSError, KeyError) as error:
        raise InputError(f"The model in {folder} cannot be read ({reason(error)}); copy it again.") from error
    except pickle.UnpicklingError as error:  # code in a pickle, or no weights at all, as in a pointer to large files
        raise InputError(
            f"{folder}/pytorch_model.bin holds something else than weights and is not loaded; use safetensors, or copy "
            "it again."
        ) from error
    kept = ("cls.predictions.",) if masked_head else ()
    renamed = {_today(name): tensor.float() for name, tensor in tensors.items()}
    renamed = {name: t for name, t in renamed.items() if name.startswith(kept or "\0") or not name.startswith(EXTRAS)}
    return Checkpoint(config, renamed, labels, str(folder))


def read_config(folder: Path) -> BertConfig:
    """Read a checkpoint's shape without its weights. Raises `InputError` as `read` does."""
    try:
        return _described(folder)[0]
    except InputError:
        raise
    except (OSError, ValueError, TypeError) as error:
        raise InputError(f"{folder}/config.json cannot be read ({reason(error)}); copy it again.") from error


def _described(folder: Path) -> tuple[BertConfig, tuple[str, ...]]:
    """Return what config.json says: the shape, and the label names if they are more than numbers."""
    raw = dict(json.loads((folder / "config.json").read_text(encoding="utf-8")))
    labels = {int(key): str(name) for key, name in dict(raw.get("id2label") or {}).items()}
    if raw.get("model_type", "bert") != "bert":
        raise InputError(f"{folder} is a {raw['model_type']!r} model; this study needs a BERT.")
    layers = raw.get("num_hidden_layers", 0)
    if isinstance(layers, int) and layers > MOST_LAYERS:
        raise InputError(
            f"{folder}/config.json asks for {shown(layers)} layers; this study builds {MOST_LAYERS} at most."
        )
    names = tuple(labels[key] for key in sorted(labels))
    config = _config({key: value for key, value in raw.items() if key in CONFIG_KEYS}, folder / "config.json")
    return config, () if all(name.startswith("LABEL_") for name in names) else names


def _config(values: Mapping[str, object], where: Path) -> BertConfig:
    try:
        config = BertConfig(**values)
        with torch.device("meta"):  # without memory: sizes that do not divide and unknown activations show only here
            build(BertModel, config)
    except (StrictDataclassError, TypeError, ValueError, KeyError, ArithmeticError) as error:
        raise InputError(f"{where} does not describe a BERT ({reason(error)}); copy it again.") from error
    return config


def _today(name: str) -> str:
    name = name.replace(".gamma", ".weight").replace(".beta", ".bias")
    return name if name.startswith(("bert.", "cls.", "classifier.", "fit_dense")) else f"bert.{name}"


def compare(model: nn.Module, tensors: Mapping[str, Tensor], where: str, *, optional: tuple[str, ...] = ()) -> None:
    """Raise `InputError` if weights are not a model's: its names, none left over, and its shapes.

    Only names that begin with one of `optional` may be missing. What layers share is named once, as `save` writes it.
    """
    own = own_tensors(model)
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


def save(model: nn.Module, words: BertTokenizer, folder: Path) -> None:
    """Write `config.json`, `model.safetensors` and the tokenizer: a folder that Transformers loads too."""
    model.config.save_pretrained(folder)
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in own_tensors(model).items()}
    safetensors.torch.save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    words.save_pretrained(folder)


def tokenizer(folder: Path) -> BertTokenizer:
    """Load a folder's WordPiece tokenizer, from `tokenizer.json` or an old `vocab.txt`.

    Raises `InputError` if neither is there or they are broken.
    """
    if not any((folder / name).exists() for name in ("tokenizer.json", "vocab.txt")):
        raise InputError(f"{folder} has no tokenizer.json and no vocab.txt; copy the tokenizer's files there.")
    try:
        return BertTokenizer.from_pretrained(folder)
    except Exception as error:  # Rust's tokenizers know no other kind, and Transformers raises what it meets
        raise InputError(
            f"The tokenizer in {folder} cannot be read ({reason(error)}); copy its files again."
        ) from error


def check_vocabulary(words: BertTokenizer, config: BertConfig, where: str) -> None:
    """Raise `InputError` for a tokenizer with pieces that the model has no embedding for."""
    last = max(words.get_vocab().values(), default=0)
    if last >= config.vocab_size:
        raise InputError(
            f"The tokenizer in {where} has a piece numbered {last:,}, its model {config.vocab_size:,} embeddings; copy "
            "the files of one model."
        )


def common_tokenizer(student: Path, teacher: Path) -> BertTokenizer:
    """Load a student's tokenizer. Raises `InputError` if the teacher's has another vocabulary."""
    words = tokenizer(student)
    if words.get_vocab() != tokenizer(teacher).get_vocab():
        raise InputError("Teacher and student have different vocabularies; distillation compares them token by token.")
    return words
