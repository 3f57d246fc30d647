"""Try settings: build one model and score it on held-out rows, which is how a profile's values are chosen."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from helpers import arms, profiles, runs
from helpers.compress.chain import Chain
from helpers.environment import InputError, set_threads
from helpers.study import books

__all__ = ["MODELS", "trials_folder", "try_settings"]

MODELS = {"teacher": "fine-tune", "control": "small > fine-tune", "student": "distil"}  # each with its chain in words


def trials_folder(profile: str, *, root: Path | None = None) -> Path:
    """Return where the records of a profile's trials lie."""
    return (root or profiles.ROOT) / "results" / profile / "trials"


def try_settings(
    profile: str, *, wanted: Sequence[str] | None, seeds: Sequence[int], model: str, changes: Mapping[str, Any]
) -> Iterator[tuple[Path, str]]:
    """Build or find a model of a profile with `changes` for each task and seed; yield its record and a line about it.

    Nothing is asked about validation rows. All rows are read, and the room is checked, before the first training;
    raises `InputError` for another model or a value that cannot be.
    """
    if model not in MODELS:
        raise InputError(f"There is no model {model!r} to try; known are {', '.join(MODELS)}.")
    chosen = wanted or profiles.settings(profile)["study"]["tasks"]
    recipes = [profiles.load(profile, task=task, seed=seed, **changes) for task in chosen for seed in seeds]
    chains = [Chain(recipe) for recipe in recipes]
    with contextlib.chdir(books.NOTEBOOKS):  # folders are given as the notebooks see them
        for chain in chains:
            chain.check_room()
    for chain in chains:
        with contextlib.chdir(books.NOTEBOOKS):
            done = _try(chain, model)
        yield done


def _try(chain: Chain, model: str) -> tuple[Path, str]:
    recipe, began, made = chain.recipe, time.monotonic(), getattr(chain, model)
    set_threads(recipe.threads)
    arm = arms.heldout(chain, model, made, described=MODELS[model])
    file = runs.record(
        chain,
        f"00_{model}_{made.key.rpartition('-')[2]}",
        [arm],
        parameters=vars(recipe),
        began=began,
        folder=trials_folder(recipe.profile),
    )
    (metric, value), *_ = arm["heldout_scores"].items()
    where = f"{model}, {recipe.task}, seed {recipe.seed}"
    return file, f"{where}: {metric} {value:.4f} on {arm['n']:,} held-out rows"
