"""The notebooks as files: shape, cells, parameters and outputs. Nothing is executed here."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path

import nbformat
import papermill
import pytest

from helpers import profiles

ROOT = Path(__file__).resolve().parents[1]
PATHS = sorted((ROOT / "notebooks").glob("*.ipynb"))
# what every notebook says, in this order
SECTIONS = ("**Question.**", "## Before you start", "## Published run", "**Found", "**Limits.**", "**Next.**")
# folders of a machine, in the text of an output
MACHINE = re.compile(
    r"(?<![\w.:/])/(home|root|Users|tmp|var|work|mnt|opt|usr|workspace|content|private)/|[A-Z]:\\\\Users|\.venv/"
)

books = pytest.mark.parametrize("path", PATHS, ids=[path.stem for path in PATHS])


def read(path: Path) -> nbformat.NotebookNode:
    return nbformat.read(path, as_version=4)


def code_of(path: Path) -> list[nbformat.NotebookNode]:
    """Return the code cells that are written by hand; the Colab cell is generated, and does not run elsewhere."""
    cells = read(path).cells
    return [cell for cell in cells if cell.cell_type == "code" and "colab" not in cell.metadata.get("tags", [])]


def outputs_of(path: Path) -> list[nbformat.NotebookNode]:
    return [output for cell in code_of(path) for output in cell.outputs]


def parameters_of(path: Path) -> nbformat.NotebookNode:
    (cell,) = [cell for cell in read(path).cells if "parameters" in cell.metadata.get("tags", [])]
    return cell


def test_the_set_is_the_designed_one() -> None:
    """One number, one file; a notebook of a later part does not exist, not even as a stub."""
    assert [path.stem for path in PATHS] == [
        "01_distillation",
        "02_augmentation",
        "03_pruning_sweep",
        "04_dynamic_quantization",
        "05_report_tables",
        "06_distilbert",
        "07_albert",
        "08_structured_pruning",
        "09_storage",
        "10_speed",
        "11_order",
    ]


@pytest.mark.parametrize("profile", profiles.names())
def test_profiles_name_notebooks_that_exist(profile: str) -> None:
    assert set(profiles.settings(profile)["study"].get("notebook_tasks", {})) <= {path.stem for path in PATHS}


@books
def test_it_is_a_valid_notebook(path: Path) -> None:
    book = json.loads(path.read_text(encoding="utf-8"))
    nbformat.validate(book)
    ids = [cell["id"] for cell in book["cells"]]
    assert len(set(ids)) == len(ids)
    assert book["metadata"]["kernelspec"]["name"] == "python3"


@books
def test_its_size(path: Path) -> None:
    cells = read(path).cells
    assert 20 <= len(cells) <= 45
    assert path.stat().st_size < 300_000
    for cell in code_of(path):
        lines = cell.source.splitlines()
        assert 0 < len(lines) <= 30, f"{cell.id} has {len(lines)} lines"
    assert all(cell.source.strip() for cell in cells), "no empty cell"


@books
def test_it_was_run_from_top_to_bottom_or_not_at_all(path: Path) -> None:
    counts = [cell.execution_count for cell in code_of(path)]
    assert counts == list(range(1, len(counts) + 1)) or not any(counts), counts
    if not any(counts):
        assert outputs_of(path) == [], "outputs of cells that were not run"
    colab = [cell for cell in read(path).cells if "colab" in cell.metadata.get("tags", [])]
    assert not any(cell.outputs for cell in colab)


@books
def test_its_outputs_are_clean(path: Path) -> None:
    for output in outputs_of(path):
        assert output.output_type != "error"
        assert output.get("name") != "stderr", output.text
        for kind, content in output.get("data", {}).items():
            assert "widget" not in kind, "GitHub then shows an invalid notebook"
            assert kind != "application/javascript"
            if kind.startswith("text/"):
                assert not MACHINE.search("".join(content)), content
        assert not MACHINE.search(output.get("text", "")), output.text


@books
def test_the_code_that_it_shows_is_the_code_that_runs(path: Path) -> None:
    def bare(text: str) -> str:  # shown code stands at the margin
        return "\n".join(line.strip() for line in text.splitlines())

    files = [bare(file.read_text(encoding="utf-8")) for file in (ROOT / "helpers").rglob("*.py")]
    for cell in (cell for cell in code_of(path) if "show_source(" in cell.source):
        texts = [output.get("data", {}).get("text/markdown", "") for output in cell.outputs]
        sources = [text for text in texts if text.startswith("```python\n")]
        assert sources or not cell.outputs, "seen at all"
        for text in sources:
            shown = bare(text.removeprefix("```python\n").removesuffix("```"))
            assert any(shown in file for file in files), f"run it again: this is not the code: {shown[:60]}"


def test_the_tables_that_05_shows_are_the_published_ones() -> None:
    shown = [
        output.data["text/markdown"]
        for output in outputs_of(ROOT / "notebooks" / "05_report_tables.ipynb")
        if "text/markdown" in output.get("data", {})
    ]
    tables = sorted((ROOT / "results" / "mini").glob("*.md"))
    assert len(tables) > 10
    for path in tables:
        table = path.read_text(encoding="utf-8").partition("\n\n")[0]
        assert any(table in text for text in shown), f"run 05 again: it does not show {path.name} as it is"


@books
def test_no_cell_names_a_machine_s_folder(path: Path) -> None:
    for cell in read(path).cells:
        if "colab" not in cell.metadata.get("tags", []):
            assert not MACHINE.search(cell.source), cell.source


def test_a_machine_s_folder_is_recognised() -> None:
    for text in ("/home/me/bert", "saved to /tmp/x/y", "'/Users/me/a'", "/usr/lib/python3", "a/.venv/lib/x.py"):
        assert MACHINE.search(text), text
    for text in ("https://github.com/home/x", "results/mini/records", "../tmp/x", "03/usr", "`a/home/b`"):
        assert not MACHINE.search(text), text


@books
def test_its_parameters(path: Path) -> None:
    source = parameters_of(path).source
    statements = ast.parse(source).body
    names = [statement.target.id for statement in statements]
    assert all(isinstance(statement, ast.AnnAssign) and statement.value for statement in statements), "name: type = x"
    assert len(set(names)) == len(names)
    assert set(names) <= {*profiles.FIELDS, "overrides"}
    assert names[0] == "profile"
    for line in source.splitlines():
        assert line.lstrip().startswith("#") or line.count("=") == 1, line
    # the run's settings are read from the notebook's names: an import of the same name would be taken for one
    imported = {
        alias.asname or alias.name
        for cell in code_of(path)
        for node in ast.walk(ast.parse(cell.source))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    }
    assert not imported & set(profiles.FIELDS)
    seen = papermill.inspect_notebook(str(path))
    assert list(seen) == names, "papermill sees every one"
    # the defaults: mini, one task, one seed, all else from the profile
    defaults = {statement.target.id: ast.literal_eval(statement.value) for statement in statements}
    assert defaults["profile"] == "mini"
    if "task" in names:
        assert {"task", "seed", "data", "text", "nli", "overrides"} <= set(names), "what the runner gives"
        assert (defaults["task"], defaults["seed"], defaults["overrides"]) == ("sst2", 0, {})
        rest = set(names) - {"profile", "task", "seed", "overrides"}
        assert {defaults[name] for name in rest} <= {None}, "None means the profile's value"
    kinds = {"profile": "str", "task": "str", "seed": "int", "overrides": "dict"}
    assert all(seen[name]["inferred_type_name"] == kind for name, kind in kinds.items() if name in names)


@books
def test_what_it_says_of_itself(path: Path) -> None:
    about = read(path).metadata["study"]
    assert set(about) - {"required"} == {"question", "writes"}
    assert about.get("required", False) == (path.stem == "01_distillation"), "it makes what the others use"
    assert about["question"].endswith("?")
    assert "|" not in about["question"] + about["writes"], "they stand in a table"
    assert about["question"] in read(path).cells[0].source, "the README asks what the notebook asks"


@books
def test_its_sections(path: Path) -> None:
    cells = read(path).cells
    number, name = path.stem.split("_", 1)
    title = cells[0].source.splitlines()[0]
    assert title.startswith(f"# {number} · ")
    words = set(re.findall(r"\w+", title.lower()))
    assert words & set(name.split("_")), "the title names what the file names"
    text = "\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    places = [text.find(section) for section in SECTIONS]
    assert -1 not in places, SECTIONS[places.index(-1)]
    assert places == sorted(places)
    assert cells[1].source.startswith("## Before you start")
    assert re.search(r"^\| takes \|", cells[1].source, re.MULTILINE)
    assert cells[-1].cell_type == "markdown"
    shown = [cell.source for cell in code_of(path) if "notebook.published(" in cell.source]
    assert len(shown) == 1


@books
def test_it_has_no_widgets_and_no_left_overs(path: Path) -> None:
    book = json.loads(path.read_text(encoding="utf-8"))
    assert set(book["metadata"]) == {"kernelspec", "language_info", "study"}
    for cell in book["cells"]:
        assert set(cell["metadata"]) <= {"tags"}, cell["metadata"]
        assert set(cell["metadata"].get("tags", [])) <= {"parameters", "colab"}, "no cell may fail or be hidden"


@books
def test_some_of_its_outputs_are_compared(path: Path) -> None:
    marked = [cell for cell in code_of(path) if cell.source.startswith("# NBVAL_CHECK_OUTPUT")]
    assert marked
    assert not any("NBVAL_" in cell.source for cell in code_of(path) if cell not in marked)
    for cell in marked:
        assert "speedup" not in cell.source and "time." not in cell.source, "a time differs at each run"
    if any(cell.execution_count for cell in code_of(path)):
        # a cell whose outputs were cleared would pass without comparing anything
        assert all(cell.outputs for cell in marked)


@books
def test_its_code_is_for_readers(path: Path) -> None:
    """No star import, no magic, no installation, no work before the parameters; the helpers come from the checkout."""
    cells = code_of(path)
    for cell in cells:
        assert not re.search(r"^\s*[%!]", cell.source, re.MULTILINE), cell.source
        for node in ast.walk(ast.parse(cell.source)):
            assert not (isinstance(node, ast.ImportFrom) and any(name.name == "*" for name in node.names))
    order = [i for i, cell in enumerate(cells) if "parameters" in cell.metadata.get("tags", [])]
    assert order == [1], "imports, then parameters"
    assert 'sys.path.insert(0, "..")' in cells[0].source
    late = [cell.source for cell in cells[1:] if re.search(r"^(import|from) ", cell.source, re.MULTILINE)]
    assert late == [], "all imports stand together"
