"""What is done to a study on purpose. Each function breaks one and raises `Ended` if it does not survive that.

A study survives if the same command, given again, ends well, if its records are those of an undisturbed one, times
aside, and if nothing that was finished is lost or done again.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import textwrap
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from random import Random
from typing import Any

from hubs import misbehaving_hub
from studies import Ended, Study, asleep, below, ended, kernels, kill_all

__all__ = ["BREAKS", "Break", "Tried"]

KILLS = 50
EARLY, LATE = 7.0, 40.0  # seconds after the command was given: what comes before is the reading of its input
DAMAGES = 12


@dataclass
class Tried:
    """How often something was done to a study, how often the study survived, and what it said otherwise."""

    tried: int = 0
    survived: int = 0
    during: Counter[str] = field(default_factory=Counter)  # unfinished steps at that moment
    wrong: list[str] = field(default_factory=list)

    @contextmanager
    def counted(self, times: int = 1) -> Iterator[None]:
        """Count what is done inside: survived unless `Ended` is raised."""
        try:
            yield
        except Ended as error:
            self.wrong.append(str(error))
        else:
            self.survived += times
        self.tried += times


@dataclass(frozen=True)
class Break:
    """One way to break a study. `run(folder, expected records, random numbers, how often)`."""

    name: str
    times: int
    run: Callable[[Path, dict[str, Any], Random, int], Tried]
    needs: Callable[[], bool] = lambda: True  # what not every machine has


def _kill_everything(process: subprocess.Popen[str], _: Random) -> None:
    kill_all(process)


def _kill_the_command(process: subprocess.Popen[str], _: Random) -> None:
    """Its notebooks' processes have to end by themselves."""
    left = kernels(process)
    process.kill()
    process.communicate()
    end = time.monotonic() + 10
    while any(one.is_running() for one in left):
        if time.monotonic() > end:
            raise Ended("a notebook goes on although its study was killed")
        time.sleep(0.1)


def _kill_a_notebook(process: subprocess.Popen[str], random: Random) -> None:
    """The command goes on with other runs, and says what was killed."""
    for one in kernels(process)[:1]:
        one.kill()
    code, _, error = ended(process)
    if code not in (0, 1) or "Traceback" in error:
        raise Ended(f"ended with {code} after its notebook was killed: {error[-400:]}")


def kill(folder: Path, expected: dict[str, Any], random: Random, times: int) -> Tried:
    """Kill a study at a random moment, again and again until it has ended; then begin another."""
    tried, number = Tried(), 0
    while tried.tried < times:
        study, number = Study(folder / f"study{number}"), number + 1
        before: dict[str, float] = {}
        kills, wrong = 0, ""
        try:
            while tried.tried + kills < times:
                process = study.start()
                if not asleep(process, random.uniform(EARLY, LATE)):
                    code, _, error = ended(process)
                    if code:
                        raise Ended(f"ended with {code}: {error[-400:]}")
                    break
                tried.during.update(study.stages() or ["between two steps"])
                random.choice([_kill_everything, _kill_the_command, _kill_a_notebook])(process, random)
                kills += 1
                after = study.finished()
                lost = [name for name, when in before.items() if after.get(name) != when]
                if lost:
                    raise Ended(f"lost or done again after a kill: {', '.join(lost[:3])}")
                before = after
            study.finish()
            study.check(expected, before)
        except Ended as error:
            wrong = str(error)
        tried.tried += kills
        tried.survived += kills * (not wrong)
        tried.wrong += [wrong] * bool(wrong)
        shutil.rmtree(study.tree.parent)
    return tried


def damage(folder: Path, expected: dict[str, Any], random: Random, times: int) -> Tried:
    """Flip a bit of a finished study's file, or cut it; give the command again."""
    tried, study = Tried(), Study(folder / "study")
    study.finish()
    for _ in range(times):
        with tried.counted():
            kept = [
                *study.artifacts.glob("*/*.safetensors"),
                *study.artifacts.glob("*/manifest.json"),
                *study.artifacts.glob("*/*.npy"),
                *(study.artifacts / "runs").glob("*/*.json"),
                *(study.tree / "results").glob("*/records/*.json"),
            ]
            file = random.choice(sorted(path for path in kept if path.stat().st_size))
            content = bytearray(file.read_bytes())
            if random.random() < 0.5:
                content[random.randrange(len(content))] ^= 1 << random.randrange(8)
                how = "bit"
            else:
                content = content[: random.randrange(len(content))]
                how = "cut"
            file.write_bytes(content)
            tried.during[f"{how}: {'record' if 'records' in file.parts else file.name}"] += 1
            # a damaged model is noticed when it is read: by a run that is done again
            study.more = [] if {"records", "runs"} & set(file.parts) else ["--again"]
            study.finish()
            study.more = []
            study.check(expected)
    return tried


