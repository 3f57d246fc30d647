"""Keep the results of steps: complete or absent, built once, found again by what made them.

A *step* is a function with a version that writes its result into a folder. A *node* is a step together with its
arguments; other nodes may be among them, so nodes form the tree of the study. A node's key is the hash of the step's
name and version and of all arguments, so the same work has the same key wherever it is named, and is done once.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import os
import shutil
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock

from helpers.environment import RunError, describe

__all__ = [
    "STEPS",
    "Node",
    "Store",
    "default_folder",
    "digest",
    "fingerprint",
    "node",
    "sha256_of_file",
    "step",
    "sync",
]

ROOT = Path(__file__).resolve().parents[1]
MANIFEST = "manifest.json"
CHECKPOINTS = "checkpoints"  # a step's unfinished training; never part of its result
# how safetensors and torch say that the disk is full: neither raises an OSError, and torch does not name the cause
DISK_FULL = ("No space left on device", "PytorchStreamWriter failed", "file write failed", "unexpected pos")
STEPS: dict[str, Callable[..., None]] = {}


def default_folder() -> Path:
    """Return where artifacts are kept: `STUDY_ARTIFACTS` if it is set, else `artifacts/` beside the notebooks."""
    return Path(os.environ.get("STUDY_ARTIFACTS") or ROOT / "artifacts").resolve()


def step(*, version: int) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Declare a function `f(folder, **arguments)` as a step; bump `version` by hand when its result changes."""

    def declare(function: Callable[..., None]) -> Callable[..., None]:
        function.version = version
        STEPS[function.__name__] = function
        return function

    return declare


def fingerprint(value: Any) -> Any:
    """Reduce an argument to JSON that identifies it: a node by its key, data by its `fingerprint`, settings by value.

    Raises `TypeError` for anything that could not be told apart reliably.
    """
    if isinstance(value, Node):
        return {"node": value.key}
    if hasattr(value, "fingerprint"):
        return {"fingerprint": value.fingerprint}
    if dataclasses.is_dataclass(value):
        return fingerprint({field.name: getattr(value, field.name) for field in dataclasses.fields(value)})
    if isinstance(value, Mapping):
        return {str(name): fingerprint(value[name]) for name in sorted(value)}
    if isinstance(value, list | tuple):
        return [fingerprint(item) for item in value]
    if value is None or isinstance(value, str | int | float | bool):
        return value
    raise TypeError(f"A step's argument of type {type(value).__name__} has no fingerprint; give it that attribute.")


