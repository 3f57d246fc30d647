"""The notebooks as users run them: by nbval with their defaults, then by the study's command, in a copy of the tree."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted(path.name for path in (ROOT / "notebooks").glob("*.ipynb"))
# one worker for all of this file: a later notebook finds the models that an earlier one built
pytestmark = pytest.mark.xdist_group("execution")


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the tree without results of its own: what is run here leaves the repository as it is."""
    root = tmp_path_factory.mktemp("study") / "copy"
    root.mkdir()
    for name in ("helpers", "notebooks", "results", "figures"):
        shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__", ".ipynb_checkpoints"))
    for name in ("README.md", "CITATION.cff"):
        shutil.copy(ROOT / name, root / name)
    # of each kind of comparison one or two: all of them would take the time of all other tests
    profile = root / "notebooks" / "params" / "mini.yaml"
    values = yaml.safe_load(profile.read_text(encoding="utf-8"))
    values |= {"pretraining_steps": 600, "general_steps": 60, "augmentation_variants": 2}
    values |= {"teacher_epochs": 2, "intermediate_epochs": 1, "prediction_epochs": 1}
    values |= {"distilbert_steps": 40, "albert_steps": 40}
    values |= {"speed_rounds": 1, "speed_lengths": [4], "latency_repeats": 3, "latency_max_batches": 2}
    values["order_chains"] = {
        "66 kB": ["distil > prune fit > int4", "distil > int4 > prune fit", "distil > int4 > prune fit > recover"],
        "250 kB": ["distil > prune fit > bf16"],
    }
    values["study"]["notebook_tasks"] = {}
    more = {"teacher_starts": ["given", "random"], "compared_starts": ["projected", "general"]}
    more |= {"ablations": ["no_prediction", "top_layers"], "distilbert_ablations": ["no_soft"]}
    more |= {"albert_sharings": ["none"], "albert_embedding_sizes": [8]}
    values["tasks"] = {"sst2": more}
    profile.write_text(yaml.safe_dump(values), encoding="utf-8")
    return root


def run(copy: Path, *command: str) -> subprocess.CompletedProcess:
    surroundings = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "STUDY"))}
    surroundings |= {"OMP_NUM_THREADS": "1", "STUDY_PROGRESS": "0", "HF_HUB_OFFLINE": "1"}
    # the other test process has a core of its own: threads that wait by spinning would make this ten times slower
    surroundings |= {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "0"}
    return subprocess.run(
        [sys.executable, "-m", *command], cwd=copy, env=surroundings, capture_output=True, text=True, check=False
    )


@pytest.mark.skipif("PYTEST_XDIST_WORKER" not in os.environ, reason="one process runs all tests")
def test_one_worker_runs_all_of_this_file(request: pytest.FixtureRequest) -> None:
    """Pytest 9.2.0 dropped pytest-xdist's groups without a word: each worker then built every model for itself."""
    assert request.node.nodeid.endswith("@execution")


def test_there_are_notebooks() -> None:
    assert [name[:2] for name in NOTEBOOKS] == [f"{number:02}" for number in range(1, 12)]


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_nbval(copy: Path, name: str) -> None:
    """Run from top to bottom with its defaults; marked cells must print what is committed, nothing may go to stderr."""
    done = run(copy, "pytest", "--nbval-lax", "-p", "no:cacheprovider", "-p", "no:xdist", f"notebooks/{name}")
    assert done.returncode == 0, done.stdout[-6000:]
    assert "passed" in done.stdout


def test_the_study_command_runs_them_all(copy: Path) -> None:
    """Under papermill, with the models that nbval's run left: records, tables, figure, headline, printed tables."""
    shutil.rmtree(copy / "results" / "mini")
    # this test is the longest and pytest's other process is often done by then, so both cores are its own
    first = run(copy, "helpers.study", "run", "--tasks", "sst2", "--workers", "2")
    assert first.returncode == 0, first.stderr + first.stdout
    assert "Table 1" in first.stdout
    assert "Table 2" in first.stdout
    records = sorted((copy / "results/mini/records").glob("*.json"))
    assert [path.name[:2] for path in records] == ["01", "02", "03", "04", "06", "07", "08", "09", "10", "11"]
    made = {path.name for path in (copy / "results/mini").glob("*.md")}
    assert {"starts.md", "teachers.md", "ablations.md", "augmentation.md"} <= made
    assert {"distilbert.md", "albert.md", "low_rank.md", "structured.md", "systems.md", "storage.md"} <= made
    assert {"programs.md", "program_times.md", "factors.md"} <= made
    assert {"orders.md", "order_answer.md", "order_methods.md", "order_pairs.md", "order_swaps.md"} <= made
    assert "order_findings.md" not in made, "none of these few chains asks what others asked"
    assert (copy / "results/mini/table1.md").exists()
    assert (copy / "figures/mini/figure1.svg").exists()
    assert all(
        (copy / f"figures/mini/{name}.svg").exists()
        for name in (
            "systems",
            "removal",
            "storage",
            "programs",
            "factors",
            "order_tree",
            "order_front",
            "order_points",
        )
    )
    executed = copy / "artifacts/runs/mini"
    for path in executed.glob("*.ipynb"):
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        noise = [o for c in cells for o in c.get("outputs", []) if o.get("name") == "stderr"]
        assert not noise, (path.name, noise)
    again = run(copy, "helpers.study", "run", "--tasks", "sst2", "--workers", "1")
    assert again.returncode == 0
    assert again.stdout.count("done before") == 10
    other = run(copy, "helpers.study", "run", "--tasks", "sst2", "--notebooks", "03", "-p", "pruning_amounts", "[1.5]")
    assert other.returncode == 2
    assert other.stderr.count("\n") == 1
    assert "1.5" in other.stderr
