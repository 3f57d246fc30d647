"""Plan a grid of notebooks, tasks and seeds: read and check everything that goes in, before any work."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from helpers import labels, profiles, runs
from helpers.artifacts import default_folder, digest
from helpers.compress.chain import Chain
from helpers.compress.orders import Orders
from helpers.compress.systems import Systems
from helpers.environment import ROOT, InputError, RunError
from helpers.study import books
from helpers.study.books import Notebook
from helpers.study.jobs import Job
from helpers.wording import nearest

__all__ = ["changed", "check_disk", "check_input", "code_digest", "grid", "plan"]

HELPERS = ROOT / "helpers"
# these show records and start notebooks; no record depends on them
SHOWING = ("report", "figures", "study")
# parameters that may name a folder, and what else they may say
PLACES = ("data", "text", "nli", "language_model", "teacher", "student_start", "word_vectors")
WORDS = ("generated", "built", "fine-tuned", *profiles.STARTS)


def plan(
    profile: str,
    *,
    tasks: Sequence[str] | None = None,
    seeds: Sequence[int] | None = None,
    notebooks: Sequence[str] | None = None,
    inputs: Mapping[str, str | None] | None = None,
    parameters: Mapping[str, Any] | None = None,
    workers: int | None = None,
) -> tuple[list[Job], int]:
    """Return the jobs in order and how many may run at a time. All input is read and checked here, before any training.

    Raises `InputError` for anything unknown, missing or malformed, `RunError` for a hub out of reach or a full disk.
    """
    usual = profiles.settings(profile)["study"]
    chosen = [books.read(path) for path in books.choose(notebooks)]
    wanted, numbers = grid(profile, tasks, seeds)
    workers = usual.get("workers", 1) if workers is None else workers
    if workers < 1:
        raise InputError(f"The number of workers must be at least 1, not {workers}.")
    changes = changed(inputs or {}, parameters or {})
    check_disk(profile)
    helpers = _helpers_digest()
    jobs: list[Job] = []
    fingerprints: dict[str, str] = {}
    chains: dict[str, Chain] = {}  # of each task: what one has read the other seeds read, too
    only = usual.get("notebook_tasks", {}) if notebooks is None else {}
    for notebook in chosen:
        if not notebook.per_task:
            jobs.append(_over_all(notebook, profile))
            continue
        rest = {name: value for name, value in changes.items() if name not in notebook.parameters}
        if rest and "overrides" not in notebook.parameters:
            raise InputError(
                f"{notebook.path.name} has no parameter {next(iter(rest))!r}, and no overrides to take it."
            )
        for seed in numbers:
            for task in (task for task in wanted if task in only.get(notebook.path.stem, wanted)):
                recipe = profiles.load(profile, task=task, seed=seed, **changes)
                if task not in chains:
                    chains[task] = next(iter(chains.values()), Chain(recipe)).beside(Chain, recipe)
                    fingerprints[task] = check_input(chains[task])
                for check in (CHECKS[name] for name in CHECKS if name in notebook.parameters):
                    with contextlib.chdir(books.NOTEBOOKS):  # folders are given as the notebooks see them
                        check(chains[task], recipe)
                jobs.append(_job(notebook, recipe, rest, helpers=helpers, reads=fingerprints[task]))
    # what makes the models comes first, then seed by seed and task by task, and last what reads all records
    places = {cell: place for place, cell in enumerate((seed, task) for seed in numbers for task in wanted)}
    jobs.sort(key=lambda job: (not job.required, places.get((job.seed, job.task), len(places))))
    return jobs, workers


def _job(notebook: Notebook, recipe: profiles.Recipe, rest: Mapping[str, Any], *, helpers: str, reads: str) -> Job:
    """Return the job of one task and seed; `rest` are the changes that the notebook has no parameter for."""
    values = {name: getattr(recipe, name) for name in notebook.parameters if name in profiles.FIELDS}
    if "overrides" in notebook.parameters:
        values["overrides"] = dict(rest)
    return Job(
        notebook=notebook.path,
        profile=recipe.profile,
        task=recipe.task,
        seed=recipe.seed,
        values=values,
        # all of the recipe: what a notebook does not declare still makes the models that it measures
        state=digest([notebook.code, values, vars(recipe), helpers, reads]),
        reads=reads,
        threads=recipe.threads,
        records=runs.records_folder(recipe),
        recipe=recipe,
        required=notebook.required,
    )


def _over_all(notebook: Notebook, profile: str) -> Job:
    """Return the job of a notebook that reads records: it takes seconds, and always runs."""
    return Job(
        notebook=notebook.path,
        profile=profile,
        task=None,
        seed=None,
        values={"profile": profile},
        state=digest([notebook.code, time.time()]),
        threads=1,
    )


def _helpers_digest() -> str:
    sources = {str(f.relative_to(HELPERS)): f for f in sorted(HELPERS.rglob("*.py"))}
    return digest({name: f.read_text(encoding="utf-8") for name, f in sources.items() if not name.startswith(SHOWING)})


def code_digest() -> str:
    """Return the digest of all code that takes part in a study: helpers and notebooks."""
    helpers = {
        str(file.relative_to(HELPERS)): file.read_text(encoding="utf-8") for file in sorted(HELPERS.rglob("*.py"))
    }
    return digest([helpers, {path.name: books.read(path).code for path in books.choose(None)}])


def grid(profile: str, tasks: Sequence[str] | None, seeds: Sequence[int] | None) -> tuple[list[str], list[int]]:
    """Return the tasks and the seeds, each once: two runs of the same would write the same files.

    Those that are None are the profile's. Raises `InputError` for an unknown task, or if there is none of either.
    """
    usual = profiles.settings(profile)["study"]
    wanted = list(dict.fromkeys(usual.get("tasks", []) if tasks is None else tasks))
    numbers = list(dict.fromkeys(usual.get("seeds", [0]) if seeds is None else seeds))
    unknown = [task for task in wanted if task not in labels.TASKS]
    if unknown:
        raise InputError(f"There is no task {unknown[0]!r}; known are {', '.join(labels.TASKS)}.")
    if not wanted or not numbers:
        raise InputError(f"There is no {'task' if not wanted else 'seed'} to run; name one at least.")
    return wanted, numbers


def changed(inputs: Mapping[str, str | None], parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Put together what is given in place of the profile's values, folders as the notebooks see them.

    Raises `InputError` for a parameter that is not known or given twice.
    """
    given = {name: value for name, value in inputs.items() if value}
    for name in parameters:
        if name not in profiles.SETTINGS:
            raise InputError(f"There is no parameter {name!r} to set; {nearest(name, profiles.SETTINGS)}.")
        if name in given:
            raise InputError(f"{name} is given twice, as --{name} and as -p {name}; give it once.")
    changes = {**given, **parameters}
    return {name: _near(value) if name in PLACES else value for name, value in changes.items()}


