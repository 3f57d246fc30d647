"""Build what a study's tasks and seeds begin with from text: one training at a time, on as many processes as there are.

`torchrun` and `accelerate launch` start the processes. The first of them keeps the result, the others only take part.
"""

from __future__ import annotations

import functools
import os
import tempfile
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from accelerate import PartialState
from accelerate.utils import broadcast_object_list

from helpers.artifacts import Node, Store
from helpers.artifacts.store import CHECKPOINTS
from helpers.environment import device, set_threads
from helpers.study import books, graph
from helpers.study.jobs import Job
from helpers.training import together

__all__ = ["begin", "build", "on_text"]

_PATIENCE = timedelta(days=7)  # for a process that builds what the others wait for


def begin(jobs: Sequence[Job]) -> Iterator[str]:
    """Build the stages on text that jobs need, each after what it needs; yield what was done, in the first process."""
    made = graph.made_from(jobs)
    nodes = on_text({key: node for some in made.values() for key, node in some.items()}.values())
    if jobs:
        set_threads(jobs[0].threads)
    before = os.getcwd()
    os.chdir(books.NOTEBOOKS)  # folders are given as the notebooks see them
    try:
        for node in nodes:
            said = build(node)
            if together.number() == 0:
                yield f"{node.key}: {said}"
    finally:
        os.chdir(before)


def on_text(nodes: Iterator[Node]) -> list[Node]:
    """Return those nodes that train on a text, each after those that it needs."""
    found = [node for node in nodes if {"training", "text"} <= node.arguments.keys()]
    return sorted(found, key=lambda node: (_depth(node), node.key))


def _depth(node: Node) -> int:
    return 1 + max((_depth(used) for used in node.inputs()), default=0)


def build(node: Node, store: Store | None = None) -> str:
    """Build one node with all processes, each of which calls this; say whether it was there."""
    store = store or Store()
    if together.size() == 1:
        there = store.has(node)
        store.path(node)
        return "stored before" if there else "built"
    state = PartialState(
        cpu=device().type == "cpu", backend="gloo" if device().type == "cpu" else None, timeout=_PATIENCE
    )
    with state.main_process_first():
        inputs = {used: store.path(used) for used in node.inputs()}
    if state.is_main_process:
        said: list[str] = []

        @functools.wraps(node.function)
        def with_the_others(folder: Path, **arguments: Any) -> None:
            _tell(str(folder))
            said.append("built")
            node.function(folder, **arguments)

        store.path(Node(with_the_others, node.arguments))
        if not said:
            _tell("")
        return f"built by {together.size()} processes" if said else "stored before"
    folder = _tell(None)
    if folder:
        # what is unfinished is common to all; the result of each but the first is thrown away
        common = Path(folder) / CHECKPOINTS
        common.mkdir(exist_ok=True)
        given = {name: inputs[value] if isinstance(value, Node) else value for name, value in node.arguments.items()}
        with tempfile.TemporaryDirectory() as scratch:
            (Path(scratch) / CHECKPOINTS).symlink_to(common)
            node.function(Path(scratch), **given)
    return ""


def _tell(what: str | None) -> str:
    """Return to all processes what the first one says."""
    return broadcast_object_list([what])[0]
