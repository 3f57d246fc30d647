"""What a message says of the input that it is about: in one line, and never all of what may be without end."""

from __future__ import annotations

import difflib
import reprlib
from collections.abc import Collection

__all__ = ["nearest", "one_line", "shown"]

_LONGEST = 1200  # characters of an error's message
_SHOWN = 100  # characters of a value in one
_FEW = 15  # names that a message may list
# a few letters of YAML can name a list of billions, whose whole text no memory holds
_REPR = reprlib.Repr()
_REPR.maxstring = _REPR.maxother = _REPR.maxlong = _SHOWN
_REPR.maxlevel = 3


def one_line(message: str) -> str:
    """Return a message as one line; what input repeats at length in it, or breaks it with, is left out."""
    plain = " ".join("".join(letter if letter.isprintable() else " " for letter in message).split())
    return plain if len(plain) <= _LONGEST else f"{plain[: _LONGEST // 2]} … {plain[-_LONGEST // 2 :]}"


def nearest(name: object, known: Collection[str]) -> str:
    """Return, for a message, which of the known names one may have meant: the most similar, or all if they are few.

    >>> nearest("teacher_epoch", ["teacher_epochs", "seed"])
    'the nearest known: teacher_epochs'
    """
    near = difflib.get_close_matches(str(name)[:100], known, n=3)
    if near:
        return f"the nearest known: {', '.join(near)}"
    return f"known are {', '.join(known)}" if len(known) <= _FEW else f"none of the {len(known)} known is like it"


def shown(value: object) -> str:
    """Return a value for a message: as Python writes it, cut short where it is long or deep.

    >>> shown("x" * 1000)[:5], len(shown("x" * 1000))
    ("'xxxx", 100)
    """
    text = _REPR.repr(value)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"
