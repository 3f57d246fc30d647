"""Which figures some records allow: those that are kept in `figures/<profile>/`, by file name."""

from __future__ import annotations

from matplotlib.figure import Figure

from helpers.figures.attention import attention_maps
from helpers.figures.models import loss_curves, sparsity_heatmap
from helpers.figures.order_points import order_points
from helpers.figures.orders import order_front, order_tree
from helpers.figures.pareto import choices
from helpers.figures.results import figure1, size_score_latency
from helpers.figures.speed import programs, speed_factors
from helpers.figures.storage import storage_ladder
from helpers.figures.structure import has_removals, removal_curves
from helpers.figures.style import alt_text, caption, describe
from helpers.figures.systems import systems
from helpers.labels import task_label
from helpers.report import summary
from helpers.report.orders import has_orders, has_points
from helpers.report.pareto import has_choices
from helpers.report.speed import has_factors, has_speeds
from helpers.report.storage import has_files
from helpers.report.summary import Records
from helpers.report.systems import has_systems

__all__ = ["published"]


def published(records: Records) -> dict[str, Figure]:
    """Draw Figure 1 and what else is published, where records have what it shows."""
    found = {}
    if any(summary.sweep(records, task) for task in summary.tasks_of(records)):
        found["figure1"] = figure1(records)
    if any(one["latency"] and one["scores"] for record in summary.timed(records)[0] for one in record["arms"]):
        found["size_score_latency"] = size_score_latency(records)
    found |= _of_one_run(records)
    if has_systems(records):
        found["systems"] = systems(records)
    if has_removals(records):
        found["removal"] = removal_curves(records)
    if has_files(records):
        found["storage"] = storage_ladder(records)
    if has_speeds(records):
        found["programs"] = programs(records)
    if has_factors(records):
        found["factors"] = speed_factors(records)
    if has_orders(records):
        found |= {"order_tree": order_tree(records), "order_front": order_front(records)}
    if has_points(records):
        found["order_points"] = order_points(records)
    if has_choices(records):
        found["choices"] = choices(records)
    return found


_SHOWN = "sst2"  # a run stands for all where a picture is of a single model: this task's, or the last that there is


def _of_one_run(records: Records) -> dict[str, Figure]:
    """Draw what is of one run: how its losses fell, where its zeros are, where its teacher and its student look."""
    first_of = {record["task"]: record["seed"] for record in sorted(records, key=lambda each: -each["seed"])}
    task = _SHOWN if _SHOWN in first_of else summary.tasks_of(records, all_of_report=False)[-1]
    found: dict[str, Figure] = {}
    for record in (each for each in records if (each["task"], each["seed"]) == (task, first_of[task])):
        first = record["notebook"].startswith("01")
        pruned = next((arm for arm in record["arms"] if arm["arm"] == "pruned" and arm["sparsity"]), None)
        drawn = {
            "curves": loss_curves(record["curves"]) if first and record["curves"] else None,
            "attention": attention_maps(record["attention"]) if record.get("attention") else None,
            "sparsity": sparsity_heatmap(pruned) if pruned and record["notebook"].startswith("03") else None,
        }
        for name, figure in drawn.items():
            if figure is not None:
                run = f"{task_label(task)}, seed {record['seed']}, profile `{record['profile']}`."
                found[name] = describe(figure, caption=f"{caption(figure)} {run}", alt=alt_text(figure))
    return found
