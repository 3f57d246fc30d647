"""What stands under a table: how to read it, and what it rests on, all made from records."""

from __future__ import annotations

from collections import Counter

from helpers.labels import ARMS, FILES, ORDERS, SPEEDS, STUDY, SYSTEMS, joined, task_label
from helpers.report import differences, orders, summary
from helpers.report.captions import interval_name, seeds_per_task
from helpers.report.cells import number
from helpers.report.claim_tables import not_judged
from helpers.report.comparisons import COMPARISONS, ladders
from helpers.report.provenance import generated, made_by, provenance, read_from
from helpers.report.reading import HOW_TO_READ
from helpers.report.storage import FIRST
from helpers.report.summary import Records
from helpers.report.systems import timed_tasks

__all__ = ["OTHERS", "footer"]

_PROGRAMS = ("programs", "program_times", "factors")

# Arms that may be compared with another than their table's first row, and what is then said.
OTHERS = {
    "ablation_*": "A row that names another model is compared with that one.",
    "albert_scratch": "ALBERT from scratch is compared with the plain BERT that was trained alike.",
    "factorized": "Factorized from the start, ALBERT with nothing shared, is compared with the recovered embeddings of "
    "low rank: as many weights, but trained on text and on the task.",
    "structured_weights_*": "Zeros are compared with the smaller model that has as many weights.",
    "structured_*_int8": "A model in eight bits is compared with the same in 32.",
}


def footer(records: Records, table: str, command: str) -> str:
    """Return what stands below a table: how to read it; then profile, data, models, machine and command."""
    timing = table in ("table2", "latency", "ladder", "systems", "orders", *_PROGRAMS)
    notebooks = {"systems": STUDY + SYSTEMS, "orders": ORDERS, **dict.fromkeys(_PROGRAMS, SPEEDS)}.get(table, STUDY)
    timed, left_out = summary.timed(records, notebooks=notebooks)
    reading = [HOW_TO_READ[table]]
    if table == "ladder":
        records = timed = [record for some, _ in ladders(records).values() for record in some]
        reading.append(_ladder(records))
    elif table in COMPARISONS:
        arms = summary.matching(records, COMPARISONS[table][1])
        records = [record for record in records if any(arm["arm"] in arms for arm in record["arms"])]
        reading += [_steps(records)] if table == "augmentation" else []
        if any(arm.startswith("albert_scratch") for arm in arms):
            reading.append("From scratch: from random weights, on the task's labels alone.")
        reading += [_others(records, table), _noise(records, table), _floored(records, COMPARISONS[table][0])]
        of_student = COMPARISONS[table][0] == "student"
        reading += [_starts(records) if of_student else "", _used(records), _once(records)]
    if table == "systems" and (tasks := timed_tasks(records)):
        reading.append(f"Speeds are of {joined([task_label(task) for task in tasks])}.")
    if timing and left_out and table != "ladder":
        tasks = joined([task_label(task) for task in left_out])
        reading.append(f"Another machine timed {tasks}; one table never mixes two machines.")
    if table == "storage":
        records = [record for record in records if record["notebook"] in FILES]
        reading += [_noise(records, "starts"), _floored(records, FIRST), _once(records)]
    if table in orders.TABLES:
        records = orders.of_orders(records)
        reading += [
            _noise(records, "order_swaps"),
            _incomplete(records),
            _shared(records) if table == "orders" else "",
            _once(records),
        ]
    if table in _PROGRAMS:
        records = timed
        reading += [_noise(records, "starts") if table == "programs" else "", _missing(records)]
    if table == "claims":
        reading.append(not_judged(records))
    if table in ("table1", "differences", "significance"):
        reading += [_noise(records, table), _references(records) if table == "table1" else ""]
    if table in ("table1", "differences", "significance", "retention"):
        reading.append(_amounts(records))
    machines = sorted({summary.machine(r, threads=timing) for r in (timed if timing else records)})
    origin = [provenance(records), read_from(records), generated(records, timing=timing)]
    origin += [
        f"Machine: {'; '.join(machines)}." if machines else "",
        made_by(command, records, table),
    ]
    return "\n\n".join(" ".join(part for part in parts if part) for parts in (reading, origin))


def _missing(records: Records) -> str:
    """Say which programs were not there, and why; one may have been there in another seed's run."""
    found = {name: why for record in records for name, why in (record.get("speed") or {}).get("missing", {}).items()}
    there = {arm["arm"] for record in records for arm in record["arms"]}
    elsewhere = {name: " (its numbers are of other seeds)" for name in found if f"speed_{name}" in there}
    told = [f"{ARMS[f'speed_{name}']}: {why}{elsewhere.get(name, '')}" for name, why in found.items()]
    return f"Not available when this was measured: {'; '.join(told)}." if told else ""


def _incomplete(records: Records) -> str:
    """Say which seeds means over tasks are of, if not of all that are shown."""
    complete = orders.seeds_of(records)
    if not complete or complete == summary.seeds_of(records):
        return ""
    seeds = f"seed{'s' if len(complete) > 1 else ''} {joined([str(seed) for seed in complete])}"
    return f"Means over tasks are of {seeds}: not yet of the others, which some task lacks."


