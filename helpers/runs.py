"""A run's record: where it goes, and what it says of the run beside the arms that were measured."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from helpers import arms, environment, hub, latency, profiles, records, scores
from helpers.artifacts import Node, default_folder
from helpers.compress.chain import Chain

__all__ = ["minutes", "record", "records_folder", "results_folder"]


def results_folder(profile: str) -> Path:
    """Return where a profile's records lie."""
    return profiles.ROOT / "results" / profile / "records"


def records_folder(recipe: profiles.Recipe) -> Path:
    """Return where a run's record goes: to its profile's, or, with other settings, beside the models it made.

    A trial with another learning rate must not replace what tables and README are made from.
    """
    aside = default_folder() / "records" / recipe.profile
    return aside if profiles.departs(recipe) else results_folder(recipe.profile)


def minutes(chain: Chain, model: Node) -> float:
    """Return the minutes that a stored result took to build."""
    chain.store.path(model)
    return chain.store.manifests()[model.key]["seconds"] / 60


def _portable(value: Any) -> Any:
    """Reduce a place on this machine to its name: a record says what was read, not where somebody keeps it."""
    return Path(value).name if isinstance(value, str) and Path(value).exists() else value


def _data(chain: Chain) -> dict[str, Any]:
    """Describe all rows that a run read: the task's, and the inference pairs that came before."""
    described = chain.data.describe()
    if chain.pairs is not None:
        pairs = chain.pairs.data
        who = "teacher, control and student were" if chain.starts_from_pairs else "the teacher, not the control, was"
        told = (
            f"{who} first trained on {len(pairs.train):,} inference pairs ({pairs.name}, fingerprint "
            f"{pairs.fingerprint})"
        )
        described["note"] = "; ".join(note for note in (described["note"], told) if note)
    return described


def _building_seconds(chain: Chain, measured: Sequence[Mapping[str, Any]]) -> float:
    """Return the seconds that all stored results behind a run's arms took to build, now or earlier."""
    known = chain.store.manifests()
    waiting = [arm["predictions"]["artifact"] for arm in measured if arm["predictions"]]
    reached: set[str] = set()
    while waiting:
        key = waiting.pop()
        if key in known and key not in reached:
            reached.add(key)
            waiting += known[key]["inputs"]
    return sum(known[key]["seconds"] for key in reached)


def record(
    chain: Chain,
    notebook: str,
    measured: Sequence[Mapping[str, Any]],
    *,
    parameters: Mapping[str, Any],
    began: float,
    latency_setup: Mapping[str, Any] | None = None,
    curves: Mapping[str, Any] | None = None,
    facts: Mapping[str, tuple[float, str]] | None = None,
    ladder: Mapping[str, Any] | None = None,
    speed: Mapping[str, Any] | None = None,
    orders: Mapping[str, Any] | None = None,
    attention: Mapping[str, Any] | None = None,
    sources: Mapping[str, hub.Source] | None = None,
    split: str = "validation",
    folder: Path | None = None,
) -> Path:
    """Write a run's record and return its file. `began` is `time.monotonic()` at the run's start.

    `seconds` is what the run took apart from building models, `building_seconds` what all results behind its arms
    took to build, in this run or earlier ones: together what it takes from an empty store. `facts` are other numbers
    by name, each with its unit; `sources` are the published checkpoints, by default those of the chain. The floor is
    that of `split`; the file goes to `folder`, by default to where a run's belong.
    """
    recipe = chain.recipe
    published = [
        {"role": role, "name": s.name, "source": s.source, "revision": s.revision, "sha256": s.sha256}
        for role, s in (sources or chain.sources).items()
    ]
    built = {
        "role": "language_model",
        "name": "made here from text",
        "source": "built",
        "revision": None,
        "sha256": None,
    }
    return records.write(
        {
            "schema": 1,
            "notebook": notebook,
            "profile": recipe.profile,
            "task": recipe.task,
            "seed": recipe.seed,
            "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "parameters": {name: _portable(value) for name, value in parameters.items()},
            "data": _data(chain),
            "text": chain.text.describe() if recipe.text else None,
            "models": published or [built],
            "code": environment.git_state(profiles.ROOT, ignore=["results", "figures", "README.md"]),
            "environment": environment.describe(),
            "metrics": list(scores.TASK_METRICS[recipe.task]),
            "floor": arms.floor(chain, split=split),
            "arms": list(measured),
            "latency_setup": dict(latency_setup) if latency_setup else None,
            "curves": dict(curves) if curves else None,
            "facts": {name: {"value": value, "unit": unit} for name, (value, unit) in facts.items()} if facts else None,
            "ladder": dict(ladder) if ladder else None,
            "speed": dict(speed) if speed else None,
            "orders": dict(orders) if orders else None,
            "attention": dict(attention) if attention else None,
            "seconds": round(max(0.0, time.monotonic() - began - chain.store.seconds - latency.waited()), 1),
            "building_seconds": round(_building_seconds(chain, measured), 1),
            "peak_memory_mb": round(latency.peak_memory_mb(), 1),
        },
        folder or records_folder(recipe),
    )
