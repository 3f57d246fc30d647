"""What a message says of the input that it is about: in one line, and never all of what may be without end."""

from __future__ import annotations

import difflib
import reprlib
import textwrap
from collections.abc import Collection

__all__ = ["SHOWN", "nearest", "one_line", "reason", "shown"]

_LONGEST = 1200  # characters of an error's message
SHOWN = 100  # characters of a value in one
_REASON = 120  # characters of what another library says in one
_FEW = 15  # names that a message may list
# a few letters of YAML can name a list of billions, whose whole text no memory holds
_REPR = reprlib.Repr()
_REPR.maxstring = _REPR.maxother = _REPR.maxlong = SHOWN
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


def reason(error: Exception | str) -> str:
    """Return what another library says of an error, for a message of ours: its first words."""
    return textwrap.shorten(str(error), _REASON, placeholder=" …")


def shown(value: object) -> str:
    """Return a value for a message: as Python writes it, cut short where it is long or deep.

    >>> shown("x" * 1000)[:5], len(shown("x" * 1000))
    ("'xxxx", 100)
    """
    text = _REPR.repr(value)
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 1]}…"
