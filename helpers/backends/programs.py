"""The switch: each back end by name, what it needs, and how it takes a model over."""

from __future__ import annotations

import importlib.util
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch
from IPython.utils.capture import capture_output
from torch import Tensor, nn
from transformers import BertForSequenceClassification

from helpers import models
from helpers.backends import eager, onnx_graphs, openvino_graphs
from helpers.environment import InputError, RunError, cpu_flags
from helpers.environment import threads as pinned
from helpers.labels import ARMS, FIRST_TOKEN

__all__ = ["BACKENDS", "Backend", "build", "title", "why_not"]

Batches = Sequence[Mapping[str, Tensor]]
BF16 = frozenset({"avx512_bf16", "amx_bf16"})


@dataclass(frozen=True)
class Backend:
    """One program and the precision in which it multiplies matrices."""

    precision: str  # float32, bf16 or int8
    take: Callable[..., nn.Module]  # (model, threads, batches): the module that answers
    packages: tuple[str, ...] = ()  # to be installed beside this collection's own
    flags: frozenset[str] = frozenset()  # one of these is needed of the CPU
    compiler: bool = False
    first_token: bool = False  # the last layer computes what the classifier reads, and no more


def title(name: str) -> str:
    """Return what a back end is called in tables."""
    return ARMS[f"speed_{name}"]


BACKENDS = {
    "torch_float32": Backend("float32", eager.float32),
    "torch_bf16": Backend("bf16", eager.bf16, flags=BF16),
    "torch_int8": Backend("int8", eager.int8),
    "compiled_float32": Backend("float32", eager.compiled, compiler=True),
    "torchao_int8": Backend("int8", eager.torchao_int8, ("torchao",), compiler=True),
    "onnx_float32": Backend("float32", onnx_graphs.float32, ("onnx", "onnxscript", "onnxruntime")),
    "onnx_int8": Backend("int8", onnx_graphs.int8, ("onnx", "onnxscript", "onnxruntime")),
    "openvino_float32": Backend("float32", openvino_graphs.float32, ("openvino",)),
    "openvino_bf16": Backend("bf16", openvino_graphs.bf16, ("openvino",), flags=BF16),
    "openvino_int8": Backend("int8", openvino_graphs.int8, ("openvino", "nncf")),
}
BACKENDS |= {f"{name}{FIRST_TOKEN}": replace(backend, first_token=True) for name, backend in BACKENDS.items()}


def why_not(name: str) -> str | None:
    """Return why a back end cannot run here, or None if it can. Raises `InputError` for an unknown one."""
    backend = _known(name)
    missing = [package for package in backend.packages if importlib.util.find_spec(package) is None]
    if missing:
        return f"{' and '.join(missing)} not installed: pip install -r requirements-speed.txt"
    if backend.flags and backend.flags.isdisjoint(cpu_flags()):
        return f"this CPU has no {' or '.join(sorted(backend.flags))}"
    if backend.compiler and eager.compiler() is None:
        return "there is no C++ compiler: install g++ or clang"
    return None


def build(name: str, model: BertForSequenceClassification, *, threads: int, batches: Batches) -> nn.Module:
    """Return a module that gives `model`'s logits by another program, on `threads` threads.

    It takes `input_ids`, `token_type_ids` and `attention_mask`, `[B, T]` of any size, and returns logits `[B, C]`; the
    model stays as it was. `batches` are examples of what it will be asked: some programs follow the model through one,
    or choose the ranges of their eight bits by them. It has answered once, alone and in a batch, when it is returned.
    PyTorch's own take the threads that torch has at the time. Raises `InputError` for a back end that is unknown or
    not here, `RunError` with the program's own words if it fails.
    """
    backend, reason = _known(name), why_not(name)
    if reason:
        raise InputError(f"{title(name)} is not available: {reason}.")
    try:
        with _silence(), pinned(threads), torch.inference_mode():
            asked = models.first_token(model) if backend.first_token else model
            taken = backend.take(asked, threads, batches).eval()
            for some in (batches[0], {name: rows[:1] for name, rows in batches[0].items()}):
                taken(**some)
    except RunError:
        raise
    except Exception as error:  # whatever another program raises
        said = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise RunError(f"{title(name)} cannot take this model: {said}") from error
    return taken


@contextmanager
def _silence() -> Iterator[None]:
    """Keep the programs' progress bars, advice and warnings off the screen; what they raise passes."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), capture_output():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def _known(name: str) -> Backend:
    if name not in BACKENDS:
        raise InputError(f"There is no back end {name!r}: choose among {', '.join(BACKENDS)}.")
    return BACKENDS[name]
