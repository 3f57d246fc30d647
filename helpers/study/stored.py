"""What is stored on this machine: a list of it, and the removal of what nothing refers to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from helpers import profiles
from helpers.artifacts import Store
from helpers.records import read_all
from helpers.runs import results_folder
from helpers.study.trials import trials_folder

__all__ = ["clean", "status"]


def status(*, each: bool) -> str:
    """Return how many artifacts each step has, their size and the time they took, or that of `each` artifact."""
    store, lines = Store(), []
    groups: dict[str, list[dict[str, Any]]] = {}
    for key, manifest in store.here().items():
        groups.setdefault(key if each else key.rpartition("-")[0], []).append(manifest)
    if groups:
        lines.append(f"{'size':>12}  {'count':>5}  {'to build':>11}  {'newest':<20}  {'artifact' if each else 'step'}")
    for name, some in groups.items():
        seconds, newest = sum(one["seconds"] for one in some), max(one["created"] for one in some)
        lines.append(f"{_megabytes(some):9.1f} MB  {len(some):5}  {seconds:9.1f} s  {newest}  {name}")
    found = [manifest for some in groups.values() for manifest in some]
    small = [path.stat().st_size for path in store.folder.glob("files/*/*/*.model")]
    if small:
        lines.append(f"{sum(small) / 1e6:9.1f} MB in {len(small)} small files under {store.folder.name}/files/")
    lines.append(f"{_megabytes(found):9.1f} MB in {len(found)} artifacts under {store.folder.name}/")
    return "\n".join(lines)


def clean() -> str:
    """Remove artifacts that no record refers to, and say how much room that made."""
    store = Store()
    folders = [folder(name) for name in profiles.names() for folder in (results_folder, trials_folder)]
    folders += sorted(store.folder.glob("records/*"))
    found = [record for folder in folders for record in read_all(folder)]
    keep = {arm["predictions"]["artifact"] for record in found for arm in record["arms"] if arm["predictions"]}
    # a study that was stopped has models that no record refers to yet
    last = max((record["created"] for record in found), default="")
    keep |= {key for key, manifest in store.here().items() if manifest["created"] > last}
    return f"{store.clean(keep) / 1e6:.1f} MB freed; what records refer to, and what is newer than all, was kept."


def _megabytes(manifests: Sequence[Mapping[str, Any]]) -> float:
    return sum(manifest["size_bytes"] for manifest in manifests) / 1e6
