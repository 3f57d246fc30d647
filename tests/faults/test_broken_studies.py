"""A study that is killed and goes on: a short part of what `make faults` does for hours."""

from __future__ import annotations

import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import pytest
from studies import Ended, Study, asleep, differences, kill_all


@pytest.mark.xdist_group("killed")
def test_a_study_survives(tmp_path: Path) -> None:
    """Killed in its middle, it ends with the records of one that was left alone."""
    whole, broken = (Study(tmp_path / name, notebooks="01") for name in ("whole", "broken"))
    whole.finish()
    process = broken.start()
    assert asleep(process, 12.0), "it is at work"
    kill_all(process)
    before = broken.finished()
    broken.finish()
    broken.check(whole.records(), before)
    # and the check itself notices
    with pytest.raises(Ended, match="other records"):
        broken.check({"01_distillation.sst2.seed0.json": {}})
    with pytest.raises(Ended, match="lost or done again"):
        broken.check(whole.records(), {"pretrain-x/manifest.json": 1.0})


@pytest.mark.parametrize(
    ("printed", "code", "wrong"),
    [
        ("error: The disk is full.", 1, None),
        ("error: The disk is full.", 2, "ended with 2, not 1"),
        ("", 0, "ended with 0, not 1"),
        ("", 1, "no sentence"),
        ("Traceback (most recent call last):\nKeyError: 3", 1, "no sentence"),
    ],
)
def test_a_command_that_should_fail_needs_a_sentence(
    printed: str, code: int, wrong: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def start(_: Study) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", f"import sys; print({printed!r}, file=sys.stderr); sys.exit({code})"]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    monkeypatch.setattr(Study, "start", start)
    study = object.__new__(Study)
    with pytest.raises(Ended, match=wrong) if wrong else nullcontext():
        assert study.refused() == f"{printed}\n"


def test_differences_name_the_place() -> None:
    one = {"a": [1, {"b": 2}], "c": 3}
    assert list(differences(one, one)) == []
    assert list(differences(one, {"a": [1, {"b": 4}], "c": 3})) == [".a[1].b: 2 and 4"]
    assert list(differences(one, {"a": [1, {"b": 2}]})) == [".c is missing"]
    assert list(differences({"a": [1]}, {"a": [1, 2]})) == [".a: [1] and [1, 2]"]
