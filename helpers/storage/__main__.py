"""python -m helpers.storage: look into a model's file, or write it in ONNX for other programs."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from helpers.environment import InputError, RunError
from helpers.storage import onnx_files
from helpers.storage.files import load, load_tokenizer
from helpers.storage.header import read_header
from helpers.storage.sizes import part
from helpers.tasks import FIELDS

__all__ = ["export", "inspect", "main"]


def inspect(path: str) -> str:
    """Return what a file holds, in lines: configuration, bytes by part, and each tensor with its kind and bytes.

    Raises InputError for no file, RunError for a damaged one or one of another format.
    """
    header, sizes = read_header(path)
    config, codes, total = header["config"], header["codes"], sum(sizes.values())
    shape = (
        f"{config.get('num_hidden_layers')} layers of {config.get('hidden_size')}, {config.get('vocab_size')} pieces"
    )
    lines = [f"{path}: {header['format']}, version {header['version']}", f"model: {shape}"]
    lines.append(f"tokenizer: {json.dumps(header['tokenizer']) if 'tokenizer' in header else 'none'}")
    parts: dict[str, int] = {}
    for name, size in sizes.items():
        where = "tokenizer" if name.startswith("tokenizer.") else part(name)
        parts[where] = parts.get(where, 0) + size
    lines.append(f"bytes: {total:,}, " + ", ".join(f"{name} {size:,}" for name, size in parts.items()))
    for name, size in sorted(sizes.items()):
        entry = codes.get(name.removesuffix(".codes"))
        told = "" if entry is None else f"  {entry['kind']}, group {entry['group'] or 'row'}, {entry['layout']}"
        lines.append(f"{size:>12,}  {name!r:.200}{told}")
    return "\n".join(lines)


def export(path: str, to: str) -> str:
    """Write the model of a file as an ONNX graph, and its tokenizer, if it has one, beside; return what was written.

    Raises InputError for no file or a model that ONNX has no words for, RunError for a damaged one.
    """
    model: Any = load(path)
    header, _ = read_header(path)
    written = onnx_files.export(model, Path(to), tokenizer=load_tokenizer(path) if "tokenizer" in header else None)
    lines = [f"{to}: {Path(to).stat().st_size:,} bytes, ONNX, inputs {', '.join(FIELDS)}, output logits"]
    lines += [f"{written}: {written.stat().st_size:,} bytes, read by the package tokenizers"] if written else []
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code: 0, 1 for a failed run, 2 for bad input."""
    parser = argparse.ArgumentParser(prog="python -m helpers.storage", description="A model's file.")
    commands = parser.add_subparsers(dest="command", required=True)
    look = commands.add_parser("inspect", help="print what is in a file")
    look.add_argument("file")
    look.set_defaults(command=lambda given: inspect(given.file))
    write = commands.add_parser("export", help="write the model in ONNX, and its tokenizer beside it")
    write.add_argument("file")
    write.add_argument("to", help="the graph's file, as in student.onnx")
    write.set_defaults(command=lambda given: export(given.file, given.to))
    given = parser.parse_args(arguments)
    try:
        print(given.command(given))
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    except RunError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
