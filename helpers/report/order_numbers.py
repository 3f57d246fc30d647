"""The few numbers of the study of orders that the README quotes."""

from __future__ import annotations

from helpers.labels import joined
from helpers.report import order_choices, orders
from helpers.report.cells import is_noise, signed
from helpers.report.summary import Records

__all__ = ["order_numbers"]


def order_numbers(records: Records) -> dict[str, tuple[int | float | str, str]]:
    """Return, each with its unit, how many chains ran, the best within the smallest budget, and what orders change.

    The best is that on held-out rows; its gain, on the validation split, is to the mean of all other orders of its
    steps. A best chain whose steps have no other order gains nothing by it, and there is no such number.
    """
    budgets = orders.chains(records)
    budget = list(budgets)[-1] if budgets else ""
    chosen = order_choices.best(records, list(budgets.get(budget, {}).values()))
    if chosen is None:
        return {}
    others = order_choices.reordered(records, list(budgets[budget].values()), chosen)
    found: dict[str, tuple[int | float | str, str]] = {
        "chains": (sum(len(chains) for chains in budgets.values()), "chains"),
        "tasks": (len(orders.tasks_of(records)), "tasks"),
        "seeds": (len(orders.seeds_of(records)), "seeds"),
        "budget": (budget, "of weights"),
        "best_chain": (orders.nodes(records)[chosen]["chain"], "chain"),
        "compared": (len(others), "chains"),
    }
    gain = orders.points_over(records, [(chosen, other) for other in others])
    for name, points in (("gain", gain), ("to_student", orders.to_student(records, chosen))):
        if points is not None:
            ends = {"": points.value, "_low": points.low, "_high": points.high}
            found |= {f"{name}_points{end}": (round(value, 2), "points") for end, value in ends.items()}
    found |= _swaps(records, budget)
    return {f"order_{name}": number for name, number in found.items()}


def _swaps(records: Records, budget: str) -> dict[str, tuple[str, str]]:
    """Say which swaps of two neighbouring steps change the mean over tasks within a budget, and which are noise."""
    clear, noise = [], []
    for swap in order_choices.swaps(records):
        mean = orders.points_over(records, swap.pairs) if swap.budget == budget else None
        if mean is not None and is_noise(mean):
            noise.append(swap.told)
        elif mean is not None:
            clear.append(f"{swap.told} ({signed(mean.value, 2)})")
    return {f"swaps_{name}": (joined(some), "swaps") for name, some in (("clear", clear), ("noise", noise)) if some}
