"""Tiny models, words and rows that several tests train on in well under a second."""

from pathlib import Path

import numpy as np
import pytest
import torch
from datasets import ClassLabel, Dataset, Features, Value
from transformers import BertConfig, BertForSequenceClassification, BertTokenizer

from helpers import mini_glue, models, tasks

WORDS = [f"word{i}" for i in range(40)]
VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]

# a recipe of `mini`, as small as it runs
SHAPE = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
RECIPE = {
    "language_model_shape": SHAPE | {"max_position_embeddings": 64},
    "vocabulary_size": 200,
    "teacher_epochs": 2,
    "student_shape": SHAPE | {"hidden_size": 8, "num_hidden_layers": 1},
    "intermediate_epochs": 1,
    "prediction_epochs": 1,
    "batch_size": 16,
    # no comparisons beside the study's own models
    "teacher_starts": ["given"],
    "teacher_outputs": "off",
    "student_start": "random",
    "compared_starts": [],
    "ablations": [],
    "general_steps": 12,
    "general_batch_size": 8,
    "piece_length": 16,
}


def few_rows(patch: pytest.MonkeyPatch) -> None:
    """Generate few rows and lines, whatever is asked for."""
    patch.setitem(mini_glue.ROWS, "train", 120)
    patch.setitem(mini_glue.ROWS, "validation", 50)
    corpus = tasks.Text(mini_glue.text(lines=200), "generated", "200 lines")
    patch.setattr(tasks, "load_text", lambda text, **_: corpus)


def words(folder: Path, vocabulary: list[str] | None = None) -> BertTokenizer:
    """Return a tokenizer of whole words, its vocabulary written to `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.txt").write_text("\n".join(vocabulary or VOCABULARY) + "\n", encoding="utf-8")
    return BertTokenizer.from_pretrained(folder)


def config(*, width: int = 16, layers: int = 1, heads: int = 2, outputs: int = 2, dropout: float = 0.1) -> BertConfig:
    """Return the shape of a tiny BERT."""
    return BertConfig(
        vocab_size=len(VOCABULARY),
        hidden_size=width,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        intermediate_size=2 * width,
        max_position_embeddings=32,
        num_labels=outputs,
        hidden_dropout_prob=dropout,
        attention_probs_dropout_prob=dropout,
    )


def classifier(*, seed: int = 0, spread: float = 1.0, **shape: float) -> BertForSequenceClassification:
    """Return a classifier with random weights; `spread` widens them, so that its logits are not all near 0."""
    torch.manual_seed(seed)
    model = BertForSequenceClassification(config(**shape)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.mul_(spread)
    return model


def saved(folder: Path, model: torch.nn.Module) -> Path:
    """Write a model with its tokenizer and return the folder."""
    models.save(model, words(folder), folder)
    return folder


def tokens(rows: int, *, seed: int = 0, regression: bool = False, longest: int = 12) -> Dataset:
    """Return encoded rows of several lengths whose label can be learned from their words."""
    random = np.random.default_rng(seed)
    made = []
    for _ in range(rows):
        ids = random.integers(5, len(VOCABULARY), random.integers(3, longest + 1)).tolist()
        half = len(ids) // 2
        label = float(np.mean(ids)) / 10 if regression else int(np.mean(ids) > 24)
        made.append(
            {
                "input_ids": ids,
                "token_type_ids": [0] * half + [1] * (len(ids) - half),
                "attention_mask": [1] * len(ids),
                "labels": label,
            }
        )
    return Dataset.from_list(made)


def task_rows(rows: int, *, task: str = "sst2", seed: int = 0) -> Dataset:
    """Return rows of text with `label`, in the columns of a task, whose label can be learned from their words."""
    random = np.random.default_rng(seed)
    known = tasks.TASKS[task]
    drawn = [random.integers(0, len(WORDS), (len(known.text), random.integers(3, 9))) for _ in range(rows)]
    columns = {c: [" ".join(WORDS[w] for w in row[i]) for row in drawn] for i, c in enumerate(known.text)}
    label = Value("float32") if not known.labels else ClassLabel(names=list(known.labels))
    values = [row.mean() / 8 if not known.labels else int(row.mean() > 19.5) for row in drawn]
    features = Features({**{c: Value("string") for c in known.text}, "label": label})
    return Dataset.from_dict({**columns, "label": values}, features=features)


def task_data(*, task: str = "sst2", rows: int = 64) -> tasks.TaskData:
    """Return a tiny task."""
    parts = [task_rows(n, task=task, seed=i) for i, n in enumerate((rows, 40, 40))]
    return tasks.TaskData(tasks.TASKS[task], *parts, "generated", "tiny", None, f"tiny {task} {rows}")
