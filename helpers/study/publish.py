"""Make everything that is generated: tables, figures, headline numbers, the README's blocks, badges, Colab cells."""

from __future__ import annotations

import copy
import math
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nbformat
import yaml
from matplotlib.figure import Figure

from helpers import figures, records, report
from helpers.environment import InputError
from helpers.study import trials

__all__ = ["address", "colab_source", "notebooks_block", "publish", "with_address"]

BEGIN, END = "<!-- notebooks:begin -->", "<!-- notebooks:end -->"
REAL = ("minilm", "minilm_comparisons", "minilm_systems")  # a notebook's time on real GLUE is of the first that ran it
BADGE = "https://colab.research.google.com/assets/colab-badge.svg"


def publish(root: Path, *, check: bool = False) -> list[str]:
    """Bring everything generated up to date with the records and `CITATION.cff`; return the files that were not.

    With `check` nothing is written. Raises `InputError` when there is no record at all.
    """
    results, stale = root / "results", []
    wanted = {results / "headline.json": report.render_headline(results)}
    for profile, some in report.profiles(results).items():
        wanted |= {results / profile / name: text for name, text in report.render_tables(some).items()}
        folder = root / "figures" / profile
        for name, figure in figures.published(some).items():
            stale += _update_figure(figure, folder, name, check=check)
    for profile in trials.profiles_tried(root):
        wanted |= {results / profile / name: text for name, text in trials.render(profile, root=root).items()}
    wanted |= {results / "faults" / name: text for name, text in report.render_faults(results).items()}
    wanted |= {results / "growth" / name: text for name, text in report.render_growth(results).items()}
    if rows := report.growth_rows(results):
        stale += _update_figure(figures.growth(rows), root / "figures" / "growth", "growth", check=check)
    for path, text in wanted.items():
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            stale.append(str(path.relative_to(root)))
            if not check:
                records.write_text(path, text)
    if not report.update_readme(root / "README.md", results, check=check):
        stale.append("README.md")
    if not report.replace_block(root / "README.md", notebooks_block(root), check=check):
        stale.append("README.md (notebooks)")
    for path in sorted((root / "notebooks").glob("*.ipynb")):
        book = nbformat.read(path, as_version=4)
        wanted = with_address(book, path.name, address(root))
        if wanted != book:
            stale.append(path.name)
            if not check:
                records.write_text(path, nbformat.writes(wanted) + "\n")
    return stale


def _update_figure(figure: Figure, folder: Path, name: str, *, check: bool) -> list[str]:
    """Bring a figure's files up to date; return what was not."""
    with tempfile.TemporaryDirectory() as temporary:
        made = figures.save(figure, temporary, name)
        paths = [folder / path.name for path in made]
        there = all(path.exists() for path in paths)
        if there and _same_picture(*(path.with_suffix(".svg").read_text("utf-8") for path in (paths[0], made[0]))):
            return []
        if not check:
            for path, new in zip(paths, made, strict=True):
                records.write_bytes(path, new.read_bytes())
    return [f"figures/{folder.name}/{name}"]


def _same_picture(old: str, new: str) -> bool:
    """Compare two SVG files; processors differ in the last digits of a coordinate, which nobody sees."""
    old, new = (re.sub(r"\b[hmp][0-9a-f]{10}\b", "", text) for text in (old, new))  # names made from coordinates
    number = re.compile(r"-?\d+\.\d+")
    if number.sub("0", old) != number.sub("0", new):
        return False
    pairs = zip(number.findall(old), number.findall(new), strict=True)
    return all(math.isclose(float(a), float(b), abs_tol=0.01) for a, b in pairs)


def address(root: Path) -> str | None:
    """Return the repository's public address, `repository-code` in `CITATION.cff`; None while it is unset."""
    value = yaml.safe_load((root / "CITATION.cff").read_text(encoding="utf-8")).get("repository-code")
    if value is not None and not re.fullmatch(r"(https://|file:///|/)[\w./~+-]+", str(value)):
        raise InputError(
            f"repository-code in CITATION.cff must be an address like https://github.com/owner/name, not {value!r}."
        )
    return value


