"""What is generated: badges and Colab cells from one address, README, tables, figure and headline from records."""

from __future__ import annotations

import copy
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import fake_records
import nbformat
import pytest
import throwaway
from hypothesis import given
from hypothesis import strategies as some

from helpers import profiles, records
from helpers.environment import InputError
from helpers.labels import FILES, ORDERS, SPEEDS, SYSTEMS
from helpers.report import numbers
from helpers.study.publish import BADGE, address, badge, colab_source, notebooks_block, publish, with_address

ROOT = Path(__file__).resolve().parents[1]
GITHUB = "https://github.com/owner/bert-study"
README = """\
# Title

<!-- results:begin -->
<!-- results:end -->

Between.

<!-- notebooks:begin -->
<!-- notebooks:end -->

The end.
"""


def set_address(root: Path, value: str | None) -> None:
    line = "" if value is None else f'repository-code: "{value}"\n'
    (root / "CITATION.cff").write_text(f"cff-version: 1.2.0\n{line}", encoding="utf-8")


def build(root: Path) -> Path:
    """Write a repository with two notebooks and a few records, nothing generated yet."""
    for name in ("01_distillation", "03_pruning_sweep"):
        throwaway.write(root / "notebooks", name, "print(1)", "print(2)", question=f"What does {name} ask?")
    for record in fake_records.study(tasks=("sst2",)):
        records.write(record, root / "results" / "mini" / "records")
    (root / "README.md").write_text(README, encoding="utf-8")
    set_address(root, None)
    return root


@pytest.fixture
def house(tmp_path: Path) -> Path:
    return build(tmp_path / "house")


def contents(root: Path) -> dict[str, bytes]:
    return {str(p.relative_to(root)): p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file()}


def notebook(root: Path, name: str = "01_distillation") -> nbformat.NotebookNode:
    return nbformat.read(root / "notebooks" / f"{name}.ipynb", as_version=4)


# the address


def test_no_address_no_badge_no_cell(house: Path) -> None:
    publish(house)
    assert address(house) is None
    for name in ("01_distillation", "03_pruning_sweep"):
        assert "colab" not in json.dumps(notebook(house, name)).lower()
    assert "olab" not in (house / "README.md").read_text(encoding="utf-8")


def test_an_address_makes_badges_and_one_cell_and_no_address_removes_them(house: Path) -> None:
    publish(house)
    before = contents(house)
    set_address(house, GITHUB)
    assert address(house) == GITHUB
    stale = publish(house, check=True)
    assert stale == ["README.md (notebooks)", "01_distillation.ipynb", "03_pruning_sweep.ipynb"]
    assert publish(house) == stale
    for name in ("01_distillation", "03_pruning_sweep"):
        book = notebook(house, name)
        tagged = [i for i, cell in enumerate(book.cells) if "colab" in cell.metadata.get("tags", [])]
        assert tagged == [1], "once, before all other code"
        assert book.cells[1].source == colab_source(GITHUB)
        link = f"https://colab.research.google.com/github/owner/bert-study/blob/main/notebooks/{name}.ipynb"
        title = book.cells[0].source.splitlines()
        assert title[:3] == [f"# {name}", "", f"[![Open in Colab]({BADGE})]({link})"]
        assert title[3:] == ["", f"**Question.** What does {name} ask?"]
        assert f"({link}) |\n" in (house / "README.md").read_text(encoding="utf-8")
        nbformat.validate(book)
    after = contents(house)
    assert publish(house) == publish(house, check=True) == []
    assert contents(house) == after
    set_address(house, "https://github.com/someone/fork")
    publish(house)
    assert "owner/bert-study" not in json.dumps(notebook(house))
    assert json.dumps(notebook(house)).count("someone/fork") == 2, "a fork has its own badge and cell, and no other's"
    set_address(house, None)
    assert len(publish(house)) == 3
    assert contents(house) == before


def test_an_address_that_colab_cannot_open_makes_the_cell_and_no_badge(house: Path) -> None:
    set_address(house, "https://codeberg.org/owner/bert-study")
    publish(house)
    book, readme = notebook(house), (house / "README.md").read_text(encoding="utf-8")
    assert BADGE not in json.dumps(book) and BADGE not in readme and "| Colab |" not in readme
    assert book.cells[0].source.splitlines()[2] == "**Question.** What does 01_distillation ask?"
    assert "codeberg.org/owner/bert-study" in book.cells[1].source


