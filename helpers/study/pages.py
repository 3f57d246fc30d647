"""The report as a page: one profile's tables and its figures, as they lie in the repository, in one HTML file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from helpers import records, report
from helpers.environment import RunError
from helpers.study import trials

__all__ = ["write_page"]

_DUBLIN_CORE = "{http://purl.org/dc/elements/1.1/}"


def write_page(root: Path, some: Sequence[Mapping[str, Any]]) -> Path:
    """Write `results/<profile>/report.html` from a profile's records and the figures of a repository; return its path.

    Raises InputError when there is no record, RunError for a figure that is none.
    """
    tables = report.render_tables(some)
    profile = some[0]["profile"]
    tables |= trials.render(profile, root=root)
    pictures = [_picture(file) for file in sorted((root / "figures" / profile).glob("*.svg"))]
    text = report.render_page(some, tables, pictures)
    return records.write_text(root / "results" / profile / "report.html", text)


def _picture(file: Path) -> report.Picture:
    """Read a figure with the words that it carries (`figures.save`)."""
    svg = file.read_bytes()
    try:
        tree = ElementTree.fromstring(svg)
    except ElementTree.ParseError as error:
        raise RunError(f"{file} is no picture ({error}): remove it and run `make report`.") from error
    words = {
        name: next((each.text or "" for each in tree.iter(f"{_DUBLIN_CORE}{name}")), "")
        for name in ("title", "description")
    }
    return report.Picture(file.stem, svg, words["description"], words["title"])
