"""A WordPiece tokenizer as a tensor and a few settings, so that a model's file can hold it."""

from __future__ import annotations

import json
import zlib
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import BertTokenizer

from helpers.environment import InputError

__all__ = ["pack_tokenizer", "pieces", "unpack_tokenizer", "with_pieces"]

MOST = 2**24  # bytes of a vocabulary: more than any WordPiece one has
SPECIAL = ("unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
SWITCHES = ("do_lower_case", "tokenize_chinese_chars", "strip_accents")
LENGTH = "model_max_length"


def pieces(tokenizer: BertTokenizer) -> list[str]:
    """Return a tokenizer's pieces in the order of their ids, 0 to V - 1. Raises `InputError` if ids are left out."""
    found = sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])
    if [number for _, number in found] != list(range(len(found))):
        raise InputError("The tokenizer leaves out some ids: number its pieces 0, 1, 2 and so on.")
    return [piece for piece, _ in found]


def with_pieces(tokenizer: BertTokenizer, kept: list[str]) -> BertTokenizer:
    """Return a tokenizer with the settings of another and only the pieces given, numbered in their order."""
    return _tokenizer(kept, _settings(tokenizer))


def pack_tokenizer(tokenizer: BertTokenizer) -> tuple[Tensor, dict[str, Any]]:
    """Return the pieces, one a line, deflated (bytes, uint8), and the settings.

    Raises `InputError` for a tokenizer that is more than these, and so would come back another.
    """
    kept, settings = pieces(tokenizer), _settings(tokenizer)
    if any("\n" in piece for piece in kept) or _rules(_tokenizer(kept, settings)) != _rules(tokenizer):
        raise InputError("The tokenizer is no plain WordPiece one, as BERT's are: store it in a file of its own.")
    data = zlib.compress("\n".join(kept).encode(), 9)
    return torch.from_numpy(np.frombuffer(data, np.uint8).copy()), settings


def unpack_tokenizer(data: Tensor, settings: dict[str, Any], *, size: int) -> BertTokenizer:
    """Return the tokenizer of `size` pieces that `pack_tokenizer` packed. Raises `ValueError` for anything else."""
    _check(settings)
    reader = zlib.decompressobj()
    try:
        text = reader.decompress(data.numpy().tobytes(), MOST)  # a few bytes could ask for gigabytes
    except zlib.error as error:
        raise ValueError(str(error)) from error
    if not reader.eof or reader.unused_data:
        raise ValueError("the vocabulary does not end where it should")
    found = text.count(b"\n") + 1
    if found != size:  # before they are taken apart
        raise ValueError(f"the vocabulary has {found:,} pieces, the model {size:,}")
    kept = text.decode().split("\n")
    if len(set(kept)) < len(kept) or not {settings[name] for name in SPECIAL} <= set(kept):
        raise ValueError("a piece is there twice, or a special token is not")
    return _tokenizer(kept, settings)


def _check(settings: dict[str, Any]) -> None:
    types = dict.fromkeys(SPECIAL, (str,)) | dict.fromkeys(SWITCHES, (bool, type(None))) | {LENGTH: (int,)}
    if settings.keys() != types.keys() or any(type(value) not in types[name] for name, value in settings.items()):
        raise ValueError(f"the settings are not {', '.join(types)}")


def _settings(tokenizer: BertTokenizer) -> dict[str, Any]:
    found = {name: getattr(tokenizer, name) for name in (*SPECIAL, *SWITCHES)}
    return found | {LENGTH: int(tokenizer.model_max_length)}


def _rules(tokenizer: BertTokenizer) -> dict[str, Any]:
    """Return all that decides how a text is read, but what a call sets anew: truncation and padding."""
    rules = json.loads(tokenizer.backend_tokenizer.to_str())
    return {name: value for name, value in rules.items() if name not in ("truncation", "padding")}


def _tokenizer(kept: list[str], settings: dict[str, Any]) -> BertTokenizer:
    return BertTokenizer(vocab={piece: number for number, piece in enumerate(kept)}, **settings)
