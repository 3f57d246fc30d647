"""The notebooks of the study: which there are, and what each says of itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import nbformat
import papermill

from helpers import profiles
from helpers.artifacts import digest
from helpers.environment import InputError

__all__ = ["NOTEBOOKS", "Notebook", "choose", "read"]

NOTEBOOKS = profiles.ROOT / "notebooks"


@dataclass(frozen=True)
class Notebook:
    """What the plan needs to know of a notebook."""

    path: Path
    parameters: Sequence[str]  # the names in its parameters cell
    code: str  # the digest of its code cells
    required: bool  # it makes what the task's other notebooks need

    @property
    def per_task(self) -> bool:
        """Whether it runs for each task and seed, or once, over the records of all."""
        return "task" in self.parameters


def choose(names: Sequence[str] | None) -> list[Path]:
    """Return the files of the notebooks named, by number or name, in order; None names all. Raises `InputError`."""
    found = sorted(NOTEBOOKS.glob("[0-9][0-9]_*.ipynb"))
    if not found:
        raise InputError(f"There are no notebooks in {NOTEBOOKS}.")
    if names is None:
        return found
    if not names:
        raise InputError(f"No notebook is named; there are {', '.join(f.stem for f in found)}.")
    unknown = [name for name in names if not any(f.stem == name or f.stem[:2] == name for f in found)]
    if unknown:
        raise InputError(f"There is no notebook {unknown[0]!r}; there are {', '.join(f.stem for f in found)}.")
    return [f for f in found if f.stem in names or f.stem[:2] in names]


def read(path: Path) -> Notebook:
    """Read a notebook and check its parameters cell. Raises `InputError` for what papermill or profiles do not know."""
    try:
        book = nbformat.read(path, as_version=4)
    except (OSError, ValueError) as error:
        raise InputError(f"{path} is not a notebook ({type(error).__name__}); restore it.") from error
    about = book.metadata.get("study", {})
    return Notebook(
        path,
        parameters=_declared(path, book),
        code=digest([cell.source for cell in book.cells if cell.cell_type == "code"]),
        required=bool(about.get("required")),
    )


def _declared(notebook: Path, book: nbformat.NotebookNode) -> list[str]:
    """Return the names in a notebook's parameters cell; each must be one that profiles know."""
    cell = next((c for c in book.cells if "parameters" in c.metadata.get("tags", [])), None)
    for line in cell.source.splitlines() if cell else []:
        if line.count("=") > 1 and not line.lstrip().startswith("#"):  # papermill then passes over this parameter
            raise InputError(
                f"{notebook.name}: write one `=` on each line of the parameters cell, comments included, not {line!r}."
            )
    names = list(papermill.inspect_notebook(str(notebook)))
    unknown = [name for name in names if name not in profiles.FIELDS and name != "overrides"]
    if unknown or "profile" not in names:
        wrong = unknown[0] if unknown else "profile (missing)"
        raise InputError(
            f"{notebook.name}: the parameters cell declares {wrong}; profiles know {', '.join(profiles.FIELDS)}."
        )
    return names
