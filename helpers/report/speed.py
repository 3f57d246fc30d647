"""Programs that compute one student: what they answer, how long they take, and the factors from BERT-base down."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from statistics import fmean, median
from typing import Any

import pandas as pd

from helpers.labels import ARMS, RUNGS, SPEEDS, WARM, task_label
from helpers.report import cells, summary
from helpers.report.cells import DASH, number
from helpers.report.summary import Records

__all__ = [
    "BASE",
    "block_title",
    "blocks",
    "factors_table",
    "has_factors",
    "has_speeds",
    "least",
    "longest",
    "measured",
    "milliseconds",
    "over_floor",
    "program_titles",
    "programs",
    "programs_table",
    "rungs",
    "speed_up",
    "times_table",
]

BASE = "bert_base_shape"  # in PyTorch's float32: what the programs' times are compared with
FIRST = "speed_torch_float32"  # what their answers are compared with


def measured(records: Records) -> list[Mapping[str, Any]]:
    """Return the records of programs that one machine timed (`summary.timed`)."""
    return list(summary.timed(records, notebooks=SPEEDS)[0])


def has_speeds(records: Records) -> bool:
    """Tell whether any record is of programs."""
    return bool(measured(records))


def has_factors(records: Records) -> bool:
    """Tell whether any record has the factors from BERT-base down."""
    return bool(rungs(records))


def programs(records: Records) -> list[str]:
    """Return the arms that are programs, in the order of their names' list."""
    there = {arm["arm"] for record in measured(records) for arm in record["arms"]}
    return [arm for arm in ARMS if arm.startswith("speed_") and arm in there]


def blocks(records: Records) -> list[str]:
    """Return the timed blocks of rows of one length, the shortest first, single rows before batches."""
    found = {block for record in measured(records) for block in _times(_arm(record, BASE)) if "_length" in block}
    return sorted(found, key=lambda block: (_shape(block)[::-1], block))


def longest(records: Records) -> list[str]:
    """Return the timed blocks of the longest rows of one length."""
    found = blocks(records)
    return [block for block in found if _shape(block)[1] == _shape(found[-1])[1]]


def _shape(block: str) -> tuple[int, int]:
    """Return (rows, tokens) of `batch1_length128_warm`."""
    rows, _, length = block.removesuffix(WARM).removeprefix("batch").partition("_length")
    return int(rows), int(length)


def _arm(record: Mapping[str, Any], name: str) -> Mapping[str, Any] | None:
    return next((arm for arm in record["arms"] if arm["arm"] == name), None)


def _times(arm: Mapping[str, Any] | None) -> dict[str, Any]:
    return {name: block for name, block in ((arm or {}).get("latency") or {}).items() if name.startswith("batch")}


def _median(records: Iterable[Mapping], arm: str, fact: Callable[[Mapping, Mapping], float | None]) -> float | None:
    found = [fact(record, one) for record in records if (one := _arm(record, arm)) is not None]
    known = [value for value in found if value is not None]
    return median(known) if known else None


def _parameter(name: str) -> Callable[[Mapping, Mapping], float | None]:
    return lambda record, arm: (arm["parameter"] or {}).get(name)


def milliseconds(records: Iterable[Mapping], arm: str, block: str) -> float | None:
    """Return a program's median milliseconds in a block."""
    return _median(records, arm, lambda record, one: _times(one).get(block, {}).get("median_ms"))


def least(records: Iterable[Mapping], arm: str, block: str) -> float | None:
    """Return the milliseconds that a block takes at least, where that was measured."""
    return _median(records, arm, lambda record, one: (one["parameter"] or {}).get("floor_ms", {}).get(block))


def over_floor(records: Iterable[Mapping], arm: str, block: str) -> float | None:
    """Return how many times as long as the floor a block took."""
    took, floor = milliseconds(records, arm, block), least(records, arm, block)
    return None if took is None or not floor else took / floor


def speed_up(records: Iterable[Mapping], arm: str, block: str) -> float | None:
    """Return how many times as fast as BERT-base in PyTorch's float32 a program is in a block."""
    return _median(
        records, arm, lambda record, one: (_times(one).get(block) or {"speedup": {}})["speedup"].get("median")
    )


