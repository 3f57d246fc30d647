"""Bad input of every kind gets a sentence or a right result: a few of the thousands that `make faults` tries."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trying
from doors import DOORS, Door
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mutations import CANARY, damage_file

from helpers.environment import InputError

FEW = 12


@pytest.mark.parametrize("door", DOORS)
def test_a_few_of_each_kind(door: str, tmp_path: Path) -> None:
    for number in range(FEW):
        folder = tmp_path / str(number)
        folder.mkdir()
        outcome = trying.try_one(door, number, folder)
        assert outcome.kind in ("said", "right"), outcome


@settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(number=st.integers(min_value=0))
def test_any_words_of_a_command(tmp_path_factory: pytest.TempPathFactory, number: int) -> None:
    outcome = trying.try_one("words of a command", number, tmp_path_factory.mktemp("words"))
    assert outcome.kind in ("said", "right"), outcome


@pytest.mark.parametrize("door", DOORS)
def test_good_input_is_let_in(door: str, tmp_path: Path) -> None:
    """Else all that is spoilt would be refused for what was wrong before."""
    one, inside = DOORS[door], tmp_path / "input"
    inside.mkdir()
    one.make(inside)
    one.check(inside, one.enter(inside))


def _raise(error: Exception) -> Any:
    raise error


def _leave(path: Path) -> None:
    path.write_text("x", encoding="utf-8")


@pytest.mark.parametrize(
    ("enter", "kind"),
    [
        (lambda folder: 1, "right"),
        (lambda folder: _raise(InputError("The file x is empty; give another.")), "said"),
        (lambda folder: _raise(InputError("no full stop")), "no sentence"),
        (lambda folder: _raise(KeyError("x")), "traceback"),
        (lambda folder: 2, "wrong"),
        (lambda folder: _leave(folder / CANARY), "executed"),
        (lambda folder: _leave(folder.parent / "climbed"), "outside"),
        (lambda folder: time.sleep(60), "hung"),
        (lambda folder: _raise(SystemExit(3)), "died"),
    ],
)
def test_what_is_mishandled_is_noticed(
    enter: Callable[[Path], Any], kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def check(folder: Path, result: Any) -> None:
        assert result != 2

    def make(folder: Path) -> None:
        (folder / "file").write_text("good", encoding="utf-8")

    fake = Door("fake", 1, make, lambda folder, random: damage_file(folder / "file", random), enter, check)
    monkeypatch.setitem(DOORS, "fake", fake)
    monkeypatch.setattr(trying, "PATIENCE", 2.0)
    found = list(trying.try_door("fake", [0, 1]))
    assert [(one.number, one.kind) for one in found] == [(0, kind), (1, kind)], "the next is tried, whatever happened"
