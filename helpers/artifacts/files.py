"""What keeping files safe needs: a checksum, and having the system write them to the disk."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

__all__ = ["sha256_of_file", "sync"]


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
