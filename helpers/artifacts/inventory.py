"""What a folder of artifacts holds, and the removal of what nothing needs."""

from __future__ import annotations

import contextlib
import json
import shutil
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

__all__ = ["MANIFEST", "Inventory", "parsed"]

MANIFEST = "manifest.json"


class Inventory:
    """A folder of artifacts, one sub-folder per result, each with a manifest."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def here(self) -> dict[str, dict[str, Any]]:
        """Return the manifest of every result in the folder, with its size in bytes under `size_bytes`.

        A result whose manifest is damaged is left out; it is set aside when it is next wanted.
        """
        found = {}
        for file in sorted(self.folder.glob(f"*/{MANIFEST}")):
            manifest = parsed(file.read_bytes()) if file.is_file() else None
            if manifest is not None:
                found[file.parent.name] = manifest | {"size_bytes": _size(file.parent)}
        return found

    def clean(self, keep: set[str]) -> int:
        """Remove every result that neither is in `keep` nor went into one that is; return the bytes freed.

        What was set aside as damaged goes too, and what an interrupted run left unless one is at work on it.
        """
        known = self.here()
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
            lock = FileLock(self.folder / ".locks" / f"{left.name.partition('.')[0]}.lock", timeout=0)
            with contextlib.suppress(Timeout), lock:
                freed += _size(left)
                shutil.rmtree(left)
        return freed


def parsed(text: bytes) -> dict[str, Any] | None:
    """Return what a manifest says, None if it is damaged: of one that is, `clean` would not know the inputs."""
    try:
        manifest = json.loads(text)
    except (ValueError, RecursionError):
        return None
    whole = (
        isinstance(manifest, dict)
        and isinstance(manifest.get("seconds"), int | float)
        and isinstance(manifest.get("created"), str)
        and isinstance(manifest.get("inputs"), list)
        and all(isinstance(key, str) for key in manifest["inputs"])
        and isinstance(manifest.get("files"), dict)
    )
    return manifest if whole else None


def _size(folder: Path) -> int:
    return sum(part.stat().st_size for part in folder.rglob("*") if part.is_file())
