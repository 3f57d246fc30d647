"""Read a profile: the values of all parameters, per task, checked before anything runs."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

import yaml

from helpers.environment import InputError
from helpers.labels import TASKS

__all__ = ["PARAMS", "ROOT", "Recipe", "departs", "differences", "load", "names", "settings"]

ROOT = Path(__file__).resolve().parents[1]
PARAMS = ROOT / "notebooks" / "params"


BLOCKS = ("batch1_true", "batch1_padded", "batch32_true", "batch32_padded")


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """All parameters of one run. Field names are the notebooks' parameter names and the profile files' keys."""

    profile: str
    task: str
    seed: int = 0
    # where input comes from: "generated", a folder in the hub's layout, or a hub id
    data: str
    text: str | None = None
    nli: str | None = None
    # the language model: "built" (here, from the text), a folder or a hub id
    language_model: str
    language_model_sha256: str | None = None
    language_model_shape: dict[str, float] = field(default_factory=dict)
    vocabulary_size: int = 30522
    pretraining_steps: int = 0
    pretraining_batch_size: int = 64
    pretraining_learning_rate: float = 1.0e-3
    pretraining_masked_share: float = 0.15
    # the teacher: "fine-tuned" (here) or a folder or hub id of a fine-tuned classifier
    teacher: str = "fine-tuned"
    teacher_epochs: int
    teacher_learning_rate: float
    nli_epochs: int = 0  # epochs of natural language inference before the task
    # the student and its distillation
    student_shape: dict[str, float]
    student_start: str = (
        "random"  # random, embeddings (principal directions of the language model's) or a hub id or folder
    )
    layer_map: str | list[int] = "uniform"
    intermediate_epochs: int
    intermediate_learning_rate: float
    prediction_epochs: int
    prediction_learning_rate: float
    temperature: float = 1.0
    control_learning_rate: float | None = None  # of the student without a teacher; None: the prediction stage's
    # the same for every arm
    batch_size: int = 32
    max_length: int = 128
    warmup_fraction: float = 0.1
    weight_decay: float = 0.01
    precision: str = "auto"
    threads: int = 2
    # pruning
    pruning_amounts: list[float] = field(default_factory=lambda: [tenth / 10 for tenth in range(10)])
    recovery_amounts: list[float] = field(default_factory=list)
    recovery_epochs: int = 1
    # measuring time
    latency_threads: int = 2
    latency_repeats: int = 30
    latency_max_batches: int | None = None
    latency_blocks: list[str] = field(default_factory=lambda: list(BLOCKS))


LEAST = dict.fromkeys(("batch_size", "max_length", "threads", "latency_threads", "latency_repeats"), 1)
LEAST |= {"vocabulary_size": 100}  # the letters alone are dozens
FIELDS = {item.name: item for item in dataclasses.fields(Recipe)}
TYPES = get_type_hints(Recipe)
STUDY = {"tasks": list[str], "seeds": list[int], "workers": int, "disk_gb": float}  # what the runner reads
SHAPE = (
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "intermediate_size",
    "max_position_embeddings",
    "type_vocab_size",
    "hidden_dropout_prob",
    "attention_probs_dropout_prob",
    "initializer_range",
)


def names() -> list[str]:
    """Return the names of the profiles that exist."""
    return sorted(path.stem for path in PARAMS.glob("*.yaml"))


def settings(profile: str) -> dict[str, Any]:
    """Read a profile's file: flat values, `tasks` with what differs per task, and `study` for the runner.

    Raises `InputError` for an unknown profile, a file that is not YAML, an unknown key or a value of another type.
    """
    path = PARAMS / f"{profile}.yaml"
    if profile not in names():
        raise InputError(f"There is no profile {profile!r}; the profiles in {PARAMS.name}/ are {', '.join(names())}.")
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise InputError(f"{path} is not valid YAML: {' '.join(str(error).split())}.") from error
    if not isinstance(values, dict):
        raise InputError(f"{path} must hold one mapping of parameter names to values.")
    values = {"tasks": {}, "study": {}} | values
    for name in ("tasks", "study"):
        inner = values[name].values() if name == "tasks" and isinstance(values[name], dict) else ()
        if not all(isinstance(part, dict) for part in (values[name], *inner)):
            raise InputError(f"{path.name}: {name} must hold a mapping of names to values.")
    shared = {name: value for name, value in values.items() if name not in ("tasks", "study")}
    for where, part in [
        (path.name, shared),
        *((f"{path.name}, tasks: {t}", v) for t, v in values["tasks"].items()),
    ]:
        _check(part, where)
    _check(values["study"], f"{path.name}, study", STUDY)
    unknown = [task for task in [*values["tasks"], *values["study"].get("tasks", [])] if task not in TASKS]
    if unknown:
        raise InputError(f"{path.name}: there is no task {unknown[0]!r}; known are {', '.join(TASKS)}.")
    return values


def load(profile: str, *, task: str, seed: int = 0, **changes: Any) -> Recipe:
    """Return the parameters of one run: the profile's, then the task's own, then `changes` (None changes nothing).

    Raises `InputError` for an unknown name or a value of another type or outside its range.
    """
    values = settings(profile)
    changes = {name: value for name, value in changes.items() if value is not None or name not in FIELDS}
    _check(changes, "the parameters given")
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
    _check_ranges(recipe)
    return recipe


def differences(recipe: Recipe) -> dict[str, tuple[Any, Any]]:
    """Return {name: (here, in the profile)} where a run departs from its profile; its models are then its own."""
    usual = load(recipe.profile, task=recipe.task, seed=recipe.seed, data=recipe.data, text=recipe.text, nli=recipe.nli)
    pairs = {name: (getattr(recipe, name), getattr(usual, name)) for name in FIELDS}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def departs(recipe: Recipe) -> bool:
    """Tell whether a run's settings, or the kind of its data, are not its profile's: it is then no run of the profile.

    A folder stands for the hub's data set of a profile on real data; its fingerprint is in the record.
    """
    usual = load(recipe.profile, task=recipe.task, seed=recipe.seed)
    other_text = recipe.language_model == "built" and recipe.text != usual.text
    return bool(differences(recipe)) or other_text or (recipe.data == "generated") != (usual.data == "generated")


def _check(values: dict[str, Any], where: str, types: dict[str, Any] | None = None) -> None:
    # profile, task and seed say which run it is: they are no settings of a profile
    types = types or {name: kind for name, kind in TYPES.items() if name not in ("profile", "task", "seed")}
    for name, value in values.items():
        if name not in types:
            raise InputError(f"{where}: there is no parameter {name!r}; known are {', '.join(types)}.")
        if not _fits(value, types[name]):
            kind = str(types[name]) if get_args(types[name]) else types[name].__name__
            hint = " (YAML reads 2e-5 as text; write 2.0e-5)" if isinstance(value, str) and _is_number(value) else ""
            raise InputError(f"{where}: {name} must be {kind}, not {value!r}{hint}.")


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _fits(value: Any, kind: Any) -> bool:
    if get_origin(kind) is list:
        return isinstance(value, list) and all(_fits(item, get_args(kind)[0]) for item in value)
    if get_origin(kind) is dict:
        return isinstance(value, dict) and all(
            isinstance(k, str) and _fits(v, get_args(kind)[1]) for k, v in value.items()
        )
    if get_args(kind):
        return any(_fits(value, option) for option in get_args(kind))
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    return isinstance(value, kind) and not (kind is int and isinstance(value, bool))


def _check_ranges(recipe: Recipe) -> None:
    for name in ("pruning_amounts", "recovery_amounts"):
        for amount in getattr(recipe, name):
            if not 0 <= amount < 1:
                raise InputError(
                    f"{name}: an amount is the share of weights to remove, from 0 up to below 1, not {amount}."
                )
        if len(set(getattr(recipe, name))) < len(getattr(recipe, name)):
            raise InputError(f"{name} names an amount twice: {getattr(recipe, name)}.")
        if any(amount != round(amount, 4) for amount in getattr(recipe, name)):
            raise InputError(f"{name}: give amounts with four digits at most, not {getattr(recipe, name)}.")
    for name, value in dataclasses.asdict(recipe).items():
        least = LEAST.get(name, 0)
        if isinstance(value, int | float) and not (math.isfinite(value) and value >= least):
            raise InputError(f"{name} must be a number of at least {least}, not {value}.")
    for name in ("language_model_shape", "student_shape"):
        unknown = [key for key in getattr(recipe, name) if key not in SHAPE]
        if unknown:  # the library would take it without a word and build its usual size
            raise InputError(f"{name}: there is no {unknown[0]!r}; known are {', '.join(SHAPE)}.")
        for key, value in getattr(recipe, name).items():
            if key.endswith("_prob"):
                fits, wanted = 0 <= value < 1, "from 0 to below 1"
            elif key.endswith("_range"):
                fits, wanted = 0 < value < 1, "above 0 and below 1"  # all weights zero would never learn
            else:
                fits, wanted = isinstance(value, int) and value >= 1, "a whole number of at least 1"
            if not fits:
                raise InputError(f"{name}: {key} must be {wanted}, not {value}.")
        shape = getattr(recipe, name)
        if {"hidden_size", "num_attention_heads"} <= shape.keys() and shape["hidden_size"] % shape[
            "num_attention_heads"
        ]:
            raise InputError(f"{name}: hidden_size must be a multiple of num_attention_heads, in {shape}.")
    if recipe.max_length > (positions := recipe.language_model_shape.get("max_position_embeddings", 512)):
        raise InputError(f"max_length {recipe.max_length} is more than the model's {positions} positions; lower it.")
    if isinstance(recipe.layer_map, str) and recipe.layer_map not in ("uniform", "top", "bottom"):
        raise InputError(f"layer_map must be uniform, top, bottom or a list of layers, not {recipe.layer_map!r}.")
    unknown = [block for block in recipe.latency_blocks if block not in BLOCKS]
    if unknown:
        raise InputError(f"latency_blocks: there is no {unknown[0]!r}; known are {', '.join(BLOCKS)}.")
    if recipe.pretraining_masked_share > 1:
        raise InputError(f"pretraining_masked_share is a share, from 0 to 1, not {recipe.pretraining_masked_share}.")
    if recipe.warmup_fraction > 1:
        raise InputError(
            f"warmup_fraction is a share of the training steps, from 0 to 1, not {recipe.warmup_fraction}."
        )
    if recipe.precision not in ("auto", "bf16", "float32"):
        raise InputError(f"precision must be auto, bf16 or float32, not {recipe.precision!r}.")
    if recipe.temperature <= 0:
        raise InputError(f"temperature must be above 0, not {recipe.temperature}.")
