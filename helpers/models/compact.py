"""Shapes that a plain BERT does not have: factorized embeddings, shared layers, fewer heads and neurons, low ranks.

They stand in a configuration under `compact`, so that a saved model says how it is built:

- `embedding_size`: E, the width of all embedding tables; a linear layer takes them to the hidden width (ALBERT, 3.1).
- `sharing`: `all`, `attention` or `ffn`: what the layers have in common, LayerNorms included; `none` is plain.
- `heads`, `neurons`: for each layer how many attention heads and feed-forward neurons are left. A head keeps its size.
- `ranks`: for a linear layer or the word embeddings, by name, the rank r of the two matrices in its place.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from transformers import BertConfig, BertForSequenceClassification, PreTrainedModel
from transformers.models.bert.modeling_bert import BertEmbeddings

from helpers.environment import InputError
from helpers.profiles import SHARINGS

__all__ = ["KEYS", "LowRank", "build", "check", "own_tensors", "share"]

KEYS = ("embedding_size", "sharing", "heads", "neurons", "ranks")
LEAVES = ("query", "key", "value", "dense", "LayerNorm")


class FactorizedEmbeddings(BertEmbeddings):
    """BERT's embeddings at width E, then a linear layer to the hidden width H: V x E + E x H in place of V x H."""

    def __init__(self, config: BertConfig, embedding_size: int) -> None:
        narrow = copy.copy(config)
        narrow.hidden_size = embedding_size
        super().__init__(narrow)
        self.projection = nn.Linear(embedding_size, config.hidden_size)

    def forward(self, *inputs: Tensor, **named: Tensor) -> Tensor:
        """Return embeddings (B, T, H)."""
        return self.projection(super().forward(*inputs, **named))


class LowRank(nn.Sequential):
    """Two matrices of rank r in the place of one: in x r, r x out of a linear layer, V x r, r x H of embeddings."""

    def __init__(self, whole: nn.Linear | nn.Embedding, rank: int) -> None:
        if isinstance(whole, nn.Embedding):
            first = nn.Embedding(whole.num_embeddings, rank, padding_idx=whole.padding_idx)
            super().__init__(first, nn.Linear(rank, whole.embedding_dim, bias=False))
        else:
            first = nn.Linear(whole.in_features, rank, bias=False)
            super().__init__(first, nn.Linear(rank, whole.out_features, bias=whole.bias is not None))


