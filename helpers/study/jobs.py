"""One job of a study: a notebook executed by papermill for one task and seed, and what is remembered of it."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nbformat
import papermill
import yaml
from nbformat import NotebookNode
from PIL import Image

from helpers import latency
from helpers.artifacts import default_folder
from helpers.environment import RunError
from helpers.profiles import Recipe
from helpers.records import path as record_path
from helpers.records import write_text

__all__ = ["LIFELINE", "Job", "around", "execute", "refresh", "remember", "run_beside", "turns_folder"]

# papermill's command. Most of its start would go into an optional grammar of web addresses that jsonschema looks for.
PAPERMILL = "import sys; sys.modules['rfc3987_syntax'] = None; from papermill.cli import papermill; papermill()"
# and before it, what ends a process together with the one that started it, killed or not: the pipe between them closes
LIFELINE = (
    "import os, sys, threading; threading.Thread(target=lambda: (sys.stdin.read(), os._exit(9)), daemon=True).start()"
)


@dataclass(frozen=True)
class Job:
    """One papermill execution of one notebook."""

    notebook: Path
    profile: str
    task: str | None
    seed: int | None
    values: Mapping[str, Any] = field(hash=False)
    # what goes in: notebook, parameters, helpers and data; a finished job with the same state is not run again
    state: str
    threads: int
    records: Path | None = None  # the folder of its record
    recipe: Recipe | None = field(default=None, hash=False)  # all that its models are made by
    reads: str = ""  # the fingerprint of its rows and text, which another machine's have to have, too
    required: bool = False  # it makes what the task's other notebooks need: after its failure they would fail, too

    def __str__(self) -> str:
        where = f" {self.task} seed {self.seed}" if self.task else ""
        return f"{self.notebook.stem}{where}"

    @property
    def output(self) -> Path:
        """The executed notebook."""
        name = ".".join([self.notebook.stem, *([self.task, f"seed{self.seed}"] if self.task else []), "ipynb"])
        return default_folder() / "runs" / self.profile / name

    @property
    def note(self) -> Path:
        """What is remembered of a finished run: its state and its seconds."""
        return self.output.with_suffix(".json")

    @property
    def turn(self) -> Path:
        """The file by which a run of this study asks to be alone on the machine, to measure time."""
        return turns_folder() / self.output.stem

    def asks(self) -> bool:
        """Tell whether the run has come to where it measures time, and waits."""
        return self.turn.exists()

    def remembered(self) -> dict[str, Any]:
        """Return the note, or nothing if there is none."""
        try:
            return dict(json.loads(self.note.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return {}

    def expected(self) -> float | None:
        """Return the seconds to expect: those of the last time here, or of a published run of the same task."""
        if (seconds := self.remembered().get("seconds")) is not None:
            return seconds
        published = sorted(self.records.glob(f"{self.notebook.stem}.{self.task}.seed*.json")) if self.records else []
        try:
            record = json.loads(published[0].read_text(encoding="utf-8"))
            # a notebook that makes what the others need also builds it
            return record["seconds"] + record["building_seconds"] * self.required
        except (IndexError, OSError, ValueError, KeyError):
            return None

    def done(self) -> bool:
        """Tell whether this very run has finished and its record is there, unchanged."""
        note = self.remembered()
        return note.get("state") == self.state and note.get("record") == _record_digest(self)


def _record_digest(job: Job) -> str | None:
    if job.records is None:
        return None
    file = record_path(job.records, job.notebook.stem, job.task, job.seed)
    return hashlib.sha256(file.read_bytes()).hexdigest() if file.exists() else "missing"


def turns_folder() -> Path:
    """Return the folder in which this study's runs ask for their turn to measure (see `latency.wait_for_turn`)."""
    return default_folder() / "runs" / ".turns" / str(os.getpid())


def execute(job: Job) -> str:
    """Run one job in its own process; return why it failed, or an empty text."""
    try:
        return _papermill(job)
    except OSError as error:
        return f"{job.output.parent} cannot be written ({error.strerror}); make room, or set STUDY_ARTIFACTS."