CLOCK = """
import time
def back(function, unit):
    return lambda *given: function(*given) - {seconds} * unit
time.time, time.time_ns = back(time.time, 1), back(time.time_ns, 10**9)
"""


def clock(folder: Path, expected: dict[str, Any], random: Random, times: int) -> Tried:
    """Set the clock back by a day in the middle of a study: what it finished before lies in the future."""
    tried = Tried()
    for number in range(times):
        with tried.counted():
            study = Study(folder / f"study{number}")
            process = study.start()
            asleep(process, random.uniform(EARLY, LATE))
            kill_all(process)
            tomorrow = time.time() + 86400
            for file in study.artifacts.rglob("*"):
                os.utime(file, (tomorrow, tomorrow))
            before = study.finished()
            site = folder / f"site{number}"
            site.mkdir()
            (site / "sitecustomize.py").write_text(textwrap.dedent(CLOCK).format(seconds=3600))
            study.surroundings["PYTHONPATH"] = str(site)
            study.finish()
            study.check(expected, before)
    return tried


@contextmanager
def _small_disk(where: Path, megabytes: float) -> Iterator[Callable[[str], None]]:
    """Mount a disk of memory; yields a function that mounts it anew with other options."""

    def change(options: str) -> None:
        subprocess.run(["mount", "-o", f"remount,{options}", str(where)], check=True)

    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={round(1000 * megabytes)}k", "tmpfs", str(where)], check=True)
    try:
        yield change
    finally:
        subprocess.run(["umount", "-l", str(where)], check=True)


def may_mount() -> bool:
    """Tell whether disks can be mounted here."""
    return os.getuid() == 0 and sys.platform == "linux" and shutil.which("mount") is not None


def disk_full(folder: Path, expected: dict[str, Any], random: Random, times: int) -> Tried:
    """Give a study a disk that becomes full in its middle, then a larger one."""
    tried = Tried()
    for number in range(times):
        study = Study(folder / f"study{number}")
        with tried.counted(), _small_disk(study.artifacts, random.uniform(4, 60)) as change:
            tried.during.update(["between two steps"])
            study.refused()
            before = study.finished()
            change("size=2000m")
            study.finish()
            study.check(expected, before)
    return tried


def read_only(folder: Path, expected: dict[str, Any], random: Random, times: int) -> Tried:
    """Make a study's artifacts read-only, from its start or in its middle, then writable again."""
    tried = Tried()
    for number in range(times):
        study = Study(folder / f"study{number}")
        with tried.counted(), _small_disk(study.artifacts, 2000) as change:
            process = study.start()
            asleep(process, random.uniform(EARLY, LATE) * min(1, number))
            kill_all(process)
            change("ro")
            study.refused()
            before = study.finished()
            change("rw")
            study.finish()
            study.check(expected, before)
    return tried


def two_users(folder: Path, expected: dict[str, Any], random: Random, times: int) -> Tried:
    """Give the same command twice at once in one folder: one of them ends well, the other says why it does not."""
    tried = Tried()
    for number in range(times):
        study = Study(folder / f"study{number}")
        with tried.counted():
            both = [study.start(), study.start()]
            came = sorted((ended(one) for one in both), key=lambda one: one[0])
            if [one[0] for one in came] != [0, 1] or "Another study is at work" not in came[1][2]:
                raise Ended(f"not one of two: {[(code, error[-200:]) for code, _, error in came]}")
            study.check(expected)
    return tried


def two_checkouts(folder: Path, expected: dict[str, Any], random: Random, times: int) -> Tried:
    """Have two users run the same study at once, each in a folder of their own, with one shared place."""
    tried = Tried()
    for number in range(times):
        with tried.counted(2):
            both = [Study(folder / f"study{number}{name}") for name in "ab"]
            for study in both:
                study.surroundings["STUDY_SHARED"] = str(folder / f"shared{number}")
            started = [(study, study.start()) for study in both]
            if random.random() < 0.5:  # and one of them is killed
                asleep(started[0][1], random.uniform(EARLY, 2 * LATE))
                kill_all(started[0][1])
                started[0] = (both[0], both[0].start())
            for study, process in started:
                code, _, error = ended(process)
                if code:
                    raise Ended(f"ended with {code}: {error[-400:]}")
                study.check(expected)
    return tried


def has_dask() -> bool:
    """Tell whether the extra is installed."""
    return find_spec("distributed") is not None