def digest(value: Any) -> str:
    """Return the first 16 hexadecimal digits of the SHA-256 of a JSON value in canonical form."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass(frozen=True, eq=False)
class Node:
    """One step with its arguments: a promise of a result, not yet the result."""

    function: Callable[..., None]
    arguments: Mapping[str, Any]

    @functools.cached_property
    def description(self) -> dict[str, Any]:
        """What the key is made of."""
        return {
            "step": self.function.__name__,
            "version": self.function.version,
            "arguments": fingerprint(self.arguments),
        }

    @functools.cached_property
    def key(self) -> str:
        """`<step>-<hash>`: equal for equal work."""
        return f"{self.function.__name__}-{digest(self.description)}"

    def inputs(self) -> Iterator[Node]:
        """Yield the nodes among the arguments."""
        return (value for value in self.arguments.values() if isinstance(value, Node))


def node(function: Callable[..., None], /, **arguments: Any) -> Node:
    """Name the result of a step without building it."""
    if STEPS.get(function.__name__) is not function:
        raise TypeError(f"{function.__name__} is not declared with @step.")
    return Node(function, arguments)


class Store:
    """A folder of artifacts, one sub-folder per node.

    A result is built in `.building/<key>`, synced, and then renamed: it is there whole or not at all, whatever stops
    the process. The building folder keeps its name, so a step that was killed finds its own training checkpoints again.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = Path(folder) if folder else default_folder()
        self._verified: set[str] = set()

    def path(self, wanted: Node) -> Path:
        """Return the folder of a node's result; build it, and first what it needs, if it is not there.

        Raises `RunError` when the disk is full or the folder cannot be written.
        """
        final = self.folder / wanted.key
        if wanted.key in self._verified and final.exists():
            return final
        try:
            (self.folder / ".locks").mkdir(parents=True, exist_ok=True)
            with FileLock(self.folder / ".locks" / f"{wanted.key}.lock"):
                if not self._intact(final):
                    self._build(wanted, final)
        except RunError:
            raise
        except Exception as error:
            if not isinstance(error, OSError) and not any(sign in str(error) for sign in DISK_FULL):
                raise
            reason = " ".join(str(getattr(error, "strerror", None) or error).split())
            raise RunError(
                f"{wanted.key} could not be written under {self.folder} ({reason}); "
                "free some space or set STUDY_ARTIFACTS to another folder, then run the same command again."
            ) from error
        self._verified.add(wanted.key)
        return final

    def checksum(self, wanted: Node, file: str) -> str:
        """Return the SHA-256 of one file of a result."""
        return json.loads((self.path(wanted) / MANIFEST).read_text(encoding="utf-8"))["files"][file]

    def has(self, wanted: Node) -> bool:
        """Tell whether a node's result is there, without checking or building it."""
        return (self.folder / wanted.key / MANIFEST).exists()

    def _build(self, wanted: Node, final: Path) -> None:
        arguments = {
            name: self.path(value) if isinstance(value, Node) else value for name, value in wanted.arguments.items()
        }
        building = self.folder / ".building" / wanted.key
        building.mkdir(parents=True, exist_ok=True)
        for left in building.iterdir():  # of a run that was stopped, only its training goes on; the rest is made anew
            if left.name != CHECKPOINTS:
                shutil.rmtree(left) if left.is_dir() else left.unlink()
        began = time.monotonic()
        wanted.function(building, **arguments)
        shutil.rmtree(building / CHECKPOINTS, ignore_errors=True)
        files = {str(f.relative_to(building)): sha256_of_file(f) for f in sorted(building.rglob("*")) if f.is_file()}
        manifest = wanted.description | {
            "inputs": [used.key for used in wanted.inputs()],
            "files": files,
            "seconds": round(time.monotonic() - began, 2),
            "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "environment": describe(),
        }
        (building / MANIFEST).write_text(json.dumps(manifest, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        for file in [*building.rglob("*"), building]:
            sync(file)
        os.replace(building, final)
        sync(self.folder)

    def _intact(self, final: Path) -> bool:
        """Check a stored result against its manifest; set a damaged one aside, with a warning that names it."""
        if not final.exists():
            return False
        try:
            files = json.loads((final / MANIFEST).read_text(encoding="utf-8"))["files"]
            wrong = [name for name, checksum in files.items() if sha256_of_file(final / name) != checksum]
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            wrong = [MANIFEST]
        if not wrong:
            return True
        aside = self.folder / ".damaged" / f"{final.name}.{time.time_ns()}"
        aside.parent.mkdir(exist_ok=True)
        os.replace(final, aside)
        warnings.warn(
            f"{final.name} was damaged ({', '.join(wrong)} does not match its checksum); it was moved to {aside} "
            "and is built again.",
            stacklevel=3,
        )
        return False

    def manifests(self) -> dict[str, dict[str, Any]]:
        """Return the manifest of every stored result, with its size in bytes under `size_bytes`.

        A result whose manifest is damaged is left out; it is set aside when it is next wanted.
        """
        found = {}
        for file in sorted(self.folder.glob(f"*/{MANIFEST}")):
            try:
                manifest = json.loads(file.read_text(encoding="utf-8"))
                whole = manifest.keys() >= {"inputs", "seconds", "created"}
            except (ValueError, AttributeError):
                whole = False
            if not whole:
                continue
            size = sum(part.stat().st_size for part in file.parent.rglob("*") if part.is_file())
            found[file.parent.name] = manifest | {"size_bytes": size}
        return found

    def clean(self, keep: set[str]) -> int:
        """Remove every result that neither is in `keep` nor went into one that is; return the bytes freed."""
        known = self.manifests()
        reached, waiting = set(), [key for key in keep if key in known]
        while waiting:
            key = waiting.pop()
            if key not in reached:
                reached.add(key)
                waiting += [used for used in known[key]["inputs"] if used in known]
        freed = 0
        for key in known.keys() - reached:
            with FileLock(self.folder / ".locks" / f"{key}.lock"):
                shutil.rmtree(self.folder / key)
            freed += known[key]["size_bytes"]
        return freed


def sha256_of_file(path: Path) -> str:
    """Return the SHA-256 of a file's bytes in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sync(path: Path) -> None:
    """Have the system write a file or folder to the disk before going on."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
