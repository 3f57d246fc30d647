"""The house rules: imports run downwards, nothing happens at import, what files name exists."""

from __future__ import annotations

import ast
import importlib.metadata
import json
import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
HELPERS = ROOT / "helpers"

# From the top down. A module imports from the floors below its own, and from its own as long as there is no circle.
FLOORS = (
    ("study",),
    # the first two read records, a run in the others writes them
    ("report", "figures", "runs", "arms", "speeds", "factors", "trees", "notebook"),
    ("backends",),
    ("compress",),
    ("training",),
    ("scores", "latency", "storage"),
    ("models",),
    ("tasks", "mini_glue"),
    ("hub",),
    ("artifacts", "records", "profiles"),
    ("environment", "labels", "yaml_text"),
    ("wording",),
)
FLOOR = {name: -depth for depth, names in enumerate(FLOORS) for name in names}
# tables and figures are made of records; `scores` has the t interval over seeds
REPORT_MAY_USE = {"report", "figures", "records", "scores", "labels", "environment", "yaml_text", "wording"}


def top(module: str) -> str:
    """Return a module's name in FLOORS: a package stands on one floor with all that is in it."""
    return module.partition(".")[0]


def modules(folder: Path = HELPERS) -> dict[str, Path]:
    """Return every module by dotted name, a package under its own."""
    files = sorted(path for path in folder.rglob("*.py") if path != folder / "__init__.py")
    names = [path.relative_to(folder).with_suffix("").parts for path in files]
    return {
        ".".join(name[:-1] if name[-1] == "__init__" else name): path for name, path in zip(names, files, strict=True)
    }


def imports(path: Path, known: set[str]) -> set[str]:
    """Return which helpers a module imports, in functions too."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name.partition(".")[0] == "helpers"}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name} has a relative import"
            if (node.module or "").partition(".")[0] == "helpers":
                found |= {f"{node.module}.{alias.name}" for alias in node.names}
    found = {name.removeprefix("helpers").removeprefix(".") for name in found}
    # `from helpers.scores import score` names a function, `from helpers import scores` a module
    return {name if name in known else name.rpartition(".")[0] for name in found}


def wrong_imports(graph: dict[str, set[str]]) -> list[str]:
    """Say which imports go upwards or in a circle."""
    said = [
        f"{name} imports {other}, which is above it"
        for name, others in graph.items()
        for other in sorted(others)
        if FLOOR[top(other)] > FLOOR[top(name)]
    ]
    reached = {name: set(others) for name, others in graph.items()}
    for _ in graph:
        reached = {name: others.union(*(reached[other] for other in others)) for name, others in reached.items()}
    return said + [f"{name} imports itself, in the end" for name, others in reached.items() if name in others]


def graph() -> dict[str, set[str]]:
    known = modules()
    return {name: imports(path, set(known)) for name, path in known.items()}


def test_every_module_has_its_floor() -> None:
    assert {top(name) for name in modules()} == set(FLOOR), "a new module needs a place in FLOORS"


def test_imports_run_downwards() -> None:
    found = graph()
    assert wrong_imports(found) == []
    assert "training.pretraining" in found["training"] and "hub" in found["tasks.loading"], "seen at all"


def test_imports_in_functions_count(tmp_path: Path) -> None:
    module = tmp_path / "late.py"
    module.write_text(
        "def run():\n    from helpers.hub import snapshot\n    import helpers.scores\n    return snapshot\n"
    )
    assert imports(module, {"hub", "scores"}) == {"hub", "scores"}


def test_wrong_imports_are_found() -> None:
    assert wrong_imports({"models": {"scores"}, "scores": set()}) == ["models imports scores, which is above it"]
    circle = {"records": {"profiles"}, "profiles": {"artifacts"}, "artifacts": {"records"}, "labels": set()}
    assert len(wrong_imports(circle)) == 3


def test_the_report_reads_records_and_nothing_else() -> None:
    found = graph()
    for name in [name for name in found if top(name) in ("report", "figures")]:
        assert {top(other) for other in found[name]} <= REPORT_MAY_USE, name


@pytest.mark.parametrize("name", modules())
def test_a_module_says_what_it_is_and_what_it_offers(name: str) -> None:
    tree = ast.parse(modules()[name].read_text(encoding="utf-8"))
    assert ast.get_docstring(tree)
    assert name.rpartition(".")[2] not in ("utils", "util", "common", "misc", "helpers", "tools")
    stars = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.names[0].name == "*"]
    assert not stars
    offered = [
        node.value
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id == "__all__"
    ]
    if name in ("compress", "study", "study.__main__"):  # nothing is called through these
        assert not offered
        return
    assert len(offered) == 1, "__all__"
    names = ast.literal_eval(offered[0])
    assert len(set(names)) == len(names)


IMPORT_ALL = """\
import importlib, json, os, random, sys
names, surroundings = [f"helpers.{name}" for name in json.loads(sys.argv[1])], dict(os.environ)
for name in names:
    importlib.import_module(name)

