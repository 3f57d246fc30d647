"""Run a plan's jobs: several at a time, each alone while it measures time, with a line for each."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager

import psutil
from filelock import FileLock, Timeout

from helpers.artifacts import default_folder
from helpers.environment import RunError
from helpers.study.jobs import Job, execute, turns_folder
from helpers.study.progress import Progress, clock

__all__ = ["LEFT_OUT", "only_study", "run"]

FULL = 50  # percent of the memory in use from which no run starts beside those that wait to measure
LEFT_OUT = "left out, since it needs what failed"
PAUSE = 0.2  # seconds between two looks at who waits to measure


def run(jobs: Sequence[Job], *, workers: int, again: bool = False) -> list[tuple[Job, str]]:
    """Run the jobs that are not done, one study at a time; return those that failed, with the reason (see `_run`)."""
    with only_study():
        return _run(jobs, workers=workers, again=again)


@contextmanager
def only_study() -> Iterator[None]:
    """Be the one study of these artifacts.

    Raises `RunError` while another one uses them: its work would be inside this one's times.
    """
    folder = default_folder() / "runs"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / ".lock", timeout=0).acquire()
    except Timeout as error:
        raise RunError(
            f"Another study is at work on the artifacts in {folder.parent}; wait for it, or set STUDY_ARTIFACTS."
        ) from error
    except OSError as error:
        raise RunError(f"{folder} cannot be written ({error.strerror}); make room, or set STUDY_ARTIFACTS.") from error
    with lock:
        yield


def _run(jobs: Sequence[Job], *, workers: int, again: bool) -> list[tuple[Job, str]]:
    """Run the jobs that are not done; return those that failed, with the reason.

    Jobs run side by side until they come to where they measure time: there each waits until all others have ended or
    wait, too, and measures while nothing else runs. After a failure of a notebook that makes the models, that task and
    seed's others are left out; everything else goes on.
    """
    waiting = [job for job in jobs if again or not job.done()]
    progress = Progress(workers)
    for job in jobs:
        if job not in waiting:
            progress.aside(job, "done before")
    failures = []
    with ThreadPoolExecutor(max_workers=3 * workers) as pool, _turns():
        running: dict[Future, tuple[Job, float]] = {}
        turns: list[Job] = []  # those that measure now, one after the other: the first is at it
        while waiting or running:
            at_work = [job for job, _ in running.values()]
            while not turns and (job := _next(waiting, at_work, workers)) is not None:
                waiting.remove(job)
                if any((job.task, job.seed) == (bad.task, bad.seed) and bad.required for bad, _ in failures):
                    progress.aside(job, LEFT_OUT)
                    continue
                progress.started(job)
                running[pool.submit(execute, job)] = (job, time.monotonic())
                at_work.append(job)
            if not running:
                continue
            if not turns and all(job.asks() for job in at_work):
                turns = at_work
            if turns:
                turns[0].turn.unlink(missing_ok=True)
            done = wait(running, timeout=PAUSE, return_when=FIRST_COMPLETED).done
            if not done:
                progress.still(f"{job} for {clock(time.monotonic() - start)}" for job, start in running.values())
            for future in done:
                job, start = running.pop(future)
                reason = future.result()
                if reason:
                    failures.append((job, reason))
                progress.ended(job, reason, time.monotonic() - start, running=len(running), waiting=waiting)
                turns = [other for other in turns if other != job]
    return failures


def _next(waiting: Sequence[Job], running: Sequence[Job], workers: int) -> Job | None:
    """Return the first waiting job that may start: one over all tasks waits for all before it.

    Another passes those that have to wait, but not the notebook that makes its own task and seed's models. Those that
    wait to measure take no worker's place.
    """
    at_work = [job for job in running if not job.asks()]
    if len(at_work) >= workers or len(running) >= _most(workers) or any(job.task is None for job in running):
        return None
    for place, job in enumerate(waiting):
        if _may_start(job, waiting[:place], running):
            return job
    return None


def _may_start(job: Job, before: Sequence[Job], running: Sequence[Job]) -> bool:
    """Tell whether what a job needs is made; `before` are the jobs that come first and have not started either."""
    others = (*before, *running)
    if job.task is None:
        return not others
    return all((other.task, other.seed) != (job.task, job.seed) for other in others if other.required)


def _most(workers: int) -> int:
    """Return how many runs there may be, at work or waiting to measure: each holds its models in memory."""
    some_wait = workers > 1 and psutil.virtual_memory().percent < FULL
    return 3 * workers if some_wait else workers


@contextmanager
def _turns() -> Iterator[None]:
    """Make the folder in which this study's runs ask for their turn; what waits there when it goes ends, too."""
    every = turns_folder().parent
    shutil.rmtree(every, ignore_errors=True)  # of a study that was killed
    turns_folder().mkdir(parents=True)
    try:
        yield
    finally:
        shutil.rmtree(every, ignore_errors=True)
