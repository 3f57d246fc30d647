"""One file for a model, written whole and read back with the same logits (the format: `storage.header`)."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn
from transformers import BertConfig, BertForSequenceClassification, BertTokenizer

from helpers import models
from helpers.environment import InputError, RunError
from helpers.profiles import MOST_LAYERS
from helpers.storage import packing
from helpers.storage.header import ATTENTIONS, FORMAT, PIECES, VERSION, checksum, read
from helpers.storage.packing import SCALE, ZERO_POINT
from helpers.storage.words import pack_tokenizer, unpack_tokenizer

__all__ = ["contents", "joined", "load", "load_tokenizer", "save", "serialize"]


def save(
    model: nn.Module,
    path: str | Path,
    *,
    tokenizer: BertTokenizer | None = None,
    layouts: Sequence[str] = ("dense",),
) -> int:
    """Write `model` to one file that `load` reads back with exactly the same logits; return the file's bytes.

    The file is complete or absent: it is written beside its place, synced and renamed. The same model always
    gives the same bytes. Takes a BertForSequenceClassification, with weights in float32, out of `quantize_dynamic` on
    nn.Linear, or in fewer bits (`storage.code`), for each of which the smallest of `layouts` is taken. With a
    `tokenizer` the file classifies text by itself. Raises InputError for a model that could not be read back,
    RunError where the disk refuses.
    """
    data, path = serialize(model, tokenizer=tokenizer, layouts=layouts), Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        reason = error.strerror or error
        raise RunError(f"No model could be written to {path}: {reason}; make room or choose another.") from error
    return len(data)


def load(path: str | Path) -> nn.Module:
    """Read a model that `save` wrote: on the CPU, in eval mode; the random state is left as it was.

    Weights in fewer bits become float32 with the values that were stored. Raises InputError when there is no such
    file, RunError when it is not one of this study's, of another version, or damaged (truncated, or any byte changed).
    """
    header, tensors = read(Path(path))
    tensors.pop(PIECES, None)
    try:
        config = BertConfig(**{**_public(header["config"]), "attn_implementation": header["attention"]})
        with torch.device("meta"):  # shapes first: memory is taken only for what the file really holds
            shapes = _shapes(models.build(BertForSequenceClassification, config))
        plain, codes = packing.decoded(tensors, header["codes"], shapes)
        packing.compare(plain, shapes)
        with torch.random.fork_rng(devices=[]):
            model = models.build(BertForSequenceClassification, config)
        packing.fill(model, plain)
    except Exception as error:  # whatever a configuration that nobody could have stored makes the libraries raise
        raise RunError(f"The weights in {path} do not fit the configuration in it; rebuild the file.") from error
    if codes:
        model.codes = codes
    return model.eval()


def load_tokenizer(path: str | Path) -> BertTokenizer:
    """Read the tokenizer out of a model's file. Raises like `load`, and InputError if the file has none."""
    header, tensors = read(Path(path))
    if PIECES not in tensors:
        raise InputError(
            f"The model file {path} has no tokenizer: give one to storage.save, or load it from elsewhere."
        )
    try:
        return unpack_tokenizer(tensors[PIECES], header["tokenizer"], size=header["config"]["vocab_size"])
    except (KeyError, TypeError, ValueError) as error:
        raise RunError(f"The tokenizer in {path} cannot be read ({error}); rebuild the file.") from error


def serialize(
    model: nn.Module, *, tokenizer: BertTokenizer | None = None, layouts: Sequence[str] = ("dense",)
) -> bytes:
    """Return the bytes that `save` writes. Raises InputError for a model that could not be read back."""
    return joined(*contents(model, tokenizer=tokenizer, layouts=layouts))


def contents(
    model: nn.Module, *, tokenizer: BertTokenizer | None = None, layouts: Sequence[str] = ("dense",)
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the tensors and the header of a model's file. Raises InputError like `save`."""
    if not isinstance(model, BertForSequenceClassification):
        raise InputError(f"A {type(model).__name__} cannot be stored: give a BertForSequenceClassification.")
    _check_fits(model.config, packing.tensors(model))
    stored, codes = packing.encoded(model, layouts)
    attention = model.config._attn_implementation
    header: dict[str, Any] = {
        "format": FORMAT,
        "version": VERSION,
        "config": _public(model.config.to_dict()),
        "attention": attention if attention in ATTENTIONS else ATTENTIONS[0],
        "codes": codes,
    }
    if tokenizer is not None:
        if len(tokenizer) != model.config.vocab_size:
            raise InputError(
                f"The tokenizer has {len(tokenizer):,} pieces, the model {model.config.vocab_size:,}: give its own."
            )
        stored[PIECES], header["tokenizer"] = pack_tokenizer(tokenizer)
    return stored, header


def joined(stored: dict[str, Tensor], header: dict[str, Any]) -> bytes:
    """Return the bytes of the file that has these tensors and this header, with its checksum."""
    header = json.loads(json.dumps(header))  # as it will be read: the label numbers' keys become text
    header["checksum"] = checksum(header, stored)
    try:
        # one entry only: safetensors writes several in an arbitrary order
        return safetensors.torch.save(stored, {"header": json.dumps(header, sort_keys=True)})
    except RuntimeError as error:
        raise InputError(f"The model's tensors share memory: clone them before storing it ({error}).") from error


def _public(config: dict[str, Any]) -> dict[str, Any]:
    # keys with an underscore say where a model came from or choose code to load: neither belongs in a file
    return {key: value for key, value in config.items() if not key.startswith("_")}


def _shapes(blank: nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(value.shape) for name, value in models.own_tensors(blank).items()}


def _check_fits(config: BertConfig, tensors: dict[str, Tensor]) -> None:
    if config.num_hidden_layers > MOST_LAYERS:
        raise InputError(f"The model has {config.num_hidden_layers} layers; a file holds {MOST_LAYERS} at most.")
    with torch.device("meta"):
        wanted = _shapes(models.build(BertForSequenceClassification, config))
    found = {name: tuple(each.shape) for name, each in tensors.items() if not name.endswith((SCALE, ZERO_POINT))}
    for name in sorted(wanted.keys() | found.keys()):
        if wanted.get(name) != found.get(name):
            raise InputError(
                f"The model would not load back: its configuration wants {wanted.get(name)} for {name!r}, "
                f"the model has {found.get(name)}; make both agree."
            )
        dtype = tensors[name].dtype
        if dtype != torch.float32 and f"{name}_scale" not in tensors:
            raise InputError(f"The tensor {name!r} is {dtype}: call model.float() before storing the model.")
