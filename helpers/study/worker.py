"""What a worker of a cluster does: build a beginning, or run a job.

Each gets a process of its own, which ends with the worker.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import os
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path

import distributed
import torch

from helpers import runs
from helpers.artifacts import MANIFEST, SHARED, Mirror, Store
from helpers.compress.chain import Chain
from helpers.environment import ROOT, InputError, RunError, set_threads
from helpers.profiles import Recipe
from helpers.records import path as record_path
from helpers.records import write_bytes
from helpers.study import books, graph, planning
from helpers.study.graph import Beginning
from helpers.study.jobs import LIFELINE, Job, around, execute, run_beside, turns_folder
from helpers.study.machine import Place, at_work

__all__ = ["Orders", "Outcome", "build", "keep", "make", "run", "stored"]

_READING = threading.Lock()  # folders are given as the notebooks see them, and a process is in one folder at a time
_PAUSE = 0.2  # seconds between two looks at who waits to measure
_BUILD = f"{LIFELINE}; from helpers.study.worker import main; main(sys.argv[1])"


@dataclass(frozen=True)
class Orders:
    """What all workers of a study have to go by."""

    code: str  # the digest of the helpers
    shared: str | None  # the address of the mirror
    again: str = ""  # the name of a study in which what was done before is done once more


@dataclass(frozen=True)
class Outcome:
    """What came of a task: why it failed, or an empty text, and a job's files by kind: its record, its notebook."""

    reason: str = ""
    left_out: bool = False  # it did not begin, since what it needs failed
    said: str = ""
    seconds: float = 0.0  # until it failed
    files: Mapping[str, bytes] = field(default_factory=dict, repr=False)


def build(beginning: Beginning, orders: Orders, *before: Outcome) -> Outcome:
    """Build what several jobs start from, unless it is stored already."""
    refused = _ready(orders, before)
    if refused:
        return refused
    mirror = Mirror.named()
    if mirror.has(f"{beginning.key}/{MANIFEST}") if mirror else (Store().folder / beginning.key / MANIFEST).exists():
        return Outcome(said="stored before")
    return make(beginning)


def make(beginning: Beginning) -> Outcome:
    """Build a beginning in a process of its own, while nobody measures on this machine."""
    with tempfile.TemporaryDirectory() as folder, at_work():
        file = Path(folder) / "beginning.json"
        recipe = dataclasses.asdict(beginning.job.recipe)
        file.write_text(json.dumps({"key": beginning.key, "recipe": recipe, "values": list(beginning.job.values)}))
        paths = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
        surroundings = around(beginning.job) | {"PYTHONPATH": paths}
        done = run_beside([sys.executable, "-c", _BUILD, str(file)], surroundings)
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.strip()] or [f"exit code {done.returncode}"]
        return Outcome(reason=f"it could not be built: {lines[-1]}")
    return Outcome(said=done.stdout.strip())


def main(file: str) -> None:
    """Build the beginning that a file describes, and say so; on a machine that names it otherwise, build nothing."""
    wanted = json.loads(Path(file).read_text(encoding="utf-8"))
    recipe = Recipe(**wanted["recipe"])
    set_threads(recipe.threads)
    os.chdir(books.NOTEBOOKS)  # folders are given as the notebooks see them
    node = graph.find(recipe, wanted["values"], wanted["key"])
    if node is None:
        print("not built ahead: this machine computes in another precision, or has other rows, than the planning one")
    else:
        Store().path(node)
        print("built")


def run(job: Job, orders: Orders, *before: Outcome) -> Outcome:
    """Run a job, unless it is done already; alone on this machine while it measures time."""
    refused = _ready(orders, before)
    if refused:
        return refused
    job, began = here(job), time.monotonic()
    # a worker that is lost may have finished it in this very study
    once_more = job.note.with_suffix(".again")
    again = orders.again and not (once_more.exists() and once_more.read_text(encoding="utf-8") == orders.again)
    if again or not (job.done() or stored(job)):
        if (reason := _other_rows(job)) is not None:
            return Outcome(reason=reason)
        turns_folder().mkdir(parents=True, exist_ok=True)
        with at_work() as place:
            reason = _beside(lambda: execute(job), job, place)
        if reason:
            return Outcome(reason=reason, seconds=time.monotonic() - began)
        if orders.again:
            once_more.write_text(orders.again, encoding="utf-8")
    found = {kind: file.read_bytes() for kind, file in _files(job).items() if file.exists()}
    try:
        mirror = Mirror.named()
        for kind, content in found.items() if mirror else ():
            mirror.write(_at(job, kind), content)
    except RunError as error:  # the run itself has finished
        return Outcome(files=found, said=str(error))
    return Outcome(files=found)


