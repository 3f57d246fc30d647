"""Ways to spoil an input: its bytes, the values in it, rows in a table, and files made by who means harm."""

from __future__ import annotations

import io
import json
import pickle
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pyarrow
import pyarrow.parquet

__all__ = ["CANARY", "damage_file", "nasty", "spoil_columns", "spoil_tree", "tagged_yaml", "write_harmful_weights"]

CANARY = "executed"  # the file that appears if code in an input runs
WORDS = [
    "",
    " ",
    "0",
    "-1",
    "nan",
    "None",
    "null",
    "cola",
    "sst2",
    "mini",
    "../../etc/passwd",
    "/dev/null",
    "\x00",
    "é" * 9,
]
LONG = "x" * 100_000
# what is found in the place of a file, in practice
STRANGERS = [
    b"",
    b"\n",
    b"<!DOCTYPE html><html><head><title>404</title></head></html>",
    b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1\nsize 437\n",
    b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03" + b"\x00" * 50,
    b"PK\x03\x04" + b"\x00" * 50,
    b"\xff\xfe" + "text in another encoding".encode("utf-16-le"),
    b"{}",
    b"[]",
    b"null",
    b"[" * 100_000,
    b'{"a":' * 50_000,
]


def nasty(random: Random, *, depth: int = 0) -> Any:
    """Return a value that nobody expects, of any kind that JSON and YAML have."""
    kind = random.randrange(9 if depth < 2 else 7)
    if kind == 0:
        return random.choice([None, True, False])
    if kind == 1:
        return random.choice([0, -1, 1, 2, 3, 10**6, 2**31, 2**63, 10**30, -(2**63)])
    if kind == 2:
        return random.choice([0.0, -0.0, 0.5, 1.5, -1e-9, 1e-300, 1e300, float("nan"), float("inf"), float("-inf")])
    if kind == 3:
        return random.choice(WORDS)
    if kind == 4:
        return LONG if random.random() < 0.1 else "".join(chr(random.randrange(1, 0xD800)) for _ in range(5))
    if kind == 5:
        return random.choice([[], {}, [None], {"a": None}, [[]], [0, "a"]])
    if kind == 6:
        return random.choice(
            ["../..", "file:///etc/passwd", "https://localhost:1/x", "~", "$HOME", "%s%n", "; touch x"]
        )
    if kind == 7:
        return [nasty(random, depth=depth + 1) for _ in range(random.randrange(4))]
    return {str(nasty(random, depth=2)): nasty(random, depth=depth + 1) for _ in range(random.randrange(4))}


def spoil_tree(value: Any, random: Random) -> Any:
    """Return a copy of nested mappings and lists in which one to three places are other than they should be."""
    value = json.loads(json.dumps(value))
    for _ in range(random.choice([1, 1, 1, 2, 3])):
        places = [(value, key) for key in _keys(value)]
        for inner, key in places:  # grows as it goes, down to the leaves
            places += [(inner[key], deeper) for deeper in _keys(inner[key])]
        if not places:
            return nasty(random)
        inner, key = random.choice(places)
        how = random.randrange(5)
        if how == 0:
            del inner[key]
        elif how == 1 and isinstance(inner, dict):
            inner[random.choice([str(key) + "s", str(key).upper(), str(key)[::-1], str(nasty(random))])] = inner.pop(
                key
            )
        elif how == 2 and isinstance(inner, list):
            inner.insert(key, inner[key])
        elif how == 3 and isinstance(inner[key], int | float) and not isinstance(inner[key], bool):
            inner[key] *= random.choice([-1, 0, 0.5, 2, 1000, 1e9])
        else:
            inner[key] = nasty(random)
    return value


def _keys(value: Any) -> list[Any]:
    return list(value) if isinstance(value, dict) else list(range(len(value))) if isinstance(value, list) else []


def damage_file(path: Path, random: Random) -> None:
    """Damage a file as disks, networks and people do: cut, flipped, filled with zeros, another file, a folder, gone."""
    how = random.randrange(10)
    if how == 0:
        path.unlink()
        if random.random() < 0.5:
            path.mkdir()
        return
    data = bytearray(path.read_bytes())
    at = random.randrange(len(data) + 1)
    # what says how long the rest is stands at the beginning or at the end
    at = random.choice([at, min(at, random.randrange(200)), max(len(data) - random.randrange(200), 0)])
    size = min(random.choice([1, 1, 4, 64, 4096]), len(data) - at)
    if how <= 2 and size:
        for place in range(at, at + size):
            data[place] ^= 1 << random.randrange(8)
    elif how == 3:
        del data[at:]
    elif how == 4:
        del data[at : at + size]
    elif how == 5:
        data[at : at + size] = bytes(size)
    elif how == 6:
        data[at:at] = random.randbytes(random.choice([1, 8, 500]))
    elif how == 7:
        data += data[at:]
    else:
        data = bytearray(random.choice(STRANGERS))
    path.write_bytes(data)