def worker_killed(folder: Path, expected: dict[str, Any], random: Random, times: int) -> Tried:
    """Kill one of Dask's workers in the middle: the command itself goes on."""
    tried = Tried()
    for number in range(times):
        study = Study(folder / f"study{number}")
        study.more = ["--dask", "local:1"]
        with tried.counted():
            process = study.start()
            if asleep(process, random.uniform(EARLY + 5, 2 * LATE)):
                tried.during.update(study.stages() or ["between two steps"])
                for one in below(process, "spawn_main")[:1]:
                    one.kill()
            before = study.finished()
            code, _, error = ended(process)
            if code:
                raise Ended(f"ended with {code}: {error[-400:]}")
            study.check(expected, before)
    return tried


def scheduler_lost(folder: Path, expected: dict[str, Any], random: Random, times: int) -> Tried:
    """Kill Dask's scheduler in the middle: the command says so, and goes on with another scheduler."""
    tried = Tried()
    for number in range(times):
        study = Study(folder / f"study{number}")
        with tried.counted(), _cluster(study) as cluster:
            process = study.start()
            if asleep(process, random.uniform(EARLY + 5, 2 * LATE)):
                tried.during.update(study.stages() or ["between two steps"])
                cluster[0].kill()
                code, _, error = ended(process)
                if code != 1 or "scheduler was lost" not in error or "Traceback" in error:
                    raise Ended(f"ended with {code} without its scheduler: {error[-400:]}")
            else:
                ended(process)
            for one in cluster:
                one.kill()
                one.wait()
            before = study.finished()
            with _cluster(study):
                study.finish()
            study.check(expected, before)
    return tried


@contextmanager
def _cluster(study: Study) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Start a scheduler and a worker as a cluster has them, and give the study their address."""
    file = study.tree / "scheduler.json"
    file.unlink(missing_ok=True)
    surroundings = os.environ | {"STUDY_ARTIFACTS": str(study.artifacts), "OMP_NUM_THREADS": "1", "STUDY_PROGRESS": "0"}
    quiet = {"cwd": study.tree, "env": surroundings, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    scheduler = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--scheduler-file", str(file), "--port", "0"]
    worker = [sys.executable, "-m", "distributed.cli.dask_worker", "--scheduler-file", str(file), "--nthreads", "1"]
    started = [subprocess.Popen([*scheduler, "--dashboard-address", ":0"], **quiet)]
    try:
        end = time.monotonic() + 60
        while not file.exists() and time.monotonic() < end:
            time.sleep(0.2)
        study.more = ["--dask", json.loads(file.read_text())["address"]]
        started.append(subprocess.Popen([*worker, "--memory-limit", "0"], **quiet))
        yield started
    finally:
        for one in started:
            one.kill()
            one.wait()
        study.more = []


HUBS = ("half an answer", "wrong bytes", "an error", "another page", "few bytes a second", "no answer")


def hub(folder: Path, expected: dict[str, Any], random: Random, times: int) -> Tried:
    """Download a model from a hub that misbehaves, then, with the same command, from one that does not."""
    tried, study = Tried(), Study(folder / "study")
    for manner in HUBS[:times]:
        with tried.counted(), misbehaving_hub(folder / manner) as server:
            tried.during[manner] += 1
            surroundings = os.environ | {"HF_ENDPOINT": server.address, "HF_HOME": str(folder / manner / "home")}
            surroundings |= {"HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
            command = [sys.executable, "-m", "helpers.hub", "some/model"]
            quiet = {"cwd": study.tree, "env": surroundings, "capture_output": True, "text": True, "check": False}
            server.manner = manner
            first = subprocess.run(command, timeout=300, **quiet)
            slow = manner == "few bytes a second"
            said = [line for line in first.stderr.splitlines() if line.startswith("error: ")]  # beside progress bars
            if first.returncode != int(not slow) or len(said) != first.returncode or "Traceback" in first.stderr:
                raise Ended(f"{manner}: ended with {first.returncode}: {first.stderr[-400:]}")
            server.manner = ""
            again = subprocess.run(command, timeout=300, **quiet)
            if again.returncode or server.checksum not in again.stdout:
                raise Ended(f"after {manner}: ended with {again.returncode}: {again.stderr[-400:]}")
    return tried


BREAKS = (
    Break("kill -9 at a random moment", KILLS, kill),
    Break("a bit flipped or a file cut, of what is finished", DAMAGES, damage),
    Break("the clock set back", 2, clock),
    Break("a disk that becomes full", 4, disk_full, may_mount),
    Break("a folder that becomes read-only", 2, read_only, may_mount),
    Break("the same command twice at once in one folder", 2, two_users),
    Break("two checkouts with one shared place, at once", 2, two_checkouts),
    Break("a hub that answers slowly, wrongly or never", len(HUBS), hub),
    Break("a Dask worker killed", 4, worker_killed, has_dask),
    Break("Dask's scheduler killed", 3, scheduler_lost, has_dask),
)