def here(job: Job) -> Job:
    """Return a job with the folders of this machine."""
    return dataclasses.replace(
        job, notebook=books.NOTEBOOKS / job.notebook.name, records=job.recipe and runs.records_folder(job.recipe)
    )


def stored(job: Job) -> bool:
    """Tell whether a job was done on another machine with the same state; what came of it is here then, too."""
    mirror = Mirror.named()
    if mirror is None:
        return False
    found = {kind: read for kind in _files(job) if (read := mirror.read(_at(job, kind))) is not None}
    try:
        note = json.loads(found.get("note", b""))
        same = note["state"] == job.state and note["record"] == hashlib.sha256(found["record"]).hexdigest()
    except (ValueError, TypeError, KeyError):
        return False
    if same:
        keep(job, found)
    return same and job.done()


def keep(job: Job, files: Mapping[str, bytes]) -> None:
    """Write what came of a job to this machine's folders, the note last: with it the job is done."""
    places = _files(job)
    for kind in (kind for kind in places if kind in files):
        if not places[kind].exists() or places[kind].read_bytes() != files[kind]:
            places[kind].parent.mkdir(parents=True, exist_ok=True)
            write_bytes(places[kind], files[kind])


def _files(job: Job) -> dict[str, Path]:
    """Return where a job leaves what came of it, the note last."""
    record = {"record": record_path(job.records, job.notebook.stem, job.task, job.seed)} if job.records else {}
    return {**record, "notebook": job.output, "note": job.note}


def _at(job: Job, kind: str) -> str:
    """Return the name of a job's file in the mirror: what goes in is part of it, as runs with other settings differ."""
    return f"runs/{job.profile}/{job.output.stem}.{job.state}.{kind}"


def _beside(work: Callable[[], str], job: Job, place: Place) -> str:
    """Do a job's work in a thread, and let it measure when this machine is its own."""
    with ThreadPoolExecutor(1) as pool:
        doing = pool.submit(work)
        while not doing.done():
            if job.asks() and place.alone():
                job.turn.unlink(missing_ok=True)
            wait([doing], timeout=_PAUSE)
        return doing.result()


def _ready(orders: Orders, before: tuple[Outcome, ...]) -> Outcome | None:
    """Set this worker up for a study; return why a task cannot begin, if it cannot."""
    if any(outcome.reason or outcome.left_out for outcome in before):
        return Outcome(left_out=True)
    if planning.code_digest() != orders.code:
        return Outcome(
            reason=f"worker {socket.gethostname()} has other code ({ROOT}) than this study; give both the same."
        )
    os.environ.pop(SHARED, None)  # of another study
    if orders.shared:
        os.environ[SHARED] = orders.shared
    _take_device()
    return None


def _other_rows(job: Job) -> str | None:
    """Return why a job cannot run here if what it reads is not what the planning machine has read, else None."""
    if job.recipe is None:
        return None
    try:
        with _READING:
            found = _read(json.dumps(dataclasses.asdict(job.recipe) | {"seed": 0}))
    except (InputError, RunError) as error:
        return f"worker {socket.gethostname()}: {error}"
    if found == job.reads:
        return None
    return (
        f"worker {socket.gethostname()} reads other rows or another text ({job.recipe.data}, {job.recipe.text}) than "
        "this study; give both the same files."
    )


@functools.lru_cache(maxsize=16)
def _read(recipe: str) -> str:
    """Read what the runs of a recipe read, whatever their seed; return its fingerprint."""
    return planning.check_input(Chain(Recipe(**json.loads(recipe))))


def _take_device() -> None:
    """Take one of several GPUs by this worker's number, which those of a cluster on one machine have for a name."""
    name, devices = str(distributed.get_worker().name), torch.cuda.device_count()
    if name.isdecimal() and devices > 1:
        os.environ.setdefault("CUDA_VISIBLE_DEVICES", str(int(name) % devices))
