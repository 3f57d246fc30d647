"""Weights in fewer bits: what they are rounded to, in how many bytes, and that no file but a whole one is read."""

import copy
import json
import random
import zlib

import numpy as np
import pytest
import safetensors
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from test_storage import HIDDEN, bert, logits
from torch import nn
from transformers import BertTokenizer

from helpers import storage
from helpers.compress import quantization
from helpers.environment import InputError, RunError
from helpers.models import share
from helpers.storage import Coding, layouts
from helpers.storage import __main__ as command

KINDS = ("bf16", "float8", "int8", "int4")
WORDS = "bert.embeddings.word_embeddings.weight"


def matrices(model):
    return [f"{name}.weight" for name, module in model.named_modules() if isinstance(module, nn.Linear | nn.Embedding)]


def not_finite():
    model = bert()
    with torch.no_grad():
        model.get_parameter(WORDS)[1, 1] = float("nan")
    return model


def coded(kind="int4", group=0, model=None):
    model = model or bert()
    return storage.code(model, dict.fromkeys(matrices(model), Coding(kind, group)))


# ---- rounding


def test_int4_by_hand():
    weight = torch.tensor([[7.0, -3.4, 0.0, 0.6], [0.0, 0.0, 0.0, 0.0], [-0.875, 0.125, 0.19, 0.0]])
    found = storage.encode(weight, Coding("int4"))
    assert found.codes.tolist() == [[7, -3, 0, 1], [0, 0, 0, 0], [-7, 1, 2, 0]]
    assert found.scales.tolist() == [[1.0], [0.0], [0.125]]
    assert storage.decode(found).tolist() == [[7.0, -3.0, 0.0, 1.0], [0.0] * 4, [-0.875, 0.125, 0.25, 0.0]]


def test_groups_have_their_own_scales():
    weight = torch.tensor([[7.0, 3.0, 1.0, 14.0, -6.0]])
    found = storage.encode(weight, Coding("int4", 3))
    assert found.scales.tolist() == [[1.0, 2.0]]
    assert found.codes.tolist() == [[7, 3, 1, 7, -3]]


def test_float8_is_e4m3_with_a_scale_and_without_a_minus_zero():
    weight = torch.tensor([[448.0, -17.0, 1.0, -1e-6]])
    found = storage.encode(weight, Coding("float8"))
    # between 16 and 32 the steps are 2: 17 lies in the middle, and the even neighbour is 16
    assert storage.decode(found).tolist() == [[448.0, -16.0, 1.0, 0.0]]
    assert found.codes.view(torch.uint8)[0, 3] == 0


@st.composite
def weights(draw):
    shape = draw(arrays.array_shapes(min_dims=2, max_dims=2, max_side=40))
    elements = st.floats(-1e6, 1e6, width=32) | st.just(0.0)
    weight = draw(arrays.arrays(np.float32, shape, elements=elements, fill=st.just(0.0)))
    return torch.from_numpy(weight)


@settings(max_examples=150, deadline=None)
@given(weights(), st.sampled_from(KINDS), st.integers(0, 50))
def test_no_weight_moves_further_than_half_a_step_and_zeros_not_at_all(weight, kind, group):
    found = storage.encode(weight, Coding(kind, 0 if kind == "bf16" else group))
    values = storage.decode(found)
    assert values.shape == weight.shape and values.dtype == torch.float32
    assert (values[weight == 0] == 0).all()
    moved = (values - weight).abs()
    if found.scales is None:
        assert (moved <= weight.abs() * 2**-8 + 1e-40).all()
        return
    steps = found.scales.float().repeat_interleave(group or weight.shape[1], dim=1)[:, : weight.shape[1]]
    if kind == "float8":  # a step is an eighth of the power of two below, at least the smallest step of all
        steps = torch.maximum(weight.abs() / 8, steps * 2**-9)
    assert (moved <= 0.5 * steps * (1 + 1e-5) + 1e-37).all()
    # scales are hardly larger than they must be
    largest = {"float8": 448, "int8": 127, "int4": 7}[kind]
    assert (found.scales.float() * largest <= weight.abs().max() * (1 + 2**-7) + 1e-35).all()


