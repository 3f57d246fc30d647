"""ONNX Runtime: the model exported to ONNX (`storage.export`), in float32 or with int8 matrix products."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import BertForSequenceClassification

from helpers import storage
from helpers.tasks import FIELDS

__all__ = ["float32", "int8"]

Batches = Sequence[Mapping[str, Tensor]]


class _Session(nn.Module):
    """A graph that ONNX Runtime has loaded."""

    def __init__(self, graph: bytes, threads: int) -> None:
        super().__init__()
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        options.log_severity_level = 3  # errors
        # its threads go on spinning after an answer, beside whatever runs next
        options.add_session_config_entry("session.force_spinning_stop", "1")
        self.session: Any = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])

    def forward(self, **inputs: Tensor) -> Tensor:
        return torch.from_numpy(self.session.run(None, {name: inputs[name].numpy() for name in FIELDS})[0])


def float32(model: BertForSequenceClassification, threads: int, batches: Batches) -> nn.Module:
    """Return the model as a graph that ONNX Runtime optimizes on loading."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        storage.export(model, path)
        return _Session(path.read_bytes(), threads)


def int8(model: BertForSequenceClassification, threads: int, batches: Batches) -> nn.Module:
    """Return it with int8 matrix products: a scale for each row of weights, one for the batch's activations."""
    from onnxruntime.quantization import quantize_dynamic

    with tempfile.TemporaryDirectory() as folder:
        path, smaller = Path(folder) / "model.onnx", Path(folder) / "int8.onnx"
        storage.export(model, path)
        quantize_dynamic(path, smaller, op_types_to_quantize=["MatMul", "Gemm"], per_channel=True)
        return _Session(smaller.read_bytes(), threads)
