"""A model in ONNX, the format that other programs read."""

from __future__ import annotations

import importlib.util
import os
import warnings
from pathlib import Path

import torch
from IPython.utils.capture import capture_output
from torch.ao.nn.quantized import dynamic
from transformers import BertForSequenceClassification, BertTokenizer

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
    pads and cuts as the model needs; its path is returned. Both are whole or not there. Raises `InputError` where the
    package onnx is missing or a layer has PyTorch's own int8 weights, `RunError` where the disk refuses.
    """
    missing = [name for name in ("onnx", "onnxscript") if importlib.util.find_spec(name) is None]
    if missing:
        raise InputError(f"{' and '.join(missing)} not installed: pip install -r requirements-speed.txt")
    if any(isinstance(module, dynamic.Linear) for module in model.modules()):
        raise InputError(
            "The model has layers of PyTorch's own int8 weights, which ONNX has not: export a file whose layers are "
            "float32 once they are read."
        )
    rules = None if tokenizer is None else _rules(tokenizer, model.config.max_position_embeddings)
    beside = None if rules is None else path.with_suffix(".tokenizer.json")
    parts = [part.with_name(f".{part.name}.{os.getpid()}.tmp") for part in (path, beside) if part]
    either = {0: torch.export.Dim.DYNAMIC, 1: torch.export.Dim.DYNAMIC}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with warnings.catch_warnings(), capture_output():
            warnings.simplefilter("ignore")
            torch.onnx.export(
                Logits(model).eval(),
                kwargs={name: EXAMPLE.clone() for name in FIELDS},  # one tensor thrice would be one input
                f=parts[0],
                dynamo=True,
                dynamic_shapes=dict.fromkeys(FIELDS, either),
                input_names=list(FIELDS),
                output_names=["logits"],
                external_data=False,
                verbose=False,
            )
        if beside is not None and rules is not None:
            parts[1].write_text(rules, encoding="utf-8")
            os.replace(parts[1], beside)
        os.replace(parts[0], path)
    except OSError as error:
        reason = error.strerror or error
        raise RunError(f"No graph could be written to {path}: {reason}; make room or choose another.") from error
    finally:
        for part in parts:
            part.unlink(missing_ok=True)
    return beside


def _rules(tokenizer: BertTokenizer, most: int) -> str:
    """Return a tokenizer as JSON of the `tokenizers` library, with the padding and cutting that a call would set."""
    rules = type(tokenizer.backend_tokenizer).from_str(tokenizer.backend_tokenizer.to_str())
    rules.enable_truncation(min(tokenizer.model_max_length, most))
    rules.enable_padding(pad_id=tokenizer.pad_token_id, pad_token=tokenizer.pad_token)
    return rules.to_str()
