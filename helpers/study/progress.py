"""The lines that a study prints while it runs."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterable, Sequence

from helpers.study.jobs import Job

__all__ = ["Progress", "clock"]

HEARTBEAT = 300  # seconds without news after which a line says that work goes on


class Progress:
    """What has finished of a study, how long it took, and about how long the rest will take."""

    def __init__(self, workers: int) -> None:
        self.workers = max(1, workers)
        self._began = self._said = time.monotonic()
        self._times: list[float] = []

    def aside(self, what: object, said: str) -> None:
        """Print a line about something that is no job that ended."""
        print(f"           {what}: {said}", flush=True)

    def started(self, job: Job) -> None:
        """Print that a job has begun, and the time to expect."""
        expected = job.expected()
        self.aside(job, f"started{f', about {expected:.0f} s' if expected else ''}")

    def ended(self, job: Job, reason: str, seconds: float, *, running: int, waiting: Sequence[Job]) -> None:
        """Print that a job has ended; `seconds` count where it remembers no time of its own."""
        self._said = time.monotonic()
        # without the time in which it waited to measure
        self._times.append(job.remembered().get("seconds", seconds))
        total, so_far = len(self._times) + running + len(waiting), self._said - self._began
        print(
            f"[{len(self._times):3}/{total}] {job}: {'FAILED' if reason else 'done'} in {self._times[-1]:.0f} s; "
            f"{clock(so_far)} so far, about {clock(self._left(waiting))} left",
            flush=True,
        )

    def still(self, running: Iterable[str]) -> None:
        """Print what runs, if nothing was said for long."""
        now = time.monotonic()
        if now - self._said > HEARTBEAT:
            self._said = now
            so_far = clock(now - self._began)
            self.aside("still running", f"{', '.join(running)}; {so_far} so far")

    def _left(self, waiting: Sequence[Job]) -> float:
        """Return the seconds that jobs will take; one of which nothing is known takes as long as the others."""
        return sum(job.expected() or statistics.fmean(self._times) for job in waiting) / self.workers


def clock(seconds: float) -> str:
    """Return minutes and seconds."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02}"
