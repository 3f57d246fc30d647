"""The few numbers that the README quotes, each with the records it comes from."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from helpers import records
from helpers.environment import InputError
from helpers.labels import SYSTEMS, WARM
from helpers.report import orders, speed, storage, summary
from helpers.report.claim_numbers import claim_numbers, kept_numbers
from helpers.report.comparisons import FACTORS, ladders
from helpers.report.faults import fault_numbers
from helpers.report.order_numbers import order_numbers
from helpers.report.summary import Records

__all__ = ["headline", "profiles", "render_headline", "write_headline"]

_BEST_FIRST = ("paper", "minilm", "mini")  # a reader is shown the first of these that has records
_SIZES = {
    "bert_base_mb": "bert_base_shape",
    "tinybert_mb": "tinybert_shape",
    "int8_mb": "tinybert_shape_int8",
}
_FACTORS = {"latency_factor_tinybert": "tinybert_shape", "latency_factor_int8": "tinybert_shape_int8"}


def profiles(results_folder: str | Path) -> dict[str, list[dict]]:
    """Read all profiles that have records, the best for a reader first (real tasks before generated ones).

    Raises:
        InputError: there is no record at all.
        RunError: a record is damaged (`records.read`).
    """
    folder = Path(results_folder)
    names = sorted(path.parent.name for path in folder.glob("*/records"))
    names.sort(key=lambda name: _BEST_FIRST.index(name) if name in _BEST_FIRST else len(_BEST_FIRST))
    found = {name: records.read_all(folder / name / "records") for name in names}
    found = {name: some for name, some in found.items() if some}
    if not found:
        raise InputError(f"There is no record in {folder}/<profile>/records. Make some with `make study`.")
    return found


def headline(results_folder: str | Path) -> dict[str, dict[str, Any]]:
    """Return the README's numbers, name -> {value, unit, records}; what has no record is absent.

    Sizes in MB (10**6 bytes) of a loadable file. Latency factors: median over tasks (and seeds) of the
    pair-by-pair speed-up over BERT-base's shape at batch 32 and true lengths. Both from `minilm` if it has
    them, else from `mini`, as are the factors of training, which `minilm_ladder` may have, too. The minutes of the
    general stage and the factor of mask filling are about real text: `minilm` or `minilm_comparisons`.
    Scores: mean over seeds of the main metric, and the floor, on real data (`minilm`). The overview's other systems,
    and the teacher and the student that they stand beside, are of `minilm_systems`.
    Raises InputError when there is no record at all.
    """
    found = profiles(results_folder)
    root = Path(results_folder).resolve().name
    numbers: dict[str, dict[str, Any]] = {}
    for profile in ("mini", "minilm", "minilm_ladder", "minilm_comparisons"):  # the later overwrite the earlier
        some = found.get(profile, [])
        for name, arm in _SIZES.items():
            sizes = [(record, one["bytes"]["file"] / 1e6) for record, one in summary.arms_of(some, arm)]
            _put(numbers, name, "MB", 2, sizes, root)
        timed, _ = summary.timed(some)
        for name, arm in _FACTORS.items():
            ratios = [(record, _ratio(one)) for record, one in summary.arms_of(timed, arm)]
            _put(numbers, name, "x", 2, ratios, root)
        for name in ("mask_filling_factor", "general_stage_minutes"):
            if profile == "mini":
                continue  # of another order: numbers of these names are about real text and a model of real size
            facts = [(r, r["facts"][name]) for r in some if name in (r.get("facts") or {})]
            for unit in {fact["unit"] for _, fact in facts}:
                _put(numbers, name, unit, 1, [(r, fact["value"]) for r, fact in facts], root)
        for task, (measured, rungs) in ladders(some).items():
            for words in FACTORS:
                found_in = [(record, rungs["all together"][words]) for record in measured]
                _put(numbers, f"training_factor_{task}_{words}", "x", 1, found_in, root)
    some = found.get("minilm", [])
    for task in summary.tasks_of(some, all_of_report=False):
        metric = summary.metrics_of(some, task)[0]
        floor = summary.floor(some, task)
        if floor is not None:
            of_task = [(record, floor) for record in some if record["task"] == task and record["floor"] is not None]
            _put(numbers, f"minilm_floor_{task}", metric, 4, of_task, root)
        for arm in ("teacher", "control", "student", "int8"):
            score = summary.score(some, task, arm)
            if score is not None:
                scored = [(r, score.value) for r, one in summary.arms_of(some, arm, task=task) if one["scores"]]
                _put(numbers, f"minilm_{arm}_{task}", metric, 4, scored, root)
    _systems(numbers, found.get("minilm_systems", []), root)
    _files(numbers, found.get("minilm_systems", []), root)
    _speeds(numbers, found.get("minilm_systems", []), root)
    systems, judging = found.get("minilm_systems", []), [found[name] for name in JUDGES if name in found]
    for some, counted in (
        (orders.of_orders(systems), order_numbers(systems)),
        (found.get("minilm", []), kept_numbers(found.get("minilm", []))),
        ([*itertools.chain(*judging)], claim_numbers(*judging)),
    ):
        of_all = {"records": _paths(some, root)}
        numbers |= {name: {"value": value, "unit": unit} | of_all for name, (value, unit) in counted.items()}
    return numbers | fault_numbers(Path(results_folder).resolve())


JUDGES = ("minilm", "minilm_systems")  # whose records judge claims
_SYSTEMS = {  # of the profile minilm_systems: the number's name, the arm
    "systems_teacher": "teacher",
    "systems_student": "student",
    "distilbert": "distilbert",
    "distilbert_two_stage": "distilbert_two_stage",
    "albert_shared": "albert",
    "structured_half": "structured_both_50_recovered",
}


def _systems(numbers: dict[str, dict[str, Any]], some: Records, root: str) -> None:
    """Add the scores of the overview's other systems, and how fast the teacher's half is beside the teacher."""
    for task in summary.tasks_of(some, all_of_report=False):
        metric = summary.metrics_of(some, task)[0]
        for name, arm in _SYSTEMS.items():
            score = summary.score(some, task, arm)
            if score is not None:
                scored = [(r, score.value) for r, one in summary.arms_of(some, arm, task=task) if one["scores"]]
                _put(numbers, f"minilm_{name}_{task}", metric, 4, scored, root)
    timed, _ = summary.timed(some, notebooks=SYSTEMS)
    ratios = [(record, _ratio(one)) for record, one in summary.arms_of(timed, _SYSTEMS["structured_half"])]
    _put(numbers, "latency_factor_structured_half", "x", 2, ratios, root)


def _files(numbers: dict[str, dict[str, Any]], some: Records, root: str) -> None:
    """Add bytes and mean loss in points of the student in int8, and of the smallest file within one point.

    Over several seeds the half-width of the loss's t interval is there, too. Which file that is, is decided on held-out
    rows; if it loses more on the validation split, there is no such number.
    """
    for name, arm in (("int8_all", "stored_int8"), ("packed", storage.chosen(some, points=1.0))):
        loss = storage.mean_loss(some, arm) if arm else None
        if loss is None or (name == "packed" and loss.value < -1):
            continue
        measured = summary.arms_of(some, arm)
        size = "packed_mb_within_1_point" if name == "packed" else f"{name}_mb"
        _put(numbers, size, "MB", 2, [(record, one["bytes"]["file"] / 1e6) for record, one in measured], root)
        half = loss.high - loss.value if loss.seeds > 1 else None
        for what, value in (("loss_points", -loss.value), ("loss_half_width", half)):
            _put(numbers, f"{name}_{what}", "points", 2, [(record, value) for record, _ in measured], root)


def _speeds(numbers: dict[str, dict[str, Any]], some: Records, root: str) -> None:
    """Add how many times as fast as BERT-base the student is: all steps together, and the fastest program alone.

    The first is over BERT-base padded to 128 tokens, with one process on each core. The others are for one row of 128
    tokens, by one process: in turns with all others, and, `_warm`, asked again and again.
    """
    measured = speed.measured(some)
    for task, rungs in speed.rungs(some).items():
        of_task = [(record, rungs[-1]["total"]["median"]) for record in measured if record["task"] == task]
        _put(numbers, f"latency_factor_total_{task}", "x", 0, of_task, root)
    for name in ("", WARM):
        times = {arm: speed.speed_up(measured, arm, f"batch1_length128{name}") for arm in speed.programs(some)}
        fastest = max((value for value in times.values() if value is not None), default=None)
        _put(numbers, f"latency_factor_batch1_len128{name}", "x", 1, [(record, fastest) for record in measured], root)


def write_headline(results_folder: str | Path) -> Path:
    """Write `headline.json` into the results folder, whole or not at all; return its path."""
    return records.write_text(Path(results_folder) / "headline.json", render_headline(results_folder))


def render_headline(results_folder: str | Path) -> str:
    """Return what `write_headline` writes."""
    return json.dumps(headline(results_folder), indent=1, sort_keys=True) + "\n"


def _put(
    numbers: dict[str, dict[str, Any]],
    name: str,
    unit: str,
    digits: int,
    found: Iterable[tuple[Mapping, float | None]],
    root: str,
) -> None:
    """Add the median of what was found, with the paths of its records; nothing found adds nothing."""
    found = [(record, value) for record, value in found if value is not None]
    if not found:
        return
    value = summary.spread(value for _, value in found)[0]
    numbers[name] = {"value": round(value, digits), "unit": unit, "records": _paths([r for r, _ in found], root)}


def _paths(some: Records, root: str) -> list[str]:
    folders = ((f"{root}/{record['profile']}/records", record) for record in some)
    return sorted({records.path(at, r["notebook"], r["task"], r["seed"]).as_posix() for at, r in folders})


def _ratio(arm: Mapping[str, Any]) -> float | None:
    block = (arm["latency"] or {}).get("batch32_true") or {}
    return (block.get("speedup") or {}).get("median")