@pytest.mark.parametrize("value", [GITHUB, f"{GITHUB}/", f"{GITHUB}.git"])
def test_addresses_may_end_as_they_do(value: str) -> None:
    assert "/github/owner/bert-study/blob/main/notebooks/01.ipynb)" in badge(value, "01.ipynb")
    assert 'os.chdir("bert-study/notebooks")' in colab_source(value)


@pytest.mark.parametrize(
    "value",
    ["owner/name", "http://github.com/owner/name", 'https://x/"; import os', "https://x y", "git@github.com:o/n"],
)
def test_a_wrong_address(house: Path, value: str) -> None:
    (house / "CITATION.cff").write_text(json.dumps({"repository-code": value}), encoding="utf-8")
    before = contents(house)
    with pytest.raises(InputError, match="repository-code in CITATION.cff must be an address like https://github.com"):
        publish(house, check=True)
    assert contents(house) == before


TITLES = some.builds(
    lambda heading, rest: f"# {heading}{rest}",
    some.text(alphabet="ab 12·", min_size=1, max_size=8),
    some.sampled_from(["", "\n", "\n\nText.", "\n\n**Question.** What?\n\nMore [a](b).", "\nAt once."]),
)


@given(TITLES, some.integers(0, 3), some.integers(1, 3), some.sampled_from([GITHUB, f"{GITHUB}.git", "file:///a/b"]))
def test_an_address_comes_and_goes_without_a_trace(title: str, texts: int, codes: int, repository: str) -> None:
    cells = [nbformat.v4.new_markdown_cell(title)]
    cells += [nbformat.v4.new_markdown_cell(f"text {i}") for i in range(texts)]
    cells += [nbformat.v4.new_code_cell(f"code = {i}") for i in range(codes)]
    book = nbformat.v4.new_notebook(cells=cells)
    original = copy.deepcopy(book)
    there = with_address(book, "01.ipynb", repository)
    assert book == original, "the notebook itself is left alone"
    assert with_address(there, "01.ipynb", repository) == there
    assert [cell.source for cell in there.cells].count(colab_source(repository)) == 1
    assert with_address(there, "01.ipynb", None) == original
    assert with_address(book, "01.ipynb", None) == original


# the Colab cell

