"""What stands under a table: how to read it, and what it rests on, all made from records."""

from __future__ import annotations

from collections import Counter

from helpers.labels import ARMS, FILES, SPEEDS, STUDY, SYSTEMS, joined, task_label
from helpers.report import summary
from helpers.report.captions import interval_name, seeds_per_task
from helpers.report.comparisons import COMPARISONS, at_floor, ladders
from helpers.report.provenance import generated, provenance, read_from, remade_by
from helpers.report.summary import Records
from helpers.report.systems import timed_tasks

__all__ = ["OTHERS", "footer"]

_HOW_TO_READ = {
    "table1": "MB = 10^6 bytes of a file that loads back into the model with the same logits; the state dict "
    "beside it is the report's way of measuring. The shapes have random weights and therefore no score. Matthews: "
    "correlation of answers and labels, 0 for chance; Pearson, Spearman: correlation of scores, and of their ranks.",
    "table2": "Seconds for the whole validation set in batches of 32 at their true lengths, each batch timed once "
    "or more and summed, median over seeds; in brackets "
    "how many times faster than BERT-base's shape in the same run (in the report's rows: "
    "than its own BERT).",
    "differences": "Paired difference of the main metric over the same examples, with its 95 % interval.",
    "latency": "Milliseconds per batch: median and, in brackets, 95th percentile; at true lengths the batches differ "
    "in length, and the percentile is about the long ones. Speed-up: the median of "
    "time(BERT-base shape) / time(system), batch by batch, with its 95 % interval.",
    "starts": "The same distillation from other starts; differences are to the study's own student.",
    "teachers": "Differences are to the teacher that starts from the language model as it is, on the validation split. "
    "One that starts after more pretraining begins with a new pooler, the layer between encoder and answer, since "
    "nothing there trains the old one. "
    "The one with the best score on held-out rows is the study's teacher.",
    "ablations": "One change each to the distilled student, all else equal; differences are to that student.",
    "distilbert": "DistilBERT after distillation on text and fine-tuning, and one change each; differences are to the "
    "first row.",
    "albert": "ALBERT and others of its kind: what layers share, or how wide the embeddings are, one change each; "
    "differences are to the first row.",
    "low_rank": "The teacher with matrices cut to a low rank: its word embeddings, or its layers, each so far that "
    "about as many weights are saved as with ALBERT's embeddings. Recovered: after it learned the teacher's answers in "
    "a short training (recovery_epochs). Differences are to the teacher.",
    "structured": "The teacher after heads, feed-forward neurons or whole layers were removed, the least important "
    "first. Recovered: after it learned the teacher's answers in a short training (recovery_epochs). Zeros: "
    "the encoder's smallest weights set to zero instead, as many, which makes nothing smaller. "
    "Differences are to the teacher.",
    "systems": "All systems that were run with this profile. MB = 10^6 bytes of a file that loads back into the model "
    "with the same logits. Speed: how many times as fast as the fine-tuned teacher in the same run, in batches of 32 "
    "at their true lengths; of what two notebooks timed, the median. How each was made is in its notebook.",
    "storage": "One distilled student in files of fewer and fewer bytes, each with tokenizer and configuration; MB = "
    "10^6 bytes, over tasks and seeds. Each loads back into a model with exactly the logits of the one that was "
    "scored. Mean difference: to the float32 file, in points (hundredths), over tasks and so over different metrics; "
    "its t interval is over seeds, and says nothing of the validation rows being few. The two int8 rows compute their "
    "linear layers in eight bits; all others compute in float32 once they are read. Entropy coded: codes are written "
    "in the shortest of three ways, which changes no value. Rare pieces gone: the vocabulary keeps the pieces of the "
    "task's training rows and those that the text has storage_min_count times. Trained longer: storage_epochs more of "
    "the student's last stage; quantization-aware: the same with weights rounded in each step. SST-2's held-out rows "
    "share phrases with its training rows.",
    "programs": "One distilled student by several programs, on the same threads. Largest difference of a logit to "
    "PyTorch's float32, over the validation split, and the share of answers that are others; differences of the score "
    "are to PyTorch's float32. Rows a second: at true lengths, in batches of 32, rows of like length together. Times "
    "the floor: how much longer a batch took than the machine's measured rate of matrix products, or of reading "
    "memory, allows. First answer: from reading the model's file to one answer, conversion and compilation included, "
    "in a process of its own; memory is that process's at most, PyTorch and the conversion included.",
    "program_times": "Milliseconds for rows of one length without padding, median; in brackets how many times as fast "
    "as BERT-base's shape in PyTorch's float32, batch by batch in the same run.",
    "factors": "Seconds for the whole validation split, each way beside the others in the same run; a factor is the "
    "median over rounds of the time of the row above divided by this row's, with its 95 % bootstrap interval. The "
    "first row's padded batches are all alike, and a few stand for all. Over several seeds each number is a median of "
    "its own, so that factors need not multiply to the total. Two processes take a thread each; "
    "the others both threads.",
    "augmentation": "The distilled student, and students that saw augmented rows, too.",
    "ladder": "Intermediate distillation, examples per second: the plain way (every row padded to 128 tokens, float32, "
    "the teacher asked in every epoch, an unfused optimizer), each speed-up alone, and all together, also with 128 "
    "rows a step, which is another training, of a quarter of the steps; then, computed from these rates, how many "
    "times as fast one epoch and ten are, the pass that stores the teacher's outputs included, which always keeps rows "
    "at their lengths. Each way is timed once or twice, without an interval, so that small differences between them "
    "say little. Over several seeds: medians.",
    "retention": "(score - floor) / (teacher - floor); the floor is the majority or mean predictor. "
    "Above 100 %: a better score than the teacher's; below 0 %: a worse one than the floor's.",
}

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
    timing = table in ("table2", "latency", "ladder", "systems", *_PROGRAMS)
    notebooks = SPEEDS if table in _PROGRAMS else STUDY + SYSTEMS if table == "systems" else STUDY
    timed, left_out = summary.timed(records, notebooks=notebooks)
    reading = [_HOW_TO_READ[table]]
    if table == "ladder":
        records = timed = [record for some, _ in ladders(records).values() for record in some]
        reading.append(_ladder(records))
    elif table in COMPARISONS:
        arms = summary.matching(records, COMPARISONS[table][1])
        records = [record for record in records if any(arm["arm"] in arms for arm in record["arms"])]
        reading += [_steps(records)] if table == "augmentation" else []
        if any(arm.startswith("albert_scratch") for arm in arms):
            reading.append("From scratch: from random weights, on the task's labels alone.")
        reading += [_others(records, table), _noise(records, table), _floored(records, table)]
        of_student = COMPARISONS[table][0] == "student"
        reading += [_starts(records) if of_student else "", _used(records), _once(records)]
    if table == "systems" and (tasks := timed_tasks(records)):
        reading.append(f"Speeds are of {joined([task_label(task) for task in tasks])}.")
    if timing and left_out and table != "ladder":
        tasks = joined([task_label(task) for task in left_out])
        reading.append(f"Another machine timed {tasks}; one table never mixes two machines.")
    if table == "storage":
        records = [record for record in records if record["notebook"] in FILES]
        reading += [_noise(records, "starts"), _once(records)]
    if table in _PROGRAMS:
        records = timed
        reading += [_noise(records, "starts") if table == "programs" else "", _missing(records)]
    if table in ("table1", "differences"):
        reading += [_noise(records, table), _references(records) if table == "table1" else ""]
    if table in ("table1", "differences", "retention"):
        reading.append(_amounts(records))
    machines = sorted({summary.machine(r, threads=timing) for r in (timed if timing else records)})
    origin = [provenance(records), read_from(records), generated(records, timing=timing)]
    origin += [
        f"Machine: {'; '.join(machines)}." if machines else "",
        f"Made by `{remade_by(command, records, table)}`.",
    ]
    return "\n\n".join(" ".join(part for part in parts if part) for parts in (reading, origin))


