"""A study in a copy of the tree: its command, and what must be the same after it was broken."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import psutil
import yaml

__all__ = ["Ended", "Study", "asleep", "below", "differences", "ended", "kernels", "kill_all"]

ROOT = Path(__file__).resolve().parents[2]
PROFILE = "broken"
# what may differ from run to run: times, the moment, memory, and the machine at that moment
CHANGING = (
    *("seconds", "latency", "created", "code", "environment", "minutes", "load", "speed", "memory", "bound"),
    "mask_filling_factor",  # how much faster in batches
)
PATIENCE = 900.0  # seconds for a command


class Ended(Exception):
    """What a study should not have done."""


def small_profile() -> dict[str, Any]:
    """Return a profile that passes through every kind of stage in about a minute."""
    values = yaml.safe_load((ROOT / "notebooks" / "params" / "mini.yaml").read_text(encoding="utf-8"))
    values["language_model_shape"] |= {"hidden_size": 64, "num_hidden_layers": 2, "intermediate_size": 128}
    values["student_shape"] |= {"hidden_size": 32, "num_hidden_layers": 1, "intermediate_size": 64}
    values |= {"pretraining_steps": 300, "general_steps": 120, "augmentation_variants": 2}
    values |= {"teacher_epochs": 2, "intermediate_epochs": 1, "prediction_epochs": 1}
    values |= {"latency_repeats": 3, "latency_max_batches": 2, "recovery_amounts": [0.7]}
    values["tasks"] = {}
    values["study"] = {"tasks": ["sst2"], "seeds": [0], "workers": 1}
    return values


class Study:
    """A copy of the tree with artifacts of its own, and the command that makes its records."""

    def __init__(
        self, folder: Path, *, notebooks: str = "01,02,03,04", more: Sequence[str] = (), profile: str = PROFILE
    ) -> None:
        self.tree, self.artifacts, self.profile = folder / "tree", folder / "artifacts", profile
        self.notebooks, self.more = notebooks, list(more)
        self.surroundings: dict[str, str] = {}
        self.tree.mkdir(parents=True)
        self.artifacts.mkdir()
        for name in ("helpers", "notebooks"):
            shutil.copytree(
                ROOT / name, self.tree / name, ignore=shutil.ignore_patterns("__pycache__", ".ipynb_checkpoints")
            )
        for name in ("README.md", "CITATION.cff"):
            shutil.copy(ROOT / name, self.tree / name)
        shutil.copytree(ROOT / "results" / "reported", self.tree / "results" / "reported")
        (self.tree / "notebooks" / "params" / f"{PROFILE}.yaml").write_text(yaml.safe_dump(small_profile()))

    # the command

    def start(self) -> subprocess.Popen[str]:
        """Start the study's command, with all its processes in a group of their own."""
        surroundings = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "STUDY"))}
        surroundings |= {"OMP_NUM_THREADS": "1", "STUDY_PROGRESS": "0", "HF_HUB_OFFLINE": "1"}
        surroundings |= {"GOMP_SPINCOUNT": "0", "STUDY_ARTIFACTS": str(self.artifacts)} | self.surroundings
        command = [sys.executable, "-m", "helpers.study", "run", "--profile", self.profile]
        return subprocess.Popen(
            [*command, "--notebooks", self.notebooks, *self.more],
            cwd=self.tree,
            env=surroundings,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def finish(self) -> None:
        """Give the command and expect that it ends well."""
        code, out, error = ended(self.start())
        if code:
            raise Ended(f"the same command ended with {code}: {(error or out)[-600:]}")

    def refused(self, code: int = 1) -> str:
        """Give the command and expect that it fails, with sentences of one line each; return them."""
        found, out, error = ended(self.start())
        lines = [line for line in error.splitlines() if line.strip()]
        if found != code:
            raise Ended(f"the command ended with {found}, not {code}: {(error or out)[-600:]}")
        if not lines or not all(line.startswith("error: ") and line.endswith(".") or "(see " in line for line in lines):
            raise Ended(f"no sentence: {error[-600:]}")
        return error

    # what it leaves

    def finished(self) -> dict[str, float]:
        """Return when each finished artifact and each note of a finished run was written."""
        manifests = self.artifacts.glob("*/manifest.json")
        notes = (self.artifacts / "runs").glob("*/*.json")
        return {str(path.relative_to(self.artifacts)): path.stat().st_mtime for path in (*manifests, *notes)}

    def stages(self) -> list[str]:
        """Return the steps that are unfinished."""
        return sorted(path.name.rpartition("-")[0] for path in (self.artifacts / ".building").glob("*-*"))

    def records(self) -> dict[str, Any]:
        """Return the records by name, without what may change."""
        files = sorted((self.tree / "results" / self.profile / "records").glob("*.json"))
        return {file.name: _lasting(json.loads(file.read_text(encoding="utf-8"))) for file in files}

    def check(self, expected: dict[str, Any], before: dict[str, float] | None = None) -> None:
        """Raise `Ended` unless the records are as expected and nothing that was finished is gone or was redone."""
        wrong = list(differences(self.records(), expected))
        if wrong:
            raise Ended(f"other records: {'; '.join(wrong[:3])}")
        after = self.finished()
        redone = [name for name, time in (before or {}).items() if after.get(name) != time]
        if redone:
            raise Ended(f"finished before, and lost or done again: {', '.join(redone[:3])}")


def ended(process: subprocess.Popen[str], *, patience: float = PATIENCE) -> tuple[int, str, str]:
    """Wait for a command; return its exit code and what it printed."""
    try:
        out, error = process.communicate(timeout=patience)
    except subprocess.TimeoutExpired as late:
        kill_all(process)
        raise Ended(f"the command did not end within {patience:.0f} s") from late
    return process.returncode, out, error


def kill_all(process: subprocess.Popen[str]) -> None:
    """Kill a command and all that it started, at once: notebooks' processes, too, which are in groups of their own."""
    started = below(process, "")
    with contextlib.suppress(ProcessLookupError):  # it has ended by itself
        os.killpg(process.pid, signal.SIGKILL)
    for one in started:
        with contextlib.suppress(psutil.NoSuchProcess):
            one.kill()
    psutil.wait_procs(started, timeout=10)
    process.communicate()


def kernels(process: subprocess.Popen[str]) -> list[psutil.Process]:
    """Return the processes in which a command's notebooks run."""
    return below(process, "ipykernel")


def below(process: subprocess.Popen[str], word: str) -> list[psutil.Process]:
    """Return the processes that a command started, directly or not, whose own command has a word in it."""
    found: list[psutil.Process] = []
    try:
        every = psutil.Process(process.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return found
    for one in every:
        with contextlib.suppress(psutil.Error):  # it has ended
            found += [one] * any(word in part for part in one.cmdline())
    return found


def asleep(process: subprocess.Popen[str], seconds: float) -> bool:
    """Wait so long, or until a command ends; tell whether it is still at work."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and process.poll() is None:
        time.sleep(0.05)
    return process.poll() is None


def _lasting(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _lasting(each) for name, each in value.items() if not any(word in name for word in CHANGING)}
    return [_lasting(each) for each in value] if isinstance(value, list) else value


def differences(one: Any, other: Any, where: str = "") -> Iterator[str]:
    """Yield where two values differ."""
    if isinstance(one, dict) and isinstance(other, dict):
        for name in one.keys() | other.keys():
            if name in one and name in other:
                yield from differences(one[name], other[name], f"{where}.{name}")
            else:
                yield f"{where}.{name} is missing"
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for place, pair in enumerate(zip(one, other, strict=True)):
            yield from differences(*pair, f"{where}[{place}]")
    elif one != other:
        yield f"{where}: {str(one)[:60]} and {str(other)[:60]}"
