"""Who measures time on a machine is alone there."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import psutil

from helpers.study.jobs import LIFELINE
from helpers.study.machine import at_work

HOLD = """\
import sys, time, pathlib
from helpers.study.machine import at_work
with at_work(pathlib.Path(sys.argv[1])):
    print("here", flush=True)
    time.sleep(60)
"""


def test_one_measures_when_all_others_have_ended_or_wait_too(tmp_path: Path) -> None:
    with at_work(tmp_path) as first:
        with at_work(tmp_path) as second, at_work(tmp_path) as third:
            assert not first.alone()
            assert not second.alone(), "the third works"
        del third
        assert first.alone()
        assert first.alone(), "asked again"


def test_of_two_that_wait_one_measures_and_the_other_when_it_has_ended(tmp_path: Path) -> None:
    with at_work(tmp_path) as first:
        with at_work(tmp_path) as second:
            assert not first.alone()
            assert second.alone()
            assert not first.alone()
        assert first.alone()


def test_a_process_that_is_killed_holds_no_place(tmp_path: Path) -> None:
    with at_work(tmp_path) as first:
        other = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
        assert other.stdout is not None and other.stdout.readline() == "here\n"
        assert not first.alone()
        other.kill()
        other.wait(timeout=60)
        assert first.alone()


RUN = f"{LIFELINE}; import pathlib, time; pathlib.Path(sys.argv[1]).touch(); time.sleep(60)"
STARTS = f"""\
import os, sys
from helpers.study.jobs import run_beside
run_beside([sys.executable, "-c", {RUN!r}, sys.argv[1]], os.environ)
"""


def test_a_run_ends_with_the_process_that_started_it(tmp_path: Path) -> None:
    study = subprocess.Popen([sys.executable, "-c", STARTS, str(tmp_path / "runs")])
    until = time.monotonic() + 60
    while not (tmp_path / "runs").exists() and time.monotonic() < until:
        time.sleep(0.05)
    (run,) = psutil.Process(study.pid).children()
    study.kill()
    study.wait(timeout=60)
    run.wait(timeout=10)  # it would sleep for a minute
    assert not run.is_running()
