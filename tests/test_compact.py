"""Compact shapes: parameters by formula, ALBERT's own results, each weight stored once, the same logits back."""

import math
from pathlib import Path

import pytest
import tiny
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from transformers import (
    AlbertConfig,
    AlbertModel,
    BertConfig,
    BertForMaskedLM,
    BertForPreTraining,
    BertForSequenceClassification,
    BertModel,
    DistilBertConfig,
    DistilBertModel,
)

from helpers import models, storage
from helpers.compress import quantization
from helpers.compress.pruning import prune
from helpers.environment import InputError
from helpers.models import compact
from helpers.profiles import SHARINGS
from helpers.training import Training, fit, task_loss

SHAPES = {
    "plain": {},
    "factorized": {"embedding_size": 6},
    "all shared": {"sharing": "all"},
    "attention shared": {"sharing": "attention"},
    "feed-forward shared": {"sharing": "ffn"},
    "ALBERT": {"embedding_size": 6, "sharing": "all"},
    "structured": {"heads": [1, 4, 2], "neurons": [1, 32, 9]},
    "low rank": {"ranks": {"bert.embeddings.word_embeddings": 3, "bert.encoder.layer.1.intermediate.dense": 5}},
    "low rank, shared": {"sharing": "ffn", "ranks": {"bert.encoder.layer.0.output.dense": 4}},
}


def config(compact: dict, *, width: int = 16, layers: int = 3, heads: int = 4) -> BertConfig:
    shape = tiny.config(width=width, layers=layers, heads=heads)
    shape.compact = compact
    return shape


def model(compact_shape: dict, *, seed: int = 0, **shape: int) -> BertForSequenceClassification:
    """Return a classifier whose weights are wide enough for its logits to tell models apart, biases included."""
    torch.manual_seed(seed)
    made = compact.build(BertForSequenceClassification, config(compact_shape, **shape)).eval()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.2)
    return made


def parameters(made: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in made.parameters())


def inputs(vocabulary: int = len(tiny.VOCABULARY)) -> dict[str, torch.Tensor]:
    ids = torch.randint(5, vocabulary, (3, 9), generator=torch.Generator().manual_seed(1))
    mask = torch.ones_like(ids)
    mask[1, 6:] = 0
    return {"input_ids": ids, "attention_mask": mask}


# how many weights


def by_formula(shape: BertConfig) -> int:
    """Count an encoder's weights by hand: no module is built."""
    said, width, vocabulary = shape.compact, shape.hidden_size, shape.vocab_size
    depth, head = shape.num_hidden_layers, width // shape.num_attention_heads
    size = said.get("embedding_size") or width
    tables = vocabulary + shape.max_position_embeddings + shape.type_vocab_size
    total = tables * size + 2 * size + (size * width + width if "embedding_size" in said else 0)
    for layer in range(depth):
        inner = said.get("heads", [shape.num_attention_heads] * depth)[layer] * head
        neurons = said.get("neurons", [shape.intermediate_size] * depth)[layer]
        sharing = said.get("sharing", "none")
        if layer == 0 or sharing not in ("all", "attention"):
            total += 3 * (width * inner + inner) + inner * width + width + 2 * width
        if layer == 0 or sharing not in ("all", "ffn"):
            total += width * neurons + neurons + neurons * width + width + 2 * width
    return total + width * width + width  # the pooler


@settings(max_examples=60, deadline=None)
@given(
    size=st.none() | st.integers(1, 16),
    sharing=st.sampled_from(SHARINGS),
    heads=st.none() | st.lists(st.integers(1, 4), min_size=3, max_size=3),
    neurons=st.none() | st.lists(st.integers(1, 32), min_size=3, max_size=3),
)
def test_parameters_are_those_of_the_formula(
    size: int | None, sharing: str, heads: list[int] | None, neurons: list[int] | None
) -> None:
    said = {"embedding_size": size, "heads": heads, "neurons": neurons}
    said = {name: value for name, value in said.items() if value is not None}
    said |= {"sharing": sharing} if sharing != "none" and not heads and not neurons else {}
    shape = config(said)
    with torch.device("meta"):
        assert parameters(compact.build(BertModel, shape)) == by_formula(shape)