DRIVER = """\
import importlib.util, json, os, subprocess, sys
source, hidden = open(sys.argv[1]).read(), sys.argv[2].split(",")
run, find, commands = subprocess.run, importlib.util.find_spec, []
def recorded(command, **options):
    commands.append(command)
    return run(command, **options) if command[0] == "git" else None
subprocess.run = recorded
if sys.argv[3]:
    import importlib.metadata
    importlib.metadata.version = lambda name: sys.argv[3]
importlib.util.find_spec = lambda name, *rest: None if name in hidden else find(name, *rest)
places = []
for _ in range(2):
    exec(source, {"__name__": "__main__"})
    places.append(os.getcwd())
print(json.dumps({"commands": commands, "places": places, "loaded": sorted(sys.modules)}))
"""


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small repository, as it would lie on a server."""
    folder = tmp_path_factory.mktemp("server") / "bert-study"
    (folder / "helpers").mkdir(parents=True)
    (folder / "helpers" / "__init__.py").write_text("FROM = 'the clone'\n", encoding="utf-8")
    throwaway.write(folder / "notebooks", "01_distillation")
    git = ["git", "-C", str(folder), "-c", "user.name=Nobody", "-c", "user.email=nobody@example.org"]
    for command in (["init", "--quiet"], ["add", "."], ["commit", "--quiet", "-m", "All."]):
        subprocess.run([*git, *command], check=True, capture_output=True)
    return folder


@pytest.fixture
def colab(tmp_path: Path, repository: Path) -> Callable[..., dict]:
    """Run the cell twice in a new process in an empty folder, with or without a stand-in for `google.colab`."""
    (tmp_path / "stand-in" / "google" / "colab").mkdir(parents=True)
    for package in ("google", "google/colab"):
        (tmp_path / "stand-in" / package / "__init__.py").touch()
    (tmp_path / "cell.py").write_text(colab_source(f"file://{repository}"), encoding="utf-8")
    (tmp_path / "content").mkdir()

    def run(*, there: bool = True, hidden: str = "", old: str = "", folder: Path = tmp_path / "content") -> dict:
        surroundings = os.environ | {"PYTHONPATH": str(tmp_path / "stand-in") if there else ""}
        command = [sys.executable, "-c", DRIVER, str(tmp_path / "cell.py"), hidden, old]
        done = subprocess.run(command, cwd=folder, env=surroundings, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")
        return json.loads(done.stdout)

    return run


def test_the_cell_clones_once_and_enters_the_notebooks(
    colab: Callable[..., dict], tmp_path: Path, repository: Path
) -> None:
    found = colab()
    notebooks = tmp_path / "content" / "bert-study" / "notebooks"
    assert found["places"] == [str(notebooks)] * 2
    assert found["commands"] == [["git", "clone", "--quiet", "--depth", "1", f"file://{repository}"]]
    assert (notebooks.parent / "helpers" / "__init__.py").read_text() == "FROM = 'the clone'\n"
    assert (notebooks / "01_distillation.ipynb").exists()
    # a restarted kernel begins in the first folder again: it finds the clone
    again = colab()
    assert again["places"] == found["places"]
    assert again["commands"] == []
    # and in the notebooks' folder there is nothing to do
    inside = colab(folder=notebooks)
    assert inside["places"] == found["places"]
    assert inside["commands"] == []


def test_the_cell_installs_what_is_missing_and_never_torch_or_numpy(colab: Callable[..., dict]) -> None:
    found = colab(hidden="evaluate,jsonschema,torch,numpy,transformers")
    clone, *installs = found["commands"]
    assert clone[0] == "git"
    python = [sys.executable, "-m", "pip", "install", "--quiet"]
    assert installs == [[*python, "evaluate", "jsonschema", "transformers"]] * 2, "asked for again"
    assert not {"torch", "numpy"} & set(found["loaded"]), "the cell itself is quick"
    source = colab_source(GITHUB)
    assert not any(word in source for word in ("torch", "numpy", "requirements.txt", "=="))


def test_the_cell_brings_a_transformers_that_is_too_old_up_to_date(colab: Callable[..., dict]) -> None:
    _, *installs = colab(old="4.57.1")["commands"]
    assert [command[-1] for command in installs] == ["transformers>=5,<6"] * 2


def test_outside_colab_the_cell_does_nothing(colab: Callable[..., dict], tmp_path: Path) -> None:
    found = colab(there=False, hidden="evaluate")
    assert found["commands"] == []
    assert found["places"] == [str(tmp_path / "content")] * 2
    assert list((tmp_path / "content").iterdir()) == []


# the README's table of notebooks


def test_the_table_of_notebooks(house: Path) -> None:
    for record in fake_records.study(tasks=("cola",)):
        records.write(record | {"seconds": 30.0, "building_seconds": 60.0}, house / "results" / "mini" / "records")
    records.write(
        fake_records.make("01_distillation", "rte", 0, profile="minilm")
        | {"seconds": 60.0, "building_seconds": 1140.0},
        house / "results" / "minilm" / "records",
    )
    for profile, seconds in (("minilm_systems", 6000.0), ("minilm_comparisons", 600.0)):
        sweep = fake_records.make("03_pruning_sweep", "rte", 0, profile=profile)
        sweep |= {"seconds": 60.0, "building_seconds": seconds}
        records.write(sweep, house / "results" / profile / "records")
    lines = notebooks_block(house).splitlines()
    assert lines[0] == "<!-- notebooks:begin -->"
    assert lines[-1] == "<!-- notebooks:end -->"
    assert lines[2:-2] == [
        "| notebook | question | minutes for one task, `mini` | once its models are stored | for one task of real GLUE "
        "| writes |",
        "| --- | --- | --- | --- | --- | --- |",
        "| [01_distillation](notebooks/01_distillation.ipynb) | What does 01_distillation ask? "
        "| 1.5 to 2.2 | 0.2 to 0.5 | 20, `minilm` | a file |",
        "| [03_pruning_sweep](notebooks/03_pruning_sweep.ipynb) | What does 03_pruning_sweep ask? "
        "| 1.5 to 2.2 | 0.2 to 0.5 | 11, `minilm_comparisons` | a file |",
    ]
    set_address(house, GITHUB)
    with_badges = notebooks_block(house).splitlines()
    assert with_badges[2].endswith("| writes | Colab |")
    assert all(line.count("|") == 8 for line in with_badges[2:-2])


def test_a_readme_without_markers(house: Path) -> None:
    for lost in ("<!-- notebooks:begin -->", "<!-- notebooks:end -->", "<!-- results:begin -->"):
        (house / "README.md").write_text(README.replace(lost, ""), encoding="utf-8")
        with pytest.raises(InputError, match=r"README.md lacks the lines <!-- (notebooks|results):begin"):
            publish(house)


def test_the_rest_of_the_readme_stays(house: Path) -> None:
    publish(house)
    text = (house / "README.md").read_text(encoding="utf-8")
    assert text.startswith("# Title\n\n<!-- results:begin -->\n")
    assert "<!-- results:end -->\n\nBetween.\n\n<!-- notebooks:begin -->" in text
    assert text.endswith("<!-- notebooks:end -->\n\nThe end.\n")


# drift


def edit(old: str, new: str) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        text = path.read_text(encoding="utf-8")
        assert old in text
        path.write_text(text.replace(old, new), encoding="utf-8")

    return change


def another_cell(path: Path) -> None:
    book = nbformat.read(path, as_version=4)
    book.cells.insert(1, nbformat.v4.new_code_cell("old", id="colab", metadata={"tags": ["colab"]}))
    nbformat.write(book, path)


DRIFTS = {
    "headline": ("results/headline.json", edit('"value": ', '"value": 1'), "results/headline.json"),
    "no headline": ("results/headline.json", Path.unlink, "results/headline.json"),
    "table": ("results/mini/table1.md", edit("distilled", "better"), "results/mini/table1.md"),
    "cells": ("results/mini/table2.csv", Path.unlink, "results/mini/table2.csv"),
    "readme": ("README.md", edit("BERT-base is a file of", "BERT-base is"), "README.md"),
    "notebooks": ("README.md", edit("What does 01", "What did 01"), "README.md (notebooks)"),
    "notebook": ("notebooks/03_pruning_sweep.ipynb", another_cell, "03_pruning_sweep.ipynb"),
    "no picture": ("figures/mini/figure1.png", Path.unlink, "figures/mini/figure1"),
    "picture": ("figures/mini/figure1.svg", edit("<path", "<path "), "figures/mini/figure1"),
}


def test_a_check_writes_nothing(house: Path) -> None:
    before = contents(house)
    stale = publish(house, check=True)
    assert {"results/headline.json", "results/mini/table1.md", "README.md", "figures/mini/figure1"} <= set(stale)
    assert contents(house) == before


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = build(tmp_path_factory.mktemp("published") / "house")
    publish(root)
    assert publish(root, check=True) == []
    return root


@pytest.mark.parametrize("kind", DRIFTS)
def test_every_drift_is_found_and_mended(published: Path, tmp_path: Path, kind: str) -> None:
    root = shutil.copytree(published, tmp_path / "house")
    before = contents(root)
    file, change, named = DRIFTS[kind]
    change(root / file)
    damaged = contents(root)
    assert publish(root, check=True) == [named]
    assert contents(root) == damaged, "a check writes nothing"
    assert publish(root) == [named]
    assert contents(root) == before


def test_the_pictures_of_other_systems_are_looked_after(house: Path) -> None:
    for record in fake_records.systems():
        records.write(record, house / "results" / "mini" / "records")
    assert {"figures/mini/systems", "figures/mini/removal"} <= set(publish(house))
    (house / "figures" / "mini" / "removal.svg").unlink()
    assert publish(house, check=True) == ["figures/mini/removal"]


def test_another_record_is_a_drift_of_all(published: Path, tmp_path: Path) -> None:
    root = shutil.copytree(published, tmp_path / "house")
    path = root / "results" / "mini" / "records" / "03_pruning_sweep.sst2.seed0.json"
    record = records.read(path)
    scores = fake_records.arm(record, "pruned_0.2")["scores"]["accuracy"]
    scores["value"] += 0.02
    records.write(record, path.parent)
    assert publish(root, check=True) == ["figures/mini/figure1"]
    bigger = records.read(root / "results" / "mini" / "records" / "04_dynamic_quantization.sst2.seed0.json")
    for arm in bigger["arms"]:
        arm["bytes"]["file"] += 10_000_000
    records.write(bigger, path.parent)
    stale = publish(root, check=True)
    assert {"results/headline.json", "results/mini/table1.md", "README.md"} <= set(stale)


def test_records_without_a_sweep_have_no_figure(house: Path) -> None:
    for path in (house / "results" / "mini" / "records").glob("03_*"):
        path.unlink()
    publish(house)
    assert not list((house / "figures").rglob("figure1.*")) and list((house / "figures").rglob("curves.svg"))
    assert "figure1" not in (house / "README.md").read_text(encoding="utf-8")
    assert publish(house, check=True) == []


def test_no_record_at_all(house: Path) -> None:
    shutil.rmtree(house / "results")
    before = contents(house)
    with pytest.raises(InputError, match="There is no record in"):
        publish(house)
    assert contents(house) == before


# this repository


def test_everything_generated_here_is_up_to_date() -> None:
    stale = publish(ROOT, check=True)
    assert stale == [], "run `make report`"


@pytest.mark.parametrize("path", sorted((ROOT / "results").glob("*/records/*.json")), ids=lambda path: path.stem)
def test_a_published_record_is_of_its_profile_as_it_is_now(path: Path) -> None:
    """Changed settings make a new run; otherwise tables would show what nobody can make again."""
    record = records.read(path)
    recipe = dict(vars(profiles.load(record["profile"], task=record["task"], seed=record["seed"])))
    for bound in profiles.files.BOUNDS:
        del recipe[bound]
    places = ("data", "text", "nli")  # a folder stands for the hub's data set
    readers = {
        "distilbert_": SYSTEMS,
        "albert_": SYSTEMS,
        "structured_": SYSTEMS,
        "storage_": FILES + ORDERS,
        "speed_": SPEEDS,
    }
    readers |= {"order_": ORDERS}
    others = tuple(start for start, notebooks in readers.items() if record["notebook"] not in notebooks)
    now = {name: value for name, value in recipe.items() if name not in places and not name.startswith(others)}
    # a parameter that is younger than the record had, when the record was made, the effect of its default
    then = {name: item.default_factory() for name, item in profiles.FIELDS.items() if callable(item.default_factory)}
    then |= {name: item.default for name, item in profiles.FIELDS.items() if name not in then}
    assert {name: (then | record["parameters"])[name] for name in now} == now
    assert record["code"]["clean"], "made from a commit, not from a changed tree"


def test_headline_numbers_here_have_their_records() -> None:
    written = json.loads((ROOT / "results" / "headline.json").read_text(encoding="utf-8"))
    assert {"bert_base_mb", "tinybert_mb", "int8_mb", "latency_factor_tinybert", "latency_factor_int8"} <= set(written)
    published = (ROOT / "results" / "minilm" / "records").exists()
    assert any(name.startswith("minilm_student_") for name in written) == published
    for name, entry in written.items():
        assert entry.keys() == {"value", "unit", "records"}
        assert entry["records"], name
        for path in entry["records"]:
            if name.startswith(("bad_inputs_", "faults_")):  # of no run: what `make faults` wrote, with the code it was
                found = json.loads((ROOT / path).read_text(encoding="utf-8"))
                for made in [found] if name.startswith("bad_inputs_") else found["rows"]:
                    assert made["code"]["clean"] and made["environment"]["cpu"]["model"], path
                continue
            assert records.read(ROOT / path)["profile"] == path.split("/")[1]
    assert written == numbers.headline(ROOT / "results")
