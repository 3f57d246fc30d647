"""A study on Slurm, as far as that can be tried without one: `sbatch` here starts the job's script on this machine."""

from __future__ import annotations

import os
import signal
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import pytest

from helpers.study import commands, slurm

needed = pytest.mark.skipif(not find_spec("dask_jobqueue"), reason="an extra: requirements-cluster.txt")


SBATCH = """#!/bin/bash
number=$(($(ls "{folder}" | grep -c script) + 1))
cp "$1" "{folder}/script.$number"
SLURM_JOB_ID=$number setsid bash "{folder}/script.$number" > "{folder}/printed.$number" 2>&1 < /dev/null &
echo $! > "{folder}/process.$number"
echo "Submitted batch job $number"
"""
SCANCEL = """#!/bin/bash
for number in "$@"; do kill -9 -- -$(cat "{folder}/process.$number"); done
"""


@pytest.fixture
def jobs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put a Slurm of this machine on the path; return the folder where its jobs' scripts are."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "jobs").mkdir()
    for name, text in (("sbatch", SBATCH), ("scancel", SCANCEL)):
        file = tmp_path / "bin" / name
        file.write_text(text.replace("{folder}", str(tmp_path / "jobs")))
        file.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    monkeypatch.delenv("STUDY_SHARED", raising=False)
    return tmp_path / "jobs"


def _end(job: Path) -> None:
    os.killpg(int(job.read_text()), signal.SIGKILL)


@needed
def test_jobs_of_slurm_are_workers_and_another_follows_one_that_ends(
    jobs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from distributed import Client

    seen: list[object] = []

    def study(words: list[str]) -> int:
        seen.append(words)
        with Client(words[2]) as client:
            where = {"pure": False}
            seen.append(client.submit(os.getcwd, **where).result(timeout=60))
            seen.append(client.submit(os.getenv, "STUDY_ARTIFACTS", **where).result(timeout=60))
            seen.append({one["nthreads"] for one in client.scheduler_info()["workers"].values()})
            _end(jobs / "process.1")
            end = time.monotonic() + 60
            while not (jobs / "script.2").exists() and time.monotonic() < end:
                time.sleep(0.2)
            client.wait_for_workers(1, timeout=60)
            seen.append(client.submit(os.getenv, "SLURM_JOB_ID", **where).result(timeout=60))
        return 3

    monkeypatch.setattr(commands, "main", study)
    words = [
        "--jobs",
        "1",
        "--partition",
        "short",
        "--memory",
        "1GB",
        "--directive=--gpus=1",
        "--",
        "--profile",
        "mini",
    ]
    assert slurm.main(words) == 3
    given, folder, artifacts, threads, job = seen
    assert given[:2] == ["run", "--dask"] and given[2].startswith("tcp://") and given[-2:] == ["--profile", "mini"]
    assert given[3] == "--shared" and given[4].endswith("artifacts/shared")
    assert folder == str(slurm.ROOT) and artifacts.endswith("/study-1") and threads == {1} and job == "2"
    script = (jobs / "script.1").read_text()
    for line in ("#SBATCH -p short", "#SBATCH --cpus-per-task=2", "#SBATCH --exclusive", "#SBATCH --gpus=1"):
        assert line in script.splitlines()


@needed
def test_no_job_that_begins_is_one_line(
    jobs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (jobs.parent / "bin" / "sbatch").write_text("#!/bin/bash\necho Submitted batch job 1\n")
    (jobs.parent / "bin" / "scancel").write_text("#!/bin/bash\n")
    monkeypatch.setattr(commands, "main", lambda words: pytest.fail("there is no worker"))
    assert slurm.main(["--jobs", "1", "--patience", "1"]) == 1
    assert capsys.readouterr().err.endswith("error: No job has begun within 1 s; see `squeue --me`.\n")


def test_without_the_extra_it_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(sys.modules, "dask_jobqueue.slurm", None)
    assert slurm.main([]) == 2
    assert "pip install -r requirements-cluster.txt" in capsys.readouterr().err