def badge(repository: str, notebook: str) -> str:
    """Return the Markdown of a notebook's Colab badge; nothing where Colab cannot open the repository."""
    if not repository.startswith("https://github.com/"):
        return ""
    path = repository.removeprefix("https://github.com/").rstrip("/").removesuffix(".git")
    return (
        f"[![Open in Colab]({BADGE})](https://colab.research.google.com/github/{path}/blob/main/notebooks/{notebook})"
    )


def colab_source(repository: str) -> str:
    """Return the cell that makes a notebook run in Colab, which opens the notebook file alone.

    It clones the repository, once, enters its notebooks folder, and installs what is missing; torch and numpy stay
    Colab's own.
    """
    name = repository.rstrip("/").rpartition("/")[2].removesuffix(".git")
    return f'''import importlib.metadata
import importlib.util

if importlib.util.find_spec("google") and importlib.util.find_spec("google.colab"):
    import os
    import pathlib
    import subprocess
    import sys

    if not pathlib.Path("../helpers").exists():
        if not pathlib.Path("{name}").exists():
            subprocess.run(["git", "clone", "--quiet", "--depth", "1", "{repository}"], check=True)
        os.chdir("{name}/notebooks")
    packages = ["evaluate", "papermill", "filelock", "jsonschema", "transformers"]
    missing = [package for package in packages if not importlib.util.find_spec(package)]
    if "transformers" not in missing and int(importlib.metadata.version("transformers").partition(".")[0]) < 5:
        missing.append("transformers>=5,<6")
    if missing:
        subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", *missing], check=True)'''


def with_address(book: Any, name: str, repository: str | None) -> Any:
    """Return a notebook with badge and Colab cell made from the address, or with neither if there is none."""
    book = copy.deepcopy(book)
    book.cells = [cell for cell in book.cells if "colab" not in cell.metadata.get("tags", [])]
    title = book.cells[0]
    title.source = re.sub(r"\n\n\[!\[Open in Colab\].*", "", title.source)
    if repository:
        heading, newline, rest = title.source.partition("\n")
        mark = badge(repository, name)
        title.source = f"{heading}\n\n{mark}{newline}{rest}" if mark else title.source
        first_code = next(i for i, cell in enumerate(book.cells) if cell.cell_type == "code")
        cell = nbformat.v4.new_code_cell(colab_source(repository), id="colab", metadata={"tags": ["colab"]})
        book.cells.insert(first_code, cell)
    return book


def notebooks_block(root: Path) -> str:
    """Return the README's table of notebooks, from what each says of itself and the times in the records."""
    repository = address(root)
    alone: dict[tuple[str, str], list[float]] = {}
    stored: dict[str, list[float]] = {}
    for profile in ("mini", *REAL):
        for record in records.read_all(root / "results" / profile / "records"):
            seconds = record["building_seconds"] + record["seconds"]
            alone.setdefault((profile, record["notebook"]), []).append(seconds)
            if profile == "mini":
                stored.setdefault(record["notebook"], []).append(record["seconds"])
    rows, on_github = [], bool(repository and badge(repository, ""))
    for path in sorted((root / "notebooks").glob("*.ipynb")):
        about = nbformat.read(path, as_version=4).metadata["study"]
        real = next((profile for profile in REAL if (profile, path.stem) in alone), None)
        row = [f"[{path.stem}](notebooks/{path.name})", about["question"]]
        row += [_minutes(alone.get(("mini", path.stem))), _minutes(stored.get(path.stem))]
        row += [f"{_minutes(alone[real, path.stem])}, `{real}`" if real else "–", about["writes"]]
        rows.append(row + ([badge(repository, path.name)] if on_github else []))
    head = [
        "notebook",
        "question",
        "minutes for one task, `mini`",
        "once its models are stored",
        "for one task of real GLUE",
        "writes",
    ] + ["Colab"] * on_github
    lines = ["| " + " | ".join(row) + " |" for row in [head, ["---"] * len(head), *rows]]
    return "\n".join([BEGIN, "", *lines, "", END])


def _minutes(seconds: Sequence[float] | None) -> str:
    """Say in minutes how long a notebook's recorded runs took: the range over tasks and seeds."""
    if not seconds:
        return "–"
    ends = (min(seconds), max(seconds))
    low, high = (f"{value / 60:.1f}" if value < 600 else f"{value / 60:.0f}" for value in ends)
    return low if low == high else f"{low} to {high}"
