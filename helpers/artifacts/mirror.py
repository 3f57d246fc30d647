"""A second place for artifacts that several machines reach: a shared folder, or any address that fsspec knows.

Each machine works in its own folder (`Store`). What it built it also writes to the mirror, and what another machine
built it takes from there. A result's manifest is written last and read first, so a result is there whole or not at all,
and its checksums are compared with what arrives.
"""

from __future__ import annotations

import os
import re
import shutil
import uuid
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import fsspec
from fsspec.implementations.local import LocalFileSystem

from helpers.artifacts.files import sha256_of_file, sync
from helpers.artifacts.inventory import parsed
from helpers.environment import InputError, RunError
from helpers.wording import reason

__all__ = ["SHARED", "Mirror"]

SHARED = "STUDY_SHARED"  # the environment variable that names the mirror
_PIECE = 2**22  # bytes copied at a time


class Mirror:
    """Files under one address. Errors of its file system are `RunError`, an address it does not know `InputError`."""

    def __init__(self, address: str) -> None:
        self.address = address.rstrip("/")
        try:
            self._files, self._root = fsspec.core.url_to_fs(self.address)
        except (ImportError, ValueError) as error:
            raise InputError(f"The shared address {address!r} cannot be used ({reason(error)}).") from error

    @classmethod
    def named(cls) -> Mirror | None:
        """Return the mirror that the environment variable `STUDY_SHARED` names, None if there is none."""
        address = os.environ.get(SHARED)
        return cls(address) if address else None

    def read(self, name: str) -> bytes | None:
        """Return a file's bytes, None if there is no such file."""
        try:
            return self._files.cat_file(self._path(name))
        except FileNotFoundError:
            return None
        except Exception as error:  # each file system has its own
            raise self._failed(name, "read", error) from error

    def has(self, name: str) -> bool:
        """Tell whether there is a file of this name."""
        try:
            return self._files.exists(self._path(name))
        except Exception as error:  # each file system has its own
            raise self._failed(name, "looked for", error) from error

    def write(self, name: str, content: bytes | Path) -> None:
        """Write a file from bytes or from a local file. A reader sees the old file or the new one, never a part."""
        path = self._path(name)
        try:
            self._files.makedirs(path.rpartition("/")[0], exist_ok=True)
            if isinstance(self._files, LocalFileSystem):
                part = f"{path}.{uuid.uuid4().hex}.part"
                with open(part, "wb") as there:
                    _copy(content, there)
                    there.flush()
                    os.fsync(there.fileno())
                os.replace(part, path)
            else:  # in a bucket a file appears when it is complete
                with self._files.transaction, self._files.open(path, "wb") as there:
                    _copy(content, there)
        except Exception as error:
            raise self._failed(name, "written", error) from error

    def push(self, folder: Path, *, manifest: str) -> None:
        """Copy the files that a folder's manifest lists, each named by its checksum, and after them the manifest.

        So two machines that built the same result, in other bits perhaps, never mix their files.
        """
        for file, checksum in (parsed((folder / manifest).read_bytes()) or {"files": {}})["files"].items():
            self.write(f"{folder.name}/{checksum}", folder / file)
        self.write(f"{folder.name}/{manifest}", folder / manifest)

    def fetch(self, name: str, folder: Path, *, manifest: str) -> bool:
        """Copy the files that a manifest lists into a new folder, and the manifest; tell whether all are there, whole.

        What arrives with another checksum is left out with a warning: it will be built here.
        """
        listed = self.read(f"{name}/{manifest}")
        if listed is None:
            return False
        said = parsed(listed)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        files = said["files"].items() if said else ()
        wrong = [file for file, checksum in files if not self._arrives(name, folder, file, checksum)]
        if said is None or wrong:
            damaged = wrong[0] if wrong else manifest
            warnings.warn(
                f"{name} in {self.address} is damaged ({damaged}); it is built again and written there anew.",
                stacklevel=2,
            )
            shutil.rmtree(folder)
            return False
        (folder / manifest).write_bytes(listed)
        for file in [*folder.rglob("*"), folder]:
            sync(file)
        return True

    def _arrives(self, name: str, folder: Path, file: str, checksum: str) -> bool:
        """Copy one file; tell whether it is the one that the manifest lists and lies inside the folder."""
        target = (folder / file).resolve()
        if not target.is_relative_to(folder.resolve()) or not re.fullmatch("[0-9a-f]{64}", str(checksum)):
            return False
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("wb") as here:
            for piece in self._pieces(f"{name}/{checksum}"):
                here.write(piece)
        return sha256_of_file(target) == checksum

    def _pieces(self, name: str) -> Iterator[bytes]:
        """Yield what is in a file, nothing if there is none: a full disk here is not an error there."""
        try:
            with self._files.open(self._path(name), "rb") as there:
                while piece := there.read(_PIECE):
                    yield piece
        except FileNotFoundError:
            return
        except Exception as error:
            raise self._failed(name, "read", error) from error

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}"

    def _failed(self, name: str, done: str, error: Exception) -> RunError:
        return RunError(
            f"{name} could not be {done} at {self.address} ({type(error).__name__}: {reason(error)}); check the "
            "address and the network, then run the same command again."
        )


def _copy(content: bytes | Path, there: IO[bytes]) -> None:
    if isinstance(content, bytes):
        there.write(content)
    else:
        with content.open("rb") as here:
            shutil.copyfileobj(here, there, _PIECE)
