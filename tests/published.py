"""Small folders in exactly the formats of the hub's repositories in the profiles: same files, keys and layout."""

from __future__ import annotations

import json
import random
from pathlib import Path

import safetensors.torch
import torch
from datasets import ClassLabel, Dataset, Features, Value
from torch import Tensor
from transformers import BertConfig, BertForMaskedLM, BertForPreTraining, BertForSequenceClassification, BertModel

WORDS = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "[MASK]",
    "the",
    "a",
    "good",
    "bad",
    "fine",
    "dull",
    "film",
    "play",
    "was",
    "##s",
]
SHAPE = {
    "vocab_size": len(WORDS),
    "hidden_size": 12,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "max_position_embeddings": 32,
}
LABELS = {
    "cola": ["unacceptable", "acceptable"],
    "rte": ["entailment", "not_entailment"],
    "stsb": None,
    "qnli": ["entailment", "not_entailment"],
    "sst2": ["negative", "positive"],
    "mrpc": ["not_equivalent", "equivalent"],
    "qqp": ["not_duplicate", "duplicate"],
    "mnli": ["entailment", "neutral", "contradiction"],
}
COLUMNS = {
    "cola": ["sentence"],
    "rte": ["sentence1", "sentence2"],
    "stsb": ["sentence1", "sentence2"],
    "qnli": ["question", "sentence"],
    "sst2": ["sentence"],
    "mrpc": ["sentence1", "sentence2"],
    "qqp": ["question1", "question2"],
    "mnli": ["premise", "hypothesis"],
}


def classifier(*, outputs: int = 2, seed: int = 0, **shape: int) -> BertForSequenceClassification:
    """A tiny classifier with random weights and biases, so that every stored number matters."""
    torch.manual_seed(seed)
    model = BertForSequenceClassification(BertConfig(**(SHAPE | shape), num_labels=outputs)).eval()
    return _shaken(model)


def _shaken(model: torch.nn.Module) -> torch.nn.Module:
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model


def _json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")


def _vocabulary(folder: Path, words: list[str]) -> None:
    (folder / "vocab.txt").write_text("\n".join(words) + "\n", encoding="utf-8")


def _positions(length: int) -> Tensor:
    return torch.arange(length).expand((1, -1))


def textattack(
    folder: Path,
    *,
    outputs: int = 2,
    seed: int = 0,
    task: str = "sst-2",
    names: list[str] | None = None,
    words: list[str] = WORDS,
    **shape: int,
) -> dict[str, Tensor]:
    """Write what `textattack/bert-base-uncased-*` holds; return the state dict. `names`: values of `id2label`."""
    folder.mkdir(parents=True, exist_ok=True)
    shape = {"vocab_size": len(words)} | shape
    state = dict(classifier(outputs=outputs, seed=seed, **shape).state_dict())
    state["bert.embeddings.position_ids"] = _positions(SHAPE["max_position_embeddings"])
    torch.save(state, folder / "pytorch_model.bin")
    labels = (
        {} if names is None else {"id2label": dict(enumerate(names)), "label2id": {n: i for i, n in enumerate(names)}}
    )
    _json(
        folder / "config.json",
        {
            "architectures": ["BertForSequenceClassification"],
            "attention_probs_dropout_prob": 0.1,
            "finetuning_task": f"glue:{task}",
            "gradient_checkpointing": False,
            "hidden_act": "gelu",
            "hidden_dropout_prob": 0.1,
            **labels,
            "initializer_range": 0.02,
            "layer_norm_eps": 1e-12,
            "model_type": "bert",
            "output_past": True,
            "pad_token_id": 0,
            "type_vocab_size": 2,
            **SHAPE,
            **shape,
        },
    )
    _vocabulary(folder, words)
    special = {name: f"[{name[:3].upper()}]" for name in ("cls_token", "pad_token", "sep_token", "unk_token")}
    _json(folder / "special_tokens_map.json", special | {"mask_token": "[MASK]"})
    _json(folder / "tokenizer_config.json", {"do_lower_case": True, "model_max_length": 512})
    return state


