"""A study that is killed and goes on: a short part of what `make faults` does for hours."""

from __future__ import annotations

from pathlib import Path

import pytest
from studies import Ended, Study, asleep, differences, ended, kill_all


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


def test_a_command_that_should_fail_needs_a_sentence(tmp_path: Path) -> None:
    study = Study(tmp_path)
    study.more = ["--seeds", "x"]
    assert study.refused(code=2) == "error: --seeds takes whole numbers from 0, with commas, not 'x'.\n"
    assert ended(study.start())[0] == 2
    with pytest.raises(Ended, match="not 1"):
        study.refused()


def test_differences_name_the_place() -> None:
    one = {"a": [1, {"b": 2}], "c": 3}
    assert list(differences(one, one)) == []
    assert list(differences(one, {"a": [1, {"b": 4}], "c": 3})) == [".a[1].b: 2 and 4"]
    assert list(differences(one, {"a": [1, {"b": 2}]})) == [".c is missing"]
    assert list(differences({"a": [1]}, {"a": [1, 2]})) == [".a: [1] and [1, 2]"]
