"""Records: one JSON file per (notebook, task, seed), with everything needed to trust its numbers.

All tables, figures and README numbers are made from these files. One JSON Schema (`record_schema.json`) is
applied when a record is written and again when it is read: a damaged or edited file is named, not believed.

`folder` is always the folder that holds the files themselves: `results/<profile>/records`.
"""

from __future__ import annotations

import json
import math
import numbers
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from helpers.environment import RunError
from helpers.labels import TASKS

__all__ = ["path", "read", "read_all", "schema", "write", "write_bytes", "write_text"]

_SCHEMA_FILE = Path(__file__).with_name("record_schema.json")


@cache
def schema() -> dict:
    """Return the JSON Schema (draft 2020-12) of a record; the file is read once, on the first call."""
    return json.loads(_SCHEMA_FILE.read_text(encoding="utf-8"))


@cache
def _validator():
    # Most of jsonschema's two seconds to start go into an optional grammar of web addresses; records have none.
    sys.modules.setdefault("rfc3987_syntax", None)
    from jsonschema import Draft202012Validator

    return Draft202012Validator(schema())


def path(folder: str | Path, notebook: str, task: str, seed: int) -> Path:
    """Return where the record of one run lies.

    >>> path("results/mini/records", "01_distillation", "cola", 0).as_posix()
    'results/mini/records/01_distillation.cola.seed0.json'
    """
    return Path(folder) / f"{notebook}.{task}.seed{seed}.json"


def write(record: Mapping[str, Any], folder: str | Path) -> Path:
    """Check a record and write it to its place in `folder`, whole or not at all; return the path.

    NaN (an undefined value, such as the retention of a teacher at its floor) is written as null; numpy
    numbers and tuples become JSON numbers and lists. An older record of the same run is replaced.

    Raises:
        RunError: a field is missing, unknown, of the wrong kind or infinite (the message names it; nothing is
            written), or the file cannot be written.
    """
    plain = _plain(record, "record")
    _check(plain, "The record to be written", "Correct the notebook that makes it")
    target = path(folder, plain["notebook"], plain["task"], plain["seed"])
    text = json.dumps(plain, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"
    return write_text(target, text)


def read(path: str | Path) -> dict:
    """Read and check one record.

    Raises:
        RunError: the file is missing, is not JSON, or a field is wrong; the message names file and field.
    """
    file = Path(path)
    try:
        record = json.loads(file.read_text(encoding="utf-8"), parse_constant=_refuse_constant)
    except OSError as error:
        raise RunError(f"The record {file} cannot be read: {error.strerror}.") from error
    except (ValueError, RecursionError) as error:  # among them JSONDecodeError, UnicodeDecodeError, NaN and Infinity
        advice = "Delete it and run its notebook again."
        raise RunError(f"The record {file} is not valid JSON ({error}). {advice}") from error
    _check(record, f"The record {file}", "Delete it and run its notebook again")
    return record


def read_all(folder: str | Path) -> list[dict]:
    """Read every record of a folder, sorted by (notebook, task, seed); a missing folder holds none.

    Raises:
        RunError: a record is wrong, or two files hold the same (notebook, task, seed).
    """
    found: dict[tuple[str, str, int], tuple[Path, dict]] = {}
    for file in sorted(Path(folder).glob("*.json")):
        record = read(file)
        identity = (record["notebook"], record["task"], record["seed"])
        if identity in found:
            run = f"notebook {identity[0]}, task {identity[1]}, seed {identity[2]}"
            both = f"{found[identity][0]} and {file}"
            raise RunError(f"{both} both hold the record of {run}. Delete the one that is a copy.")
        found[identity] = (file, record)
    return [found[identity][1] for identity in sorted(found)]


def write_text(path: str | Path, text: str) -> Path:
    """Write a text file (UTF-8) whole or not at all; return its path. Raises as `write_bytes` does."""
    return write_bytes(path, text.encode("utf-8"))


def write_bytes(path: str | Path, content: bytes) -> Path:
    """Write a file whole or not at all (temporary file, synced, then renamed); return its path.

    Raises:
        RunError: the disk is full or the folder is not writable; an older file stays as it was.
    """
    target = Path(path)
    temporary = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".part", dir=target.parent)
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        os.chmod(temporary, 0o644)  # mkstemp makes private files; results are for everyone
        os.replace(temporary, target)
    except OSError as error:
        problem = f"{target} cannot be written: {error.strerror or type(error).__name__}."
        raise RunError(f"{problem} Make room or check the folder's rights.") from error
    finally:
        if temporary is not None:  # after the rename there is nothing left to remove
            Path(temporary).unlink(missing_ok=True)
    return target


