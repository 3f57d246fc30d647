"""Other programs give a model's answers; what cannot run says why; processes share rows and report what they take."""

from __future__ import annotations

import importlib.util
import json
import logging
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import tiny
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from helpers import backends, environment, latency, profiles, storage, tasks
from helpers.backends import Workers, eager, programs
from helpers.environment import InputError, RunError
from helpers.labels import ARMS, FIRST_TOKEN
from helpers.profiles import recipe

# compiling takes most of a minute: one of the two, and only here
EVERY = [name for name in (*recipe.PROGRAMS, *recipe.FIRST_TOKEN_PROGRAMS) if name != "torchao_int8"]
LOOSE = {"float32": 1e-4, "bf16": 0.1, "int8": 0.3}


def rows(*lengths: int) -> list[dict[str, list[int]]]:
    return [
        {"input_ids": [2, *range(5, 3 + n), 3], "token_type_ids": [0] * n, "attention_mask": [1] * n} for n in lengths
    ]


BATCHES = [tasks.collate(rows(5, 9, 12)), tasks.collate(rows(4, 4))]


@pytest.fixture(scope="module")
def model() -> nn.Module:
    return tiny.classifier(layers=2, spread=3.0).eval()


def logits(program: nn.Module, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    with torch.inference_mode():
        found = program(**batch)
    return found if isinstance(found, torch.Tensor) else found.logits


def test_names_are_the_same_everywhere() -> None:
    assert list(backends.BACKENDS) == list(recipe.BACKENDS)
    assert [arm for arm in ARMS if arm.startswith("speed_")] == [f"speed_{name}" for name in recipe.BACKENDS]
    assert all(
        name.removesuffix(FIRST_TOKEN).endswith(backend.precision) for name, backend in backends.BACKENDS.items()
    )


def test_what_is_optional_is_pinned() -> None:
    lines = (environment.ROOT / "requirements-speed.txt").read_text(encoding="utf-8").splitlines()
    pinned = {line.partition("==")[0] for line in lines if "==" in line}
    assert {package for backend in backends.BACKENDS.values() for package in backend.packages} == pinned


@pytest.mark.parametrize("name", EVERY)
def test_a_program_gives_the_models_answers(name: str, model: nn.Module, capsys: pytest.CaptureFixture) -> None:
    if reason := backends.why_not(name):
        pytest.skip(reason)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        program = backends.build(name, model, threads=1, batches=BATCHES)
        sizes = [rows(7), rows(3), rows(30), rows(3, 20, 9, 6, 4), rows(*range(3, 20))]
        for batch in (*BATCHES, *map(tasks.collate, sizes)):
            expected, found = logits(model, batch), logits(program, batch)
            assert found.dtype == torch.float32 and found.shape == expected.shape
            bound = LOOSE[backends.BACKENDS[name].precision]
            assert (found - expected).abs().max() < bound, f"{tuple(batch['input_ids'].shape)}"
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items()), "the model stays"
    printed = capsys.readouterr()
    assert not printed.out and not printed.err


@pytest.mark.parametrize("name", ["torch_bf16", "torch_int8", "onnx_int8", "openvino_int8"])
def test_fewer_bits_are_fewer(name: str, model: nn.Module) -> None:
    if reason := backends.why_not(name):
        pytest.skip(reason)
    program = backends.build(name, model, threads=1, batches=BATCHES)
    assert not torch.equal(logits(program, BATCHES[0]), logits(model, BATCHES[0])), "float32 in disguise"


def test_two_processes_are_not_pinned_to_one_core(model: nn.Module) -> None:
    if reason := backends.why_not("openvino_float32"):
        pytest.skip(reason)
    program = backends.build("openvino_float32", model, threads=1, batches=BATCHES)
    assert program.request.get_compiled_model().get_property("ENABLE_CPU_PINNING") is False


def test_padding_changes_nothing(model: nn.Module) -> None:
    for name in ("torch_float32", "onnx_float32", "openvino_float32"):
        if backends.why_not(name) is None:
            program = backends.build(name, model, threads=1, batches=BATCHES)
            padded = logits(program, tasks.collate(rows(5), length=20))
            assert torch.allclose(padded, logits(model, tasks.collate(rows(5))), atol=1e-4)


def test_what_is_missing_says_so(model: nn.Module, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="no back end 'tensorflow': choose among torch_float32"):
        backends.why_not("tensorflow")
    assert backends.why_not("torch_float32") is None
    with monkeypatch.context() as patch:
        patch.setattr(importlib.util, "find_spec", lambda name: None)
        assert backends.why_not("openvino_int8") == (
            "openvino and nncf not installed: pip install -r requirements-speed.txt"
        )
        with pytest.raises(InputError, match=r"OpenVINO, int8 is not available: openvino and nncf not installed"):
            backends.build("openvino_int8", model, threads=1, batches=BATCHES)
    with monkeypatch.context() as patch:
        patch.setattr(programs, "cpu_flags", lambda: ["avx2"])
        assert backends.why_not("torch_bf16") == "this CPU has no amx_bf16 or avx512_bf16"
    with monkeypatch.context() as patch:
        patch.setattr(eager, "compiler", lambda: None)
        assert "no C++ compiler" in backends.why_not("compiled_float32")


