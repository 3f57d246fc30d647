"""What was found, in plain sentences for the README: one for each group of numbers that exists."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from helpers.labels import TASKS, WARM, joined, task_label
from helpers.report.cells import points, signed
from helpers.report.order_choices import in_words
from helpers.report.summary import Summary

__all__ = ["sentences"]

_ORDER_LINKS = (
    "[this table](results/minilm_systems/order_methods.md) which methods are worth their bytes, and "
    "[this picture](figures/minilm_systems/order_points.svg) every chain"
)


def sentences(numbers: Mapping[str, Mapping[str, Any]], tasks: list[str], *, generated: bool) -> str:
    """Return what was found in plain sentences, one for each group of numbers that exists."""
    value = {name: entry["value"] for name, entry in numbers.items()}
    said = []
    if {"bert_base_mb", "tinybert_mb"} <= value.keys():
        times = value["bert_base_mb"] / value["tinybert_mb"]
        text = f"BERT-base is a file of {value['bert_base_mb']:.0f} MB; TinyBERT's shape, of four narrow layers, is "
        text += f"{times:.1f} times smaller ({value['tinybert_mb']:.1f} MB)"
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
    said += _kept_sentences(value)
    others = [text for task in TASKS if (text := _others_sentence(task, value))]
    if others:
        lines = "\n".join(f"- {text}" for text in others)
        said.append(f"Other ways to a smaller BERT on real GLUE, profile `minilm_systems`:\n\n{lines}")
        if "latency_factor_structured_half" in value:
            times = value["latency_factor_structured_half"]
            said.append(
                f"Without half of its heads and neurons the teacher is {times:.2f} times as fast on a batch of 32."
            )
    said += _file_sentences(numbers)
    said += _speed_sentences(value)
    said += _order_sentences(value)
    said += _claims_sentences(value)
    if generated:
        said.append("The scores below are about small generated tasks, not about GLUE.")
    return "\n\n".join(said)


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
    lost = (
        f", no better than its floor, a constant answer's {floor:.3f}" if floor is not None and student <= floor else ""
    )
    return f"{task_label(task)} {student:.3f}{lost} ({', '.join(beside)})"


def _kept_sentences(value: Mapping[str, float]) -> list[str]:
    """Say what the student keeps of its teacher's lead over the floor, over how many seeds, and where that leads to."""
    tasks = [task for task in TASKS if f"retention_{task}" in value]
    if not tasks:
        return []
    each = ", ".join(f"{task_label(task)} {100 * value[f'retention_{task}']:.0f} %" for task in tasks)
    groups: dict[int, list[str]] = {}
    for task in tasks:
        groups.setdefault(value[f"seeds_{task}"], []).append(task_label(task))
    several = {n: f"{n} seeds" if n > 1 else "1 seed" for n in sorted(groups, reverse=True)}
    over = joined([f"{several[n]}{f' of {joined(groups[n])}' if len(groups) > 1 else ''}" for n in several])
    floored = [task_label(task) for task in tasks if value[f"retention_{task}"] <= 0]
    text = f"Of its teacher's lead over the floor the student keeps {each}"
    text += f", on the mean {100 * value['retention_above_floor_mean']:.0f} %" if len(tasks) > 1 else ""
    text += f", {joined(floored)} counted, where it has not left the floor" if floored else ""
    reached = value["tasks_at_report_tinybert"]
    return [
        f"{text} ({over}). It reaches the scores of the report's TinyBERT, a student of BERT-base, on "
        f"{reached} of {len(tasks)} task{'s' if len(tasks) > 1 else ''}."
    ]


_OTHERS = {
    "systems_teacher": "teacher",
    "systems_student": "TinyBERT's student",
    "distilbert": "DistilBERT",
    "distilbert_two_stage": "DistilBERT fine-tuned beside the teacher",
    "albert_shared": "ALBERT",
    "structured_half": "the teacher without half of its heads and neurons",
}


def _others_sentence(task: str, value: Mapping[str, float]) -> str:
    """Name the scores of the overview's other systems on a task; nothing where there are none."""
    found = {said: value[f"minilm_{name}_{task}"] for name, said in _OTHERS.items() if f"minilm_{name}_{task}" in value}
    if not found.keys() - {_OTHERS["systems_teacher"], _OTHERS["systems_student"]}:
        return ""
    return f"{task_label(task)}: {', '.join(f'{said} {score:.3f}' for said, score in found.items())}"