def _refuse_constant(name: str) -> None:
    raise ValueError(f"it holds {name}, which is not a JSON number")


def _plain(value: Any, where: str) -> Any:
    """Turn numpy numbers, tuples and NaN into what JSON has; refuse infinity and unknown kinds."""
    if value is None or isinstance(value, str | bool):
        return value
    if isinstance(value, Mapping):
        return {str(key): _plain(item, f"{where}.{key}") for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item, f"{where}[{index}]") for index, item in enumerate(value)]
    if type(value).__name__ in ("bool", "bool_"):  # numpy's boolean is no subclass of bool
        return bool(value)
    if isinstance(value, numbers.Integral):
        return int(value)
    if isinstance(value, numbers.Real):
        number = float(value)
        if math.isinf(number):
            raise RunError(f"{where} is infinite; a record holds finite numbers or null.")
        return None if math.isnan(number) else number
    raise RunError(f"{where} is a {type(value).__name__}; a record holds only plain values: convert it.")


def _check(record: Any, where: str, advice: str) -> None:
    """Raise RunError with the first wrong field, or return."""
    from jsonschema.exceptions import best_match

    error = best_match(_validator().iter_errors(record))
    if error is not None:
        field = error.json_path.removeprefix("$").lstrip(".") or "its top level"
        raise RunError(f"{where} is wrong at {field}: {_short(error.message)}. {advice}.")
    for field, problem in _contradictions(record):
        raise RunError(f"{where} is wrong at {field}: {problem}. {advice}.")


def _contradictions(record: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield (field, problem) for what a schema cannot say."""
    if record["task"] not in TASKS:
        yield "task", f"there is no task {record['task']!r}"
    seen: set[str] = set()
    for index, one in enumerate(record["arms"]):
        field = f"arms[{index}]"
        if one["arm"] in seen:
            yield f"{field}.arm", f"{one['arm']!r} appears twice"
        seen.add(one["arm"])
        if one["nonzero"] > one["parameters"]:
            yield f"{field}.nonzero", f"{one['nonzero']} is more than its {one['parameters']} parameters"
        if one["scores"] is not None:
            if sorted(one["scores"]) != sorted(record["metrics"]):
                has, wanted = sorted(one["scores"]), sorted(record["metrics"])
                yield f"{field}.scores", f"it has {has}, but the record's metrics are {wanted}"
            if one["n"] is None:
                yield f"{field}.n", "an arm with scores needs the number of examples"
        if one["versus"] is not None and one["versus"]["arm"] == one["arm"]:
            yield f"{field}.versus.arm", "an arm cannot be its own reference"
        if one["versus"] is not None and (flips := one["versus"].get("flips")):
            turned = flips["gained"] + flips["lost"]
            if not turned <= flips["changed"] <= flips["n"]:
                yield f"{field}.versus.flips", f"{turned} right or wrong of {flips['changed']} changed of {flips['n']}"
            shown, told = (flips["gained"] - flips["lost"]) / flips["n"], one["versus"]["difference"]
            of_answers = record["metrics"][0] == "accuracy" and told is not None
            if of_answers and not math.isclose(shown, told, abs_tol=1e-9):
                yield f"{field}.versus.flips", f"they make a difference of {shown}, not {told}"


def _short(message: str, limit: int = 200) -> str:
    return message if len(message) <= limit else message[: limit - 1] + "…"
