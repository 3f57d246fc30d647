"""What `make growth` measures with, and that it goes on where it was stopped."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import grow
import psutil
import pytest

MEGABYTES = 60


def test_memory_of_what_was_started_counts_too() -> None:
    child = f"held = bytearray(b'1') * {MEGABYTES * 10**6}; print('there', flush=True); input()"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    with subprocess.Popen([sys.executable, "-c", parent], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        with grow.Watch(process.pid, pause=0.05) as watch:
            before = grow.memory(psutil.Process())
            process.stdout.readline()
            time.sleep(0.3)
        process.stdin.close()
    assert before > 0 and MEGABYTES * 10**6 < watch.most < MEGABYTES * 10**6 + 200 * 10**6


def test_a_process_that_has_ended_has_no_memory() -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    known = psutil.Process(process.pid)
    process.wait()
    assert grow.memory(known) == 0


@pytest.fixture
def measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """Studies, plans and reports that only note that they were asked for."""
    asked: list[tuple[Any, ...]] = []

    def noting(name: str) -> Any:
        def note(_: Path, *values: Any) -> dict[str, Any]:
            asked.append((name, *values))
            return {"seconds": 1.0, "memory_mb": 1.0}

        return note

    for name in grow.KINDS:
        monkeypatch.setattr(grow, name, noting(name))
    monkeypatch.setattr(grow, "RESULT", tmp_path / "growth.json")
    monkeypatch.setattr(grow, "PAUSE", 0)
    monkeypatch.setattr(grow, "load", lambda: 0.0)
    return asked


def test_what_is_measured_is_not_measured_again(measured: list[tuple[Any, ...]]) -> None:
    assert grow.main(["--most", "4"]) == 0
    assert [one for one in measured if one[0] == "study"] == [
        ("study", 1, 1, 1, 1),
        ("study", 1, 1, 1, 2),
        ("study", 1, 1, 4, 1),
        ("study", 1, 1, 4, 2),
    ]
    before = len(measured)
    assert grow.main([]) == 0
    assert measured[before:] == [
        ("study", 4, 1, 4, 1),
        ("study", 4, 1, 4, 2),
        ("study", 4, 4, 4, 1),
        ("study", 4, 4, 4, 2),
    ]
    rows = json.loads(grow.RESULT.read_text())["rows"]
    kinds = [(row["kind"], row["runs"], row.get("workers")) for row in rows]
    assert kinds[:3] == [("study", 1, 1), ("study", 1, 2), ("study", 4, 1)] and kinds[-1] == ("report", 1008, None)
    assert len(kinds) == 16
    assert grow.main(["--again"]) == 0 and len(measured) == before + 4 + 16


def test_nothing_is_measured_beside_other_work(
    measured: list[tuple[Any, ...]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(grow, "load", lambda: 1.7)
    assert grow.main([]) == 1
    assert "other processes are at work here (load 1.7)" in capsys.readouterr().err
    assert measured == [] and not grow.RESULT.exists()


def test_a_plan_is_made_and_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a copy of the tree, by a process of its own."""
    monkeypatch.setattr(grow, "TASKS", ("cola",))
    found = grow.plan(tmp_path / "plan", 1)
    assert found["seconds"] > 0 and found["memory_mb"] > 100 and found["environment"]["cpu"]["model"]
