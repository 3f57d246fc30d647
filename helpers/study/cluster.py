"""Run a plan's jobs on Dask: on workers of this machine or of a cluster, what they share before them."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import contextmanager
from typing import NamedTuple

import dask
import distributed

from helpers.artifacts import SHARED
from helpers.environment import InputError, RunError
from helpers.study import graph, planning, worker
from helpers.study.graph import Beginning
from helpers.study.grid import LEFT_OUT, only_study
from helpers.study.jobs import Job, execute
from helpers.study.progress import Progress
from helpers.study.worker import Orders, Outcome

__all__ = ["check", "run"]

LOCAL = "local:"
_CONNECT = 10  # seconds to wait for a scheduler
_LOOK = 2  # seconds between two looks at the scheduler


class _Task(NamedTuple):
    """A task that was handed over: its future, what it waits for, and the job that it is or that names it."""

    future: distributed.Future
    before: Sequence[str | Job]
    job: Job


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
    slots = [one["nthreads"] for one in client.scheduler_info(n_workers=-1)["workers"].values()]
    if any(number != 1 for number in slots):
        raise InputError("A Dask worker here takes several tasks at a time; start each with --nthreads 1.")
    made = graph.made_from(jobs)
    # what needs no work any more shares nothing
    shared, needs = graph.beginnings({job: nodes for job, nodes in made.items() if job in grid})
    token = uuid.uuid4().hex[:6]  # a graph is not to be taken for one that was handed over before
    orders = Orders(planning.code_digest(), os.environ.get(SHARED), token if again else "")
    makers = {(job.task, job.seed): job for job in grid if job.required}
    tasks: dict[str | Job, _Task] = {}

    def submit(
        name: str | Job, function: Callable[..., Outcome], what: Job | Beginning, before: list, label: str
    ) -> None:
        behind = [tasks[other].future for other in before]
        future = client.submit(function, what, orders, *behind, key=f"{label}-{token}", pure=False)
        tasks[name] = _Task(future, before, what if isinstance(what, Job) else what.job)

    for one in shared:
        submit(one.key, worker.build, one, sorted(one.needs), one.key)
    for job in grid:
        maker = makers.get((job.task, job.seed), job)
        before = sorted(needs[job]) + ([maker] if maker is not job else [])
        submit(job, worker.run, job, before, f"{job.notebook.stem}-{job.task}-seed{job.seed}")
    progress.workers = max(1, len(slots))
    progress.aside(f"{len(tasks)} tasks", f"handed to {len(slots)} workers; dashboard: {client.dashboard_link}")
    return _collected(tasks, progress)


def _collected(tasks: dict[str | Job, _Task], progress: Progress) -> list[tuple[Job, str]]:
    """Wait for all tasks; write what came of jobs to this machine's folders, and return those that failed.

    A task that has been collected is forgotten, so that losing its worker does not bring it back.
    """
    failures: list[tuple[Job, str]] = []
    broken: set[str | Job] = set()
    while tasks:
        futures = [task.future for task in tasks.values()]
        try:
            done = distributed.wait(futures, timeout=_LOOK, return_when="FIRST_COMPLETED").done
        except TimeoutError:
            progress.still([f"{len(tasks)} tasks wait or run"])
            continue
        except CancelledError as error:
            raise RunError(
                "Dask's scheduler was lost; what has finished is kept, and the same command goes on from there."
            ) from error
        # in the order of the graph: what a task waits for has ended before it
        for name in [name for name, task in tasks.items() if task.future in done]:
            task = tasks.pop(name)
            outcome = Outcome(left_out=True) if broken & set(task.before) else _outcome(task.future)
            if outcome.reason or outcome.left_out:
                broken.add(name)
            if outcome.reason:
                about = "" if isinstance(name, Job) else f"{name}, which it starts from: "
                failures.append((task.job, f"{about}{outcome.reason}"))
            if isinstance(name, str):
                progress.aside(f"{name}, which several start from", outcome.reason or outcome.said or LEFT_OUT)
            elif outcome.left_out:
                progress.aside(name, LEFT_OUT)
            else:
                worker.keep(name, outcome.files)
                waiting = [other for other in tasks if isinstance(other, Job)]
                progress.ended(name, outcome.reason, outcome.seconds, running=0, waiting=waiting)
                if outcome.said:
                    progress.aside(name, outcome.said)
    return failures


def _outcome(future: distributed.Future) -> Outcome:
    """Return what came of a task, also of one that ended otherwise than by itself."""
    try:
        return future.result()
    except distributed.KilledWorker:
        return Outcome(reason="the workers that took it up were killed, one after the other, as when memory runs out.")
    except Exception as error:  # whatever went wrong on a worker: it failed there, and others go on
        return Outcome(reason=f"{type(error).__name__} on its worker: {error}")
