"""The report's own numbers: its two tables as printed, single runs of another teacher and student."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pandas as pd

__all__ = ["FOLDER", "SYSTEMS", "column", "table"]

FOLDER = Path(__file__).resolve().parents[2] / "results" / "reported"
SYSTEMS = {  # an arm of this study: the report's system of the same making
    "bert_base_shape": "fine-tuned BERT",
    "teacher": "fine-tuned BERT",
    "tinybert_shape": "TinyBERT",
    "student": "TinyBERT",
    "pruned": "Pruned TinyBERT",
    "int8": "quantized TinyBERT",
    "tinybert_shape_int8": "quantized TinyBERT",
}
_ENDINGS = {"matthews_correlation": "mcc", "accuracy": "acc", "pearson": "pearson", "spearmanr": "spearman"}


@cache
def table(number: int) -> pd.DataFrame:
    """Return Table 1 (sizes and scores) or 2 (seconds), a row for each system; cells are text, as printed."""
    return pd.read_csv(FOLDER / f"table{number}.csv", dtype=str).set_index("system")


def column(task: str, metric: str) -> str:
    """Return the column of Table 1 that has a task's metric.

    >>> column("cola", "matthews_correlation")
    'cola_mcc'
    """
    return f"{task}_{_ENDINGS.get(metric, metric)}"
