"""A step whose code changed needs a decision: another result is another version, the same result is accepted.

`make accept-steps` (`python -m tests.test_step_versions`) notes the code and the versions as they are now.
"""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(Path(__file__).parent))

import step_code  # noqa: E402 - beside this file, wherever it was started from

NOTED = Path(__file__).with_name("step_versions.json")


def noted() -> dict[str, dict]:
    """Return what was accepted last: `steps` {name: version, code} and `definitions` {dotted name: hash}."""
    return json.loads(NOTED.read_text(encoding="utf-8")) if NOTED.exists() else {"steps": {}, "definitions": {}}


def now(root: Path = ROOT) -> dict[str, dict]:
    """Return the same for the code as it is."""
    steps = step_code.steps(root)
    definitions = {name: code for step in steps.values() for name, code in step.definitions.items()}
    return {
        "steps": {name: {"version": step.version, "code": step.code} for name, step in sorted(steps.items())},
        "definitions": dict(sorted(definitions.items())),
    }


def changes(before: dict[str, dict], after: dict[str, dict], root: Path = ROOT) -> list[str]:
    """Say in a sentence each what has to be decided, per step."""
    said = []
    found = step_code.steps(root)
    for name in sorted(before["steps"].keys() | after["steps"].keys()):
        old, new = before["steps"].get(name), after["steps"].get(name)
        if old == new:
            continue
        if old is None or new is None:
            said.append(f"The step {name} is {'new' if old is None else 'gone'}: run make accept-steps to note it.")
        elif old["version"] != new["version"]:
            said.append(
                f"The step {name} has version {new['version']}, noted is {old['version']}: run make accept-steps."
            )
        else:
            known, reached = before["definitions"], found[name].definitions
            touched = [each for each, code in reached.items() if known.get(each) != code]
            said.append(
                f"The code behind the step {name} changed ({', '.join(touched) or 'something was removed'}) and its "
                f"version {old['version']} did not: raise it if the step's result changes, else run make accept-steps."
            )
    return said


def test_no_step_changed_without_a_decision() -> None:
    said = changes(noted(), now())
    assert not said, "\n".join(said)


# tests of the test

DISTILLED = {"distil", "distil_on_text"}
ALL = {
    "pretrain",
    "continue_pretraining",
    "fine_tune",
    "start_student",
    "start_from_general",
    "find_candidates",
    "augment",
    "make_vectors",
    "recover",
    "bring",
    "predict",
    "distil_masked_words",
    "fine_tune_beside",
    "remove",
    "zero",
    "settle",
    "learn_labels",
    "factorize",
    "count_in_text",
    "cut_vocabulary",
} | DISTILLED
DRAWN = {"augment", "make_vectors", "count_in_text"}  # make no tensors
BESIDE = {"distil_masked_words", "fine_tune_beside"}
TRAINED = {"pretrain", "continue_pretraining", "fine_tune", "recover", "learn_labels"} | DISTILLED | BESIDE


@pytest.fixture(scope="module")
def unchanged() -> dict[str, dict]:
    return now()["steps"]


def test_the_source_shows_every_step() -> None:
    from helpers.artifacts import STEPS
    from helpers.compress import augmentation, distilbert, factorization, orders, small_files, structured  # noqa: F401 - declare their steps and those below

    declared = {name: step.version for name, step in STEPS.items() if step.__module__.startswith("helpers.")}
    assert {name: step.version for name, step in step_code.steps(ROOT).items()} == declared
    assert declared.keys() == ALL


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    shutil.copytree(ROOT / "helpers", tmp_path / "helpers", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def edited(before: dict[str, dict], tree: Path, file: str, old: str, new: str) -> set[str]:
    """Edit a copy of a helper and return the steps whose code is another than `before`."""
    path = tree / "helpers" / file
    text = path.read_text(encoding="utf-8")
    assert old in text, f"{file} has no {old!r} any more: give this test another example."
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    after = now(tree)["steps"]
    return {name for name in before if before[name]["code"] != after[name]["code"]}


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("compress/losses.py", "    soft = (", "    # a comment\n\n    soft = ("),
        ("compress/losses.py", '"""Soft cross-entropy', '"""The soft cross-entropy'),
        ("compress/losses.py", "mask: Tensor) -> Tensor", "mask: object) -> object"),
        ("compress/losses.py", "Attention needs as many", "Attention wants as many"),
        ("compress/distillation.py", "@step(version=1)\ndef distil(", "@step(version=2)\ndef distil("),
        # not reached by a step: how an amount is chosen, how a store is kept
        ("compress/chain.py", "key=lambda amount: (found[amount], amount)", "key=lambda amount: found[amount]"),
        ("artifacts/nodes.py", "[:16]", "[:20]"),
    ],
)
def test_what_cannot_change_a_result_changes_no_code(
    unchanged: dict, tree: Path, file: str, old: str, new: str
) -> None:
    assert edited(unchanged, tree, file, old, new) == set()


