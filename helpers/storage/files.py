"""What a model weighs: one file that loads back with the same logits, and the bytes in it, part by part.

A file is safetensors, without any pickle. Its metadata hold one entry, `header`: JSON with `format`,
`version`, `kind` ("float32" or "int8_linear"), `config` (of the Hugging Face model), `attention` (its
implementation, so that the logits stay the same to the last bit) and `checksum`.
"""

import hashlib
import io
import json
import os
import zlib
from contextlib import suppress
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn
from transformers import BertConfig, BertForSequenceClassification

from helpers import models
from helpers.environment import InputError, RunError
from helpers.storage import packing
from helpers.storage.packing import SCALE, ZERO_POINT

__all__ = [
    "FORMAT",
    "VERSION",
    "breakdown",
    "count",
    "load",
    "save",
    "size",
    "state_dict_bytes",
]

FORMAT = "bert-study"
VERSION = 1
_KINDS = ("float32", "int8_linear")
_ATTENTIONS = ("sdpa", "eager")


def save(model: nn.Module, path: str | Path) -> int:
    """Write `model` to one file that `load` reads back with exactly the same logits; return the file's bytes.

    The file is complete or absent: it is written beside its place, synced and renamed. The same model always
    gives the same bytes. Takes a BertForSequenceClassification, float32 or out of `quantize_dynamic` on
    nn.Linear. Raises InputError for a model that could not be read back, RunError where the disk refuses.
    """
    data, path = _serialize(model), Path(path)
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

    Raises InputError when there is no such file, RunError when it is not one of this study's, of another
    version, or damaged (truncated, or any byte changed).
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"There is no model file {path}: check the path, or build the model first.")
    header, tensors = _read(path)
    try:
        config = BertConfig(**{**_public(header["config"]), "attn_implementation": header["attention"]})
        with torch.random.fork_rng(devices=[]):
            model = models.build(BertForSequenceClassification, config)
        packing.fill(model, tensors)
    except (AttributeError, KeyError, RuntimeError, TypeError, ValueError) as error:
        raise RunError(f"The weights in {path} do not fit the configuration in it; rebuild the file.") from error
    return model.eval()


def state_dict_bytes(model: nn.Module) -> int:
    """Return the bytes of the model's state dict under `torch.save`: the way the report measures size."""
    buffer = io.BytesIO()
    torch.save(model.state_dict(), buffer)
    return buffer.getbuffer().nbytes


def breakdown(model: nn.Module) -> dict[str, int]:
    """Return the bytes of `{embedding, encoder, head, total}` as `save` stores them.

    The head is pooler and classifier. Only tensors count; the file adds a header of a few KB.
    """
    parts = {"embedding": 0, "encoder": 0, "head": 0}
    for name, tensor in packing.tensors(model).items():
        parts[_part(name)] += tensor.numel() * tensor.element_size()
    return {**parts, "total": sum(parts.values())}


def count(model: nn.Module) -> dict[str, int]:
    """Return `{parameters, nonzero}`, the weights packed inside int8 layers included, their scales not."""
    tensors = packing.tensors(model)
    parameters = nonzero = 0
    for name, tensor in tensors.items():
        if name.endswith((SCALE, ZERO_POINT)):
            continue
        zero = tensors.get(f"{name}_zero_point")
        parameters += tensor.numel()
        # a zero point per row belongs to a per-channel weight
        nonzero += int(torch.count_nonzero(tensor if zero is None else tensor - zero.reshape(-1, 1)))
    return {"parameters": parameters, "nonzero": nonzero}


def size(model: nn.Module, *, compressed: bool = True) -> dict[str, int | None]:
    """Return the bytes of `file` (what `save` writes), `state_dict`, `embedding`, `encoder`, `head`, `gzip`.

    `gzip` is the file compressed at gzip's level 6; None without `compressed`, which takes 20 seconds for BERT-base.
    Raises InputError like `save`.
    """
    data = memoryview(_serialize(model))
    sizes = {"file": len(data), "gzip": _gzip_bytes(data) if compressed else None}
    del data  # a state dict of the same size follows
    parts = breakdown(model)
    return {**sizes, "state_dict": state_dict_bytes(model)} | {
        name: parts[name] for name in ("embedding", "encoder", "head")
    }


