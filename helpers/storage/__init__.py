"""What a model weighs: one file that loads back with the same logits, and the bytes in it, part by part."""

from helpers.storage.codes import BITS, Coded, Coding, code, codes_of, decode, encode
from helpers.storage.files import load, load_tokenizer, save
from helpers.storage.header import FORMAT, VERSION, read_header
from helpers.storage.layouts import LAYOUTS
from helpers.storage.onnx_files import export
from helpers.storage.sizes import breakdown, count, part, predicted, size, state_dict_bytes
from helpers.storage.words import pieces, with_pieces

__all__ = [
    "BITS",
    "FORMAT",
    "LAYOUTS",
    "VERSION",
    "Coded",
    "Coding",
    "breakdown",
    "code",
    "codes_of",
    "count",
    "decode",
    "encode",
    "export",
    "load",
    "load_tokenizer",
    "part",
    "pieces",
    "predicted",
    "read_header",
    "save",
    "size",
    "state_dict_bytes",
    "with_pieces",
]
