"""Chains as text: `distil > prune 0.3 > int4` is read, checked and written here, before anything is built.

- `teacher`: the fine-tuned teacher, in place of the student
- `distil`: the student copies the teacher's states, then learns its answers
- `train`: the student learns the labels, without a teacher, for as many steps
- `recover`: a little more training, by the teacher's answers or, `recover labels`, without a teacher
- `prune`: a share of each matrix's weights, the smallest, is set to zero; `fit`: as many as the budget asks for
- `low_rank`: each matrix of the encoder becomes the product of two with this share of its weights
- `bf16`, `float8`, `int8`, `int4`: all matrices, in bf16 all weights, are rounded

The model in hand is the student as it is before the task, or where a chain begins with `teacher` the fine-tuned
teacher. `int8` rounds weights, and is not the report's, which has int8 layers compute. A step that comes before the
training is a condition of it: pruned weights are held at zero, rounded ones are rounded in each batch.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from helpers.environment import InputError
from helpers.storage import BITS

__all__ = ["FIT", "ROUNDINGS", "Link", "beginnings", "parse", "write"]

# A step of a chain as it is written: its name and its values, if it has any. `prune` is of each matrix, and `int8`
# rounds weights: quick steps (`compress.steps`) are another language.
Link = tuple[str | float, ...]

DIGITS = 4  # of a share: it is part of a model's name
FIT = "fit"  # the amount of pruning with which a chain's file just keeps its budget
ROUNDINGS = tuple(BITS)
TRAINED = ("teacher", "distil", "train")  # what gives a model that has learned the task
KNOWN = (*TRAINED, "recover", "prune", "low_rank", *ROUNDINGS)


def parse(text: str) -> tuple[Link, ...]:
    """Return the steps of a chain. Raises `InputError` with one sentence for a chain that cannot be."""
    if not isinstance(text, str) or not text.strip():
        raise InputError(f"A chain is a text such as 'distil > prune 0.3 > int4', not {text!r}.")
    steps = tuple(_step(part.split(), text) for part in text.split(">"))
    _check(steps)
    return steps


def write(steps: Sequence[Link]) -> str:
    """Return the text of a chain, which `parse` reads back."""
    return " > ".join(" ".join(str(value) for value in step) for step in steps)


def _step(words: list[str], text: str) -> Link:
    if not words:
        raise InputError(f"Chain {text!r} has a place without a step; steps stand between single '>'.")
    name, *values = words
    if name not in KNOWN:
        near = difflib.get_close_matches(name, KNOWN, 1)
        known = f"the nearest known: {near[0]}" if near else f"known are {', '.join(KNOWN)}"
        raise InputError(f"Chain {text!r}: there is no step {name!r}; {known}.")
    if name in ("prune", "low_rank"):
        return (name, _share(name, values, text))
    if values and (name, *values) != ("recover", "labels"):
        raise InputError(f"Chain {text!r}: {name} takes no {' '.join(values)!r}; '>' stands between steps.")
    return (name, *values)


def _share(name: str, values: list[str], text: str) -> float | str:
    if name == "prune" and values == [FIT]:
        return FIT
    try:
        (share,) = (float(value) for value in values)
    except ValueError:
        share = -1.0
    if not 0 < share < 1 or share != round(share, DIGITS):
        allowed = f"a share above 0 and below 1 with {DIGITS} digits at most{', or fit' if name == 'prune' else ''}"
        given = f", not {' '.join(values)!r}" if values else ""
        raise InputError(f"Chain {text!r}: {name} takes {allowed}{given}.")
    return share


def _check(steps: Sequence[Link]) -> None:
    """Raise `InputError` if a step cannot follow what comes before it, or the chain never learns the task."""
    text, done = write(steps), []
    for step in steps:
        reason = _refused(step, done)
        if reason:
            raise InputError(f"Chain {text!r}: {write([step])} cannot come here, {reason}.")
        done.append(step)
    if not any(step[0] in TRAINED for step in done):
        raise InputError(f"Chain {text!r} never learns the task; it needs distil or train, or begins with teacher.")


def _refused(step: Link, done: Sequence[Link]) -> str:
    """Return why a step cannot follow others, or nothing if it can."""
    name, names = step[0], [each[0] for each in done]
    pruned = [each[1] for each in done if each[0] == "prune"]
    rounded = [each for each in names if each in ROUNDINGS]
    trained = [each for each in names if each in TRAINED]
    if name == "teacher" and done:
        return "for it is what a chain begins with"
    if name in TRAINED and trained:
        return f"for the model is trained already ({trained[0]})"
    if name == "recover" and not trained:
        return "for there is nothing to recover yet: put distil, train or teacher before it"
    if name == "prune" and FIT in pruned:
        return "for prune fit has taken all that the budget asks for"
    if name == "prune" and step[1] != FIT and pruned and step[1] <= pruned[-1]:
        return f"for prune {pruned[-1]} has already taken as much: shares are of the whole model and grow"
    if name == "low_rank" and (pruned or rounded):
        return f"for a product of two new matrices would undo {'prune' if pruned else rounded[0]}: put low_rank before"
    if name == "low_rank" and name in names:
        return "for the matrices have a low rank already"
    if name in ROUNDINGS and rounded:
        return f"for the weights are rounded already ({rounded[0]})"
    return ""


def beginnings(chains: Sequence[Sequence[Link]]) -> list[tuple[Link, ...]]:
    """Return every beginning of the chains once, in the order in which they are met: the nodes of their tree.

    Raises `ValueError` for an amount that is still to fit: what fits depends on the steps after it.
    """
    if any(("prune", FIT) in chain for chain in chains):
        raise ValueError("a chain's amounts are decided before its beginnings are shared")
    return list(dict.fromkeys(tuple(chain[:end]) for chain in chains for end in range(1, len(chain) + 1)))
