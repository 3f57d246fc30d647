"""The report: tables to files, the headline numbers, the README's results. It reads records and nothing else.

`results_folder` is the folder that holds `<profile>/records/*.json` (in this repository: `results`).
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from helpers import records
from helpers.environment import InputError
from helpers.labels import RUNGS, TASKS, task_label
from helpers.report import captions, provenance, summary
from helpers.report.comparisons import COMPARISONS, comparison_table, ladder_table, ladders
from helpers.report.footers import footer
from helpers.report.numbers import headline, profiles
from helpers.report.speed import BASE, factors_table, has_factors, has_speeds, programs_table, times_table
from helpers.report.storage import FIRST, has_files, storage_table
from helpers.report.summary import Records
from helpers.report.systems import has_systems, systems_table
from helpers.report.tables import difference_table, latency_table, markdown, retention_table, table1, table2

__all__ = ["readme_block", "render_tables", "replace_block", "update_readme", "write_tables"]

BEGIN, END = "<!-- results:begin -->", "<!-- results:end -->"
_TABLES = {  # file name: (function, the row that the others are compared with)
    "table1": (table1, "teacher"),
    "table2": (table2, "bert_base_shape"),
    "differences": (difference_table, "teacher"),
    "latency": (latency_table, "bert_base_shape"),
    "retention": (retention_table, "teacher"),
    **{name: (functools.partial(comparison_table, name=name), row) for name, (row, _) in COMPARISONS.items()},
    "ladder": (ladder_table, "plain"),
    "systems": (systems_table, "teacher"),
    "storage": (storage_table, FIRST),
    "programs": (programs_table, BASE),
    "program_times": (times_table, BASE),
    "factors": (factors_table, RUNGS["padded"]),
}


def _has_any(name: str, some: Records) -> bool:
    return any(summary.arms_of(some, arm) for arm in summary.matching(some, COMPARISONS[name][1]))


_OPTIONAL = {  # tables of what only some runs measure, and whether records hold it
    **{name: functools.partial(_has_any, name) for name in COMPARISONS},
    "ladder": ladders,
    "systems": has_systems,
    "storage": has_files,
    **dict.fromkeys(("programs", "program_times"), has_speeds),
    "factors": has_factors,
    **dict.fromkeys(("table2", "latency"), lambda some: summary.timed(some)[0]),
}


def write_tables(some: Records, folder: str | Path, *, command: str | None = None) -> list[Path]:
    """Write every table as Markdown (with a footer: what it rests on) and CSV (cells only); return the paths.

    `command` is printed as what makes the tables; by default `make study PROFILE=<the records' profile>`.
    Raises InputError when there is no record at all, RunError when a file cannot be written.
    """
    texts = render_tables(some, command=command)
    return [records.write_text(Path(folder) / name, text) for name, text in texts.items()]


def render_tables(some: Records, *, command: str | None = None) -> dict[str, str]:
    """Return what `write_tables` writes: file name -> text."""
    summary.require(some)
    texts = {}
    for name in (name for name in _TABLES if name not in _OPTIONAL or _OPTIONAL[name](some)):
        texts[f"{name}.md"] = _with_footer(some, name, command)
        texts[f"{name}.csv"] = _TABLES[name][0](some).to_csv(lineterminator="\n")
    return texts


def readme_block(results_folder: str | Path) -> str:
    """Return the README's results, markers included: what was found, Table 1 of the best profile, Figure 1.

    The figure is linked when `figures/<profile>/figure1.svg` (or .png) lies beside the results folder.
    Raises InputError when there is no record at all.
    """
    profile, some = next(iter(profiles(results_folder).items()))
    found = _sentences(headline(results_folder), summary.tasks_of(some), generated=provenance.is_generated(some))
    parts = [BEGIN, found, _with_footer(some, "table1", None, all_of_report=False)]
    figures = Path(results_folder).resolve().parent / "figures" / profile
    picture = next((name for name in ("figure1.svg", "figure1.png") if (figures / name).is_file()), None)
    if picture:
        parts.append(f"![{captions.figure1_alt(some)}](figures/{profile}/{picture})")
        parts.append(captions.figure1_caption(some))
    return "\n\n".join(part.strip() for part in [*parts, END] if part)


def update_readme(readme_path: str | Path, results_folder: str | Path, *, check: bool = False) -> bool:
    """Put the results between the README's markers; return whether they already stood there.

    With `check` nothing is written. Raises InputError when the README or one of its two markers is missing.
    """
    return replace_block(Path(readme_path), readme_block(results_folder), check=check)


def replace_block(path: Path, block: str, *, check: bool = False) -> bool:
    """Put a block, whose first and last lines are markers, where a file has these markers; tell whether it was there.

    With `check` nothing is written. Raises InputError when the file or one of the two markers is missing.
    """
    if not path.is_file():
        raise InputError(f"There is no file at {path}: give the path of the one to update.")
    first, last = block.splitlines()[0], block.splitlines()[-1]
    text = path.read_text(encoding="utf-8")
    before, begin, rest = text.partition(first)
    _, end, after = rest.partition(last)
    if not begin or not end:
        raise InputError(f"{path} lacks the lines {first} and {last}: put them, in this order, where the block goes.")
    wanted = before + block + after
    if wanted != text and not check:
        records.write_text(path, wanted)
    return wanted == text


def _with_footer(some: Records, table: str, command: str | None, **options: bool) -> str:
    make, baseline = _TABLES[table]
    command = command or f"make study PROFILE={some[0]['profile']}"
    return f"{markdown(make(some, **options), baseline=baseline)}\n\n{footer(some, table, command)}\n"


def _sentences(numbers: Mapping[str, Mapping[str, Any]], tasks: list[str], *, generated: bool) -> str:
    """Return what was found in plain sentences, one for each group of numbers that exists."""
    value = {name: entry["value"] for name, entry in numbers.items()}
    said = []
    if {"bert_base_mb", "tinybert_mb"} <= value.keys():
        times = value["bert_base_mb"] / value["tinybert_mb"]
        text = f"BERT-base is a file of {value['bert_base_mb']:.0f} MB; TinyBERT's shape is {times:.1f} times "
        text += f"smaller ({value['tinybert_mb']:.1f} MB)"
        if "int8_mb" in value:
            text += f", and {value['int8_mb']:.1f} MB once its linear layers are int8"
        said.append(f"{text}.")
    if "latency_factor_tinybert" in value:
        text = f"On a batch of 32 TinyBERT's shape is {value['latency_factor_tinybert']:.1f} times as fast as "
        text += "BERT-base's"
        if "latency_factor_int8" in value:
            text += f", with int8 {value['latency_factor_int8']:.1f} times"
        said.append(f"{text} (median over tasks, measured in the same run).")
    scores = [_task_sentence(task, value) for task in tasks if {f"minilm_{a}_{task}" for a in _BOTH} <= value.keys()]
    if scores:
        said.append(f"On real GLUE, profile `minilm`, the distilled student scores {'; '.join(scores)}.")
    others = [text for task in TASKS if (text := _others_sentence(task, value))]
    if others:
        text = f"The overview's other systems on real GLUE, profile `minilm_systems`: {'; '.join(others)}."
        if "latency_factor_structured_half" in value:
            times = value["latency_factor_structured_half"]
            text += f" Without that half the teacher is {times:.2f} times as fast on a batch of 32."
        said.append(text)
    if generated:
        said.append("The scores below are about small generated tasks, not about GLUE.")
    return " ".join(said)


_BOTH = ("student", "teacher")


def _task_sentence(task: str, value: Mapping[str, float]) -> str:
    """Say a student's score beside its teacher's, and what else is known of it."""
    student, teacher, control, int8, floor = (
        value.get(f"minilm_{name}_{task}") for name in (*_BOTH, "control", "int8", "floor")
    )
    beside = [f"the teacher {teacher:.3f}"]
    if control is not None:
        beside.append(f"the same model without a teacher {control:.3f}")
    if int8 is not None:
        beside.append(f"in int8 {int8:.3f}")
    lost = f", no better than its floor of {floor:.3f}" if floor is not None and student <= floor else ""
    return f"{task_label(task)} {student:.3f}{lost} ({', '.join(beside)})"


_OTHERS = {
    "systems_teacher": "teacher",
    "systems_student": "TinyBERT's student",
    "distilbert": "DistilBERT",
    "distilbert_two_stage": "the same fine-tuned beside the teacher",
    "albert_shared": "ALBERT",
    "structured_half": "the teacher without half of its heads and neurons",
}


def _others_sentence(task: str, value: Mapping[str, float]) -> str:
    """Name the scores of the overview's other systems on a task; nothing where there are none."""
    found = {said: value[f"minilm_{name}_{task}"] for name, said in _OTHERS.items() if f"minilm_{name}_{task}" in value}
    if not found.keys() - {_OTHERS["systems_teacher"], _OTHERS["systems_student"]}:
        return ""
    return f"{task_label(task)} {', '.join(f'{said} {score:.3f}' for said, score in found.items())}"