def tinybert(
    folder: Path, *, seed: int = 1, words: list[str] = WORDS, shared: bool = False, **shape: int
) -> dict[str, Tensor]:
    """Write what `huawei-noah/TinyBERT_General_4L_312D` holds; return the state dict.

    It is the saved state of a pretraining model of the original code: heads under `cls.`, and the projections to the
    teacher's width, one per layer (`shared`: the one of the first release).
    """
    folder.mkdir(parents=True, exist_ok=True)
    shape = {**SHAPE, "hidden_size": 8, "num_hidden_layers": 1, "vocab_size": len(words)} | shape
    torch.manual_seed(seed)
    state = dict(_shaken(BertForPreTraining(BertConfig(**shape))).state_dict())
    for name in ["fit_dense"] if shared else [f"fit_denses.{layer}" for layer in range(shape["num_hidden_layers"] + 1)]:
        state[f"{name}.weight"], state[f"{name}.bias"] = torch.randn(12, shape["hidden_size"]), torch.randn(12)
    torch.save(state, folder / "pytorch_model.bin")
    _json(
        folder / "config.json",
        {
            "attention_probs_dropout_prob": 0.1,
            "cell": {},
            "emb_size": shape["hidden_size"],
            "hidden_act": "gelu",
            "hidden_dropout_prob": 0.1,
            "initializer_range": 0.02,
            "pre_trained": "",
            "structure": [],
            "type_vocab_size": 2,
            **shape,
        },
    )
    _vocabulary(folder, words)
    return state


def minilm(folder: Path, *, seed: int = 2) -> dict[str, Tensor]:
    """Write what `sentence-transformers/all-MiniLM-L6-v2` holds: a bare encoder, no `bert.` prefix, safetensors."""
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(seed)
    state = dict(_shaken(BertModel(BertConfig(**SHAPE))).state_dict())
    state["embeddings.position_ids"] = _positions(SHAPE["max_position_embeddings"]).contiguous()
    safetensors.torch.save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    _json(
        folder / "config.json",
        {
            "_name_or_path": "nreimers/MiniLM-L6-H384-uncased",
            "architectures": ["BertModel"],
            "classifier_dropout": None,
            "gradient_checkpointing": False,
            "model_type": "bert",
            "position_embedding_type": "absolute",
            "transformers_version": "4.8.2",
            "use_cache": True,
            **SHAPE,
        },
    )
    _vocabulary(folder, WORDS)
    _json(folder / "tokenizer_config.json", {"do_lower_case": True, "tokenizer_class": "BertTokenizer"})
    return state


def masked(folder: Path, *, seed: int = 3) -> BertForMaskedLM:
    """Write what `google-bert/bert-base-uncased` holds as far as it matters: LayerNorm's old names, and no pooler."""
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(seed)
    model = _shaken(BertForMaskedLM(BertConfig(**SHAPE)))
    renamed = {
        name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): value
        for name, value in model.state_dict().items()
    }
    torch.save(renamed, folder / "pytorch_model.bin")
    _json(folder / "config.json", {"architectures": ["BertForMaskedLM"], "model_type": "bert", **SHAPE})
    _vocabulary(folder, WORDS)
    return model


def rows(task: str, count: int, *, seed: int = 0, labelled: bool = True) -> dict[str, list]:
    """Made-up rows of a task, with the hub's columns; every label occurs and follows from the text."""
    draw, names = random.Random(f"{task}{seed}"), LABELS[task]
    found: dict[str, list] = {column: [] for column in (*COLUMNS[task], "label", "idx")}
    for index in range(count):
        label = index % len(names) if names else round(5 * (index % 11) / 10, 2)
        mood = ["bad", "good", "fine"][label] if names else ["dull", "good"][label > 2.5]
        for column in COLUMNS[task]:
            words = [
                draw.choice(["the", "a"]),
                mood,
                draw.choice(["film", "play", "films"]),
                "was",
                draw.choice(WORDS[5:14]),
            ]
            found[column].append(" ".join([*words, str(index)]))
        found["label"].append(label if labelled else -1)
        found["idx"].append(index)
    return found


def features(task: str) -> Features:
    """The types of the hub's files: class labels by name, scores as float32."""
    label = ClassLabel(names=LABELS[task]) if LABELS[task] else Value("float32")
    return Features({**{column: Value("string") for column in COLUMNS[task]}, "label": label, "idx": Value("int32")})


def write(path: Path, table: dict[str, list], kinds: Features | None = None) -> None:
    """Write one parquet file, with the types' names in its metadata as `datasets` puts them there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Dataset.from_dict(table, features=kinds).to_parquet(path)


def glue(folder: Path, task: str, *, train: int = 40, validation: int = 12) -> Path:
    """Write a task as in the hub's `nyu-mll/glue`, the unlabelled test split beside it; return `folder`."""
    parts = {"train": train, "validation": validation, "test": 6}
    if task == "mnli":
        parts = {"train": train, **{f"{s}_{k}": n for s, n in (("validation", validation), ("test", 6)) for k in KINDS}}
    for seed, (split, count) in enumerate(parts.items()):
        made = rows(task, count, seed=seed, labelled=not split.startswith("test"))
        write(folder / task / f"{split}-00000-of-00001.parquet", made, features(task))
    return folder


KINDS = ("matched", "mismatched")
