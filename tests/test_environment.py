"""The machine's description, seeds, threads, precision and the state of the repository."""

import contextlib
import importlib.metadata
import json
import platform
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from helpers import environment
from helpers.environment import InputError, RunError


def test_errors_are_the_kinds_that_the_runner_tells_apart():
    assert issubclass(InputError, ValueError) and issubclass(RunError, RuntimeError)
    assert not issubclass(InputError, RunError) and not issubclass(RunError, InputError)


def test_description_is_json_with_every_field_and_no_host_name():
    found = environment.describe()
    assert set(found) == {
        *("python", "platform", "device", "accelerator", "cpu", "memory_gb"),
        *("threads", "quantized_engine", "versions"),
    }
    assert set(found["cpu"]) == {"model", "cores_physical", "cores_logical", "flags"}
    assert list(found["versions"]) == ["torch", "transformers", "datasets", "evaluate", "numpy", "accelerate"]
    assert found["versions"]["torch"] == importlib.metadata.version("torch")
    assert found["cpu"]["flags"] == sorted(found["cpu"]["flags"])
    assert found["threads"] == torch.get_num_threads()
    assert found["memory_gb"] > 0 and found["cpu"]["cores_logical"] >= 1
    text = json.dumps(found, allow_nan=False)
    assert json.loads(text) == found
    assert len(platform.node()) < 4 or platform.node() not in text


@pytest.mark.skipif(sys.platform != "linux", reason="compares with /proc/cpuinfo")
def test_flags_are_those_that_linux_lists():
    with open("/proc/cpuinfo") as file:
        lines = [line for line in file if line.startswith("flags")]
    if not lines:
        pytest.skip("this processor lists no flags")
    listed = set(lines[0].split(":")[1].split())
    assert environment.cpu_flags() == sorted(listed & set(environment._FLAGS))


def test_flags_have_their_usual_names_and_those_that_are_off_are_left_out(monkeypatch):
    capabilities = {"avx512_f": True, "avx2": True, "avx512_vnni": False, "sse4": True, "cpu_name": "some CPU"}
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    assert environment.cpu_flags() == ["avx2", "avx512f"]


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ([], "float32"),
        (["avx2", "avx512f", "avx512_vnni"], "float32"),
        (["avx512_bf16"], "bf16"),
        (["amx_bf16", "amx_int8"], "bf16"),
    ],
)
def test_automatic_precision_follows_the_hardware(monkeypatch, flags, expected):
    monkeypatch.setattr(environment, "cpu_flags", lambda: flags)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert environment.precision() == expected
    assert environment.precision("float32") == "float32"
    assert environment.precision("bf16") == "bf16"


@pytest.mark.parametrize("supported", [True, False])
def test_automatic_precision_on_cuda_does_not_count_emulation(monkeypatch, supported):
    asked = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(
        torch.cuda,
        "is_bf16_supported",
        lambda including_emulation: asked.append(including_emulation) or supported,
    )
    assert environment.device().type == "cuda"
    assert environment.precision() == ("bf16" if supported else "float32")
    assert asked == [False]


def test_unknown_precision_is_named():
    with pytest.raises(InputError, match="fp16.*auto, bf16, float32"):
        environment.precision("fp16")


def test_seed_fixes_every_generator():
    def draw():
        return random.random(), np.random.rand(), torch.rand(1).item()

    environment.set_seed(3)
    first = draw()
    environment.set_seed(3)
    assert draw() == first
    environment.set_seed(4)
    assert draw() != first


@pytest.mark.parametrize("seed", [-1, 2**32, 1.5, True, "0"])
def test_bad_seed_is_refused(seed):
    with pytest.raises(InputError, match="seed"):
        environment.set_seed(seed)


def test_threads_are_set():
    before = torch.get_num_threads()
    try:
        environment.set_threads(1)
        assert torch.get_num_threads() == 1
        environment.set_threads(2)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_threads_inside_a_block_end_with_it():
    before = torch.get_num_threads()
    for failing in (False, True):
        with contextlib.suppress(ZeroDivisionError), environment.threads(before + 1):
            assert torch.get_num_threads() == before + 1
            1 / (0 if failing else 1)
        assert torch.get_num_threads() == before


def test_a_wide_model_takes_all_cores_where_all_wait_for_it(monkeypatch):
    own = torch.get_num_threads()
    monkeypatch.setattr(environment.psutil, "cpu_count", lambda: own + 2)
    assert environment.threads_for_all(312) == min(4, own + 2)
    assert environment.threads_for_all(64) == own
    monkeypatch.setattr(environment.psutil, "cpu_count", lambda: None)
    assert environment.threads_for_all(312) == own


@pytest.mark.parametrize("threads", [0, -2, 1.0, True, None])
def test_bad_threads_are_refused(threads):
    with pytest.raises(InputError, match="threads"):
        environment.set_threads(threads)


def test_load_is_a_number():
    assert environment.load() >= 0.0


def git(folder, *arguments):
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", "-C", str(folder), *identity, *arguments], check=True, capture_output=True)


def test_git_state_follows_the_repository(tmp_path):
    git(tmp_path, "init")
    assert environment.git_state(tmp_path) == {"commit": None, "clean": True}
    (tmp_path / "code.py").write_text("1")
    (tmp_path / ".gitignore").write_text("cache\n")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-m", "one")
    state = environment.git_state(tmp_path)
    assert state["clean"] is True and len(state["commit"]) == 40
    (tmp_path / "cache").write_text("ignored")
    assert environment.git_state(tmp_path) == state
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "record.json").write_text("{}")
    assert environment.git_state(tmp_path) == {**state, "clean": False}
    assert environment.git_state(tmp_path, ignore=["results"]) == state
    (tmp_path / "code.py").write_text("2")
    assert environment.git_state(str(tmp_path), ignore=["results"]) == {**state, "clean": False}


def test_git_state_is_none_outside_a_repository_and_without_git(tmp_path, monkeypatch):
    nothing = {"commit": None, "clean": None}
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert environment.git_state(tmp_path) == nothing
    assert environment.git_state(tmp_path / "absent") == nothing
    monkeypatch.setenv("PATH", str(tmp_path))
    assert environment.git_state(tmp_path) == nothing


def test_importing_does_nothing_and_quiet_leaves_stderr_empty():
    code = """
import random, torch
random.seed(5)
before = random.getstate(), torch.get_num_threads(), torch.get_rng_state().tolist()
import helpers.environment
assert before == (random.getstate(), torch.get_num_threads(), torch.get_rng_state().tolist())
helpers.environment.quiet()
import datasets, evaluate, transformers
datasets.Dataset.from_dict({"a": [1, 2, 3]}).map(lambda row: {"b": row["a"]})
transformers.logging.get_logger("transformers.x").warning("noise")
datasets.logging.get_logger("datasets.x").warning("noise")
evaluate.logging.get_logger("evaluate.x").warning("noise")
"""
    root = Path(__file__).parents[1]
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