def build(kind: type[PreTrainedModel], config: BertConfig) -> PreTrainedModel:
    """Build a BERT model of a kind with random weights, of the shape that `config` and its `compact` say.

    A plain one is what `kind(config)` is. Raises `InputError` for a shape that does not fit together.
    """
    compact = check(config)
    model = kind(config)
    if not compact:
        return model
    bert = getattr(model, "bert", model)
    new: list[nn.Module] = []
    if size := compact.get("embedding_size"):
        bert.embeddings = FactorizedEmbeddings(config, size)
        new.append(bert.embeddings)
        if hasattr(model, "cls"):
            new += _narrow_head(model.cls.predictions, bert.embeddings.word_embeddings, config, size)
    layers, width = bert.encoder.layer, config.hidden_size
    for number, heads in enumerate(compact.get("heads", [])):
        attention, inner = layers[number].attention, heads * (width // config.num_attention_heads)
        for name in ("query", "key", "value"):
            setattr(attention.self, name, nn.Linear(width, inner))
        attention.output.dense = nn.Linear(inner, width)
        new.append(attention)
    for number, neurons in enumerate(compact.get("neurons", [])):
        layers[number].intermediate.dense = nn.Linear(width, neurons)
        layers[number].output.dense = nn.Linear(neurons, width)
        new += [layers[number].intermediate, layers[number].output]
    for name, rank in compact.get("ranks", {}).items():
        if hasattr(model, "cls") and name.endswith("word_embeddings"):
            raise InputError("The head that fills masks uses the word embeddings whole: give them no rank.")
        where, _, last = name.rpartition(".")
        parent = model.get_submodule(where if bert is not model else where.removeprefix("bert."))
        setattr(parent, last, LowRank(getattr(parent, last), rank))
        new.append(getattr(parent, last))
    for part in new:
        part.apply(model._init_weights)
    return share(model)


def _narrow_head(head: nn.Module, words: nn.Embedding, config: BertConfig, size: int) -> list[nn.Module]:
    """Give the head that fills masks the width of the embeddings, whose table is its output layer (as in ALBERT)."""
    head.transform.dense = nn.Linear(config.hidden_size, size)
    head.transform.LayerNorm = nn.LayerNorm(size, eps=config.layer_norm_eps)
    head.decoder = nn.Linear(size, config.vocab_size)
    head.decoder.weight, head.decoder.bias = words.weight, head.bias
    return [head.transform]


def share(model: nn.Module) -> nn.Module:
    """Give the layers the modules in common that the configuration says, in place: again, where some were exchanged.

    Linear layers and LayerNorms are shared, not what holds them: the library counts on each layer being another object.
    """
    sharing = (getattr(getattr(model, "config", None), "compact", None) or {}).get("sharing", "none")
    if sharing == "none":
        return model
    first, *others = getattr(model, "bert", model).encoder.layer
    parts = [name for name, _ in first.named_modules() if name.endswith(LEAVES)]
    for name in parts:
        if sharing not in ("all", "attention" if name.startswith("attention.") else "ffn"):
            continue
        for layer in others:
            where, _, last = name.rpartition(".")
            setattr(layer.get_submodule(where), last, first.get_submodule(name))
    return model


def own_tensors(model: nn.Module) -> dict[str, Tensor]:
    """Return a model's weights and stored buffers by name, each once: what is shared stands under its first name."""
    stored = model.state_dict()
    named = [*model.named_parameters(), *model.named_buffers()]
    return {name: stored[name] for name, _ in named if name in stored}


def check(config: BertConfig) -> Mapping[str, Any]:
    """Return what a configuration says under `compact`, empty for a plain BERT.

    Raises `InputError` for an unknown key, E above the hidden width, counts of heads or neurons outside 1 and what the
    configuration has, a rank above the full one, or shared layers with a shape of their own.
    """
    compact = getattr(config, "compact", None) or {}
    unknown = [name for name in compact if name not in KEYS]
    if unknown:
        raise InputError(f"compact has no part {unknown[0]!r}; it has {', '.join(KEYS)}.")
    size = compact.get("embedding_size")
    if size is not None and not 1 <= size <= config.hidden_size:
        raise InputError(
            f"embedding_size is {size}; factorized embeddings are 1 to {config.hidden_size} wide, the hidden width."
        )
    sharing = compact.get("sharing", "none")
    if sharing not in SHARINGS:
        raise InputError(f"sharing must be {', '.join(SHARINGS[:-1])} or {SHARINGS[-1]}, not {sharing!r}.")
    limits = {"heads": config.num_attention_heads, "neurons": config.intermediate_size}
    for name, most in limits.items():
        counts = compact.get(name)
        if counts is None:
            continue
        if len(counts) != config.num_hidden_layers or any(not 1 <= count <= most for count in counts):
            raise InputError(
                f"{name} must have one number from 1 to {most} for each of the {config.num_hidden_layers} layers, not "
                f"{counts}."
            )
        if sharing != "none" and len(set(counts)) > 1:
            raise InputError(f"Layers that share their weights cannot differ in {name}; set sharing to none.")
    _check_ranks(config, compact)
    return compact


def _check_ranks(config: BertConfig, compact: Mapping[str, Any]) -> None:
    if not compact.get("ranks"):
        return
    with torch.device("meta"):
        plain = build(BertForSequenceClassification, _without(config, "ranks"))
    known = {
        name: module
        for name, module in plain.named_modules()
        if isinstance(module, nn.Linear) or name.endswith("word_embeddings")
    }
    for name, rank in compact["ranks"].items():
        if name not in known:
            raise InputError(f"No linear layer {name!r} of its own could get a rank; there is {next(iter(known))}.")
        full = min(known[name].weight.shape)
        if not 1 <= rank <= full:
            raise InputError(f"The rank of {name} must be from 1 to {full}, its full rank, not {rank}.")


def _without(config: BertConfig, name: str) -> BertConfig:
    other = copy.deepcopy(config)
    other.compact = {key: value for key, value in config.compact.items() if key != name}
    return other