def test_low_ranks_have_the_weights_of_two_matrices() -> None:
    whole, low = parameters(model({})), parameters(model(SHAPES["low rank"]))
    vocabulary, width, neurons = len(tiny.VOCABULARY), 16, 32
    assert whole - low == vocabulary * width - 3 * (vocabulary + width) + width * neurons - 5 * (width + neurons)


@pytest.mark.parametrize(
    ("compact_shape", "millions"),
    # 110 and 31 are the overview's (section 2.2), 31 and 12 the ALBERT paper's (table 1), with 30,000 words
    [({}, 110), ({"sharing": "all"}, 31), ({"sharing": "all", "embedding_size": 128}, 12)],
)
def test_the_overviews_counts(compact_shape: dict, millions: int) -> None:
    shape = BertConfig(**models.SHAPES["bert-base"], compact=compact_shape)
    with torch.device("meta"):
        assert parameters(compact.build(BertModel, shape)) / 1e6 == pytest.approx(millions, rel=0.02, abs=0.5)


def test_the_overviews_forty_per_cent_of_distilbert_are_what_it_saves() -> None:
    with torch.device("meta"):
        bert = parameters(BertModel(BertConfig(**models.SHAPES["bert-base"])))
        distilbert = parameters(DistilBertModel(DistilBertConfig()))
        ours = parameters(BertModel(BertConfig(**models.SHAPES["bert-base"] | {"num_hidden_layers": 6})))
    assert distilbert / bert == pytest.approx(0.606, abs=0.001)  # "40 % of BERT's parameters" is "40 % fewer"
    # it has no pooler and no token types; apart from these ours is its encoder
    assert ours - distilbert == 768 * 768 + 768 + 2 * 768


# what they compute


def test_all_shared_and_factorized_is_albert() -> None:
    """The library's own ALBERT gives the same hidden states from the same weights."""
    shape = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 32}
    shape |= {"vocab_size": len(tiny.VOCABULARY), "max_position_embeddings": 32, "hidden_act": "gelu_new"}
    torch.manual_seed(0)
    theirs = AlbertModel(AlbertConfig(**shape, embedding_size=6)).eval()
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.2)
    ours = compact.build(BertModel, BertConfig(**shape, compact=SHAPES["ALBERT"])).eval()
    # ALBERT's pooler is one linear layer; all else has a partner
    names = {
        "encoder.embedding_hidden_mapping_in": "embeddings.projection",
        "encoder.albert_layer_groups.0.albert_layers.0.": "encoder.layer.0.",
        "layer.0.full_layer_layer_norm": "layer.0.output.LayerNorm",
        "layer.0.ffn_output": "layer.0.output.dense",
        "layer.0.ffn": "layer.0.intermediate.dense",
        "attention.dense": "attention.output.dense",
        "attention.LayerNorm": "attention.output.LayerNorm",
        **{f"attention.{name}": f"attention.self.{name}" for name in ("query", "key", "value")},
        "pooler.": "pooler.dense.",
    }
    weights = {}
    for name, tensor in theirs.state_dict().items():
        for old, new in names.items():
            name = name.replace(old, new)
        weights[name] = tensor
    assert weights.keys() == compact.own_tensors(ours).keys()
    assert parameters(ours) == parameters(theirs)
    ours.load_state_dict(weights, strict=False)
    with torch.no_grad():
        ours_states = ours(**inputs(), output_hidden_states=True).hidden_states
        their_states = theirs(**inputs(), output_hidden_states=True).hidden_states
    real = inputs()["attention_mask"].bool()
    assert len(ours_states) == len(their_states) == 4
    for a, b in zip(ours_states, their_states, strict=True):
        assert torch.allclose(a[real], b[real], atol=1e-5)
    assert their_states[-1].std() > 0.1


@pytest.mark.parametrize("name", SHAPES)
def test_scores_and_states_of_every_layer_are_seen(name: str) -> None:
    """A module under two parents would be counted twice where distillation compares layer by layer."""
    made = models.expose_scores(model(SHAPES[name]))
    seen = made(**inputs(), output_attentions=True, output_hidden_states=True)
    assert len(seen.attentions) == 3
    assert len(seen.hidden_states) == 4
    assert [scores.shape[1] for scores in seen.attentions] == SHAPES[name].get("heads", [4, 4, 4])
    assert all(not torch.equal(a, b) for a, b in zip(seen.hidden_states, seen.hidden_states[1:], strict=False))