def _missing(records: Records) -> str:
    """Say which programs were not there, and why; one may have been there in another seed's run."""
    found = {name: why for record in records for name, why in (record.get("speed") or {}).get("missing", {}).items()}
    there = {arm["arm"] for record in records for arm in record["arms"]}
    elsewhere = {name: " (its numbers are of other seeds)" for name in found if f"speed_{name}" in there}
    told = [f"{ARMS[f'speed_{name}']}: {why}{elsewhere.get(name, '')}" for name, why in found.items()]
    return f"Not available when this was measured: {'; '.join(told)}." if told else ""


def _others(records: Records, table: str) -> str:
    """Say which rows are compared with another than the table's first."""
    first, patterns = COMPARISONS[table]
    told = []
    for pattern, sentence in OTHERS.items():
        arms = {*summary.matching(records, patterns)}.intersection(summary.matching(records, [pattern]))
        found = [summary.difference(records, task, arm) for arm in arms for task in summary.tasks_of(records)]
        if any(one is not None and one[0] != first for one in found):
            told.append(sentence)
    return " ".join(told)


def _floored(records: Records, table: str) -> str:
    """Say for which tasks nothing can be seen, because what is compared with has not left the floor."""
    tasks = joined([task_label(task) for task in at_floor(records, table)])
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
            found = summary.difference(records, task, arm)
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
