"""Run a plan's jobs on Dask: on workers of this machine or of a cluster, what they share before them."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import dask
import distributed

from helpers.artifacts import SHARED
from helpers.environment import InputError, RunError
from helpers.study import graph, planning, worker
from helpers.study.grid import LEFT_OUT, only_study
from helpers.study.jobs import Job, execute
from helpers.study.progress import Progress
from helpers.study.worker import Orders, Outcome

__all__ = ["check", "run"]

LOCAL = "local:"
_CONNECT = 10  # seconds to wait for a scheduler
_LOOK = 2  # seconds between two looks at the scheduler
_RECONNECT = 30  # seconds in which a scheduler that was lost may come back


def check(address: str, jobs: Sequence[Job]) -> None:
    """Raise `InputError` for an address that is none, or more runs at a time than this machine has cores for."""
    if not address.startswith(LOCAL):
        if ":" not in address:
            raise InputError(f"--dask takes local:N or a scheduler's address such as tcp://host:8786, not {address!r}.")
        return
    number = address.removeprefix(LOCAL)
    if not number.isdecimal() or int(number) < 1:
        raise InputError(f"--dask local:N takes the number of workers, at least 1, not {number!r}.")
    threads, cores = max((job.threads for job in jobs), default=1), os.cpu_count() or 1
    if int(number) > 1 and int(number) * threads > cores:
        raise InputError(
            f"{number} runs of {threads} threads each do not fit on {cores} cores, where they would slow each other "
            f"down; take local:{max(1, cores // threads)}, or fewer threads with -p threads."
        )


def run(jobs: Sequence[Job], *, address: str, again: bool = False) -> list[tuple[Job, str]]:
    """Run the jobs that are not done, one study at a time; return those that failed, with the reason.

    What several jobs start from is built once, before them. A worker that is lost costs what it was at, and another one
    takes that up. Jobs over all tasks run here, at the end. Raises `RunError` if the scheduler cannot be reached or is
    lost; what has finished by then is kept.
    """
    check(address, jobs)
    with only_study():
        waiting = [job for job in jobs if again or not (job.done() or worker.stored(job))]
        failures: list[tuple[Job, str]] = []
        progress = Progress(1)
        for job in jobs:
            if job not in waiting:
                progress.aside(job, "done before")
        grid = [job for job in waiting if job.recipe is not None]
        if grid:
            with _client(address) as client:
                failures = _on(client, grid, jobs, progress, again=again)
        for job in (job for job in waiting if job.recipe is None):
            began = time.monotonic()
            reason = execute(job)
            failures += [(job, reason)] if reason else []
            progress.ended(job, reason, time.monotonic() - began, running=0, waiting=[])
    return failures


@contextmanager
def _client(address: str) -> Iterator[distributed.Client]:
    """Connect to a scheduler, or start one with its workers on this machine and end them afterwards."""
    settings = {"distributed.comm.timeouts.connect": f"{_CONNECT}s", "distributed.admin.log-format": "%(message)s"}
    with dask.config.set(settings):
        if address.startswith(LOCAL):
            # memory is the runs' own, each a process of its own: Dask's limit would only count its small worker's
            one_each = {"n_workers": int(address.removeprefix(LOCAL)), "threads_per_worker": 1, "memory_limit": 0}
            with (
                distributed.LocalCluster(**one_each, silence_logs="CRITICAL") as cluster,
                distributed.Client(cluster) as client,
            ):
                yield client
            return
        try:
            client = distributed.Client(address, timeout=_CONNECT)
        except (OSError, ValueError) as error:
            raise RunError(f"No Dask scheduler answers at {address}; start one there, or take local:N.") from error
        with client:
            yield client


def _on(
    client: distributed.Client, grid: Sequence[Job], jobs: Sequence[Job], progress: Progress, *, again: bool
) -> list[tuple[Job, str]]:
    """Hand a graph of beginnings and jobs to a scheduler; keep what comes of each as it ends."""
    made = graph.made_from(jobs)
    # what needs no work any more shares nothing
    shared, needs = graph.beginnings({job: nodes for job, nodes in made.items() if job in grid})
    orders = Orders(planning.helpers_digest(), os.environ.get(SHARED), again)
    token = uuid.uuid4().hex[:6]  # a graph is not to be taken for one that was handed over before
    futures: dict[str | Job, distributed.Future] = {}
    behind: dict[str | Job, list[distributed.Future]] = {}
    for beginning in shared:
        before = behind[beginning.key] = [futures[key] for key in sorted(beginning.needs)]
        key = f"{beginning.key}-{token}"
        futures[beginning.key] = client.submit(worker.build, beginning, orders, *before, key=key, pure=False)
    for job in grid:
        before = [futures[key] for key in sorted(needs[job])]
        makers = [other for other in grid if other.required and (other.task, other.seed) == (job.task, job.seed)]
        before += [futures[maker] for maker in makers if maker is not job]
        behind[job] = before
        key = f"{job.notebook.stem}-{job.task}-seed{job.seed}-{token}"
        futures[job] = client.submit(worker.run, job, orders, *before, key=key, pure=False)
    workers = len(client.scheduler_info(n_workers=-1)["workers"])
    progress.workers = max(1, workers)
    progress.aside(f"{len(futures)} tasks", f"handed to {workers} workers; dashboard: {client.dashboard_link}")
    return _collected(client, futures, behind, progress)


def _collected(
    client: distributed.Client,
    futures: Mapping[str | Job, distributed.Future],
    behind: Mapping[str | Job, Sequence[distributed.Future]],
    progress: Progress,
) -> list[tuple[Job, str]]:
    """Wait for all tasks; write what came of jobs to this machine's folders, and return those that failed."""
    failures: list[tuple[Job, str]] = []
    left = {future.key: name for name, future in futures.items()}
    began = time.monotonic()
    lost = 0.0
    while left:
        some = [futures[name] for name in left.values()]
        try:
            done = distributed.wait(some, timeout=_LOOK, return_when="FIRST_COMPLETED").done
        except TimeoutError:
            done = set()
        lost = 0.0 if client.status == "running" else lost + _LOOK
        if lost > _RECONNECT or any(future.status in ("cancelled", "lost") for future in some):
            raise RunError(
                "Dask's scheduler was lost; what has finished is kept, and the same command goes on from there."
            )
        if not done:
            progress.still([f"{len(left)} tasks wait or run"])
        for future in done:
            name = left.pop(future.key)
            outcome = _outcome(future, behind[name])
            if isinstance(name, str):
                progress.aside(f"{name}, which several start from", outcome.reason or outcome.said or LEFT_OUT)
            elif outcome.left_out:
                progress.aside(name, LEFT_OUT)
            else:
                worker.keep(name, outcome.files)
                failures += [(name, outcome.reason)] if outcome.reason else []
                waiting = [other for other in left.values() if isinstance(other, Job)]
                progress.ended(name, outcome.reason, time.monotonic() - began, running=0, waiting=waiting)
    return failures


def _outcome(future: distributed.Future, behind: Sequence[distributed.Future]) -> Outcome:
    """Return what came of a task, also of one that ended otherwise than by itself, or did not begin for that."""
    if any(other.status == "error" for other in behind):
        return Outcome(left_out=True)
    try:
        return future.result()
    except distributed.KilledWorker:
        return Outcome(reason="the workers that took it up were killed, one after the other, as when memory runs out.")
    except Exception as error:  # whatever went wrong on a worker: it failed there, and others go on
        return Outcome(reason=f"{type(error).__name__} on its worker: {error}")