def programs_table(records: Records) -> pd.DataFrame:
    """Return what each program answers and takes: differences to PyTorch's float32, rows a second, start, memory."""
    some = measured(records)
    tasks = summary.tasks_of(some, all_of_report=False)
    last = longest(records)
    rows: dict[str, dict[str, str]] = {}
    for arm in (BASE, *programs(records)):
        row = {"Largest difference of a logit": _told(_largest(some, arm), "{:.2g}")}
        row["Answers changed"] = _told(_median(some, arm, _parameter("changed")), "{:.2%}")
        for task in tasks:
            row[f"{task_label(task)}: difference"] = DASH if arm in (BASE, FIRST) else cells.change(records, task, arm)
        for task in tasks:
            of_task = [record for record in some if record["task"] == task]
            row[f"{task_label(task)}: rows/s"] = _rate(of_task, arm)
        for block in last:
            row[f"Times the floor, {block_title(block)}"] = _told(over_floor(some, arm, block), "{:.1f}")
        row["First answer (s)"] = _told(_median(some, arm, _parameter("first_answer_seconds")), "{:.1f}")
        row["Memory (MB)"] = _told(_median(some, arm, _parameter("peak_memory_mb")), "{:.0f}")
        rows[summary.title(records, arm)] = row
    return pd.DataFrame.from_dict(rows, orient="index").fillna(DASH).rename_axis("System")


def times_table(records: Records) -> pd.DataFrame:
    """Return milliseconds of each program for rows of one length, and how many times as fast as BERT-base it is."""
    some = measured(records)
    rows: dict[str, dict[str, str]] = {}
    for arm in (BASE, *programs(records)):
        row = rows.setdefault(summary.title(records, arm), {})
        for block in blocks(records):
            ms = milliseconds(some, arm, block)
            times = speed_up(some, arm, block)
            row[block_title(block)] = DASH if ms is None or times is None else f"{number(ms)} ms ({number(times)}x)"
    return pd.DataFrame.from_dict(rows, orient="index").fillna(DASH).rename_axis("System")


def rungs(records: Records) -> dict[str, list[dict[str, Any]]]:
    """Return {task: rungs}, each `{way, seconds, factor, total, program}`: medians over seeds."""
    found: dict[str, list[dict[str, Any]]] = {}
    some = [record for record in measured(records) if (record.get("speed") or {}).get("rungs")]
    for task in summary.tasks_of(some, all_of_report=False):
        runs = [record["speed"] for record in some if record["task"] == task]
        for first in runs[0]["rungs"]:
            same = [rung for run in runs for rung in run["rungs"] if rung["way"] == first["way"]]
            found.setdefault(task, []).append(
                {
                    "way": first["way"],
                    "seconds": median(rung["seconds"] for rung in same),
                    "program": " or ".join(sorted({run["program"] for run in runs})),
                    **{kind: _middle([rung[kind] for rung in same]) for kind in ("factor", "total")},
                }
            )
    return found


def _middle(quotients: list[dict[str, float]]) -> dict[str, float]:
    """Return the median of several seeds' quotients, between the means of their bounds."""
    middle = median(one["median"] for one in quotients)
    low, high = (fmean(one[bound] for one in quotients) for bound in ("low", "high"))
    return {"median": middle, "low": min(low, middle), "high": max(high, middle)}


def factors_table(records: Records) -> pd.DataFrame:
    """Return the rungs from BERT-base padded down: seconds for the validation split, the factor of each, the total."""
    rows: dict[str, dict[str, str]] = {}
    for task, found in rungs(records).items():
        label = task_label(task)
        for place, rung in enumerate(found):
            row = rows.setdefault(RUNGS[rung["way"]], {})
            program = f" ({program_titles(rung['program'])})" if rung["way"] == "program" else ""
            row[f"{label}: seconds"] = number(rung["seconds"]) + program
            row[f"{label}: factor"] = _quotient(rung["factor"]) if place else DASH
            row[f"{label}: in all"] = _quotient(rung["total"]) if place else DASH
    return pd.DataFrame.from_dict(rows, orient="index").fillna(DASH).rename_axis("System")


def program_titles(names: str) -> str:
    """Return `onnx_int8 or torch_int8` in words."""
    return " or ".join(ARMS[f"speed_{name}"] for name in names.split(" or "))


def _quotient(of: Mapping[str, float]) -> str:
    return f"{number(of['median'])}x [{number(of['low'])}, {number(of['high'])}]"


def _largest(records: Iterable[Mapping], arm: str) -> float | None:
    found = [_parameter("max_difference")(record, one) for record in records if (one := _arm(record, arm)) is not None]
    return max((value for value in found if value is not None), default=None) if arm != FIRST else None


def _rate(records: Records, arm: str) -> str:
    def rate(record: Mapping, one: Mapping) -> float | None:
        seconds = (one["latency"] or {}).get("validation_seconds")
        return record["data"]["rows"]["validation"] / seconds if seconds else None

    return _told(_median(records, arm, rate), "{:,.0f}")


def _told(value: float | None, form: str) -> str:
    return DASH if value is None else form.format(value)


def block_title(block: str) -> str:
    """Return `batch1_length128_warm` in words."""
    rows, length = _shape(block)
    return f"{'1 row' if rows == 1 else f'{rows} rows'} of {length} tokens{', warm' * block.endswith(WARM)}"
