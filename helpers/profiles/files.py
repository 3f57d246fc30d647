"""Read a profile: the values of all parameters, per task, checked before anything runs."""

from __future__ import annotations

import copy
import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

from helpers import yaml_text
from helpers.environment import ROOT, InputError
from helpers.labels import TASKS
from helpers.profiles.checks import check_ranges, check_types
from helpers.profiles.recipe import FIELDS, SETTINGS, Recipe

__all__ = ["PARAMS", "ROOT", "departs", "differences", "load", "names", "settings"]

PARAMS = ROOT / "notebooks" / "params"
STUDY = {"tasks": list[str], "seeds": list[int], "workers": int, "disk_gb": float}  # what the runner reads
INNER = ("tasks", "study")  # mappings of their own
BOUNDS = ("teacher_outputs_gb",)  # may stop a run, but change nothing in it
_parsed = functools.lru_cache(maxsize=8)(yaml_text.parse)  # a plan of many runs reads the same text for each
STUDY |= {"notebook_tasks": dict[str, list[str]]}  # notebooks that run for these tasks only, unless they are asked for


def names() -> list[str]:
    """Return the names of the profiles that exist."""
    return sorted(path.stem for path in PARAMS.glob("*.yaml"))


def settings(profile: str) -> dict[str, Any]:
    """Read a profile's file: flat values, `tasks` with what differs per task, and `study` for the runner.

    `extends` names another profile, whose values hold where the file has none, its values for a task before the file's
    for all tasks. Raises `InputError` for an unknown profile, a file that is not YAML, an unknown key or a value of
    another type.
    """
    values, read = _read(profile), [profile]
    while (base := values.pop("extends", None)) is not None:
        if base in read:
            raise InputError(
                f"{read[-1]}.yaml extends {base}, which extends it in turn; name one that stands by itself."
            )
        values = _extended(_read(base), values)
        read.append(base)
    return values


def _read(profile: str) -> dict[str, Any]:
    """Read one profile's file as it is, with `tasks` and `study` in it."""
    path = PARAMS / f"{profile}.yaml"
    if profile not in names():
        raise InputError(f"There is no profile {profile!r}; the profiles in {PARAMS.name}/ are {', '.join(names())}.")
    values = copy.deepcopy(_parsed(yaml_text.read_text(path), f"{path}"))
    if not isinstance(values, dict):
        raise InputError(f"{path} must hold one mapping of parameter names to values.")
    values = {"tasks": {}, "study": {}} | values
    for name in ("tasks", "study"):
        inner = values[name].values() if name == "tasks" and isinstance(values[name], dict) else ()
        if not all(isinstance(part, dict) for part in (values[name], *inner)):
            raise InputError(f"{path.name}: {name} must hold a mapping of names to values.")
    shared = {name: value for name, value in values.items() if name not in (*INNER, "extends")}
    for where, part in [
        (path.name, shared),
        *((f"{path.name}, tasks: {t}", v) for t, v in values["tasks"].items()),
    ]:
        check_types(part, SETTINGS, where=where)
    check_types(values["study"], STUDY, where=f"{path.name}, study")
    named = [*values["tasks"], *values["study"].get("tasks", [])]
    named += [task for some in values["study"].get("notebook_tasks", {}).values() for task in some]
    unknown = [task for task in named if task not in TASKS]
    if unknown:
        raise InputError(f"{path.name}: there is no task {unknown[0]!r}; known are {', '.join(TASKS)}.")
    return values


def _extended(base: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return a profile's values over those of the one that it extends: its tasks and its study, too, name by name."""
    named = base["tasks"] | values["tasks"]
    tasks = {name: base["tasks"].get(name, {}) | values["tasks"].get(name, {}) for name in named}
    under = {"extends": base["extends"]} if "extends" in base else {}
    return {**base, **values, **under, "tasks": tasks, "study": base["study"] | values["study"]}


def load(profile: str, *, task: str, seed: int = 0, **changes: Any) -> Recipe:
    """Return the parameters of one run: the profile's, then the task's own, then `changes` (None changes nothing).

    Raises `InputError` for an unknown name or a value of another type or outside its range.
    """
    values = settings(profile)
    changes = {name: value for name, value in changes.items() if value is not None or name not in FIELDS}
    check_types(changes, SETTINGS, where="the parameters given")
    merged = {name: value for name, value in values.items() if name not in ("tasks", "study")}
    merged |= values["tasks"].get(task, {})
    merged |= changes
    missing = [
        name
        for name, item in FIELDS.items()
        if item.default is dataclasses.MISSING
        and item.default_factory is dataclasses.MISSING
        and name not in merged | {"profile": 0, "task": 0}
    ]
    if missing:
        raise InputError(f"Profile {profile!r} gives no value for {', '.join(missing)}; add it to {profile}.yaml.")
    recipe = Recipe(**(merged | {"profile": profile, "task": task, "seed": seed}))
    check_ranges(recipe)
    return recipe


def differences(recipe: Recipe) -> dict[str, tuple[Any, Any]]:
    """Return {name: (here, in the profile)} where a run departs from its profile; its models are then its own."""
    usual = load(recipe.profile, task=recipe.task, seed=recipe.seed, data=recipe.data, text=recipe.text, nli=recipe.nli)
    pairs = {name: (getattr(recipe, name), getattr(usual, name)) for name in FIELDS if name not in BOUNDS}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def departs(recipe: Recipe) -> bool:
    """Tell whether a run's settings, or the kind of its data, are not its profile's: it is then no run of the profile.

    A folder stands for the hub's data set or text of a profile on real data: name and fingerprint are in the record,
    and below the tables. A language model that is built from another text is another model.
    """
    usual = load(recipe.profile, task=recipe.task, seed=recipe.seed)
    other_text = recipe.language_model == "built" and recipe.text != usual.text
    kinds = ((recipe.data, usual.data), (recipe.text, usual.text))
    other_kind = any((here == "generated") != (there == "generated") for here, there in kinds)
    return bool(differences(recipe)) or other_text or other_kind
