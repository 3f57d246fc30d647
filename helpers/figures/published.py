"""Which figures some records allow: those that are kept in `figures/<profile>/`, by file name."""

from __future__ import annotations

from matplotlib.figure import Figure

from helpers.figures.order_points import order_points
from helpers.figures.orders import order_front, order_tree
from helpers.figures.pareto import choices
from helpers.figures.results import figure1
from helpers.figures.speed import programs, speed_factors
from helpers.figures.storage import storage_ladder
from helpers.figures.structure import has_removals, removal_curves
from helpers.figures.systems import systems
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
