"""Which jobs of a study share what they are made from, so that a common beginning is built once, before them.

A *beginning* is a stored result that several jobs need and no job alone makes: the general student of all tasks and
seeds, the models that pass through inference pairs. Each becomes a task of its own, and so do the jobs.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path

from helpers.artifacts import Node, Store
from helpers.compress.systems import Systems
from helpers.profiles import Recipe
from helpers.study import books
from helpers.study.jobs import Job

__all__ = ["Beginning", "beginnings", "find", "made_from"]


@dataclass(frozen=True)
class Beginning:
    """A stored result that several jobs share, by its key and the first of them, whose recipe names it."""

    key: str
    job: Job
    needs: frozenset[str]  # keys of other beginnings


class _Promises(Store):
    """A store from which nothing is taken: who asks wants to know what is needed, not to build it."""

    def path(self, wanted: Node) -> Path:
        raise LookupError(wanted.key)


def _of_task(chain: Systems) -> Iterator[Node]:
    yield from (*chain.teachers.values(), chain.start, chain.control)
    yield chain.student
    yield from (chain.changed(student_start=start).student for start in chain.recipe.compared_starts)


# what a notebook with this parameter is made from, beside what all are made from
_MADE_FROM: Mapping[str, Callable[[Systems], Iterator[Node]]] = {
    "task": _of_task,
    "augmentation_variants": lambda chain: iter([chain.masked_language_model]),
    "distilbert_layers": lambda chain: iter([chain.distilbert_general]),
    "albert_sharing": lambda chain: iter([chain.albert()]),
}


def made_from(jobs: Sequence[Job]) -> dict[Job, dict[str, Node]]:
    """Return what each job is made from, by key: named without building anything. Jobs over all tasks are left out."""
    found: dict[Job, dict[str, Node]] = {}
    chains: dict[object, Systems] = {}  # by task and seed, and the last of each task, which read the same rows
    with contextlib.chdir(books.NOTEBOOKS):  # folders are given as the notebooks see them
        for job in jobs:
            if job.recipe is not None:
                if (job.task, job.seed) not in chains:
                    alike = chains.get(job.task) or next(iter(chains.values()), Systems(job.recipe, store=_Promises()))
                    chains[job.task, job.seed] = chains[job.task] = alike.beside(Systems, job.recipe)
                found[job] = _closed(_named(chains[job.task, job.seed], job.values))
    return found


def find(recipe: Recipe, values: Collection[str], key: str) -> Node | None:
    """Return the node of this key among what a notebook with these parameters is made from.

    On a machine that computes in another precision keys are others: there is None.
    """
    return _closed(_named(Systems(recipe, store=_Promises()), values)).get(key)


def _named(chain: Systems, values: Collection[str]) -> list[Node]:
    nodes: list[Node] = []
    for name in (name for name in _MADE_FROM if name in values):
        with contextlib.suppress(LookupError):  # where scores choose the teacher, what follows has no name yet
            for node in _MADE_FROM[name](chain):
                nodes.append(node)
    return nodes


def _closed(nodes: Sequence[Node]) -> dict[str, Node]:
    """Return nodes and all that they are made from, by key."""
    found: dict[str, Node] = {}
    waiting = list(nodes)
    while waiting:
        node = waiting.pop()
        if node.key not in found:
            found[node.key] = node
            waiting += node.inputs()
    return found


def beginnings(made: Mapping[Job, Mapping[str, Node]]) -> tuple[list[Beginning], dict[Job, frozenset[str]]]:
    """Return the beginnings that jobs share, each after those that it needs, and which of them each job waits for.

    What the notebook that makes a task and seed's models makes for its own others is none. Of results that the same
    jobs share, one behind the other, only the last is one: building it builds those before.
    """
    nodes = {key: node for some in made.values() for key, node in some.items()}
    users: dict[str, list[Job]] = {}
    for job, some in made.items():
        for key in some.keys() - _made_before(job, made):
            users.setdefault(key, []).append(job)
    behind = {key: _closed([nodes[key]]).keys() - {key} for key, some in users.items() if len(some) > 1}
    last = {key for key in behind if not any(key in behind[o] and users[o] == users[key] for o in behind)}
    order = sorted(last, key=lambda key: (len(behind[key]), key))
    shared = [Beginning(key, users[key][0], _nearest(behind[key] & last, behind)) for key in order]
    return shared, {job: _nearest(some.keys() & last, behind) for job, some in made.items()}


def _made_before(job: Job, made: Mapping[Job, Mapping[str, Node]]) -> Set[str]:
    """Return the keys of what the notebook that makes a job's models makes: the job waits for that notebook."""
    makers = [] if job.required else [o for o in made if o.required and (o.task, o.seed) == (job.task, job.seed)]
    return set().union(*(made[maker].keys() for maker in makers))


def _nearest(keys: Set[str], behind: Mapping[str, Set[str]]) -> frozenset[str]:
    """Return those keys that are behind no other of them: who waits for those waits for all."""
    return frozenset(key for key in keys if not any(key in behind[other] for other in keys))