def _shared(records: Records) -> str:
    """Say what it saves that common beginnings are built once."""
    found = [record["orders"]["shared"] for record in records]
    steps, alone = ({each[f"steps{end}"] for each in found} for end in ("", "_alone"))
    spent, apart = (sum(each[f"seconds{end}"] for each in found) / 60 for end in ("", "_alone"))
    return (
        f"A tree has {_counts(steps)} stored steps after student's start and teacher, in the place of "
        f"{_counts(alone)} if each chain were built by itself; over all runs they took {number(spent)} minutes in the "
        f"place of {number(apart)}."
    )


def _counts(values: set[int]) -> str:
    return str(min(values)) if len(values) == 1 else f"{min(values)} to {max(values)}"


def _others(records: Records, table: str) -> str:
    """Say which rows are compared with another than the table's first."""
    first, patterns = COMPARISONS[table]
    told = []
    for pattern, sentence in OTHERS.items():
        arms = {*summary.matching(records, patterns)}.intersection(summary.matching(records, [pattern]))
        found = [differences.difference(records, task, arm) for arm in arms for task in summary.tasks_of(records)]
        if any(one is not None and one[0] != first for one in found):
            told.append(sentence)
    return " ".join(told)


def _floored(records: Records, first: str) -> str:
    """Say for which tasks nothing can be seen, because what is compared with has not left the floor."""
    found = summary.tasks_of(records, all_of_report=False)
    tasks = joined([task_label(task) for task in found if summary.is_at_floor(records, task, first)])
    if not tasks:
        return ""
    return (
        f"{tasks}: the first row's interval, over seeds or over examples, reaches down to the floor, the score of a "
        "majority or mean predictor, so these differences say little about what was changed."
    )


def _once(records: Records) -> str:
    """Say what several seeds have in common, and their interval therefore does not cover."""
    if len(summary.seeds_of(records)) < 2 or not any(record.get("text") for record in records):
        return ""
    return (
        "What is learned before the task, from text and from inference pairs, is made once for all seeds; they differ "
        "in what begins at random, the order of rows, dropout and what is drawn."
    )


def _starts(records: Records) -> str:
    starts = sorted({record["parameters"]["student_start"] for record in records})
    return f"The student starts from: {joined(starts)}."


def _used(records: Records) -> str:
    """Say which start's teacher was the best on held-out rows, and in how many of the runs."""
    found: dict[str, Counter[str]] = {}
    for record, arm in summary.arms_of(records, "teacher"):
        if arm["parameter"] and "start" in arm["parameter"]:
            found.setdefault(record["task"], Counter())[arm["parameter"]["start"]] += 1
    told = []
    for task in (task for task in summary.tasks_of(records) if task in found):
        names = [f"{name} ({count} of {found[task].total()})" for name, count in found[task].items()]
        told.append(f"{task_label(task)} {joined(names)}")
    return f"Teachers in use start from: {'; '.join(told)}." if told else ""


def _steps(records: Records) -> str:
    times = sorted({record["parameters"]["augmentation_steps"] for record in records})
    if times == [1]:
        return "All took the same number of steps."
    several = joined([str(each) for each in times])
    return f"The others took {several} times the steps of the distilled student."


def _ladder(records: Records) -> str:
    told = []
    for record in {record["task"]: record for record in records}.values():
        ladder = record["ladder"]
        peak = max(each["peak_memory_mb"] for each in records if each["task"] == record["task"]) / 1000
        counts = joined(sorted({str(rung["steps"]) for rung in ladder["rungs"].values()}, key=int))
        told.append(
            f"{task_label(record['task'])}: {counts} steps (more where they are short) of {ladder['batch_size']} "
            "rows, teacher "
            f"{ladder['teacher']}, student {ladder['student']}; the run's peak resident memory was "
            f"{peak:.1f} GB"
        )
    return f"{'. '.join(told)}."


def _noise(records: Records, table: str) -> str:
    several = "several" in seeds_per_task(records)
    how = f"the half-width of a 95 % {interval_name(records)}" if several else f"a 95 % {interval_name(records)}"
    shown = f"Scores are shown with {how}. " if table == "table1" or table in COMPARISONS else ""
    wider = " (with several seeds: over seeds and over examples, whichever is wider)" if several else ""
    two = table == "table1" and any(len(record["metrics"]) > 1 for record in records)
    main = ", marked at a task's first metric" if two else ""
    return (
        f"{shown}*inside noise*{main}: the interval of the paired difference{wider} contains zero; the intervals are "
        "not adjusted for the number of comparisons."
    )


def _references(records: Records) -> str:
    pairs: dict[str, None] = {}
    for arm in ("control", "student", "pruned", "int8"):
        for task in summary.tasks_of(records):
            found = differences.difference(records, task, arm)
            if found:
                pairs.setdefault(f"{ARMS[arm]} with {ARMS.get(found[0], found[0])}")
    return f"Compared: {'; '.join(pairs)}." if pairs else ""


def _amounts(records: Records) -> str:
    chosen: dict[str, set[str]] = {}
    for record, arm in summary.arms_of(records, "pruned"):
        if arm["parameter"] and "amount" in arm["parameter"]:
            amount = f"{100 * arm['parameter']['amount']:.0f} %"
            chosen.setdefault(record["task"], set()).add(amount)
    tasks = [task for task in summary.tasks_of(records) if task in chosen]
    text = ", ".join(f"{task_label(task)} {' or '.join(sorted(chosen[task]))}" for task in tasks)
    return f"Pruning amount, chosen on held-out data: {text}." if text else ""
