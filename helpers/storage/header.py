"""The file format: what a model's file says of itself, and the checks before anything in it is believed.

A file is safetensors (https://github.com/huggingface/safetensors), without any pickle. Its metadata hold one entry,
`header`: JSON with

- `format`, `version`;
- `config`: of the Hugging Face model; `attention`: its implementation, so that logits are the same to the last bit;
- `codes`: by name, for each weight in fewer bytes, its `kind`, `group` and `layout`;
- `tokenizer`, where the file has one: its settings;
- `checksum`: SHA-256 in hexadecimal, of the header without it, as JSON with sorted keys and Python's separators, and
  then for each tensor, by name, of the line "name dtype shape" (as torch prints them) and its bytes.

Tensors have the names of the model's state dict. In the place of a weight in fewer bits stand `<name>.codes` and, but
for bf16, `<name>.scales`: bf16, a row of them for each row of the weight, one for each `group` of neighbours (0: the
whole row), the last for what is left. Row by row, codes are whole numbers, for `float8` the bytes of e4m3 (torch's
float8_e4m3fn), as one vector of bytes that `storage.layouts` packs; for `bf16` the weight itself. What is read is
code times scale, in float32. A matrix with many zeros may be a bitmask in `bf16`, too, or in `float32`, a kind of its
own, and is such a vector of bytes then. `<name>_scale` and `<name>_zero_point` stand beside the int8 weight of a layer
out of `quantize_dynamic`. `tokenizer.pieces` are the pieces of the vocabulary in the order of their ids, one a line,
UTF-8, deflated.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import safetensors
import torch
from torch import Tensor

from helpers.environment import InputError, RunError
from helpers.profiles import MOST_LAYERS
from helpers.storage.codes import BITS
from helpers.storage.layouts import LAYOUTS

__all__ = ["ATTENTIONS", "FORMAT", "PIECES", "VERSION", "checksum", "read", "read_header"]

FORMAT = "bert-study"
VERSION = 3
ATTENTIONS = ("sdpa", "eager")
PIECES = "tokenizer.pieces"
MOST_HEADER = 2**22  # characters: ten times what BERT-large would need


def read_header(path: str | Path) -> tuple[dict[str, Any], dict[str, int]]:
    """Return a file's header, checked, and the bytes of each tensor in it by name. Raises like `storage.load`."""
    header, tensors = read(Path(path))
    return header, {name: tensor.numel() * tensor.element_size() for name, tensor in tensors.items()}


def read(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Return header, without its checksum, and tensors of a file after all checks.

    Raises InputError when there is no such file, RunError when it is not one of this study's, of another version, or
    damaged.
    """
    if not path.is_file():
        raise InputError(f"There is no model file {path}: check the path, or build the model first.")
    try:
        with safetensors.safe_open(path, "pt") as file:
            text = (file.metadata() or {}).get("header", "null")
            if len(text) > MOST_HEADER:
                raise ValueError(f"its header has {len(text):,} characters")
            header = json.loads(text)
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
        if not isinstance(header, dict) or header.get("format") != FORMAT:
            raise RunError(f"The file {path} was not written by this study: give one whose format is {FORMAT!r}.")
        _check_version(path, header.get("version"))
        if header.pop("checksum", None) != checksum(header, tensors):
            raise RunError(f"The model file {path} is damaged, its checksum is wrong: delete it and rebuild it.")
    except (safetensors.SafetensorError, OSError, RecursionError, ValueError) as error:
        raise RunError(f"The model file {path} is damaged or of another format ({error}); rebuild it.") from error
    if not _is_whole(header):
        raise RunError(f"The model file {path} holds a kind of model that this code cannot read: rebuild it.")
    return header, tensors


def checksum(header: dict[str, Any], tensors: dict[str, Tensor]) -> str:
    """Return the checksum of a header without one, and of tensors.

    Names, shapes and the header count too: a changed digit in the configuration is damage like any other.
    """
    digest = hashlib.sha256(json.dumps(header, sort_keys=True).encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def _check_version(path: Path, version: object) -> None:
    if version == VERSION:
        return
    newer = isinstance(version, int) and version > VERSION
    todo = "get a newer copy of this study to read it" if newer else "rebuild it"
    raise RunError(f"The model file {path} is of version {version!r}, not {VERSION}: {todo}.")


def _is_whole(header: dict[str, Any]) -> bool:
    """Tell whether a header has all its parts, each of its type: who means harm can write a right checksum, too."""
    codes, config = header.get("codes"), header.get("config")
    wanted = {"kind": str, "group": int, "layout": str}
    return (
        header.get("attention") in ATTENTIONS
        and isinstance(header.get("tokenizer", {}), dict)
        and isinstance(config, dict)
        # the number of labels is that of their names: a number alone would take memory for as many names
        and isinstance(config.get("id2label"), dict)
        and "num_labels" not in config
        and type(config.get("num_hidden_layers")) is int
        and config["num_hidden_layers"] <= MOST_LAYERS
        and isinstance(codes, dict)
        and all(
            isinstance(entry, dict)
            and {name: type(value) for name, value in entry.items()} == wanted
            and entry["kind"] in (*BITS, "float32")
            and entry["layout"] in LAYOUTS
            for entry in codes.values()
        )
    )
