"""A model in ONNX, the format that other programs read."""

from __future__ import annotations

import importlib.util
import tempfile
import warnings
from pathlib import Path

import torch
from IPython.utils.capture import capture_output
from torch.ao.nn.quantized import dynamic
from transformers import BertForSequenceClassification, BertTokenizer

from helpers import records
from helpers.environment import InputError, RunError
from helpers.models import Logits
from helpers.tasks import FIELDS

__all__ = ["export"]

# Rows that the export follows through the model. One has padding: for rows without any, transformers leaves the mask
# out, and so would the graph.
EXAMPLE = torch.tensor([[1] * 8, [1] * 5 + [0] * 3])


def export(model: BertForSequenceClassification, path: Path, *, tokenizer: BertTokenizer | None = None) -> Path | None:
    """Write a model as an ONNX graph for batches of any size: inputs `[B, T]` as the tokenizer names them, `logits`.

    The graph computes in float32. With a `tokenizer`, a file of the `tokenizers` library is written beside it, which
    pads and cuts as the model needs; its path is returned. Each file is whole or not there. Raises `InputError` where
    the package onnx is missing, the path does not end in .onnx or a layer has PyTorch's own int8 weights, `RunError`
    where the model cannot be followed or the disk refuses.
    """
    missing = [name for name in ("onnx", "onnxscript") if importlib.util.find_spec(name) is None]
    if missing:
        raise InputError(f"{' and '.join(missing)} not installed: pip install -r requirements-speed.txt")
    if path.suffix != ".onnx":
        raise InputError(f"A graph is a file that ends in .onnx, not {path}: name one like student.onnx.")
    if any(isinstance(module, dynamic.Linear) for module in model.modules()):
        raise InputError(
            "The model has layers of PyTorch's own int8 weights, which ONNX has not: export a file whose layers are "
            "float32 once they are read."
        )
    records.write_bytes(path, _graph(model))
    if tokenizer is None:
        return None
    return records.write_text(path.with_suffix(".tokenizer.json"), _rules(tokenizer, model))


def _graph(model: BertForSequenceClassification) -> bytes:
    either = {0: torch.export.Dim.DYNAMIC, 1: torch.export.Dim.DYNAMIC}
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings(), capture_output():
        warnings.simplefilter("ignore")
        file = Path(folder) / "model.onnx"
        try:
            torch.onnx.export(
                Logits(model).eval(),
                kwargs={name: EXAMPLE.clone() for name in FIELDS},  # one tensor thrice would be one input
                f=file,
                dynamo=True,
                dynamic_shapes=dict.fromkeys(FIELDS, either),
                input_names=list(FIELDS),
                output_names=["logits"],
                external_data=False,
                verbose=False,
            )
            return file.read_bytes()
        except Exception as error:  # whatever the exporter raises
            said = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise RunError(f"The model cannot be written in ONNX: {said}") from error


def _rules(tokenizer: BertTokenizer, model: BertForSequenceClassification) -> str:
    """Return a tokenizer as JSON of the `tokenizers` library, with the padding and cutting that a call would set."""
    rules = type(tokenizer.backend_tokenizer).from_str(tokenizer.backend_tokenizer.to_str())
    rules.enable_truncation(min(tokenizer.model_max_length, model.config.max_position_embeddings))
    rules.enable_padding(pad_id=tokenizer.pad_token_id, pad_token=tokenizer.pad_token)
    return rules.to_str()
