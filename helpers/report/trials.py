"""The table of trials: which settings were tried on held-out rows before a profile had its values."""

from __future__ import annotations

import fnmatch
import json
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

import pandas as pd

from helpers.labels import ARMS, METRICS, task_label
from helpers.report import cells, summary
from helpers.report.cells import DASH
from helpers.report.summary import Records

__all__ = ["render_trials"]

# What changes no weight of the models that are tried, or is which run it is.
_OTHERS = ("profile", "task", "seed", "data", "text", "nli", "threads", "latency_*", "speed_*", "ladder_steps")
_OTHERS += ("structured_*", "distilbert_*", "albert_*", "storage_*", "order_chains", "pruning_*", "recovery_*")
_OTHERS += ("compared_starts", "ablations", "teacher_outputs*")
# What a teacher does not depend on, or a student without one.
_DISTILLING = ("layer_map", "loss_parts", "temperature*", "teacher_dropout", "shared_projection", "padding_counts")
_DISTILLING += ("mean_over_classes", "gold_scores", "drop_incomplete", "first_text_stays_changed")
_STUDENT = ("student_*", "general_*", "intermediate_*", "prediction_*", "nli_*_epochs", "augment*", "word_vectors*")
_IRRELEVANT = {
    "teacher": (*_OTHERS, *_DISTILLING, *_STUDENT, "control_learning_rate"),
    "control": (*_OTHERS, *_DISTILLING, "teacher*", "augment*", "word_vectors*"),
    "student": (*_OTHERS, "control_learning_rate"),
}

_READING = (
    "What was tried and recorded on the way to the profile's values, each model scored on held-out rows of the "
    "training split: nothing here was asked about validation rows. Setting: what is not as in the profile now. Scores "
    "have a 95 % interval over held-out rows or, of several seeds, over these: where two intervals overlap widely, "
    "chance may have decided. Minutes: to build the model with all that it is made from, of which others share a part."
)
_AS_IS = "as in the profile"


def render_trials(trials: Records, usual: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """Return the table's files by name, Markdown and CSV; nothing if there are no trials.

    `usual` are the profile's own parameters, by task.
    """
    if not trials:
        return {}
    table = _table(trials, usual)
    shown = table.to_markdown(index=False, disable_numparse=True, colalign=["left", "left", "left", "right", "right"])
    return {"trials.md": f"{shown}\n\n{_below(trials)}\n", "trials.csv": table.to_csv(index=False, lineterminator="\n")}


def _table(trials: Records, usual: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
    rows = []
    for task in summary.tasks_of(trials, all_of_report=False):
        metric = METRICS.get(name := summary.metrics_of(trials, task)[0], name)
        for model in ARMS:
            of_model = [each for each in trials if each["task"] == task and each["arms"][0]["arm"] == model]
            groups: dict[str, dict[int, Mapping[str, Any]]] = {}
            for trial in sorted(of_model, key=lambda trial: trial["created"]):  # of one seed the newest
                groups.setdefault(_setting(trial, usual[task], of_model), {})[trial["seed"]] = trial
            for setting, some in sorted(groups.items(), key=lambda group: -_scored([*group[1].values()]).value):
                found = [*some.values()]
                minutes = fmean(each["building_seconds"] for each in found) / 60
                rows.append(
                    [
                        task_label(task),
                        ARMS[model],
                        setting,
                        f"{metric} {cells.plain(_scored(found))}",
                        f"{minutes:.0f}",
                    ]
                )
    return pd.DataFrame(rows, columns=["Task", "Model", "Setting", "Held-out score", "Minutes"])


def _scored(some: Records) -> summary.Summary:
    """Return the main metric on held-out rows, with its interval."""
    metric = some[0]["metrics"][0]
    triples = [
        (
            each["arms"][0]["heldout_scores"][metric],
            *(each["facts"][f"heldout_{end}"]["value"] for end in ("low", "high")),
        )
        for each in some
    ]
    return summary.over_seeds(triples)


def _setting(trial: Mapping[str, Any], usual: Mapping[str, Any], others: Records) -> str:
    """Return the parameters of a trial that are not the profile's, and which rows it read if others read other ones."""
    model, given = trial["arms"][0]["arm"], trial["parameters"]
    names = [name for name in usual if not any(fnmatch.fnmatchcase(name, each) for each in _IRRELEVANT[model])]
    told = [f"{name} {_plain(given[name])}" for name in names if name in given and not _same(given[name], usual[name])]
    read = {name: _fingerprint(trial, name) for name in ("data", "text")}
    told += [f"{name} {mark}" for name, mark in read.items() if len({_fingerprint(each, name) for each in others}) > 1]
    return ", ".join(told) or _AS_IS


def _fingerprint(trial: Mapping[str, Any], name: str) -> str:
    return (trial.get(name) or {}).get("fingerprint", DASH)


def _same(one: Any, other: Any) -> bool:
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


def _plain(value: Any) -> str:
    """Return a value as YAML on one line, as `-p` takes it.

    >>> [_plain(value) for value in (0.0005, [1, 3], {"hidden_size": 312}, "general", True)]
    ['0.0005', '[1, 3]', '{"hidden_size": 312}', 'general', 'true']
    """
    return value if isinstance(value, str) else json.dumps(value)


def _below(trials: Records) -> str:
    rows: dict[str, Sequence[int]] = {}
    for each in trials:
        rows[each["task"]] = sorted({*rows.get(each["task"], ()), each["data"]["rows"]["heldout"]})
    held = ", ".join(
        f"{task_label(task)} {' or '.join(f'{n:,}' for n in rows[task])}"
        for task in summary.tasks_of(trials, all_of_report=False)
    )
    machines = "; ".join(sorted({summary.machine(each, threads=True) for each in trials}))
    command = f"python -m helpers.study try --profile {trials[0]['profile']}"
    return (
        f"{_READING}\n\nHeld-out rows: {held}. Machine: {machines}. A row again: `{command} --tasks … --model … "
        "--seeds …` with `-p NAME VALUE` for each parameter of its setting, and with `--data`, `--text` and `--nli` "
        "where they are folders."
    )