@settings(max_examples=150, deadline=None)
@given(
    st.integers(0, 300).flatmap(lambda n: arrays.arrays(np.int8, n, elements=st.integers(-7, 7), fill=st.just(0))),
    st.sampled_from([4, 8]),
    st.sampled_from(storage.LAYOUTS),
)
def test_every_layout_gives_the_same_codes_back(values, bits, layout):
    chosen, data = layouts.pack(values, bits, (layout,))
    assert chosen == layout
    assert np.array_equal(layouts.unpack(data, len(values), bits, layout), values)
    smallest = min(len(layouts.pack(values, bits, (each,))[1]) for each in storage.LAYOUTS)
    assert len(layouts.pack(values, bits, storage.LAYOUTS)[1]) == smallest


def test_the_bytes_of_each_layout_by_hand():
    values = np.array([1, 0, -7, 0, 0, 3, 0, 0, 0, 2], np.int8)
    assert layouts.pack(values, 4)[1].tolist() == [0x89, 0x81, 0xB8, 0x88, 0xA8]
    assert layouts.pack(values, 8)[1].tolist() == [1, 0, 249, 0, 0, 3, 0, 0, 0, 2]
    assert layouts.pack(values, 4, ("bitmask",))[1].tolist() == [0b00100101, 0b10, 0x19, 0xAB]
    assert layouts.pack(values, 8, ("bitmask",))[1].tolist() == [0b00100101, 0b10, 1, 249, 3, 2]
    # nine in ten codes are zero. A bitmask: one bit for each code, four for each other; Huffman: one bit, or two
    many = np.random.default_rng(0).permutation(np.repeat(np.array([0, 5], np.int8), [90_000, 10_000]))
    sizes = {name: len(layouts.pack(many, 4, (name,))[1]) for name in storage.LAYOUTS}
    assert sizes["dense"] == 50_000 and sizes["bitmask"] == 12_500 + 5_000
    assert 11_250 + 2_500 <= sizes["entropy"] < 14_000


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from([np.int16, np.int32]).flatmap(
        lambda kind: st.integers(0, 300).flatmap(lambda n: arrays.arrays(kind, n, fill=st.just(0)))
    ),
    st.sampled_from(["dense", "bitmask"]),
)
def test_the_bits_of_floats_are_laid_out_and_come_back(values, layout):
    bits = 8 * values.itemsize
    _, data = layouts.pack(values, bits, (layout,))
    assert np.array_equal(layouts.unpack(data, len(values), bits, layout), values)
    kept = int(np.count_nonzero(values)) * values.itemsize
    assert len(data) == (values.nbytes if layout == "dense" else -(-len(values) // 8) + kept)


@pytest.mark.parametrize("layout", storage.LAYOUTS)
@pytest.mark.parametrize("bits", [4, 8])
def test_codes_of_another_number_are_refused(layout, bits):
    values = np.array([1, 0, -7, 0, 0, 3, 0, 0, 0, 2], np.int8)
    _, data = layouts.pack(values, bits, (layout,))
    for wrong in (0, 1, 7, 9, 17, 10**15):  # eleven could be another zero of a bitmask: its bytes are the same
        with pytest.raises(ValueError):
            layouts.unpack(data, wrong, bits, layout)
    for other in (data[:-1], np.append(data, data[:1]), data[:0]):
        with pytest.raises(ValueError):
            layouts.unpack(other, 10, bits, layout)


# ---- models


@pytest.mark.parametrize("layout", storage.LAYOUTS)
@pytest.mark.parametrize(("kind", "group"), [("bf16", 0), ("float8", 0), ("int8", 0), ("int4", 0), ("int4", 5)])
def test_logits_are_exactly_equal_after_the_round_trip(kind, group, layout, tmp_path):
    model = coded(kind, group)
    assert not torch.equal(logits(model), logits(bert()))  # otherwise the next line says nothing
    written = storage.save(model, tmp_path / "model", layouts=(layout,))
    loaded = storage.load(tmp_path / "model")
    assert torch.equal(logits(loaded), logits(model))
    assert written == (tmp_path / "model").stat().st_size
    assert written == storage.size(model, layouts=(layout,))["file"]
    storage.save(loaded, tmp_path / "again", layouts=(layout,))
    assert (tmp_path / "again").read_bytes() == (tmp_path / "model").read_bytes()


def test_embeddings_in_fewer_bits_stand_beside_int8_layers(tmp_path):
    rounded = storage.code(bert(), {name: Coding("int8") for name in matrices(bert()) if "embeddings" in name})
    model = quantization.quantize(rounded)
    storage.save(model, tmp_path / "model")
    loaded = storage.load(tmp_path / "model")
    assert torch.equal(logits(loaded), logits(model)) and len(quantization.quantized_layers(loaded)) == 14
    parts = storage.breakdown(model)
    assert parts["embedding"] == (60 + 20 + 2) * (HIDDEN + 2) + 4 * 2 * HIDDEN


@pytest.mark.parametrize(("kind", "bits"), [("float8", 8), ("int8", 8), ("int4", 4)])
def test_bytes_are_what_can_be_computed_beforehand(kind, bits):
    model, group = bert(), 8
    names = matrices(model)
    expected = 0
    for name, tensor in model.state_dict().items():
        if name not in names:
            expected += 4 * tensor.numel()
            continue
        rows, columns = tensor.shape
        expected += -(-rows * columns * bits // 8) + 2 * rows * -(-columns // group)
    assert storage.breakdown(coded(kind, group))["total"] == expected


def test_pruned_weights_stay_zero_and_take_fewer_bytes(tmp_path):
    model = bert()
    with torch.no_grad():
        for name in matrices(model):
            weight = model.get_parameter(name)
            weight[torch.rand(weight.shape, generator=torch.Generator().manual_seed(0)) < 0.6] = 0
    small = coded("int4", 8, model)
    for layout in ("dense", "bitmask", "entropy"):
        storage.save(small, tmp_path / layout, layouts=(layout,))
        loaded = storage.load(tmp_path / layout)
        for name in matrices(model):
            assert (loaded.get_parameter(name)[model.get_parameter(name) == 0] == 0).all()
    assert storage.breakdown(small, layouts=("bitmask",))["total"] < storage.breakdown(small)["total"]
    best = storage.breakdown(small, layouts=storage.LAYOUTS)["total"]
    assert best <= min(storage.breakdown(small, layouts=(each,))["total"] for each in storage.LAYOUTS)


def with_zeros(kind, share=0.6):
    """A model in bf16, or not rounded, a share of whose matrices' weights are zero, some of them minus zero."""
    model = bert()
    with torch.no_grad():
        for name in matrices(model):
            weight = model.get_parameter(name)
            weight[torch.rand(weight.shape, generator=torch.Generator().manual_seed(0)) < share] *= 0
    return quantization.rounded(model, "bf16") if kind == "bf16" else model


@pytest.mark.parametrize(("kind", "size"), [("float32", 4), ("bf16", 2)])
def test_floats_with_many_zeros_are_a_bitmask_and_what_is_left(kind, size, tmp_path):
    model = with_zeros(kind)
    storage.save(model, tmp_path / "model", layouts=("dense", "bitmask"))
    loaded = storage.load(tmp_path / "model")
    assert torch.equal(logits(loaded), logits(model))
    expected = 0
    for name, tensor in model.state_dict().items():
        if name not in matrices(model):
            expected += size * tensor.numel()
            continue
        assert torch.equal(loaded.get_parameter(name), tensor) and bool((tensor.signbit() & (tensor == 0)).any())
        expected += min(-(-tensor.numel() // 8) + size * int(tensor.count_nonzero()), size * tensor.numel())
    assert storage.breakdown(model, layouts=("bitmask",))["total"] == expected
    assert storage.predicted(model, layouts=("bitmask",))["total"] == pytest.approx(expected, rel=0.001)
    assert bool(storage.codes_of(loaded)) == (kind == "bf16")
    storage.save(loaded, tmp_path / "again", layouts=("dense", "bitmask"))
    assert (tmp_path / "again").read_bytes() == (tmp_path / "model").read_bytes()


@pytest.mark.parametrize("kind", ["float32", "bf16"])
def test_floats_without_zeros_stay_as_they_are(kind):
    model = with_zeros(kind, share=0.0)
    assert storage.breakdown(model, layouts=("bitmask",)) == storage.breakdown(model)


def test_weights_that_share_memory_are_rounded_and_stored_once(tmp_path):
    model = bert(compact={"sharing": "all"})
    model = share(model)
    names = [name for name in matrices(model) if ".layer.1." not in name]
    small = storage.code(model, dict.fromkeys(names, Coding("int4", 8)))
    layers = small.bert.encoder.layer
    assert layers[0].intermediate.dense is layers[1].intermediate.dense
    storage.save(small, tmp_path / "model")
    assert torch.equal(logits(storage.load(tmp_path / "model")), logits(small))


def test_a_weight_changed_after_rounding_is_not_stored(tmp_path):
    model = coded()
    with torch.no_grad():
        model.get_parameter(WORDS)[0, 0] += 1
    with pytest.raises(InputError, match=f"{WORDS}.*changed since it was rounded"):
        storage.save(model, tmp_path / "model")
    assert not list(tmp_path.iterdir())


def test_a_copy_keeps_its_codes_and_the_original_its_weights():
    model = bert()
    before = copy.deepcopy(model.state_dict())
    small = copy.deepcopy(coded(model=model))
    assert storage.codes_of(small).keys() == set(matrices(model)) and not storage.codes_of(model)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda: Coding("int3"), "bf16, float8, int8, int4, not 'int3'"),
        (lambda: Coding("int4", -1), "group is a number of weights"),
        (lambda: Coding("int4", 2.0), "group is a number of weights"),
        (lambda: Coding("bf16", 4), "no scale"),
        (lambda: storage.encode(torch.ones(3), Coding("int8")), "Only a matrix"),
        (lambda: coded(model=not_finite()), "word_embeddings.*not finite"),
        (lambda: storage.code(bert(), {"bert.pooler": Coding("int8")}), "no float weight 'bert.pooler'"),
        (lambda: storage.size(coded(), layouts=("zip",)), "dense, bitmask, entropy, not"),
        (lambda: storage.size(coded(), layouts=()), "dense, bitmask, entropy, not"),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(act, message):
    with pytest.raises(InputError, match=message):
        act()


def test_a_group_wider_than_a_row_is_the_row() -> None:
    weight = torch.randn(3, 5)
    wide, row = storage.encode(weight, Coding("int4", 10**12)), storage.encode(weight, Coding("int4"))
    assert torch.equal(wide.codes, row.codes) and torch.equal(wide.scales, row.scales)


def test_a_weight_that_is_not_contiguous_is_stored(tmp_path):
    model = bert()
    model.classifier.weight = nn.Parameter(torch.randn(HIDDEN, 2).t())
    for kind in ("bf16", "int8"):
        small = coded(kind, model=model)
        storage.save(small, tmp_path / kind)
        loaded = storage.load(tmp_path / kind)
        assert torch.equal(loaded.classifier.weight, small.classifier.weight)
        # the same numbers in another order in memory are added in another order
        assert torch.allclose(logits(loaded), logits(small), atol=1e-6)


# ---- damage


def read(path):
    with safetensors.safe_open(path, "pt") as file:
        header = json.loads(file.metadata()["header"])
        return header, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118


def write(path, header, tensors):
    """Write a file whose checksum is right whatever is in it, as someone who means harm could."""
    header = {name: value for name, value in header.items() if name != "checksum"}
    header["checksum"] = storage.header.checksum(header, tensors)
    safetensors.torch.save_file(tensors, path, {"header": json.dumps(header, sort_keys=True)})


def outcome(path, expected):
    """Return whether a file was refused in a sentence; one that is read must be the model that was stored."""
    try:
        model = storage.load(path)
    except RunError as error:
        assert str(error).endswith(".") and str(path) in str(error)
        return True
    assert torch.equal(logits(model), expected)
    return False


def test_two_thousand_damaged_files_are_refused(tmp_path):
    model, path = coded("int4", 8), tmp_path / "model"
    storage.save(model, path, layouts=storage.LAYOUTS)
    whole, expected, random_ = path.read_bytes(), logits(model), random.Random(0)
    refused = 0
    for number in range(2000):
        damaged = bytearray(whole)
        what, place = number % 5, random_.randrange(len(whole))
        if what == 0:
            damaged[place] ^= 1 << random_.randrange(8)
        elif what == 1:
            del damaged[place:]
        elif what == 2:
            del damaged[place : place + random_.randrange(1, 9)]
        elif what == 3:
            damaged[place:place] = random_.randbytes(random_.randrange(1, 9))
        else:
            length = random_.randrange(1, 65)
            damaged[place : place + length] = random_.randbytes(length)
        if bytes(damaged) == whole:
            continue
        path.write_bytes(damaged)
        refused += outcome(path, expected)
    assert refused > 1990


@pytest.mark.parametrize("kind", ["float32", "bf16"])
def test_damaged_floats_with_a_right_checksum_are_refused(kind, tmp_path):
    model, path = with_zeros(kind), tmp_path / "model"
    storage.save(model, path, layouts=("bitmask",))
    header, tensors = read(path)
    other, wide = {"float32": ("bf16", torch.int32), "bf16": ("float32", torch.int16)}[kind]
    name, mask = WORDS, -(-60 * HIDDEN // 8)
    data = tensors[f"{name}.codes"]
    minus, infinite = (data[mask:].clone().view(wide) for _ in range(2))
    minus[0], infinite[0] = (
        torch.iinfo(wide).min,
        torch.tensor(float("inf")).view(torch.int32) >> (32 - 8 * minus.itemsize),
    )
    changes = [
        ({"kind": other}, {}),
        ({"kind": "int8"}, {}),
        ({"layout": "dense"}, {}),
        ({"layout": "entropy"}, {}),
        ({"group": 4}, {}),
        ({}, {"codes": data[:-1]}),
        ({}, {"codes": data.float()}),
        ({}, {"codes": torch.cat([data, data[:1]])}),
        ({}, {"scales": torch.ones(60, 1, dtype=torch.bfloat16)}),
        ({}, {"codes": torch.cat([data[:mask], minus.view(torch.uint8)])}),
        ({}, {"codes": torch.cat([data[:mask], infinite.view(torch.uint8)])}),
        ({}, {"codes": torch.cat([data[:mask], torch.zeros_like(data[mask:])])}),
    ]
    for entry, parts in changes:
        changed = copy.deepcopy(header)
        changed["codes"][name] |= entry
        write(path, changed, tensors | {f"{name}.{part}": value for part, value in parts.items()})
        with pytest.raises(RunError):
            storage.load(path)
    write(path, header, tensors)
    assert torch.equal(logits(storage.load(path)), logits(model))


def test_damage_with_a_right_checksum_is_refused_too(tmp_path):
    model, path = coded("int4", 8), tmp_path / "model"
    storage.save(model, path, layouts=("entropy",))
    header, tensors = read(path)
    random_, refused = random.Random(0), 0
    names = sorted(header["codes"])
    for number in range(300):
        name = random_.choice(names)
        changed, others = copy.deepcopy(header), dict(tensors)
        entry = changed["codes"][name]
        match number % 6:
            case 0:
                entry["layout"] = random_.choice(["dense", "bitmask", "zip", None, 3])
            case 1:
                entry["kind"] = random_.choice(["int3", "bf16", None, {}, 10**400])
            case 2:
                entry["group"] = random_.choice([0, 7, -1, 10**12, "8", None, True])
            case 3:
                data = others[f"{name}.codes"]
                others[f"{name}.codes"] = random_.choice([data[:-1], data.repeat(2), data.float(), data[None]])
            case 4:
                del others[f"{name}.{random_.choice(['codes', 'scales'])}"]
            case 5:
                size = random_.choice(["vocab_size", "hidden_size", "max_position_embeddings", "intermediate_size"])
                changed["config"][size] = random_.choice([10**9, 10**15, 10**30, -1, None, "x"])
        write(path, changed, others)
        refused += outcome(path, logits(model))
    assert refused == 300


@pytest.mark.parametrize(
    "change",
    [
        {"num_hidden_layers": 10**9},
        {"num_hidden_layers": 200},
        {"num_hidden_layers": 2.0},
        {"num_labels": 10**9},
        {"id2label": None},
        {"vocab_size": 2**62},
        {"hidden_size": 2**40, "num_attention_heads": 1},
        {"compact": {"embedding_size": 10**9}},
        {"compact": [1]},
        {"id2label": {"0": "a"}},
        {"model_type": 3, "hidden_act": "exec"},
    ],
)
def test_absurd_sizes_take_no_memory(change, tmp_path, monkeypatch):
    path = tmp_path / "model"
    storage.save(coded(), path)
    header, tensors = read(path)
    header["config"] |= change
    write(path, header, tensors)
    built = []
    real = storage.files.models.build

    def build(kind, config):
        built.append(torch.empty(0).device.type)
        return real(kind, config)

    monkeypatch.setattr(storage.files.models, "build", build)
    with pytest.raises(RunError, match="do not fit|cannot read"):
        storage.load(path)
    assert "cpu" not in built


@pytest.mark.parametrize(
    "change",
    [
        lambda codes, tensors: codes[WORDS].update(group=10**9),
        lambda codes, tensors: codes[WORDS].update(group=True),
        lambda codes, tensors: codes[WORDS].pop("group"),
        lambda codes, tensors: codes.update({WORDS: None}),
        lambda codes, tensors: codes.update({"other.weight": codes[WORDS]}),
        lambda codes, tensors: tensors.update({f"{WORDS}.scales": -tensors[f"{WORDS}.scales"]}),
        lambda codes, tensors: tensors.update({f"{WORDS}.scales": tensors[f"{WORDS}.scales"] * float("inf")}),
        lambda codes, tensors: tensors[f"{WORDS}.codes"].fill_(0x80),
    ],
)
@pytest.mark.parametrize("kind", ["int8", "float8"])
def test_codes_that_nothing_is_rounded_to_are_refused(kind, change, tmp_path):
    path = tmp_path / "model"
    storage.save(coded(kind, 8), path)
    header, tensors = read(path)
    change(header["codes"], tensors)
    write(path, header, tensors)
    with pytest.raises(RunError, match="do not fit|cannot read"):
        storage.load(path)


@pytest.mark.parametrize("header", ["[" * 100_000, "[" * 985 + "]" * 985, '"' + "a" * 2**23 + '"', "{", "null", "3"])
def test_a_header_without_end_or_sense_is_refused(header, tmp_path):
    path = tmp_path / "model"
    deep = json.dumps({"format": "bert-study", "version": 3, "x": 0}).replace("0}", f"{header}}}")
    for text in (header, deep):
        safetensors.torch.save_file({"a": torch.zeros(1)}, path, {"header": text})
        with pytest.raises(RunError, match="damaged|not written by this study"):
            storage.load(path)


# ---- the tokenizer


def test_the_tokenizer_comes_back_and_its_bytes_count(tmp_path):
    names = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "##b", "é", *(f"word{i}" for i in range(52))]
    tokenizer = BertTokenizer(vocab={name: i for i, name in enumerate(names)}, do_lower_case=False)
    path = tmp_path / "model"
    with_it = storage.save(coded(), path, tokenizer=tokenizer)
    again = storage.load_tokenizer(path)
    assert again.get_vocab() == tokenizer.get_vocab()
    for text in ("ab a é", "A word3", ""):
        assert again(text, "a")["input_ids"] == tokenizer(text, "a")["input_ids"]
    assert torch.equal(logits(storage.load(path)), logits(coded()))
    sizes = storage.size(coded(), tokenizer=tokenizer)
    assert sizes["file"] == with_it and 100 < sizes["tokenizer"] < with_it - storage.size(coded())["file"]
    with pytest.raises(InputError, match="has no tokenizer"):
        storage.save(coded(), tmp_path / "bare")
        storage.load_tokenizer(tmp_path / "bare")
    with pytest.raises(InputError, match="59 pieces, the model 60"):
        storage.save(coded(), path, tokenizer=storage.with_pieces(tokenizer, names[:-1]))


@pytest.fixture
def stored_words(tmp_path):
    names = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *(f"w{i}" for i in range(55))]
    path = tmp_path / "model"
    storage.save(coded(), path, tokenizer=BertTokenizer(vocab={name: i for i, name in enumerate(names)}))
    return path


def packed(text):
    return torch.frombuffer(bytearray(zlib.compress(text)), dtype=torch.uint8)


@pytest.mark.parametrize(
    "change",
    [
        lambda header, tensors: tensors.update({"tokenizer.pieces": packed(b"\n" * 2**26)}),
        lambda header, tensors: tensors.update({"tokenizer.pieces": packed(b"\n" * 2**23)}),
        lambda header, tensors: tensors.update({"tokenizer.pieces": packed(b"a\n" * 59 + b"a")}),
        lambda header, tensors: tensors.update({"tokenizer.pieces": packed("\n".join(map(str, range(60))).encode())}),
        lambda header, tensors: tensors.update({"tokenizer.pieces": tensors["tokenizer.pieces"].repeat(2)}),
        lambda header, tensors: tensors.update({"tokenizer.pieces": tensors["tokenizer.pieces"][:-3]}),
        lambda header, tensors: tensors.update({"tokenizer.pieces": torch.zeros(9, dtype=torch.uint8)}),
        lambda header, tensors: header.update(tokenizer=["do_lower_case"]),
        lambda header, tensors: header.update(tokenizer={}),
        lambda header, tensors: header["tokenizer"].update(do_lower_case=1),
        lambda header, tensors: header["tokenizer"].update(pad_token="[ELSE]"),
        lambda header, tensors: header["config"].update(vocab_size=61),
        lambda header, tensors: header.update(config=None),
    ],
)
def test_a_vocabulary_that_is_none_is_refused(change, stored_words, capsys):
    header, tensors = read(stored_words)
    change(header, tensors)
    write(stored_words, header, tensors)
    with pytest.raises(RunError, match=r"cannot be read|cannot read|damaged"):
        storage.load_tokenizer(stored_words)
    assert command.main(["inspect", str(stored_words)]) in (0, 1), "and no traceback"


def test_a_tokenizer_comes_back_with_its_length_and_its_own_special_tokens(tmp_path):
    names = ["<pad>", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *(f"w{i}" for i in range(55))]
    vocabulary = {name: i for i, name in enumerate(names)}
    tokenizer = BertTokenizer(vocab=vocabulary, pad_token="<pad>", model_max_length=7)
    storage.save(coded(), tmp_path / "model", tokenizer=tokenizer)
    again = storage.load_tokenizer(tmp_path / "model")
    assert again.get_vocab() == vocabulary and again.pad_token_id == 0 and again.model_max_length == 7
    text = ["w1 w2 w3 w4 w5 w6 w7 w8 w9", "w1"]
    assert again(text, truncation=True, padding=True) == tokenizer(text, truncation=True, padding=True)
    storage.save(coded(), tmp_path / "again", tokenizer=again)
    tokenizer.add_tokens(["another"])
    with pytest.raises(InputError, match="pieces|no plain WordPiece"):
        storage.save(coded(), tmp_path / "model", tokenizer=tokenizer)