@pytest.mark.parametrize(
    ("file", "old", "new", "steps"),
    [
        ("compress/losses.py", ".sum(dim=-1).mean()", ".sum(dim=-1).sum()", {"distil"}),
        (
            "compress/losses.py",
            "temperature: float = 1.0, options",
            "temperature: float = 2.0, options",
            {"distil"},
        ),
        (
            "compress/pruning.py",
            "torch_prune.L1Unstructured",
            "torch_prune.RandomUnstructured",
            {"recover", "zero", "settle", "predict"},
        ),
        ("training/pretraining.py", "UNRELATED_SHARE = 0.2", "UNRELATED_SHARE = 0.3", {"pretrain"}),
        # from module to module
        (
            "training/fine_tuning.py",
            "nn.functional.mse_loss(",
            "nn.functional.l1_loss(",
            {"fine_tune", "recover", "remove", "learn_labels"},
        ),
        ("training/loop.py", "random.permutation(len(batches))", "range(len(batches))", TRAINED),
        ("models/attention.py", "weights = nn.functional.dropout(", "weights = 2 * nn.functional.dropout(", DISTILLED),
        ("models/checkpoints.py", "name.replace(", "name.strip().replace(", ALL - DRAWN - {"pretrain"}),
        ("compress/augmentation.py", "random.random() < probability", "random.random() > probability", {"augment"}),
        ("environment.py", "torch.manual_seed(int(seed))", "torch.manual_seed(1)", ALL - DRAWN),
    ],
)
def test_what_can_change_a_result_changes_the_code(
    unchanged: dict, tree: Path, file: str, old: str, new: str, steps: set[str]
) -> None:
    assert edited(unchanged, tree, file, old, new) == steps


def test_a_changed_step_is_told_in_a_sentence(tree: Path) -> None:
    before = now(tree)
    assert changes(before, before, tree) == []
    edited(before["steps"], tree, "compress/losses.py", ".sum(dim=-1).mean()", ".sum(dim=-1).sum()")
    (said,) = changes(before, now(tree), tree)
    assert "behind the step distil changed (helpers.compress.losses.prediction_loss)" in said
    assert "raise it if the step's result changes, else run make accept-steps" in said
    edited(
        before["steps"],
        tree,
        "compress/distillation.py",
        "@step(version=1)\ndef distil(",
        "@step(version=2)\ndef distil(",
    )
    assert changes(before, now(tree), tree) == ["The step distil has version 2, noted is 1: run make accept-steps."]
    gone = {"steps": {n: s for n, s in before["steps"].items() if n != "recover"}, "definitions": {}}
    assert "The step recover is new: run make accept-steps to note it." in changes(gone, before, tree)


@pytest.mark.parametrize("python", ["python3.11", "python3.12"])
def test_another_python_finds_the_same_code(python: str) -> None:
    command = [python, "-c", "import sys; sys.exit('%d.%d' % sys.version_info[:2] != sys.argv[1])", python[6:]]
    if not shutil.which(python) or subprocess.run(command, capture_output=True).returncode:
        pytest.skip(f"{python} is not installed")
    script = Path(step_code.__file__)
    done = subprocess.run([python, str(script), str(ROOT)], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == {name: step["code"] for name, step in now()["steps"].items()}


def accept() -> None:
    """Note the steps as they are, and print what changed."""
    before, after = noted(), now()
    NOTED.write_text(json.dumps(after, indent=1) + "\n", encoding="utf-8")
    for name, step in after["steps"].items():
        old = before["steps"].get(name)
        if old != step:
            was = f"version {old['version']}, code {old['code']}" if old else "new"
            print(f"{name}: {was} -> version {step['version']}, code {step['code']}")
    for name in before["steps"].keys() - after["steps"].keys():
        print(f"{name}: gone")
    touched = [name for name, code in after["definitions"].items() if before["definitions"].get(name) != code]
    print(f"changed definitions: {', '.join(touched)}" if touched and before["steps"] else "noted")


if __name__ == "__main__":
    accept()
