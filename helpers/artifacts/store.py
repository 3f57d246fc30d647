"""Keep the results of steps: complete or absent, built once, found again by what made them."""

from __future__ import annotations

import errno
import json
import os
import shutil
import time
import warnings
from pathlib import Path
from typing import Any

from filelock import FileLock

from helpers.artifacts.files import sha256_of_file, sync
from helpers.artifacts.inventory import MANIFEST, Inventory, parsed
from helpers.artifacts.mirror import Mirror
from helpers.artifacts.nodes import Node
from helpers.environment import ROOT, RunError, describe

__all__ = ["Store", "default_folder", "spent"]

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


class Store(Inventory):
    """A folder of artifacts, one sub-folder per node.

    A result is built in `.building/<key>`, synced, and then renamed: it is there whole or not at all, whatever stops
    the process. The building folder keeps its name, so a step that was killed finds its own training checkpoints again.
    Where `STUDY_SHARED` names a second place, results are taken from there and written there, too (see `Mirror`).
    """

    def __init__(self, folder: Path | None = None) -> None:
        super().__init__(Path(folder) if folder else default_folder())
        self._mirror = Mirror.named()
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
                there = self._intact(wanted, final) or self._fetched(wanted, final)
                if not there:
                    self._build(wanted, final)
                if self._mirror is not None and not (there and self._mirror.has(f"{wanted.key}/{MANIFEST}")):
                    self._mirror.push(final, manifest=MANIFEST)
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

    def _fetched(self, wanted: Node, final: Path) -> bool:
        """Take a result that another machine built from the mirror; tell whether it is here now."""
        arriving = self.folder / ".building" / f"{wanted.key}.fetched"
        if self._mirror is None or not self._mirror.fetch(wanted.key, arriving, manifest=MANIFEST):
            return False
        os.replace(arriving, final)
        sync(self.folder)
        return self._intact(wanted, final)

    def manifests(self) -> dict[str, dict[str, Any]]:
        """Return the manifests of all results that are here, and of those behind them that are in the mirror only."""
        known = self.here()
        while self._mirror is not None:
            behind = {key for manifest in known.values() for key in manifest["inputs"]} - known.keys()
            read = {key: parsed(self._mirror.read(f"{key}/{MANIFEST}") or b"") for key in behind}
            if not any(read.values()):
                break
            known |= {key: manifest | {"size_bytes": 0} for key, manifest in read.items() if manifest}
        return known

    def _intact(self, wanted: Node, final: Path) -> bool:
        """Check a stored result against its manifest; set a damaged one aside, with a warning that names it."""
        if not final.exists():
            return False
        try:
            manifest = parsed((final / MANIFEST).read_bytes())
            if manifest is None or manifest["inputs"] != [used.key for used in wanted.inputs()]:
                wrong = [MANIFEST]
            else:
                wrong = [name for name, known in manifest["files"].items() if sha256_of_file(final / name) != known]
        except OSError:  # the manifest, or a file that it lists, is not there
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


def spent(building: Path) -> float:
    """Return the seconds behind the checkpoints of a step that was stopped: its result took them, too."""
    try:
        return float((building / CHECKPOINTS / SPENT).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return 0.0
