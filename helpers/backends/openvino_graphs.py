"""OpenVINO: the model converted, in float32, bf16, or with int8 matrix products whose ranges are chosen beforehand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from transformers import BertForSequenceClassification

from helpers.backends.eager import largest
from helpers.environment import RunError
from helpers.models import Logits
from helpers.tasks import FIELDS

__all__ = ["bf16", "float32", "int8"]

Batches = Sequence[Mapping[str, Tensor]]


class _Compiled(nn.Module):
    """A graph that OpenVINO has compiled for this CPU."""

    def __init__(self, graph: Any, threads: int, precision: str) -> None:
        super().__init__()
        import openvino

        settings = {"INFERENCE_PRECISION_HINT": precision, "INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1}
        settings["ENABLE_CPU_PINNING"] = False  # two processes of one thread each would be pinned to the same core
        compiled = openvino.Core().compile_model(graph, "CPU", settings)
        given = compiled.get_property("INFERENCE_PRECISION_HINT").to_string()
        if given != precision:  # it falls back without a word
            raise RunError(f"OpenVINO computes in {given} on this CPU, though {precision} was asked for.")
        self.request: Any = compiled.create_infer_request()

    def forward(self, **inputs: Tensor) -> Tensor:
        found = self.request.infer([inputs[name].numpy() for name in FIELDS], share_inputs=True)
        return torch.from_numpy(found[0].copy())


def float32(model: BertForSequenceClassification, threads: int, batches: Batches) -> nn.Module:
    """Return the model converted, in float32."""
    return _Compiled(_graph(model, batches), threads, "f32")


def bf16(model: BertForSequenceClassification, threads: int, batches: Batches) -> nn.Module:
    """Return the model converted, with matrix products in bf16."""
    return _Compiled(_graph(model, batches), threads, "bf16")


def int8(model: BertForSequenceClassification, threads: int, batches: Batches) -> nn.Module:
    """Return it with int8 matrix products, by NNCF: ranges of activations come from the batches, and then are fixed."""
    import nncf

    examples = nncf.Dataset([[batch[name].numpy() for name in FIELDS] for batch in batches])
    graph = nncf.quantize(
        _graph(model, batches), examples, model_type=nncf.ModelType.TRANSFORMER, subset_size=len(batches)
    )
    return _Compiled(graph, threads, "f32")


def _graph(model: BertForSequenceClassification, batches: Batches) -> Any:
    import openvino

    example = largest(batches)
    inputs = {name: example[name] for name in FIELDS}
    with torch.no_grad():
        graph = openvino.convert_model(Logits(model).eval(), example_input=inputs)
    graph.reshape({number: [-1, -1] for number in range(len(FIELDS))})
    return graph
