"""Keep the results of steps: complete or absent, built once, found again by what made them."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import time
import warnings
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from helpers.artifacts.files import sha256_of_file, sync
from helpers.artifacts.nodes import Node
from helpers.environment import ROOT, RunError, describe

__all__ = ["Store", "default_folder", "spent"]

MANIFEST = "manifest.json"
CHECKPOINTS = "checkpoints"  # a step's unfinished training; never part of its result
SPENT = "seconds"  # among them: what went into the last of them, in all goes
REFUSED = (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EISDIR, errno.EIO)
# how numpy, safetensors and torch say that the disk is full, without its number
DISK_FULL = (
    "requested and",
    "No space left on device",
    "PytorchStreamWriter failed",
    "file write failed",
    "unexpected pos",
)


def default_folder() -> Path:
    """Return where artifacts are kept: `STUDY_ARTIFACTS` if it is set, else `artifacts/` beside the notebooks."""
    return Path(os.environ.get("STUDY_ARTIFACTS") or ROOT / "artifacts").resolve()


class Store:
    """A folder of artifacts, one sub-folder per node.

    A result is built in `.building/<key>`, synced, and then renamed: it is there whole or not at all, whatever stops
    the process. The building folder keeps its name, so a step that was killed finds its own training checkpoints again.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = Path(folder) if folder else default_folder()
        self._verified: set[str] = set()
        self._busy = False
        self.seconds = 0.0  # that this process spent on getting results: building them, or waiting for who builds them

    def path(self, wanted: Node) -> Path:
        """Return the folder of a node's result; build it, and first what it needs, if it is not there.

        Raises `RunError` when the disk is full or the folder cannot be written.
        """
        final = self.folder / wanted.key
        if wanted.key in self._verified and final.exists():
            return final
        if self._busy:  # for another result, whose time counts
            return self._path(wanted, final)
        began, self._busy = time.monotonic(), True
        try:
            return self._path(wanted, final)
        finally:
            self._busy = False
            self.seconds += time.monotonic() - began

    def _path(self, wanted: Node, final: Path) -> Path:
        try:
            (self.folder / ".locks").mkdir(parents=True, exist_ok=True)
            with FileLock(self.folder / ".locks" / f"{wanted.key}.lock"):
                if not self._intact(wanted, final):
                    self._build(wanted, final)
        except RunError:
            raise
        except Exception as error:
            refused = isinstance(error, OSError) and error.errno in REFUSED
            if not refused and not any(sign in str(error) for sign in DISK_FULL):
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
        began = time.monotonic() - spent(building)
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

    def _intact(self, wanted: Node, final: Path) -> bool:
        """Check a stored result against its manifest; set a damaged one aside, with a warning that names it."""
        if not final.exists():
            return False
        try:
            manifest = json.loads((final / MANIFEST).read_text(encoding="utf-8"))
            files = manifest["files"]
            if not _is_whole(manifest) or manifest["inputs"] != [used.key for used in wanted.inputs()]:
                raise ValueError("it is another result's, or only a part")
            wrong = [name for name, checksum in files.items() if sha256_of_file(final / name) != checksum]
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
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
                whole = _is_whole(manifest)
            except (OSError, ValueError, RecursionError):
                whole = False
            if not whole:
                continue
            found[file.parent.name] = manifest | {"size_bytes": _size(file.parent)}
        return found

    def clean(self, keep: set[str]) -> int:
        """Remove every result that neither is in `keep` nor went into one that is; return the bytes freed.

        What was set aside as damaged goes too, and what an interrupted run left unless one is at work on it.
        """
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
        for left in [*self.folder.glob(".damaged/*"), *self.folder.glob(".building/*")]:
            lock = FileLock(self.folder / ".locks" / f"{left.name}.lock", timeout=0)
            with contextlib.suppress(Timeout), lock:
                freed += _size(left)
                shutil.rmtree(left)
        return freed


def spent(building: Path) -> float:
    """Return the seconds behind the checkpoints of a step that was stopped: its result took them, too."""
    try:
        return float((building / CHECKPOINTS / SPENT).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return 0.0


def _is_whole(manifest: Any) -> bool:
    """Tell whether a manifest says what is asked of it: of one that does not, `clean` would not know the inputs."""
    return (
        isinstance(manifest, dict)
        and isinstance(manifest.get("seconds"), int | float)
        and isinstance(manifest.get("created"), str)
        and isinstance(manifest.get("inputs"), list)
        and all(isinstance(key, str) for key in manifest["inputs"])
    )


def _size(folder: Path) -> int:
    return sum(part.stat().st_size for part in folder.rglob("*") if part.is_file())
