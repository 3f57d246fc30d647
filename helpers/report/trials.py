"""The table of trials: which settings were tried on held-out rows before a profile had its values."""

from __future__ import annotations

import fnmatch
import json
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

import pandas as pd

from helpers.labels import ARMS, METRICS, task_label
from helpers.report import summary
from helpers.report.cells import DASH
from helpers.report.summary import Records

__all__ = ["render_trials"]

# what decides a model's weights; a teacher's, then what comes to it for models that learn from one, or for all students
_TEACHER = ("train_rows", "language_model", "teacher", "teacher_starts", "teacher_epochs", "teacher_learning_rate")
_TEACHER += ("nli_epochs", "pretraining_*", "batch_size", "max_length", "precision", "warmup_fraction", "weight_decay")
_STUDENT = ("student_*", "general_*", "layer_map", "loss_parts", "intermediate_*", "prediction_*", "temperature*")
_STUDENT += ("nli_*", "augmented", "augmentation_*", "control_learning_rate", "teacher_dropout")

_READING = (
    "What was tried before the profile had its values, each model scored on held-out rows of the training split: "
    "nothing here was asked about validation rows. Setting: the parameters in which the trials of a task's model "
    "differ. Interval: 95 %, over the held-out rows, of one seed. Minutes: to build it, with all that it is made from. "
    "Used: whether it is as the published runs have it."
)


def render_trials(trials: Records, published: Records) -> dict[str, str]:
    """Return the table's files by name, Markdown and CSV; nothing if there are no trials."""
    if not trials:
        return {}
    table = _table(trials, published)
    shown = table.to_markdown(index=False, disable_numparse=True, colalign=["left", "left", "left", *["right"] * 4])
    return {"trials.md": f"{shown}\n\n{_below(trials)}\n", "trials.csv": table.to_csv(index=False, lineterminator="\n")}


def _table(trials: Records, published: Records) -> pd.DataFrame:
    rows = []
    for task in summary.tasks_of(trials, all_of_report=False):
        for model in ("teacher", "control", "student"):
            of_model = [each for each in trials if each["task"] == task and each["arms"][0]["arm"] == model]
            used = _used(published, task, model)
            settings = [_settings(each, model) for each in of_model]
            differing = _differing([*settings, *([used] if used else [])])
            groups: dict[str, list[Mapping[str, Any]]] = {}
            for trial, values in zip(of_model, settings, strict=True):
                groups.setdefault(_told(values, differing), []).append(trial)
            for setting, some in sorted(groups.items(), key=lambda group: -_value(group[1])):
                is_used = DASH if used is None else "yes" if setting == _told(used, differing) else ""
                rows.append([task_label(task), ARMS[model], setting, *_cells(some), is_used])
    return pd.DataFrame(rows, columns=["Task", "Model", "Setting", "Held-out score", "Seeds", "Minutes", "Used"])


def _used(published: Records, task: str, model: str) -> Mapping[str, Any] | None:
    """Return the settings of a task's published runs, if there are any."""
    found = [each for each in published if each["task"] == task and each["notebook"].startswith("01")]
    return _settings(found[0], model) if found else None


def _settings(record: Mapping[str, Any], model: str) -> dict[str, Any]:
    patterns = _TEACHER if model == "teacher" else _TEACHER + _STUDENT
    return {
        name: value
        for name, value in record["parameters"].items()
        if any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)
    }


def _differing(settings: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return what is not the same in all. A name that some lack is younger than they are, and decided nothing then."""
    names = dict.fromkeys(name for values in settings for name in values)
    found = {name: {json.dumps(values[name]) for values in settings if name in values} for name in names}
    return [name for name in names if len(found[name]) > 1]


def _told(values: Mapping[str, Any], differing: Sequence[str]) -> str:
    return ", ".join(f"{name} {_plain(values[name])}" for name in differing if name in values) or DASH


def _plain(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else "+".join(value) if isinstance(value, list) else str(value)


def _cells(some: Records) -> list[str]:
    metric, ends = some[0]["metrics"][0], some[0]["arms"][0]["parameter"]
    interval = f" [{ends['low']:.3f}, {ends['high']:.3f}]" if len(some) == 1 else ""
    score = f"{METRICS.get(metric, metric)} {_value(some):.3f}{interval}"
    minutes = fmean(each["building_seconds"] for each in some) / 60
    return [score, ", ".join(str(each["seed"]) for each in some), f"{minutes:.0f}"]


def _value(some: Records) -> float:
    """Return the score on held-out rows, on the mean over seeds."""
    return fmean(each["arms"][0]["heldout_scores"][each["metrics"][0]] for each in some)


def _below(trials: Records) -> str:
    rows = {each["task"]: each["data"]["rows"]["heldout"] for each in trials}
    held = ", ".join(f"{task_label(task)} {rows[task]:,}" for task in summary.tasks_of(trials, all_of_report=False))
    machines = "; ".join(sorted({summary.machine(each, threads=True) for each in trials}))
    command = f"python -m helpers.study try --profile {trials[0]['profile']}"
    return (
        f"{_READING}\n\nHeld-out rows: {held}. Machine: {machines}. A row again: `{command} --tasks … --model …` with "
        "`-p NAME VALUE` for each parameter of its setting, and with `--data`, `--text` and `--nli` where they are "
        "folders."
    )
