"""Where numbers come from: the runs, data, text and models behind some records, and the command that makes them."""

from __future__ import annotations

from helpers.labels import ORDERS, TASKS, joined, task_label
from helpers.report import orders, summary
from helpers.report.summary import Records

__all__ = ["GENERATED", "generated", "is_generated", "made_by", "provenance", "read_from"]

GENERATED = "Scores are about the generated tasks, not about GLUE."


def provenance(records: Records) -> str:
    """Return profile, seeds and number of validation examples as a sentence."""
    profiles = joined([f"`{name}`" for name in sorted({record["profile"] for record in records})])
    groups = _by_seeds(records)
    told = {s: f"seed {s[0]}" if len(s) == 1 else f"{len(s)} seeds ({', '.join(map(str, s))})" for s in groups}
    each = [f"{joined([task_label(task) for task in tasks])} {told[seeds]}" for seeds, tasks in groups.items()]
    which = next(iter(told.values()), "no seed") if len(groups) < 2 else ", ".join(each)
    rows = {record["task"]: record["data"]["rows"]["validation"] for record in records}
    tasks = summary.tasks_of(records, all_of_report=False)
    examples = ", ".join(f"{task_label(task)} {rows[task]:,}" for task in tasks)
    return f"Profile {profiles}, {which}; validation examples: {examples}."


def _by_seeds(records: Records) -> dict[tuple[int, ...], list[str]]:
    """Return the tasks that have the same seeds, in the usual order, by these seeds."""
    found: dict[tuple[int, ...], list[str]] = {}
    for task in [*TASKS, *summary.tasks_of(records)]:
        seeds = tuple(summary.seeds_of([record for record in records if record["task"] == task]))
        if seeds and task not in found.get(seeds, []):
            found.setdefault(seeds, []).append(task)
    return found


def is_generated(records: Records) -> bool:
    """Say whether any of the records' data was made up by this project."""
    return any(record["data"]["source"] == "generated" for record in records)


def generated(records: Records, *, timing: bool = False) -> str:
    """Say what numbers about generated tasks are about, if any are."""
    if not is_generated(records):
        return ""
    return "The lengths are those of the generated tasks." if timing else GENERATED


def read_from(records: Records) -> str:
    """Return what was read: data and text with their fingerprints, published models, and notes on the rows."""
    names = sorted({f"{record['data']['name']} ({record['data']['source']})" for record in records})
    prints = {record["task"]: record["data"]["fingerprint"] for record in records}
    printed = [f"{task_label(task)} {prints[task]}" for task in summary.tasks_of(records) if task in prints]
    texts = {(t["source"], t["lines"], t["fingerprint"]) for record in records if (t := record.get("text"))}
    read = [f"{source}, {lines:,} lines, fingerprint {mark}" for source, lines, mark in sorted(texts)]
    models: dict[str, dict[str, None]] = {}
    for record in records:
        for model in record["models"]:
            models.setdefault(model["role"].replace("_", " "), {}).setdefault(model["name"])
    made_of = "; ".join(f"{role} {', '.join(found)}" for role, found in models.items())
    notes: dict[str, set[str]] = {}
    for record in records:
        if record["data"]["note"]:
            notes.setdefault(record["data"]["note"].strip().rstrip("."), set()).add(record["task"])
    in_order = summary.tasks_of(records)
    told = [f"{joined([task_label(t) for t in in_order if t in tasks])}: {note}." for note, tasks in notes.items()]
    parts = [f"Data: {joined(names)}, fingerprints: {', '.join(printed)}."]
    parts += [f"Text: {'; '.join(read)}."] if read else []
    return " ".join([*parts, *([f"Models: {made_of}."] if made_of else []), *told])


# Tables of a notebook for which a study by itself may leave tasks out.
_ALONE = dict.fromkeys(orders.TABLES, "11") | {
    "augmentation": "02",
    "distilbert": "06",
    "albert": "07",
    "low_rank": "07",
    "structured": "08",
}


# Tables whose rows several notebooks make, each named in its row.
_BY_ROW = ("table1", "table2", "differences", "significance", "retention", "claims")


def made_by(command: str, records: Records, table: str) -> str:
    """Return the sentence with the command that makes a table again, and how to make one row of it.

    To `make` for a whole profile the tasks and seeds of these records are added, which may be more or fewer.
    """
    if not command.startswith("make ") or "=" in command.rpartition("PROFILE=")[2]:
        return f"Made by `{command}`."
    command += _folders(records)
    used = ",".join(sorted({record["notebook"][:2] for record in records if record["notebook"] not in ORDERS}))
    some = used if table == "systems" else _ALONE.get(table)
    more = f" NOTEBOOKS={some}" if some else ""
    groups = _by_seeds(records).items()
    told = "` and `".join(f"{command} TASKS={','.join(t)} SEEDS={','.join(map(str, s))}{more}" for s, t in groups)
    one = "; a row by itself: the same with `NOTEBOOKS=` and what stands under Notebook" if table in _BY_ROW else ""
    return f"Made by `{told}`{one}."


def _folders(records: Records) -> str:
    """Name the folders that a run read in the place of the hub's data sets: another text makes another student."""
    data = {record["data"]["name"] for record in records if record["data"]["source"] == "folder"}
    text = {t["source"] for record in records if (t := record.get("text"))} - {"generated"}
    used = [record for record in records if "inference pairs" in (record["data"]["note"] or "")]
    pairs = {str(record["parameters"].get("nli")) for record in used}
    given = {"DATA": data, "NLI": pairs, "TEXT": text}
    folders = {name: sorted(place for place in places if "/" not in place) for name, places in given.items()}
    return "".join(f" {name}={'|'.join(places)}" for name, places in folders.items() if places)