import matplotlib, numpy, torch, transformers

def state():
    return {
        "threads": torch.get_num_threads(), "seed": torch.get_rng_state().tolist(), "dtype": torch.get_default_dtype(),
        "gradients": torch.is_grad_enabled(), "random": random.getstate(), "numpy": str(numpy.random.get_state()),
        "figures": sorted(matplotlib.rcParams.items()), "environment": dict(os.environ), "folder": os.getcwd(),
        "logging": transformers.logging.get_verbosity(),
    }

# again, now that all libraries are there: some of them draw a random number when they are first imported
for name in [name for name in sys.modules if name.partition(".")[0] == "helpers"]:
    del sys.modules[name]
# and from a state that nobody sets
torch.manual_seed(4711), random.seed(4712), numpy.random.seed(4713), torch.set_num_threads(3)
matplotlib.rcdefaults(), transformers.logging.set_verbosity(41), os.environ.clear(), os.environ.update(surroundings)
before, wrong = state(), []
for name in names:
    module = importlib.import_module(name)
    wrong += [f"{name}.{each} is missing" for each in getattr(module, "__all__", ()) if not hasattr(module, each)]
    wrong += [f"{name} changes {what}" for what, value in state().items() if value != before[what]]
sys.exit("; ".join(wrong) if wrong else 0)
"""


# what these import is installed by those who want it, and nothing else imports them at its own import
EXTRAS = {"study.cluster": "distributed", "study.worker": "distributed"}


def test_what_needs_an_extra_is_needed_by_nothing_else() -> None:
    found = graph()
    assert EXTRAS.keys() <= found.keys()
    assert {name for name, used in found.items() if used & EXTRAS.keys()} <= EXTRAS.keys()


def test_nothing_happens_at_import(tmp_path: Path) -> None:
    """No print, no warning, no seed, no threads, no style, no file; and every name that is offered is there."""
    surroundings = os.environ | {"PYTHONPATH": str(ROOT), "STUDY_ARTIFACTS": str(tmp_path / "artifacts")}
    here = [name for name in modules() if name not in EXTRAS or find_spec(EXTRAS[name])]
    command = [sys.executable, "-c", IMPORT_ALL, json.dumps(here)]
    done = subprocess.run(command, cwd=tmp_path, env=surroundings, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert list(tmp_path.iterdir()) == []


# what files name


def test_the_makefile_runs_modules_that_exist() -> None:
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    own = [name for name in re.findall(r"-m ([\w.]+)", text) if name.startswith(("helpers.", "tests."))]
    assert "helpers.study" in own
    for name in own:
        path = ROOT / name.replace(".", "/")
        assert path.with_suffix(".py").exists() or (path / "__main__.py").exists(), name
    targets = set(re.findall(r"^([a-z-]+):", text, re.MULTILINE))
    assert targets >= {"study", "test", "lab", "report", "lint"}
    assert set(re.search(r"^\.PHONY: (.*)$", text, re.MULTILINE)[1].split()) == targets


def test_every_requirement_is_pinned_with_its_reason_and_installed() -> None:
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    for line in pins:
        name, version, reason = re.fullmatch(r"([\w.-]+)==(\d[\w.]*) +# (\S.*)", line).groups()
        assert reason, name
        installed = importlib.metadata.version(name).partition("+")[0]  # a build of torch says which after a +
        assert installed == version, f"{name} {installed} is installed; run make .venv/installed"
    assert "torch==2.13.0" in [line.split()[0] for line in pins]


def test_the_readme_s_links_and_files_exist() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    links = re.findall(r"\]\(([^)#]+)\)", text)
    for link in links:
        assert link.startswith("https://") or (ROOT / link).exists(), link
    named = re.findall(r"`((?:helpers|notebooks|results|tests)/[\w/.]+)`", text)
    assert named
    for name in named:
        assert (ROOT / name).exists() or (ROOT / f"{name}.py").exists(), name
    for target in re.findall(r"`?make ([a-z-]+)", text):
        assert f"\n{target}:" in (ROOT / "Makefile").read_text(encoding="utf-8"), target
