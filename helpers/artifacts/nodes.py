"""Steps and nodes: what a result is made of, and the key that follows from it.

A *step* is a function with a version that writes its result into a folder. A *node* is a step together with its
arguments; other nodes may be among them, so nodes form the tree of the study. A node's key is the hash of the step's
name and version and of all arguments, so the same work has the same key wherever it is named, and is done once.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

__all__ = ["Bound", "Node", "STEPS", "digest", "fingerprint", "node", "step"]

STEPS: dict[str, Callable[..., None]] = {}


def step(*, version: int) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Declare a function `f(folder, **arguments)` as a step; bump `version` by hand when its result changes.

    What another processor or number of threads may change as well, rounding and the numbers drawn, is no other result.
    """

    def declare(function: Callable[..., None]) -> Callable[..., None]:
        function.version = version
        STEPS[function.__name__] = function
        return function

    return declare


def fingerprint(value: Any) -> Any:
    """Reduce an argument to JSON that identifies it: a node by its key, data by its `fingerprint`, settings by value.

    Raises `TypeError` for anything that could not be told apart reliably.
    """
    if isinstance(value, Node):
        return {"node": value.key}
    if hasattr(value, "fingerprint"):
        return {"fingerprint": value.fingerprint}
    if dataclasses.is_dataclass(value):
        return fingerprint({field.name: getattr(value, field.name) for field in dataclasses.fields(value)})
    if isinstance(value, Mapping):
        return {str(name): fingerprint(value[name]) for name in sorted(value)}
    if isinstance(value, list | tuple):
        return [fingerprint(item) for item in value]
    if value is None or isinstance(value, str | int | float | bool):
        return value
    raise TypeError(f"A step's argument of type {type(value).__name__} has no fingerprint; give it that attribute.")


@dataclass(frozen=True)
class Bound:
    """A number that may stop a step but changes no result, so that it is no part of a key."""

    value: float
    fingerprint: ClassVar[str] = "bound"


def digest(value: Any) -> str:
    """Return the first 16 hexadecimal digits of the SHA-256 of a JSON value in canonical form."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass(frozen=True, eq=False)
class Node:
    """One step with its arguments: a promise of a result, not yet the result."""

    function: Callable[..., None]
    arguments: Mapping[str, Any]

    @functools.cached_property
    def description(self) -> dict[str, Any]:
        """What the key is made of."""
        return {
            "step": self.function.__name__,
            "version": self.function.version,
            "arguments": fingerprint(self.arguments),
        }

    @functools.cached_property
    def key(self) -> str:
        """`<step>-<hash>`: equal for equal work."""
        return f"{self.function.__name__}-{digest(self.description)}"

    def inputs(self) -> Iterator[Node]:
        """Yield the nodes among the arguments."""
        return (value for value in self.arguments.values() if isinstance(value, Node))


def node(function: Callable[..., None], /, **arguments: Any) -> Node:
    """Name the result of a step without building it."""
    if STEPS.get(function.__name__) is not function:
        raise TypeError(f"{function.__name__} is not declared with @step.")
    return Node(function, arguments)
