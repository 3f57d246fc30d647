"""The same values in fewer bytes: two codes to a byte, zeros as a bitmask, or each code in as many bits as it is rare.

Nothing here changes a value. What is read is checked before memory is taken for it.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence

import numpy as np

__all__ = ["LAYOUTS", "pack", "unpack"]

LAYOUTS = ("dense", "bitmask", "entropy")
WHOLE = {8: np.int8, 16: np.int16, 32: np.int32}  # what values of so many bits are handed over as
WBITS = -15  # of zlib; negative: bare deflate, without header and checksum


def pack(values: np.ndarray, bits: int, layouts: Sequence[str] = ("dense",)) -> tuple[str, np.ndarray]:
    """Return the layout, of those given, with the fewest bytes, and the bytes, for codes of 4 or 8 `bits` (n, int8).

    `dense`: 8 bits one to a byte, 4 bits two to a byte, the first in the low half, as code + 8. `bitmask`: a bit for
    each code, 1 where it is not zero, the first in the lowest place; then the others, dense. `entropy`: Huffman's codes
    in deflate's form (RFC 1951), over one byte for each code. The bits of floats (n, int16 or int32) are laid out
    likewise, lowest byte first, dense or as a bitmask. Raises `ValueError` for an unknown layout.
    """
    if not layouts or set(layouts) - set(LAYOUTS):
        raise ValueError(f"codes are laid out as {', '.join(LAYOUTS)}, not {layouts!r}")
    found = {layout: PACK[layout](values, bits) for layout in layouts}
    best = min(found, key=lambda layout: len(found[layout]))
    return best, found[best]


def unpack(data: np.ndarray, count: int, bits: int, layout: str) -> np.ndarray:
    """Return the `count` values that `pack` laid out. Raises `ValueError` unless `data` hold exactly so many."""
    if layout not in LAYOUTS:
        raise ValueError(f"there is no layout {layout!r}")
    if count > 8 * len(data):  # no layout has more than eight to a byte
        raise ValueError(f"{len(data)} bytes cannot hold {count} codes")
    values = UNPACK[layout](data, count, bits)
    if bits == 4 and values.size and (values.min() < -7 or values.max() > 7):
        raise ValueError("a code of four bits is outside -7 to 7")
    return values


def _dense(values: np.ndarray, bits: int) -> np.ndarray:
    if bits >= 8:
        return np.ascontiguousarray(values, WHOLE[bits]).view(np.uint8)
    halves = np.full(len(values) + len(values) % 2, 8, np.uint8)
    halves[: len(values)] = values + 8
    return halves[::2] | (halves[1::2] << 4)


def _from_dense(data: np.ndarray, count: int, bits: int) -> np.ndarray:
    wanted = count * bits // 8 if bits >= 8 else (count + 1) // 2
    if len(data) != wanted:
        raise ValueError(f"{count} codes take {wanted} bytes, not {len(data)}")
    if bits >= 8:
        return data.view(WHOLE[bits])
    halves = np.empty(2 * len(data), np.uint8)
    halves[::2], halves[1::2] = data & 15, data >> 4
    if count % 2 and halves[-1] != 8:
        raise ValueError("the half byte after the last code is not empty")
    return halves[:count].view(np.int8) - np.int8(8)


def _bitmask(values: np.ndarray, bits: int) -> np.ndarray:
    kept = values != 0
    return np.concatenate([np.packbits(kept, bitorder="little"), _dense(values[kept], bits)])


def _from_bitmask(data: np.ndarray, count: int, bits: int) -> np.ndarray:
    length = -(-count // 8)
    flags = np.unpackbits(data[:length], bitorder="little")
    if len(data) < length or flags[count:].any():
        raise ValueError("the bitmask is not as long as its codes are many")
    kept = flags[:count].astype(bool)
    values = np.zeros(count, WHOLE[max(bits, 8)])
    values[kept] = _from_dense(data[length:], int(kept.sum()), bits)
    if not values[kept].all():
        raise ValueError("a code that the bitmask calls something else is zero")
    return values


def _entropy(values: np.ndarray, bits: int) -> np.ndarray:
    packer = zlib.compressobj(9, zlib.DEFLATED, WBITS, 9, zlib.Z_HUFFMAN_ONLY)
    return np.frombuffer(packer.compress(np.ascontiguousarray(values)) + packer.flush(), np.uint8)


def _from_entropy(data: np.ndarray, count: int, bits: int) -> np.ndarray:
    reader = zlib.decompressobj(WBITS)
    try:
        values = reader.decompress(data.tobytes(), count + 1)  # never more than what is wanted, whatever is written
    except zlib.error as error:
        raise ValueError(f"the codes cannot be read ({error})") from error
    if len(values) != count or not reader.eof or reader.unused_data:
        raise ValueError(f"these are not {count} codes")
    return np.frombuffer(values, np.int8).copy()


PACK: dict[str, Callable[[np.ndarray, int], np.ndarray]] = {
    "dense": _dense,
    "bitmask": _bitmask,
    "entropy": _entropy,
}
UNPACK: dict[str, Callable[[np.ndarray, int, int], np.ndarray]] = {
    "dense": _from_dense,
    "bitmask": _from_bitmask,
    "entropy": _from_entropy,
}
