"""Try settings: build one model and score it on held-out rows, which is how a profile's values are chosen."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from helpers import arms, profiles, records, report, runs, scores
from helpers.compress.chain import Chain
from helpers.environment import InputError, set_threads
from helpers.study import books, planning

__all__ = ["MODELS", "profiles_tried", "render", "trials_folder", "try_settings"]

MODELS = {"teacher": "fine-tune", "control": "small > fine-tune", "student": "distil"}  # each with its chain in words


def trials_folder(profile: str, *, root: Path | None = None) -> Path:
    """Return where the records of a profile's trials lie."""
    return (root or profiles.ROOT) / "results" / profile / "trials"


def profiles_tried(root: Path) -> list[str]:
    """Return the profiles that have trials, by name."""
    return sorted(folder.parent.name for folder in (root / "results").glob("*/trials"))


def render(profile: str, *, root: Path) -> dict[str, str]:
    """Return the files of a profile's table of trials by name; none if there are no trials.

    A parameter that is younger than a trial had its default then.
    """
    found = records.read_all(trials_folder(profile, root=root))
    tried = [trial | {"parameters": profiles.DEFAULTS | trial["parameters"]} for trial in found]
    usual = {task: vars(profiles.load(profile, task=task)) for task in {trial["task"] for trial in tried}}
    return report.render_trials(tried, usual)


def try_settings(
    profile: str,
    *,
    tasks: Sequence[str] | None,
    seeds: Sequence[int],
    model: str,
    inputs: Mapping[str, str | None],
    parameters: Mapping[str, Any],
) -> Iterator[tuple[Path, str]]:
    """Build or find a model of a profile with other `parameters`, by task and seed; yield its record and a line on it.

    Nothing is asked about validation rows. Everything that goes in is read and checked before the first training;
    raises `InputError` for another model, a value that cannot be, or data of another kind than the profile's. A model
    that was tried before keeps its record.
    """
    if model not in MODELS:
        raise InputError(f"There is no model {model!r} to try; known are {', '.join(MODELS)}.")
    chosen, numbers = planning.grid(profile, tasks, seeds)
    changes = planning.changed(inputs, parameters)
    recipes = [profiles.load(profile, task=task, seed=seed, **changes) for task in chosen for seed in numbers]
    planning.check_disk(profile)
    for recipe in recipes:
        own = profiles.load(profile, task=recipe.task)
        if (recipe.data == "generated") != (own.data == "generated"):
            raise InputError(f"Trials of {profile} are of its kind of data, {own.data}; try another profile.")
        if recipe.seed == numbers[0]:  # the others read the same
            planning.check_input(Chain(recipe))
    for recipe in recipes:
        with contextlib.chdir(books.NOTEBOOKS):  # folders are given as the notebooks see them
            done = _try(Chain(recipe), model)
        yield done


def _try(chain: Chain, model: str) -> tuple[Path, str]:
    recipe, began = chain.recipe, time.monotonic()
    set_threads(recipe.threads)  # before the model is named: of several teachers the best is looked for
    made, folder = getattr(chain, model), trials_folder(recipe.profile)
    name = f"00_{model}_{made.key.rpartition('-')[2]}"
    file = records.path(folder, name, recipe.task, recipe.seed)
    before = ", tried before" if file.exists() else ""
    if not before:
        labels = chain.data.labels("heldout")
        predicted = scores.predictions(recipe.task, chain.logits(made, split="heldout"))
        found = scores.interval(recipe.task, predicted, labels, metric=scores.main_metric(recipe.task))
        runs.record(
            chain,
            name,
            [arms.heldout(chain, model, made, described=MODELS[model])],
            parameters=vars(recipe),
            began=began,
            facts={f"heldout_{end}": (getattr(found, end), "score") for end in ("low", "high")},
            split="heldout",
            folder=folder,
        )
    (arm,) = records.read(file)["arms"]
    (metric, value), *_ = arm["heldout_scores"].items()
    where = f"{model}, {recipe.task}, seed {recipe.seed}"
    return file, f"{where}: {metric} {value:.4f} on {arm['n']:,} held-out rows{before}"
