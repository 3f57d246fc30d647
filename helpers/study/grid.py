"""Run a plan's jobs: in order, several at a time where that disturbs no measurement, with a line for each."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait

from filelock import FileLock, Timeout

from helpers.artifacts import default_folder
from helpers.environment import RunError
from helpers.study.jobs import Job, execute

__all__ = ["run"]

HEARTBEAT = 300  # seconds without news after which a line says that work goes on


def run(jobs: Sequence[Job], *, workers: int, again: bool = False) -> list[tuple[Job, str]]:
    """Run the jobs that are not done, one study at a time; return those that failed, with the reason (see `_run`).

    Raises `RunError` while another study uses the same artifacts: its work would be inside this one's times.
    """
    folder = default_folder() / "runs"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / ".lock", timeout=0):
            return _run(jobs, workers=workers, again=again)
    except Timeout as error:
        raise RunError(
            f"Another study is at work on the artifacts in {folder.parent}; wait for it, or set STUDY_ARTIFACTS."
        ) from error
    except OSError as error:
        raise RunError(f"{folder} cannot be written ({error.strerror}); make room, or set STUDY_ARTIFACTS.") from error


def _run(jobs: Sequence[Job], *, workers: int, again: bool) -> list[tuple[Job, str]]:
    """Run the jobs that are not done; return those that failed, with the reason.

    Jobs of different tasks or seeds may run side by side; those that measure time are alone. After a failure of a
    notebook that makes the models, that task and seed's others are left out; everything else goes on.
    """
    waiting = [job for job in jobs if again or not job.done()]
    for job in jobs:
        if job not in waiting:
            print(f"           {job}: done before", flush=True)
    began, finished, failures = time.monotonic(), 0, []
    times: list[float] = []
    with ThreadPoolExecutor(max_workers=max(1, workers)) as pool:
        running: dict[Future, tuple[Job, float]] = {}
        while waiting or running:
            while (job := _next(waiting, [job for job, _ in running.values()], workers)) is not None:
                waiting.remove(job)
                if any((job.task, job.seed) == (bad.task, bad.seed) and bad.required for bad, _ in failures):
                    print(f"           {job}: left out, since it needs what failed", flush=True)
                    continue
                expected = job.expected()
                hint = f", about {expected:.0f} s" if expected else ""
                print(f"           {job}: started{hint}", flush=True)
                running[pool.submit(execute, job)] = (job, time.monotonic())
            if not running:
                continue
            done = wait(running, timeout=HEARTBEAT, return_when=FIRST_COMPLETED).done
            if not done:
                at_work = ", ".join(f"{job} for {_clock(time.monotonic() - start)}" for job, start in running.values())
                print(f"           still running: {at_work}; {_clock(time.monotonic() - began)} so far", flush=True)
            for future in done:
                job, start = running.pop(future)
                finished += 1
                reason = future.result()
                if reason:
                    failures.append((job, reason))
                spent = time.monotonic() - began
                times.append(time.monotonic() - start)
                total, left = finished + len(running) + len(waiting), _left(waiting, times, workers)
                print(
                    f"[{finished:3}/{total}] {job}: {'FAILED' if reason else 'done'} in "
                    f"{time.monotonic() - start:.0f} s; {_clock(spent)} so far, about {_clock(left)} left",
                    flush=True,
                )
    return failures


def _next(waiting: Sequence[Job], running: Sequence[Job], workers: int) -> Job | None:
    """Return the first waiting job that may start. One that measures time waits for all before it.

    Another passes those that have to wait, but not the earlier notebooks of its own task and seed.
    """
    passed: set[tuple[str | None, int | None]] = set()
    for job in waiting:
        own = (job.task, job.seed)
        if own not in passed and not (job.alone and passed) and _may_start(job, running, workers):
            return job
        passed.add(own)
    return None


def _may_start(job: Job, running: Sequence[Job], workers: int) -> bool:
    """A run that measures time is alone; another waits for the earlier notebooks of its own task and seed only."""
    if not running:
        return True
    side_by_side = not job.alone and not any(other.alone for other in running)
    own = (job.task, job.seed)
    return side_by_side and len(running) < workers and all((other.task, other.seed) != own for other in running)


def _left(waiting: Sequence[Job], times: Sequence[float], workers: int) -> float:
    """Return the seconds that the waiting jobs will take; one of which nothing is known takes as long as the others."""
    expected = [job.expected() or statistics.fmean(times) for job in waiting]
    alone = sum(seconds for job, seconds in zip(waiting, expected, strict=True) if job.alone)
    return alone + (sum(expected) - alone) / max(1, workers)


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02}"
