"""Throwaway notebooks for tests of the runner: they import nothing and only write a file."""

from collections.abc import Sequence
from pathlib import Path

import nbformat

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
    alone: bool = False,
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
    about = {"question": question, "writes": "a file", "alone": alone}
    metadata = {"kernelspec": kernel, "language_info": {"name": "python"}, "study": about}
    path = folder / f"{name}.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=metadata), path)
    return path