def test_a_plain_configuration_gives_the_plain_model() -> None:
    shape = tiny.config(layers=2)
    torch.manual_seed(3)
    plain = BertForSequenceClassification(shape).state_dict()
    torch.manual_seed(3)
    built = compact.build(BertForSequenceClassification, shape).state_dict()
    assert plain.keys() == built.keys()
    assert all(torch.equal(plain[name], built[name]) for name in plain)


@pytest.mark.parametrize("name", [name for name in SHAPES if name != "plain"])
def test_new_parts_begin_as_bert_begins(name: str) -> None:
    torch.manual_seed(0)
    shape = config(SHAPES[name])
    shape.initializer_range = 0.5
    for where, weight in compact.build(BertForSequenceClassification, shape).named_parameters():
        if "LayerNorm" in where:
            assert torch.equal(weight, torch.full_like(weight, where.endswith("weight"))), where
        elif where.endswith("bias"):
            assert not weight.any(), where
        elif weight.numel() > 60:
            assert weight.std().item() == pytest.approx(0.5, rel=0.4), where


@pytest.mark.parametrize("kind", [BertForMaskedLM, BertForPreTraining])
def test_the_head_that_fills_masks_is_as_narrow_as_the_embeddings(kind: type, tmp_path: Path) -> None:
    torch.manual_seed(0)
    made = compact.build(kind, config(SHAPES["ALBERT"])).eval()
    decoder = made.cls.predictions.decoder
    assert decoder.weight is made.bert.embeddings.word_embeddings.weight
    assert decoder.bias is made.cls.predictions.bias
    assert decoder.weight.shape == (len(tiny.VOCABULARY), 6)
    models.save(made, tiny.words(tmp_path), tmp_path)
    again = models.masked_language_model(tmp_path)
    logits = made(**inputs()).prediction_logits if kind is BertForPreTraining else made(**inputs()).logits
    assert torch.equal(again(**inputs()).logits, logits)


# how they are kept


@pytest.mark.parametrize("name", SHAPES)
def test_a_saved_model_comes_back_with_each_weight_once(name: str, tmp_path: Path) -> None:
    made = model(SHAPES[name])
    models.save(made, tiny.words(tmp_path), tmp_path)
    with safe_open(tmp_path / "model.safetensors", "pt") as file:
        stored = sum(math.prod(file.get_slice(key).get_shape()) for key in file.keys())  # noqa: SIM118 - no dict
    assert stored == parameters(made)
    again = models.load(tmp_path)
    assert torch.equal(again(**inputs()).logits, made(**inputs()).logits)
    assert parameters(again) == parameters(made)
    assert models.read_config(tmp_path).compact == SHAPES[name]
    # and as an encoder, from which a task's model begins
    encoder = models.encoder(models.read(tmp_path))
    assert torch.equal(encoder(**inputs()).last_hidden_state, made.bert(**inputs()).last_hidden_state)


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("compressed", ["float32", "int8", "pruned, int8"])
def test_one_file_comes_back_whatever_was_done(name: str, compressed: str, tmp_path: Path) -> None:
    made = model(SHAPES[name])
    made = prune(made, 0.3) if "pruned" in compressed else made
    made = quantization.quantize(made) if "int8" in compressed else made
    written = storage.save(made, tmp_path / "model")
    again = storage.load(tmp_path / "model")
    assert torch.equal(again(**inputs()).logits, made(**inputs()).logits)
    assert storage.count(again) == storage.count(made)
    assert storage.count(made)["parameters"] == parameters(model(SHAPES[name]))
    weights = storage.breakdown(made)["total"]
    assert weights <= written <= weights + 16_000  # a header
    if compressed == "float32":
        assert weights == 4 * parameters(made)


def test_shared_layers_are_shared_in_int8() -> None:
    """Exchanging layer by layer would give each its own copy, as many bytes as without sharing."""
    shared, plain = (storage.breakdown(quantization.quantize(model(SHAPES[name]))) for name in ("all shared", "plain"))
    assert shared["encoder"] * 3 == plain["encoder"]


class Wrapped(torch.nn.Module):
    """A model inside another module, as distillation has it: the library then knows nothing of what is shared."""

    def __init__(self, inner: torch.nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, **batch: torch.Tensor) -> object:
        return self.inner(**batch)


