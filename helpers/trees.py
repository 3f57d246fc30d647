"""Measure a tree of chains: every model in it, how two that end in as many bytes differ, what sharing steps saves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from helpers import arms, models, scores
from helpers.artifacts import Node
from helpers.compress import budgets, notation
from helpers.compress.notation import Link
from helpers.compress.orders import Made, Orders

__all__ = ["arm_of", "ends", "measure", "shapes", "tree"]

STUDENT = "student"  # what every model is compared with: the distilled one, whole


def arm_of(chain: Sequence[Link]) -> str:
    """Return the name of a chain's arm.

    >>> arm_of(notation.parse("distil > prune 0.3 > int4"))
    'order_distil_prune_0.3_int4'
    """
    return "_".join(["order", *(str(value) for link in chain for value in link)])


def measure(orders: Orders) -> list[dict[str, Any]]:
    """Measure each model of the tree that has learned the task, as it will be read back from its file."""
    found, group = [], orders.recipe.storage_group
    for chain, made in orders.tree.items():
        if not made.trained:
            continue
        weights = orders.weights(chain)
        found.append(
            arms.measure(
                orders,
                arm_of(chain),
                made.model,
                *made.steps,
                described=notation.write(chain),
                title=notation.write(chain),
                versus=(STUDENT, orders.student, ()),
                parameter={"predicted_bytes": budgets.predicted(chain, weights, group=group)},
                heldout=True,
                tokenizer=models.tokenizer(orders.store.path(made.model)),
                layouts=layouts(orders, chain),
            )
        )
    return found


def layouts(orders: Orders, chain: Sequence[Link]) -> tuple[str]:
    """Return how the file of a chain's model lays out its weights."""
    return (budgets.layout(chain, orders.weights(chain), group=orders.recipe.storage_group),)


def ends(orders: Orders) -> dict[str, tuple[tuple[Link, ...], Made]]:
    """Return the models in which chains end, by arm, each once."""
    chains = [chain for chains in orders.chains.values() for chain in chains.values()]
    return {arm_of(chain): (chain, orders.tree[chain]) for chain in chains}


def shapes(orders: Orders) -> dict[str, nn.Module]:
    """Return one model of each shape in the tree, by arm: rounded or pruned, a model takes the time of its shape."""
    return {name: orders.load(orders.tree[chain].model) for chain, name in _first_of_shape(orders).items()}


def _first_of_shape(orders: Orders) -> dict[tuple[Link, ...], str]:
    first: dict[Any, tuple[Link, ...]] = {}
    for chain, made in orders.tree.items():
        if made.trained:
            first.setdefault(orders.weights(chain), chain)
    return {chain: arm_of(chain) for chain in first.values()}


def tree(orders: Orders) -> dict[str, Any]:
    """Return what a record says of the tree: its nodes, the differences between its ends, what was built once.

    A node's `steps` and `seconds` are those of all stored steps behind it but student's start and teacher, with which
    every chain begins: what it takes to build the chain alone. `shared` sums them over chains, alone and built once.
    """
    kinds = {orders.weights(chain): name for chain, name in _first_of_shape(orders).items()}
    known, nodes = orders.store.manifests(), []
    behind = {chain: _behind(orders, made.model, known) for chain, made in orders.tree.items()}
    for chain, made in orders.tree.items():
        nodes.append(
            {
                "arm": arm_of(chain),
                "chain": notation.write(chain),
                "before": arm_of(chain[:-1]) if len(chain) > 1 else None,
                "steps": len(behind[chain]),
                "seconds": round(sum(behind[chain].values()), 1),
                "timed_as": kinds[orders.weights(chain)] if made.trained else None,
            }
        )
    built: dict[str, float] = {}
    last = ends(orders)
    for chain, _ in last.values():
        built |= behind[chain]
    return {
        "budgets": {
            budget: [{"chain": notation.write(chain), "arm": arm_of(fitted)} for chain, fitted in chains.items()]
            for budget, chains in orders.chains.items()
        },
        "nodes": nodes,
        "pairs": _pairs(orders),
        "shared": {
            "steps": len(built),
            "steps_alone": sum(node["steps"] for node in nodes if node["arm"] in last),
            "seconds": round(sum(built.values()), 1),
            "seconds_alone": round(sum(node["seconds"] for node in nodes if node["arm"] in last), 1),
        },
    }


def _behind(orders: Orders, model: Node, known: Mapping[str, Mapping[str, Any]]) -> dict[str, float]:
    """Return the stored steps that a model is made by, from the student's start and the teacher on, and their seconds.

    `known` are the manifests of what is stored.
    """
    given = {orders.start.key, orders.teacher.key}
    found: dict[str, float] = {}
    waiting = [model.key]
    while waiting:
        key = waiting.pop()
        if key not in given and key not in found:
            found[key] = known[key]["seconds"]
            waiting += known[key]["inputs"]
    return found


def _pairs(orders: Orders) -> list[dict[str, Any]]:
    """Compare every two chains of a budget on the same rows."""
    task, labels = orders.recipe.task, orders.data.labels("validation")
    compared: dict[tuple[str, str], scores.Interval] = {}
    for chains in orders.chains.values():
        answers = {
            arm_of(chain): scores.predictions(task, orders.logits(orders.tree[chain].model, *orders.tree[chain].steps))
            for chain in chains.values()
        }
        compared |= scores.paired_all(task, answers, labels)
    return [
        {"arms": list(pair), "difference": found.value, "low": found.low, "high": found.high}
        for pair, found in compared.items()
    ]