def _papermill(job: Job) -> str:
    job.output.parent.mkdir(parents=True, exist_ok=True)
    waited = latency.waited_file(job.turn)
    for old in (job.note, job.output, waited, job.turn):
        old.unlink(missing_ok=True)
    values = job.output.with_suffix(".yaml")
    values.write_text(yaml.safe_dump(dict(job.values)), encoding="utf-8")
    command = [sys.executable, "-c", f"{LIFELINE}; {PAPERMILL}", str(job.notebook), str(job.output), "-f", str(values)]
    command += ["--cwd", str(job.notebook.parent), "--kernel", "python3", "--no-progress-bar"]
    surroundings = around(job) | {latency.TURN: str(job.turn)}
    began = time.monotonic()
    for _ in range(2):
        process = run_beside(command, surroundings)
        # two kernels that start at the same moment may choose the same port; one of them then never begins
        if "Kernel died before replying to kernel_info" not in process.stderr:
            break
    if process.returncode:
        return _reason(job, process)
    seconds = time.monotonic() - began - (float(waited.read_text(encoding="utf-8")) if waited.exists() else 0.0)
    remember(job, seconds=seconds)
    return ""


def remember(job: Job, *, seconds: float) -> None:
    """Write the note of a job that has finished: from now on it is done."""
    note = {"state": job.state, "seconds": round(seconds, 1), "record": _record_digest(job)}
    temporary = job.note.with_suffix(".part")
    temporary.write_text(json.dumps(note), encoding="utf-8")
    os.replace(temporary, job.note)


def around(job: Job) -> dict[str, str]:
    """Return the environment variables of a process that works for a job."""
    # by default a waiting thread spins, which beside any other busy process slows both down
    surroundings = {"GOMP_SPINCOUNT": "1000"} | os.environ
    surroundings |= {"OMP_NUM_THREADS": str(job.threads), "STUDY_PROGRESS": "0", "TOKENIZERS_PARALLELISM": "false"}
    return surroundings | {"STUDY_ARTIFACTS": str(default_folder())}  # a relative one would be another folder there


def run_beside(command: Sequence[str], surroundings: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Run a Python command that begins with `LIFELINE` to its end, or to this process's end, if that comes first."""
    reads, writes = os.pipe()
    try:
        return subprocess.run(command, stdin=reads, capture_output=True, text=True, env=surroundings, check=False)
    finally:
        os.close(writes)
        os.close(reads)


def _reason(job: Job, process: subprocess.CompletedProcess[str]) -> str:
    """Say in one line what went wrong, from the executed notebook or else from what papermill printed."""
    try:
        outputs = [o for c in nbformat.read(job.output, as_version=4).cells for o in c.get("outputs", [])]
        errors = [o for o in outputs if o.output_type == "error"]
        if errors:
            return f"{errors[0].ename}: {' '.join(errors[0].evalue.split())} (see {job.output.name} in artifacts/runs)"
    except (OSError, ValueError):
        pass
    if process.returncode < 0 or "DeadKernelError" in process.stderr:
        return "its process was killed, as happens when memory runs out; the same command goes on from there."
    last = [line for line in process.stderr.strip().splitlines() if line.strip()]
    return f"the notebook did not finish: {last[-1] if last else f'exit code {process.returncode}'}"


def refresh(notebook: Path) -> None:
    """Run a notebook with its defaults and store what it shows in the notebook itself."""
    os.environ["STUDY_PROGRESS"] = "0"
    options = {"kernel_name": "python3", "progress_bar": False, "log_output": False}
    try:
        book = papermill.execute_notebook(str(notebook), None, cwd=str(notebook.parent), **options)
    except papermill.PapermillExecutionError as error:
        raise RunError(f"{notebook.name} stopped with {error.ename}: {' '.join(error.evalue.split())}") from error
    stored = nbformat.read(notebook, as_version=4)
    for cell, ran in zip(stored.cells, book.cells, strict=True):
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [_light(output) for output in ran.outputs], ran.execution_count
    write_text(notebook, nbformat.writes(stored) + "\n")


def _light(output: NotebookNode) -> NotebookNode:
    """Give a picture in an output 256 colours: for a drawing a third of the bytes, and the same to the eye."""
    picture = output.get("data", {}).get("image/png")
    if picture:
        stream = io.BytesIO()
        drawn = Image.open(io.BytesIO(base64.b64decode(picture))).convert("RGB")
        drawn.quantize(256, dither=Image.Dither.NONE).save(stream, "png", optimize=True)
        output["data"]["image/png"] = base64.b64encode(stream.getvalue()).decode("ascii")
    return output
