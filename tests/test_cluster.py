"""A study on Dask: in the right order, on workers that fail, with others' code, and without a scheduler."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import throwaway

from helpers import records
from helpers.artifacts import MANIFEST, SHARED, Store
from helpers.environment import InputError, RunError
from helpers.study import commands, planning
from helpers.study.jobs import Job

distributed = pytest.importorskip("distributed", reason="an extra: requirements-cluster.txt")

from helpers.study import cluster, worker  # noqa: E402 - they need the extra


class Papermill:
    """Stand-in for the kernels: writes what a run leaves, or fails."""

    def __init__(self, failing: dict[str, str]) -> None:
        self.failing, self.ran, self.lock = failing, [], threading.Lock()

    def __call__(self, job: Job) -> str:
        with self.lock:
            self.ran.append(str(job))
        if str(job) in self.failing:
            return self.failing[str(job)]
        if job.records:
            file = records.path(job.records, job.notebook.stem, job.task, job.seed)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(str(job))
        job.output.parent.mkdir(parents=True, exist_ok=True)
        job.output.write_text("notebook")
        from helpers.study import jobs

        jobs.remember(job, seconds=1.0)
        return ""


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    throwaway.house(tmp_path, monkeypatch, "03_second")
    throwaway.write(tmp_path / "notebooks", "01_first", throwaway.TELL, required=True)
    return tmp_path


@pytest.fixture
def address() -> Iterator[str]:
    quiet = {"processes": False, "dashboard_address": ":0", "silence_logs": "CRITICAL"}
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, **quiet) as local:
        yield local.scheduler_address


def plan(**given: object) -> list[Job]:
    return planning.plan("mini", **({"tasks": ["sst2", "rte"], "seeds": [0]} | given))[0]


@pytest.fixture
def go(monkeypatch: pytest.MonkeyPatch, address: str):
    """Run jobs with stand-ins for kernels and trainings; return what ran, what was built, and what failed."""

    def run(order: list[Job], *, failing: dict[str, str] | None = None, **given: object):
        papermill, built = Papermill(failing or {}), []
        monkeypatch.setattr(worker, "execute", papermill)
        monkeypatch.setattr(cluster, "execute", papermill)
        monkeypatch.setattr(worker, "make", lambda beginning: built.append(beginning.key) or worker.Outcome())
        failures = cluster.run(order, address=address, **given)
        return papermill.ran, built, failures

    return run


def test_a_shared_beginning_is_built_once_and_each_waits_for_what_it_needs(house: Path, go) -> None:
    ran, built, failures = go(plan())
    assert failures == []
    assert len(built) == 1 and built[0].startswith("distil_on_text-")
    assert sorted(ran) == sorted(str(job) for job in plan())
    for task in ("sst2", "rte"):
        assert ran.index(f"01_first {task} seed 0") < ran.index(f"03_second {task} seed 0")
    assert all(job.done() for job in plan())


def test_what_is_done_is_not_done_again(house: Path, go) -> None:
    go(plan())
    assert go(plan()) == ([], [], [])
    assert len(go(plan(), again=True)[0]) == 4


def test_a_failure_leaves_out_what_needs_it_and_nothing_else(
    house: Path, go, capsys: pytest.CaptureFixture[str]
) -> None:
    ran, _, failures = go(plan(), failing={"01_first rte seed 0": "it broke"})
    assert [(str(job), reason) for job, reason in failures] == [("01_first rte seed 0", "it broke")]
    assert "03_second rte seed 0" not in ran and "03_second sst2 seed 0" in ran
    assert "03_second rte seed 0: left out, since it needs what failed" in capsys.readouterr().out


def test_a_worker_with_other_code_is_refused(house: Path, go, monkeypatch: pytest.MonkeyPatch) -> None:
    order = plan()
    digests = iter(["planned"])
    monkeypatch.setattr(planning, "code_digest", lambda: next(digests, "another"))
    ran, built, failures = go(order)
    assert ran == built == []
    ((job, reason),) = failures
    assert "which it starts from: worker" in reason and "has other code" in reason
    assert not any(job.done() for job in order)


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ("of other files", "reads other rows or another text (generated, generated) than this study; give both the"),
        (InputError("The folder glue does not exist."), "The folder glue does not exist."),
    ],
)
def test_a_worker_with_other_rows_is_refused(
    house: Path, go, monkeypatch: pytest.MonkeyPatch, found: str | InputError, said: str
) -> None:
    order = plan(tasks=["sst2"])

    def read(_: object) -> str:
        if isinstance(found, InputError):
            raise found
        return found

    monkeypatch.setattr(planning, "check_input", read)
    worker._read.cache_clear()
    ran, _, failures = go(order)
    worker._read.cache_clear()
    assert ran == [] and [str(job) for job, _ in failures] == ["01_first sst2 seed 0"]
    assert failures[0][1].startswith("worker ") and said in failures[0][1]


def test_an_error_on_a_worker_is_one_job_s(house: Path, go, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "turns_folder", lambda: 1 / 0)
    _, _, failures = go(plan(tasks=["sst2"]))
    assert [str(job) for job, _ in failures] == ["01_first sst2 seed 0"]
    assert "ZeroDivisionError on its worker" in failures[0][1]


def test_another_machine_takes_up_what_the_first_has_finished(house: Path, go, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SHARED, str(house / "shared"))
    go(plan())
    monkeypatch.setenv("STUDY_ARTIFACTS", str(house / "elsewhere"))
    for file in house.glob("results/*/records/*"):
        file.unlink()
    assert go(plan())[0] == []
    assert len(list(house.glob("results/mini/records/*"))) == 4
    assert all(job.done() for job in plan())


def test_a_beginning_that_is_stored_is_not_built(house: Path, address: str) -> None:
    from helpers.study import graph

    order = plan()
    beginning = graph.beginnings(graph.made_from(order))[0][0]
    folder = Store().folder / beginning.key
    folder.mkdir(parents=True)
    (folder / MANIFEST).write_text("{}")
    orders = worker.Orders(planning.code_digest(), None)
    with distributed.Client(address) as client:
        assert client.submit(worker.build, beginning, orders).result().said == "stored before"


def test_each_worker_of_a_machine_takes_a_gpu_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: dict[str, str] = {}
    monkeypatch.setattr(worker.torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(worker.os, "environ", taken)
    for name, gpu in ((0, "0"), (1, "1"), (2, "0")):
        monkeypatch.setattr(worker.distributed, "get_worker", lambda name=name: SimpleNamespace(name=name))
        taken.clear()
        worker._take_device()
        assert taken == {"CUDA_VISIBLE_DEVICES": gpu}
    monkeypatch.setattr(worker.distributed, "get_worker", lambda: SimpleNamespace(name="tcp://10.0.0.1:4"))
    taken.clear()
    worker._take_device()
    assert taken == {}, "a cluster gives out its own"


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ("local:0", "at least 1, not '0'"),
        ("local:x", "not 'x'"),
        ("host", "takes local:N or"),
        ("local:99", "do not fit"),
    ],
)
def test_a_wrong_address_is_one_line(house: Path, given: str, named: str) -> None:
    with pytest.raises(InputError, match=named):
        cluster.run(plan(), address=given)


def test_no_scheduler(house: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "_CONNECT", 1)
    with pytest.raises(RunError, match="No Dask scheduler answers at tcp://127.0.0.1:9"):
        cluster.run(plan(), address="tcp://127.0.0.1:9")


def test_workers_and_a_cluster_exclude_each_other(house: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert commands.main(["run", "--dask", "local:1", "--workers", "2"]) == 2
    assert "leave --workers out" in capsys.readouterr().err
