"""The bytes and the weights of a model, counted as they are stored, part by part."""

from __future__ import annotations

import io
import zlib
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from transformers import BertTokenizer

from helpers.storage import packing
from helpers.storage.codes import BITS, codes_of
from helpers.storage.files import contents, joined
from helpers.storage.header import PIECES
from helpers.storage.packing import SCALE, ZERO_POINT

__all__ = ["breakdown", "count", "part", "predicted", "size", "state_dict_bytes"]


def state_dict_bytes(model: nn.Module) -> int:
    """Return the bytes of the model's state dict under `torch.save`: the way the report measures size."""
    buffer = io.BytesIO()
    torch.save(model.state_dict(), buffer)
    return buffer.getbuffer().nbytes


def breakdown(model: nn.Module, *, layouts: Sequence[str] = ("dense",)) -> dict[str, int]:
    """Return the bytes of `{embedding, encoder, head, total}` as `save` stores them.

    The head is pooler and classifier. Only tensors count; the file adds a header of a few KB.
    """
    return _parts(packing.encoded(model, layouts)[0])


def _parts(stored: Mapping[str, Tensor]) -> dict[str, int]:
    parts = {"embedding": 0, "encoder": 0, "head": 0}
    for name, tensor in stored.items():
        parts[part(name)] += tensor.numel() * tensor.element_size()
    return {**parts, "total": sum(parts.values())}


def part(name: str) -> str:
    """Return the part of a model that a tensor belongs to: `embedding`, `encoder` or `head`."""
    if name.startswith("bert.embeddings."):
        return "embedding"
    return "encoder" if name.startswith("bert.encoder.") else "head"


def predicted(model: nn.Module, *, layouts: Sequence[str] = ("dense",)) -> dict[str, int]:
    """Return what `breakdown` should come to, from the number of weights and how often each code occurs.

    A weight takes the bits of its kind; in a bitmask one bit, and those of its kind where it is not zero; with entropy
    coding the entropy of the codes (Shannon 1948), but no less than the one bit that Huffman's shortest code has.
    """
    codes, parts = codes_of(model), {"embedding": 0.0, "encoder": 0.0, "head": 0.0}
    for name, tensor in packing.tensors(model).items():
        coded = codes.get(name)
        bits: float = 8 * tensor.element_size() if coded is None else BITS[coded.coding.kind]
        if "bitmask" in layouts and tensor.dim() == 2 and tensor.is_floating_point() and bits >= 16:
            bits = min(bits, 1 + float((tensor != 0).float().mean()) * bits)
        if coded is not None and coded.scales is not None:
            values = coded.codes.reshape(-1).view(torch.int8)
            shares = torch.unique(values, return_counts=True)[1] / max(values.numel(), 1)
            entropy = max(1.0, float(-(shares * shares.log2()).sum()))
            kept = float((values != 0).float().mean())
            bits = min({"dense": bits, "bitmask": 1 + kept * bits, "entropy": entropy}[each] for each in layouts)
            parts[part(name)] += 2 * coded.scales.numel()
        parts[part(name)] += tensor.numel() * bits / 8
    whole = {name: round(value) for name, value in parts.items()}
    return {**whole, "total": sum(whole.values())}


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


def size(
    model: nn.Module,
    *,
    compressed: bool = True,
    tokenizer: BertTokenizer | None = None,
    layouts: Sequence[str] = ("dense",),
) -> dict[str, int | None]:
    """Return the bytes of `file` (what `save` writes), `state_dict`, `embedding`, `encoder`, `head`, `gzip`.

    `gzip` is the file compressed at gzip's level 6; None without `compressed`, which takes 20 seconds for BERT-base.
    With a `tokenizer` the file has it, and `tokenizer` its bytes. Raises InputError like `save`.
    """
    stored, header = contents(model, tokenizer=tokenizer, layouts=layouts)
    data = memoryview(joined(stored, header))
    sizes = {"file": len(data), "gzip": _gzip_bytes(data) if compressed else None}
    del data  # a state dict of the same size follows
    pieces = stored.pop(PIECES, None)
    parts = _parts(stored)
    sizes |= {"state_dict": state_dict_bytes(model)} | {name: parts[name] for name in ("embedding", "encoder", "head")}
    return sizes | ({} if pieces is None else {"tokenizer": pieces.numel()})


def _gzip_bytes(data: memoryview) -> int:
    packer = zlib.compressobj(6, zlib.DEFLATED, 31)  # 31: a gzip header with neither name nor time
    packed = sum(len(packer.compress(data[start : start + 2**20])) for start in range(0, len(data), 2**20))
    return packed + len(packer.flush())