def test_a_program_that_fails_says_what_it_said(model: nn.Module, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> nn.Module:
        print("much")
        raise ValueError("no such layer\nand more")

    broken = programs.Backend("float32", fail)
    monkeypatch.setitem(programs.BACKENDS, "torch_float32", broken)
    with pytest.raises(RunError, match=r"PyTorch, float32 cannot take this model: no such layer$"):
        backends.build("torch_float32", model, threads=1, batches=BATCHES)
    assert logging.root.manager.disable == logging.NOTSET, "logging is as it was"


def test_threads_are_as_they_were(model: nn.Module) -> None:
    before = torch.get_num_threads()
    backends.build("torch_float32", model, threads=before + 1, batches=BATCHES)
    assert torch.get_num_threads() == before


def test_an_exported_graph_takes_batches_of_any_size(model: nn.Module, tmp_path: Path) -> None:
    if reason := backends.why_not("onnx_float32"):
        pytest.skip(reason)
    import onnx

    storage.export(model, tmp_path / "model.onnx")
    graph = onnx.load(tmp_path / "model.onnx").graph
    assert [each.name for each in graph.input] == list(tasks.FIELDS) and graph.output[0].name == "logits"
    for each in graph.input:
        assert all(side.dim_param for side in each.type.tensor_type.shape.dim), "no side has a fixed size"


@pytest.fixture(scope="module")
def file(model: nn.Module, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "model"
    storage.save(model, path)
    return path


def test_processes_share_the_rows(model: nn.Module, file: Path) -> None:
    shares = backends.deal([rows(5, 6), rows(9, 12), rows(4)], 2)
    block = np.ones(400_000_000 // 8)  # this process's memory is not theirs
    with Workers(file, "torch_float32", shares, examples=shares[0], threads=1) as workers:
        assert len(workers.facts) == 2
        for facts in workers.facts:
            assert 0 < facts["first_answer_seconds"] < 60
            assert 50 < facts["memory_before_mb"] <= facts["peak_memory_mb"]
            assert facts["peak_memory_mb"] < latency.peak_memory_mb() and block[0] == 1
        assert 0 < workers.seconds() < 60 and workers.seconds() > 0
        for share, answers in zip(shares, workers.logits(), strict=True):
            for batch, found in zip(share, answers, strict=True):
                assert np.allclose(found, logits(model, tasks.collate(batch)).numpy(), atol=1e-5)
        processes = workers._processes
    assert all(process.poll() is not None for process in processes), "they end with the block"


def test_a_process_that_fails_says_so_in_a_sentence(file: Path, tmp_path: Path) -> None:
    share = [[rows(5)]]
    with pytest.raises(RunError, match="no-such-file"):
        Workers(tmp_path / "no-such-file", "torch_float32", share, examples=share[0], threads=1)
    with pytest.raises(RunError, match="failed with KeyError"):
        Workers(file, "torch_float32", [[[{"input_ids": [2, 3]}]]], examples=share[0], threads=1)
    with (
        Workers(file, "torch_float32", share, examples=share[0], threads=1) as workers,
        pytest.raises(RunError, match="PyTorch, float32 ended before it answered"),
    ):
        workers._processes[0].kill()
        workers._processes[0].wait()
        workers.seconds()


def test_only_answers_are_on_the_output(file: Path) -> None:
    order = {"file": str(file), "backend": "torch_float32", "threads": 1, "batches": [rows(5)], "examples": [rows(5)]}
    told = subprocess.run(
        [sys.executable, "-m", "helpers.backends"],
        input=f"{json.dumps(order)}\ngo\nanswers\n",
        capture_output=True,
        text=True,
        cwd=environment.ROOT,
        check=True,
        timeout=120,
    )
    lines = [json.loads(line) for line in told.stdout.splitlines()]
    assert lines[1] == {} and len(lines[2]["answers"][0][0]) == 2 and len(lines) == 3


@given(st.lists(st.integers(1, 50), min_size=1, max_size=30), st.integers(1, 5))
def test_dealing_leaves_nothing_out_and_is_fair(lengths: list[int], n: int) -> None:
    batches = [rows(length + 2) for length in lengths]
    shares = backends.deal(batches, n)
    dealt = sorted(len(batch[0]["input_ids"]) for share in shares for batch in share)
    assert dealt == sorted(length + 2 for length in lengths) and len(shares) == n
    tokens = [sum(len(batch[0]["input_ids"]) for batch in share) for share in shares]
    assert max(tokens) - min(tokens) <= max(dealt)


def test_a_profile_names_known_programs_only() -> None:
    with pytest.raises(InputError, match="speed_backends: there is no 'fast'"):
        profiles.load("mini", task="sst2", speed_backends=["fast"])
