"""A submission to GLUE's leaderboard: a model's answers to the test rows, a file for each task."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from helpers import models, profiles, records, scores, tasks
from helpers.artifacts import Node, default_folder
from helpers.compress.chain import Chain
from helpers.compress.steps import Step
from helpers.environment import InputError, device
from helpers.study import books
from helpers.training import logits_of

__all__ = ["MODELS", "submit"]

MODELS = ("teacher", "control", "student", "int8")


def submit(
    profile: str, *, wanted: Sequence[str] | None, seed: int, model: str, changes: Mapping[str, Any]
) -> list[Path]:
    """Write the leaderboard's files of a profile's tasks, and return them.

    They lie in `artifacts/submissions/<profile>/<model>.seed<k>`. A model that is not stored is built. All test rows
    are read before that; raises `InputError` where there are none.
    """
    if model not in MODELS:
        raise InputError(f"There is no model {model!r} to submit; known are {', '.join(MODELS)}.")
    chosen = wanted or profiles.settings(profile)["study"]["tasks"]
    recipes = {task: profiles.load(profile, task=task, seed=seed, **changes) for task in chosen}
    folder, written = default_folder().resolve() / "submissions" / profile / f"{model}.seed{seed}", []
    with contextlib.chdir(books.NOTEBOOKS):  # folders are given as the notebooks see them
        rows = {task: tasks.load_test(task, data=recipe.data) for task, recipe in recipes.items()}
        for task, recipe in recipes.items():
            chain = Chain(recipe)
            chain.check_room()
            made, steps = _model(chain, model)
            loaded = chain.load(made, *steps)
            words = models.tokenizer(chain.store.path(made))
            for name, some in rows[task].items():
                encoded = tasks.encode(some, chain.data.task, words, max_length=recipe.max_length)
                on = torch.device("cpu") if steps else device()  # int8 kernels exist on CPUs only
                answers = scores.predictions(task, logits_of(loaded, encoded, on=on))
                written.append(records.write_text(folder / name, tasks.to_tsv(task, answers, some["idx"][:])))
    return written


def _model(chain: Chain, name: str) -> tuple[Node, tuple[Step, ...]]:
    """Return a model and the quick steps after it."""
    return (chain.student, (("int8",),)) if name == "int8" else (getattr(chain, name), ())