def _file_sentences(numbers: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Say how small the student's files are, what they lose on the mean, and over which tasks."""
    value = {name: entry["value"] for name, entry in numbers.items()}
    known = {
        "in eight bits throughout": ("int8_all_mb", "int8_all"),
        "in the smallest of its files that lose no more than a point on held-out rows": (
            "packed_mb_within_1_point",
            "packed",
        ),
    }
    found = [
        f"{how} it has {value[size]:.1f} MB "
        f"({_points(-value[f'{name}_loss_points'], value.get(f'{name}_loss_half_width'))})"
        for how, (size, name) in known.items()
        if size in value
    ]
    if not found:
        return []
    paths = [path for size, _ in known.values() if size in numbers for path in numbers[size]["records"]]
    tasks = joined([task_label(task) for task in TASKS if any(f".{task}.seed" in path for path in paths)])
    return [
        f"The student of profile `minilm_systems` in one file with tokenizer and configuration: {'; '.join(found)}. "
        "Megabytes are the median, points the mean difference to the float32 file on the validation split, over "
        f"{tasks}; what each task loses is in `results/minilm_systems/storage.md`."
    ]


def _points(change: float, half_width: float | None) -> str:
    """Return a mean difference in points, with the half-width of its interval over seeds."""
    text = signed(change, 2)
    return f"{text} points" if half_width is None else f"{text} ± {half_width:.2f} points"


def _order_sentences(value: Mapping[str, Any]) -> list[str]:
    """Say which chain is best within the smallest budget, what its order gains, and what two steps swapped change."""
    if "order_best_chain" not in value:
        return []
    best, seeds = value["order_best_chain"], value["order_seeds"]
    over = f"over {value['order_tasks']} tasks" + (f" and {seeds} seed{'s' if seeds > 1 else ''}" if seeds else "")
    text = (
        f"In what order? Of {value['order_chains']} chains of steps, {over} of profile `minilm_systems`, the best on "
        f"held-out rows within {value['order_budget']} of weights is `{best}`: {in_words(best)}."
    )
    count = value["order_compared"]
    others = "the other order" if count == 1 else f"the mean of the {count} other orders"
    beside = (("to_student", "the whole student"), ("gain", f"{others} of its steps"))
    told = [
        f"{_interval(value, f'order_{name}_points')} beside {what}"
        for name, what in beside
        if f"order_{name}_points" in value
    ]
    text += f" Its mean score in hundredths, points: {joined(told)}." if told else ""
    if "order_swaps_clear" in value:
        text += f" Two neighbours swapped change the mean by more than noise: {value['order_swaps_clear']}."
    if "order_swaps_noise" in value:
        text += f" Inside noise: {value['order_swaps_noise']}."
    return [f"{text} The [answer](results/minilm_systems/order_answer.md) has a line for each, {_ORDER_LINKS}."]


def _claims_sentences(value: Mapping[str, Any]) -> list[str]:
    """Say how many claims of others hold here, those that are mere counts apart."""
    if "claims_judged" not in value:
        return []
    judged, same, other, counted, exact = (
        value[f"claims_{name}"] for name in ("judged", "reproduced", "contradicted", "counted", "counted_reproduced")
    )
    held = f"{same - exact} {'is' if same - exact == 1 else 'are'} reproduced here"
    return [
        f"Of {judged - counted} claims of the report and of an overview of the field about scores and times, {held}, "
        f"{other - (counted - exact)} contradicted, and {judged - same - other} not decidable at this number of rows "
        f"and seeds; of {counted} about bytes and numbers of weights, which are counted, {exact} are reproduced: "
        "[each with its verdict](#what-others-claim)."
    ]


def _interval(value: Mapping[str, Any], name: str) -> str:
    return points(Summary(value[name], value[f"{name}_low"], value[f"{name}_high"], value["order_seeds"]))


def _speed_sentences(value: Mapping[str, float]) -> list[str]:
    """Say how many times as fast as BERT-base the student is in the end."""
    totals = {task: value[name] for task in TASKS if (name := f"latency_factor_total_{task}") in value}
    if not totals:
        return []
    told = "; ".join(
        f"{task_label(task)}'s validation split {times:.0f} times as fast" for task, times in totals.items()
    )
    said = [
        "From BERT-base padded to 128 tokens, in PyTorch, to the student by the fastest program on all cores: " + told
    ]
    if "latency_factor_batch1_len128" in value:
        said[0] += f", one row of 128 tokens, by one process, {value['latency_factor_batch1_len128']:.0f} times"
    if f"latency_factor_batch1_len128{WARM}" in value:
        warm = value[f"latency_factor_batch1_len128{WARM}"]
        said[0] += f", and {warm:.0f} times where one program is asked again and again"
    return [f"{said[0]}."]