def tagged_yaml(folder: Path, random: Random) -> str:
    """Return YAML of who means harm: tags that make objects, anchors that grow, names that stand twice."""
    order = f"touch {folder / CANARY}"
    bomb = "a: &a [x, x, x, x, x, x, x, x, x]\n"
    bomb += "".join(f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True))
    return random.choice(
        [
            f"data: !!python/object/apply:os.system ['{order}']\n",
            f"!!python/object/new:subprocess.Popen [['touch', '{folder / CANARY}']]\n",
            f"data: !!python/object/apply:builtins.eval [\"__import__('os').system('{order}')\"]\n",
            "data: !!python/name:os.system\n",
            "data: !!python/module:os\n",
            "data: !!binary aGVsbG8=\n",
            "when: !!timestamp 2001-12-14t21:59:43.10-05:00\n",
            bomb,
            bomb + "tasks: *i\n",
            "tasks: &t {cola: *t}\n",
            "a: &a [*a]\n",
            "data: generated\ndata: generated\n",
            "? [a, b]\n: c\n",
            "? {a: b}\n: c\n",
            "<<: 3\n",
            "tasks: {<<: [1]}\n",
            "- " * 3000 + "a\n",
            "{" * 3000,
            "\tdata: generated\n",
            "data: 'generated\n",
            "--- a\n--- b\n",
            "%YAML 9.9\n---\na: b\n",
            "\ufeffdata: generated\n",
            "data: 1_000\nteacher_epochs: 0x10\n",
            "teacher_epochs: 1e400\n",
            "teacher_epochs: " + "9" * 5000 + "\n",
        ]
    )


def spoil_columns(table: pyarrow.Table, random: Random) -> pyarrow.Table:
    """Return rows in which a column is missing, named otherwise, of another type, or holds what it must not."""
    name = random.choice(table.column_names)
    if table.column_names.count(name) > 1:  # spoilt already
        return table
    place, column = table.column_names.index(name), table.column(name)
    try:
        values = column.to_pylist()
    except UnicodeDecodeError:  # spoilt already
        return table
    how = random.randrange(9)
    if how == 0:
        return table.drop_columns([name])
    if how == 1:
        return table.rename_columns([random.choice(WORDS) if each == name else each for each in table.column_names])
    if how == 2:
        return table.slice(0, random.choice([0, 1, 5, 11]))
    if how == 3:
        return table.append_column(random.choice([name, "row", ""]), column)
    if how == 4:
        wrong = random.choice(
            [None, float("nan"), -1, 7, 2**40, "", " ", LONG, "\x00", [1], {"a": 1}, b"\xff\xfe", True]
        )
        values = [wrong] * len(values) if random.random() < 0.5 else values[:1] + [wrong] + values[2:]
    elif how == 5:
        kinds = [
            pyarrow.string(),
            pyarrow.binary(),
            pyarrow.float64(),
            pyarrow.int8(),
            pyarrow.bool_(),
            pyarrow.date32(),
        ]
        try:
            return table.set_column(place, name, column.cast(random.choice(kinds), safe=False))
        except pyarrow.ArrowException:
            values = [str(value) for value in values]
    elif how == 6:
        return table.set_column(place, name, column.dictionary_encode())
    elif how == 7:
        # bytes that are no UTF-8 in a column that says it is text
        raw = pyarrow.array([b"\xff\xfe\xfa"] * len(values), pyarrow.binary())
        return table.set_column(place, name, raw.view(pyarrow.string()))
    else:
        values = [nasty(random) for _ in values]
    try:
        return table.set_column(place, name, pyarrow.array(values))
    except (pyarrow.ArrowException, OverflowError, UnicodeEncodeError):
        return table.set_column(place, name, pyarrow.array([repr(value)[:50] for value in values]))


class _Harm:
    """Pickled, this is an order to make a file."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return open, (str(self.canary), "w")


def write_harmful_weights(folder: Path, random: Random) -> None:
    """Put weights of who means harm into a model folder: code in a pickle, sizes that no memory holds, other paths."""
    canary, good = folder / CANARY, (folder / "model.safetensors").read_bytes()
    code = pickle.dumps({"bert.x": _Harm(canary)})
    length = struct.unpack("<Q", good[:8])[0]
    header = json.loads(good[8 : 8 + length])
    how = random.randrange(9)
    if how <= 3:
        (folder / "model.safetensors").unlink()
    if how == 0:
        (folder / "pytorch_model.bin").write_bytes(code)
    elif how == 1:
        _zip(folder / "pytorch_model.bin", {"archive/data.pkl": code, "archive/version": b"3\n"})
    elif how == 2:  # a small archive that unpacks to very much
        _zip(folder / "pytorch_model.bin", {"archive/data.pkl": bytes(10**8), "archive/version": b"3\n"})
    elif how == 3:
        _zip(folder / "pytorch_model.bin", {"../../../climbed": b"x", "archive/data.pkl": code})
        index = {"weight_map": {"bert.embeddings.word_embeddings.weight": "../../../climbed"}}
        (folder / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")
    elif how == 4:  # a header of exabytes
        (folder / "model.safetensors").write_bytes(struct.pack("<Q", 2**62) + good[8:])
    elif how == 5:
        name = random.choice([name for name in header if name != "__metadata__"])
        header[name] |= random.choice(
            [
                {"shape": [2**31, 2**31]},
                {"shape": [-1]},
                {"data_offsets": [0, 2**60]},
                {"data_offsets": [8, 0]},
                {"dtype": random.choice(["F64", "BOOL", "F8_E4M3", "OBJECT", ""])},
            ]
        )
        text = json.dumps(header).encode()
        (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + good[8 + length :])
    else:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        config |= random.choice(
            [
                {"hidden_size": 2**40},
                {"vocab_size": 2**50},
                {"num_hidden_layers": 10**9},
                {"num_attention_heads": 0},
                {"intermediate_size": -3},
                {"num_labels": 10**9},
                {"max_position_embeddings": 2**45},
                {"id2label": {"0": "a", "99999999999": "b"}},
                {"auto_map": {"AutoModel": "harm.Harm"}, "trust_remote_code": True},
                {"model_type": "../../x"},
                {"torch_dtype": "float1"},
                {"hidden_act": "__import__('os')"},
                {"_name_or_path": "../../../x"},
            ]
        )
        (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")


def _zip(path: Path, members: dict[str, bytes]) -> None:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    path.write_bytes(stream.getvalue())