@pytest.mark.parametrize("wrapped", [False, True])
@pytest.mark.parametrize("name", ["ALBERT", "attention shared", "structured", "low rank"])
def test_training_goes_on_after_a_stop_and_keeps_what_is_shared(name: str, wrapped: bool, tmp_path: Path) -> None:
    rows, training = tiny.tokens(240), Training(epochs=4, learning_rate=1e-3, batch_size=16)

    def trained(folder: Path, *, stop: int | None = None) -> BertForSequenceClassification:
        steps = 0

        def count(_: torch.nn.Module) -> None:
            nonlocal steps
            steps += 1
            if steps == stop:
                raise KeyboardInterrupt

        made = model(SHAPES[name])
        whole = Wrapped(made) if wrapped else made
        fit(whole, rows, loss=task_loss, training=training, folder=folder, after_step=count)
        assert stop is None
        return made

    whole = trained(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path / "stopped", stop=55)
    again = trained(tmp_path / "stopped")
    assert parameters(whole) == parameters(again) == parameters(model(SHAPES[name]))
    before, after = compact.own_tensors(whole), compact.own_tensors(again)
    assert all(torch.equal(before[key], after[key]) for key in before)
    first = compact.own_tensors(model(SHAPES[name]))
    assert sum(not torch.equal(first[key], before[key]) for key in before) > 0.8 * len(before)


# what is refused


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        ({"embedding_size": 17}, "embedding_size is 17; factorized embeddings are 1 to 16 wide, the hidden width"),
        ({"embedding_size": 0}, "embedding_size is 0"),
        ({"sharing": "some"}, "sharing must be none, all, attention or ffn, not 'some'"),
        ({"heads": [4, 4]}, "heads must have one number from 1 to 4 for each of the 3 layers"),
        ({"heads": [4, 0, 4]}, "heads must have one number from 1 to 4"),
        ({"neurons": [33, 1, 1]}, "neurons must have one number from 1 to 32"),
        ({"sharing": "all", "heads": [1, 2, 3]}, "Layers that share their weights cannot differ in heads"),
        ({"ranks": {"bert.encoder.layer.0.output.dense": 17}}, "must be from 1 to 16, its full rank, not 17"),
        ({"ranks": {"bert.encoder.layer.0.output.LayerNorm": 1}}, "No linear layer"),
        ({"ranks": {"bert.encoder.layer.1.output.dense": 4}, "sharing": "all"}, "of its own could get a rank"),
        ({"layers": 2}, "compact has no part 'layers'; it has embedding_size"),
    ],
)
def test_a_shape_that_does_not_fit_is_a_sentence(said: dict, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        compact.build(BertForSequenceClassification, config(said))


def test_the_head_that_fills_masks_needs_whole_embeddings() -> None:
    with pytest.raises(InputError, match="give them no rank"):
        compact.build(BertForMaskedLM, config({"ranks": {"bert.embeddings.word_embeddings": 3}}))


def test_a_stored_shape_that_does_not_fit_is_a_sentence(tmp_path: Path) -> None:
    made = model({})
    made.config.compact = {"embedding_size": 99}
    models.save(made, tiny.words(tmp_path), tmp_path)
    with pytest.raises(InputError, match="embedding_size is 99"):
        models.read(tmp_path)


# the last layer for the first token alone


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize("name", SHAPES)
def test_what_nobody_reads_is_left_out_and_nothing_changes(name: str, attention: str) -> None:
    whole = model(SHAPES[name])
    whole.config._attn_implementation = attention
    before = {key: value.clone() for key, value in whole.state_dict().items()}
    lean = models.first_token(whole)
    lengths = []
    lean.bert.encoder.register_forward_hook(lambda *found: lengths.append(found[-1].last_hidden_state.shape[1]))
    rows = inputs()
    with torch.no_grad():
        assert torch.allclose(lean(**rows).logits, whole(**rows).logits, atol=1e-5)
        assert lengths == [1], "one token is written"
        one = {key: value[:1, :1] for key, value in rows.items()}
        assert torch.allclose(lean(**one).logits, whole(**one).logits, atol=1e-5)
    assert all(torch.equal(value, before[key]) for key, value in whole.state_dict().items()), "the model stays"
    places = {each.data_ptr() for each in whole.parameters()}
    assert all(each.data_ptr() in places for each in lean.parameters()), "no weight is there twice"
