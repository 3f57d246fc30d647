"""The few numbers about the report's claims, and about what the student keeps, in `headline.json`."""

from __future__ import annotations

from statistics import fmean

from helpers.labels import REPORT_METRICS
from helpers.report import reported, summary
from helpers.report.claim_measures import EXACT, name_of
from helpers.report.claims import CONTRADICTED, REPRODUCED, judged
from helpers.report.summary import Records

__all__ = ["claim_numbers", "kept_numbers"]


def claim_numbers(*profiles: Records) -> dict[str, tuple[int, str]]:
    """Return, each with its unit, how many claims were judged, how many hold and do not, and how many are counts.

    A count of bytes or weights has no interval: it says how the models are built, not what training makes of them.
    """
    every = judged(*profiles)
    said = [one.verdict for one in every]
    found = {
        "judged": len(said),
        "reproduced": said.count(REPRODUCED),
        "contradicted": sum(verdict.startswith(CONTRADICTED) for verdict in said),
        "counted": sum(name_of(one.claim.measure) in EXACT for one in every),
        "counted_reproduced": sum(name_of(one.claim.measure) in EXACT and one.verdict == REPRODUCED for one in every),
    }
    return {f"claims_{name}": (count, "claims") for name, count in found.items()} if said else {}


def kept_numbers(records: Records) -> dict[str, tuple[float, str]]:
    """Return what the distilled student keeps of its teacher's lead over the floor, task by task and on the mean.

    And how many seeds each task has, and on how many of the report's tasks the student reaches the report's TinyBERT
    in every metric.
    """
    tasks = [task for task in summary.tasks_of(records, all_of_report=False) if task in REPORT_METRICS]
    kept = {task: found.value for task in tasks if (found := summary.retention(records, task, "student"))}
    if not kept:
        return {}
    numbers: dict[str, tuple[float, str]] = {f"retention_{task}": (round(kept[task], 4), "share") for task in kept}
    numbers["retention_above_floor_mean"] = (round(fmean(kept.values()), 4), "share")
    for task in kept:
        numbers[f"seeds_{task}"] = (summary.retention(records, task, "student").seeds, "seeds")
    reached = sum(_reaches(records, task) for task in kept)
    return numbers | {"tasks_at_report_tinybert": (reached, f"of {len(REPORT_METRICS)} tasks, {len(kept)} measured")}


def _reaches(records: Records, task: str) -> bool:
    """Tell whether the student's mean is at least the report's TinyBERT's single run, in all of a task's metrics."""
    own = reported.table(1).loc["TinyBERT"]
    scores = {metric: summary.score(records, task, "student", metric) for metric in REPORT_METRICS[task]}
    return all(
        score is not None and score.value >= float(own[reported.column(task, metric)])
        for metric, score in scores.items()
    )
