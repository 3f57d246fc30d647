"""Throwaway notebooks for tests of the runner: they import nothing and only write a file."""

from collections.abc import Sequence
from pathlib import Path

import nbformat
import pytest

from helpers import mini_glue, profiles, tasks
from helpers.study import books

PARAMETERS = """\
# what this run is about
profile: str = "mini"
task: str = "sst2"  # a task
seed: int = 0
data: str = None
text: str = None
temperature: float = None  # of the prediction loss
overrides: dict = {}  # any other value"""

# what a run was given, for a test to read
TELL = """\
import json, pathlib
names = ["profile", "task", "seed", "data", "text", "temperature", "overrides"]
pathlib.Path(f"{task}.{seed}.json").write_text(json.dumps({name: globals()[name] for name in names}))"""


def write(
    folder: Path,
    name: str,
    *code: str,
    parameters: str | Sequence[str] | None = PARAMETERS,
    required: bool = False,
    question: str = "Does it run?",
) -> Path:
    """Write a notebook with a title, a parameters cell and cells of code."""
    folder.mkdir(parents=True, exist_ok=True)
    cells = [nbformat.v4.new_markdown_cell(f"# {name}\n\n**Question.** {question}", id="title")]
    if parameters is not None:
        tagged = {"tags": ["parameters"]}
        cells.append(nbformat.v4.new_code_cell(parameters, id="parameters", metadata=tagged))
    cells += [nbformat.v4.new_code_cell(source, id=f"code-{i}") for i, source in enumerate(code)]
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    about = {"question": question, "writes": "a file", "required": required}
    metadata = {"kernelspec": kernel, "language_info": {"name": "python"}, "study": about}
    path = folder / f"{name}.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=metadata), path)
    return path


def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *names: str) -> Path:
    """Make a folder with the real profiles, its own notebooks, results and artifacts, and little generated data."""
    monkeypatch.setattr(books, "NOTEBOOKS", tmp_path / "notebooks")
    monkeypatch.setattr(profiles, "ROOT", tmp_path)
    monkeypatch.setenv("STUDY_ARTIFACTS", str(tmp_path / "artifacts"))
    monkeypatch.setitem(mini_glue.ROWS, "train", 20)
    monkeypatch.setitem(mini_glue.ROWS, "validation", 10)
    corpus = tasks.Text(mini_glue.text(lines=20), "generated", "20 lines")
    read = tasks.load_text
    monkeypatch.setattr(tasks, "load_text", lambda text, **_: corpus if text == "generated" else read(text))
    for name in names:
        write(tmp_path / "notebooks", name, TELL)
    return tmp_path