def _near(value: Any) -> Any:
    """A folder or file as seen from the notebooks, where they run; anything else as it is."""
    if not isinstance(value, str) or value in WORDS:
        return value
    try:
        is_place = Path(value).exists()
    except OSError:  # a name that no file can have, being too long
        is_place = False
    return os.path.relpath(value, books.NOTEBOOKS) if is_place else value


def check_disk(profile: str) -> None:
    """Raise `RunError` if there is less room for artifacts than a profile wants."""
    needed_gb = profiles.settings(profile)["study"].get("disk_gb", 1)
    folder = default_folder()
    there = next(f for f in (folder, *folder.parents) if f.exists())
    free = shutil.disk_usage(there).free / 1e9
    if free < needed_gb:
        raise RunError(
            f"{there} has {free:.1f} GB free, this profile wants {needed_gb} GB; free some space or set "
            "STUDY_ARTIFACTS to another folder."
        )


def _check_augmentation(chain: Chain, recipe: profiles.Recipe) -> None:
    """Check what augmented rows are made from: text or word vectors, and a head that fills masks."""
    chain.beside(Chain, recipe).changed(augmented="teacher").variants  # noqa: B018 - naming it checks it


# what a notebook with this parameter needs, beside what all need
CHECKS = {
    "augmentation_variants": _check_augmentation,
    "distilbert_layers": lambda chain, recipe: chain.beside(Systems, recipe).check_distilbert(),
    "albert_sharing": lambda chain, recipe: chain.beside(Systems, recipe).check_albert(),
    "structured_shares": lambda chain, recipe: chain.beside(Systems, recipe).check_structured(),
    "order_chains": lambda chain, recipe: chain.beside(Orders, recipe).check_orders(),
}


def check_input(chain: Chain) -> str:
    """Read everything that runs of a chain's recipe will read and return the fingerprint of it."""
    recipe = chain.recipe
    with contextlib.chdir(books.NOTEBOOKS):
        chain.check_room()
        read = [chain.data, *chain.sources.values(), chain.nli, chain.text if recipe.text else None]
        read.append(chain.vectors if recipe.word_vectors else None)
        return digest([each.fingerprint for each in read if each is not None])