def _gzip_bytes(data: memoryview) -> int:
    packer = zlib.compressobj(6, zlib.DEFLATED, 31)  # 31: a gzip header with neither name nor time
    packed = sum(len(packer.compress(data[start : start + 2**20])) for start in range(0, len(data), 2**20))
    return packed + len(packer.flush())


def _public(config: dict[str, Any]) -> dict[str, Any]:
    # keys with an underscore say where a model came from or choose code to load: neither belongs in a file
    return {key: value for key, value in config.items() if not key.startswith("_")}


def _part(name: str) -> str:
    if name.startswith("bert.embeddings."):
        return "embedding"
    return "encoder" if name.startswith("bert.encoder.") else "head"


def _serialize(model: nn.Module) -> bytes:
    if not isinstance(model, BertForSequenceClassification):
        raise InputError(f"A {type(model).__name__} cannot be stored: give a BertForSequenceClassification.")
    tensors = packing.tensors(model)
    _check_fits(model.config, tensors)
    attention = model.config._attn_implementation
    header = {
        "format": FORMAT,
        "version": VERSION,
        "kind": _KINDS[any(name.endswith(SCALE) for name in tensors)],
        "config": _public(model.config.to_dict()),
        "attention": attention if attention in _ATTENTIONS else _ATTENTIONS[0],
    }
    header = json.loads(json.dumps(header))  # as it will be read: the label numbers' keys become text
    header["checksum"] = _checksum(header, tensors)
    try:
        # one entry only: safetensors writes several in an arbitrary order
        return safetensors.torch.save(tensors, {"header": json.dumps(header, sort_keys=True)})
    except RuntimeError as error:
        raise InputError(f"The model's tensors share memory: clone them before storing it ({error}).") from error


def _check_fits(config: BertConfig, tensors: dict[str, Tensor]) -> None:
    with torch.device("meta"):
        blank = models.build(BertForSequenceClassification, config)
    wanted = {name: value.shape for name, value in models.own_tensors(blank).items()}
    found = {name: value.shape for name, value in tensors.items() if not name.endswith((SCALE, ZERO_POINT))}
    for name in sorted(wanted.keys() | found.keys()):
        if wanted.get(name) != found.get(name):
            raise InputError(
                f"The model would not load back: its configuration wants {wanted.get(name)} for {name!r}, "
                f"the model has {found.get(name)}; make both agree."
            )
        dtype = tensors[name].dtype
        if dtype != torch.float32 and f"{name}_scale" not in tensors:
            raise InputError(f"The tensor {name!r} is {dtype}: call model.float() before storing the model.")


def _checksum(header: dict[str, Any], tensors: dict[str, Tensor]) -> str:
    # Names, shapes and the header count too: a changed digit in the configuration is damage like any other.
    digest = hashlib.sha256(json.dumps(header, sort_keys=True).encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def _read(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Return header and tensors of a file after all checks; raises RunError."""
    try:
        with safetensors.safe_open(path, "pt") as file:
            header = json.loads((file.metadata() or {}).get("header", "null"))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    except (safetensors.SafetensorError, OSError, ValueError) as error:
        raise RunError(f"The model file {path} is damaged or of another format ({error}); rebuild it.") from error
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise RunError(f"The file {path} was not written by this study: give one whose format is {FORMAT!r}.")
    if header.get("version") != VERSION:
        version = header.get("version")
        raise RunError(f"The model file {path} is of version {version!r}, not {VERSION}: rebuild it.")
    checksum = header.pop("checksum", None)
    if checksum != _checksum(header, tensors):
        raise RunError(f"The model file {path} is damaged, its checksum is wrong: delete it and rebuild it.")
    if header.get("kind") not in _KINDS or header.get("attention") not in _ATTENTIONS:
        raise RunError(f"The model file {path} holds a kind of model that this code cannot read: rebuild it.")
    return header, tensors
