"""The order of the passes, what each of them sees, and the figures, by a clock that the tests turn."""

import gc
import itertools
import json
import math
import subprocess
import sys
from collections import Counter

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode
from transformers import BertConfig, BertForSequenceClassification

from helpers import latency, models
from helpers.environment import ROOT, InputError
from helpers.latency import batches

LENGTHS = [5, 3, 4, 9, 2, 6, 7]  # at batch size 3: widths 5, 9, 7; the last batch has one example
PADDED = 10


def rows(lengths=LENGTHS):
    return [
        {
            "input_ids": [index + 1] * length,
            "token_type_ids": [0] * (length - 1) + [1],
            "attention_mask": [1] * length,
        }
        for index, length in enumerate(lengths)
    ]


class Clock:
    """Stands in for the time: it moves only when an arm runs."""

    def __init__(self, monkeypatch):
        self.now = 0.0
        self.calls = []
        monkeypatch.setattr(latency.timing.time, "perf_counter", lambda: self.now)


class Arm(nn.Module):
    """Notes each call; takes `cost` seconds a token, and what `extra(call)` adds."""

    def __init__(self, name, clock, cost=0.001, extra=lambda call: 0.0):
        super().__init__()
        self.name, self.clock, self.cost, self.extra = name, clock, cost, extra
        self.count = 0

    def forward(self, input_ids, token_type_ids, attention_mask):
        assert not self.training and torch.is_inference_mode_enabled() and not gc.isenabled()
        assert input_ids.shape == token_type_ids.shape == attention_mask.shape
        assert torch.get_num_threads() == 1
        self.count += 1
        self.clock.calls.append((self.name, input_ids.clone(), token_type_ids.clone(), attention_mask.clone()))
        self.clock.now += self.cost * input_ids.numel() + self.extra(self.count)


@pytest.fixture
def clock(monkeypatch):
    return Clock(monkeypatch)


def measure(clock, names="ab", costs=(0.004, 0.001), dataset=None, **options):
    arms = {name: Arm(name, clock, cost) for name, cost in zip(names, costs, strict=True)}
    options = {"repeats": 4, "warmup": 2, "batch_size": 3, **options}
    return latency.measure(arms, dataset or rows(), padded_length=PADDED, threads=1, baseline="a", **options)


def test_every_batch_goes_through_every_arm_before_the_next_one(clock):
    measure(clock, "abc", (0.001, 0.002, 0.003))
    names = [name for name, *_ in clock.calls]
    rounds = ["".join(names[i : i + 3]) for i in range(0, len(names), 3)]
    assert {"".join(sorted(one)) for one in rounds} == {"abc"}
    # no arm always follows the same other one: what a large model leaves in the caches would count for its successor
    neighbours = {one[i : i + 2] for one in rounds for i in (0, 1)}
    assert neighbours == {"ab", "ba", "ac", "ca", "bc", "cb"}
    for first in range(0, len(names), 3):
        for other in (first + 1, first + 2):
            for left, right in zip(clock.calls[first][1:], clock.calls[other][1:], strict=True):
                assert torch.equal(left, right)


@given(st.integers(1, 12))
def test_orders_are_balanced(n):
    orders = latency.batches.balanced_orders(n)
    assert all(sorted(order) == list(range(n)) for order in orders)
    after = Counter(pair for order in orders for pair in itertools.pairwise(order))
    assert len(set(after.values())) <= 1 and len(after) == n * (n - 1), "each follows each other equally often"
    places = Counter((place, one) for order in orders for place, one in enumerate(order))
    assert len(set(places.values())) == 1 and len(places) == n * n, "each has each place equally often"


def test_each_block_warms_up_and_sees_the_batches_it_should(clock):
    measure(clock)
    seen = [(tuple(ids.shape), sorted({int(row[0]) for row in ids})) for name, ids, *_ in clock.calls if name == "a"]
    single = [(1, 5), (1, 4), (1, 2), (1, 7)]  # rows 1, 3, 5, 7 of 7 are spread evenly
    assert [shape for shape, _ in seen[2:6]] == [(1, length) for length in (5, 4, 2, 7)] == single
    assert [ids for _, ids in seen[2:6]] == [[1], [3], [5], [7]]
    assert seen[:2] == seen[2:4]  # warm-up: the block's first two batches
    assert [shape for shape, _ in seen[6:12]] == [(1, PADDED)] * 6
    assert [ids for _, ids in seen[8:12]] == [[1], [3], [5], [7]]
    assert [shape for shape, _ in seen[12:18]] == [(3, PADDED)] * 6
    # the set in its own order, again from its start until four full batches are timed
    whole = [((3, 5), [1, 2, 3]), ((3, 9), [4, 5, 6]), ((1, 7), [7])]
    assert seen[18:20] == whole[:2]
    assert seen[20:] == [*whole, *whole[:2]]


def test_padding_is_masked_and_uses_the_pad_token(clock):
    measure(clock, pad_id=99)
    padded = next(call for call in clock.calls if call[1].shape == (3, 5))
    _, ids, types, mask = padded
    assert ids.tolist() == [[1] * 5, [2] * 3 + [99] * 2, [3] * 4 + [99]]
    assert mask.tolist() == [[1] * 5, [1, 1, 1, 0, 0], [1, 1, 1, 1, 0]]
    assert types.tolist() == [[0, 0, 0, 0, 1], [0, 0, 1, 0, 0], [0, 0, 0, 1, 0]]


def test_figures_follow_from_the_clock(clock):
    found = measure(clock)
    assert set(found["setup"]) == {
        *("threads", "repeats", "warmup", "batch_size", "padded_length", "baseline"),
        *("load_before", "load_after", "device", "precision"),
    }
    assert found["setup"]["threads"] == 1 and found["setup"]["device"] == "cpu"
    slow, fast = found["arms"]["a"], found["arms"]["b"]
    blocks = {"batch1_true", "batch1_padded", "batch3_true", "batch3_padded"}
    assert set(slow) == blocks | {"validation_seconds", "validation_estimated"}
    assert {block: slow[block]["repeats"] for block in blocks} == dict.fromkeys(blocks, 4)
    assert {block: slow[block]["mean_tokens"] for block in blocks} == {
        "batch1_true": (5 + 4 + 2 + 7) / 4,
        "batch1_padded": 10,
        "batch3_true": (15 + 27 + 15 + 27) / 4,  # the last, smaller batch is left out
        "batch3_padded": 30,
    }
    assert slow["batch1_true"]["median_ms"] == pytest.approx(4 * 4.5)
    assert slow["batch1_padded"]["median_ms"] == slow["batch1_padded"]["p95_ms"] == pytest.approx(40)
    assert slow["batch3_true"]["p95_ms"] == pytest.approx(4 * 27)
    assert slow["validation_seconds"] == pytest.approx(0.004 * (15 + 27 + 7))
    assert fast["validation_seconds"] == pytest.approx(0.001 * (15 + 27 + 7))
    assert slow["validation_estimated"] is fast["validation_estimated"] is False
    for block in blocks:
        assert slow[block]["speedup"] == {"median": 1.0, "low": 1.0, "high": 1.0}
        assert fast[block]["speedup"] == pytest.approx({"median": 4.0, "low": 4.0, "high": 4.0})
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_speedup_is_taken_pair_by_pair(clock):
    # both arms slow down together from call to call, as on a busy machine: the ratio does not see it
    arms = {
        name: Arm(name, clock, 0.0, lambda call, factor=factor: factor * (1 + call % 7))
        for name, factor in (("a", 0.3), ("b", 0.1))
    }
    found = latency.measure(
        arms, rows(), padded_length=PADDED, threads=1, batch_size=3, repeats=20, warmup=0, baseline="a"
    )
    block = found["arms"]["b"]["batch3_padded"]
    assert block["p95_ms"] > 1.5 * block["median_ms"]
    assert block["speedup"] == pytest.approx({"median": 3.0, "low": 3.0, "high": 3.0})


def test_the_interval_of_a_noisy_speedup_holds_the_truth(clock):
    truth, held = (0.06 + 0.005) / (0.03 + 0.005), 0
    for seed in range(10):
        generator = torch.Generator().manual_seed(seed)
        noise = lambda call, generator=generator: 0.01 * torch.rand(1, generator=generator).item()  # noqa: E731
        arms = {"a": Arm("a", clock, 0.002, noise), "b": Arm("b", clock, 0.001, noise)}
        found = latency.measure(
            arms, rows(), padded_length=PADDED, threads=1, batch_size=3, repeats=30, warmup=0, baseline="a"
        )
        ratio = found["arms"]["b"]["batch3_padded"]["speedup"]
        assert ratio["low"] < ratio["median"] < ratio["high"]
        held += ratio["low"] < truth < ratio["high"]
    assert held >= 8  # of ten 95 % intervals


def test_a_batch_timed_twice_counts_once_in_the_whole_set(clock):
    # one slow pass among several must not be multiplied: the set's seconds are a sum of medians
    arms = {"a": Arm("a", clock, 0.001, lambda call: 100.0 if call == 20 else 0.0)}
    found = latency.measure(
        arms, rows([4] * 6), padded_length=PADDED, threads=1, batch_size=3, repeats=6, warmup=0, baseline="a"
    )
    assert arms["a"].count == 24
    assert found["arms"]["a"]["validation_seconds"] == pytest.approx(0.024)


def test_a_large_set_is_estimated_from_a_part_by_tokens(clock):
    lengths = [1 + index // 2 for index in range(18)]  # nine batches of two; widths 1 to 9
    found = measure(clock, dataset=rows(lengths), batch_size=2, max_batches=5, repeats=5)
    widths = [ids.shape[1] for name, ids, *_ in clock.calls if name == "a" and len(ids) == 2][-5:]
    assert widths == [1, 3, 5, 7, 9]
    arm = found["arms"]["a"]
    assert arm["validation_estimated"] is True and arm["batch2_true"]["repeats"] == 5
    assert arm["validation_seconds"] == pytest.approx(0.004 * sum(2 * width for width in range(1, 10)))
    exact = measure(clock, dataset=rows(lengths), batch_size=2, max_batches=9)["arms"]["a"]
    assert exact["validation_estimated"] is False
    assert exact["validation_seconds"] == pytest.approx(arm["validation_seconds"])


def test_only_the_named_blocks_are_measured_but_the_whole_set_always(clock):
    found = measure(clock, dataset=rows([5] * 80), batch_size=2, blocks=["batch1_true"])
    arm = found["arms"]["a"]
    assert [name for name in arm if name.startswith("batch")] == ["batch1_true", "batch2_true"]
    assert arm["validation_seconds"] == pytest.approx(0.004 * 400)
    with pytest.raises(InputError, match="no block 'batch7_true'"):
        measure(clock, dataset=rows([5] * 80), batch_size=2, blocks=["batch7_true"])


def test_a_set_smaller_than_a_batch_is_measured(clock):
    found = measure(clock, dataset=rows([4, 2]), batch_size=32)
    arm = found["arms"]["a"]
    assert arm["batch32_true"]["repeats"] == 4 and arm["batch32_true"]["mean_tokens"] == 8
    assert arm["validation_seconds"] == pytest.approx(0.004 * 8)


class Broken(nn.Module):
    def forward(self, **inputs):
        raise RuntimeError("this arm fails")


@pytest.mark.parametrize("broken", [False, True])
def test_threads_and_garbage_collection_are_restored_whatever_happens(clock, broken):
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        arms = {"a": Arm("a", clock)} | ({"b": Broken()} if broken else {})
        try:
            latency.measure(arms, rows(), padded_length=PADDED, threads=1, repeats=2, baseline="a")
        except RuntimeError as error:
            assert broken and str(error) == "this arm fails"
        else:
            assert not broken
        assert torch.get_num_threads() == 2 and gc.isenabled() and not torch.is_inference_mode_enabled()
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"baseline": "teacher"}, "'teacher' is not among the arms a"),
        ({"arms": {}}, "not among the arms"),
        ({"dataset": []}, "no example"),
        ({"dataset": [{"input_ids": [1]}]}, "Row 0 of the set has no token_type_ids, attention_mask"),
        ({"dataset": rows([3, 11])}, "Row 1 .*padded_length = 10"),
        ({"dataset": [{**rows([3])[0], "attention_mask": [1]}]}, "equally long"),
        ({"dataset": rows([1]) + [dict.fromkeys(batches.FIELDS, [])]}, "Row 1"),
        ({"batch_size": 1}, "batch_size is 1: give 2 or more"),
        ({"repeats": 0}, "repeats is 0"),
        ({"warmup": -1}, "warmup is -1"),
        ({"max_batches": 0}, "max_batches is 0"),
        ({"threads": 0}, "threads"),
    ],
)
def test_what_cannot_be_measured_is_refused_before_any_pass(clock, options, message):
    options = {
        **{"arms": {"a": Arm("a", clock)}, "dataset": rows(), "padded_length": PADDED},
        **{"threads": 1, "baseline": "a"},
        **options,
    }
    with pytest.raises(InputError, match=message):
        latency.measure(options.pop("arms"), options.pop("dataset"), **options)
    assert clock.calls == []


def test_arms_on_several_devices_are_refused(clock):
    arms = {"a": nn.Linear(1, 1), "b": nn.Linear(1, 1, device="meta")}
    with pytest.raises(InputError, match=r"several devices \(cpu, meta\)"):
        latency.measure(arms, rows(), padded_length=PADDED, threads=1, baseline="a")


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 200), st.integers(1, 200))
def test_spread_covers_the_set_evenly(n, k):
    indexes = batches.spread(n, k)
    assert len(indexes) == k and indexes == sorted(indexes) and indexes[0] == 0
    assert k == 1 or indexes[-1] == n - 1
    if 1 < k <= n:
        steps = [after - before for before, after in zip(indexes, indexes[1:], strict=False)]
        assert min(steps) >= 1 and max(steps) - min(steps) <= 2


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 100), st.integers(2, 16), st.integers(1, 40), st.integers(1, 20))
def test_schedule_times_every_chosen_batch_and_enough_full_ones(n, size, repeats, limit):
    sizes = [min(size, n - start) for start in range(0, n, size)]
    own = [batches.Batch({}, each, each) for each in sizes]
    chosen = batches.spread(len(own), min(limit, len(own)))
    order = batches.schedule(own, chosen, repeats)
    full = sum(sizes[index] == sizes[0] for index in order)
    assert set(order) == set(chosen) and full >= repeats
    # no more than needed: dropping the last pass would leave a batch out, or a repeat
    assert len(order) == len(chosen) or full == repeats


def test_real_models_are_measured():
    torch.manual_seed(0)
    shape = {"vocab_size": 20, "hidden_size": 8, "num_attention_heads": 2, "intermediate_size": 8}
    arms = {
        name: BertForSequenceClassification(BertConfig(num_hidden_layers=layers, **shape)).train()
        for name, layers in (("two", 2), ("one", 1))
    }
    found = latency.measure(
        arms, rows(), padded_length=PADDED, threads=1, batch_size=2, repeats=3, warmup=1, baseline="two"
    )
    for arm in found["arms"].values():
        assert arm["validation_seconds"] > 0 and arm["batch1_true"]["median_ms"] > 0
        assert all(math.isfinite(value) for value in arm["batch2_padded"]["speedup"].values())
    assert latency.peak_memory_mb() > 50


def test_a_warm_pass_comes_right_after_one_of_the_same_arm(clock):
    def fetch(call):
        return 0.5 * (len(clock.calls) > 1 and clock.calls[-2][0] != clock.calls[-1][0])

    arms = {name: Arm(name, clock, cost, fetch) for name, cost in (("a", 0.02), ("b", 0.01))}
    found = latency.measure(
        arms, rows(), padded_length=PADDED, threads=1, batch_size=3, repeats=4, baseline="a", blocks=[], lengths=[6]
    )["arms"]
    assert found["b"]["batch1_length6_warm"]["median_ms"] == pytest.approx(60)
    assert found["b"]["batch1_length6_warm"]["speedup"]["median"] == pytest.approx(2)
    cold = found["b"]["batch1_length6"]["median_ms"]
    assert cold > 60, "in turns it follows the other arm"


def test_rows_of_one_length_have_no_padding(clock):
    found = measure(clock, blocks=[], lengths=[6])
    slow = found["arms"]["a"]
    assert set(slow) == {
        "batch1_length6",
        "batch1_length6_warm",
        "batch3_length6",
        "batch3_true",
        "validation_seconds",
        "validation_estimated",
    }
    assert slow["batch1_length6"]["mean_tokens"] == 6 and slow["batch3_length6"]["mean_tokens"] == 18
    assert slow["batch3_length6"]["repeats"] == slow["batch1_length6"]["repeats"] == 4
    seen = [call for call in clock.calls if call[0] == "a"][:22]
    assert all(ids.shape[1] == 6 and mask.all() for _, ids, _, mask in seen)
    assert seen[18][1].tolist() == [[1] * 5 + [2], [2, 2, 3, 3, 3, 3], [4] * 6], "the rows, one after another"
    with pytest.raises(InputError, match="a length is 0"):
        measure(clock, lengths=[0])


def test_rounds_are_in_balanced_order_and_the_first_is_not_counted():
    calls = []

    def way(name, seconds):
        def work():
            calls.append(name)
            return seconds if len(calls) > 3 else 99.0

        return work

    ways = {"a": way("a", 8.0), "b": way("b", 2.0), "c": way("c", 1.0)}
    found = latency.rounds(ways, 6)
    assert found == {"a": [8.0] * 6, "b": [2.0] * 6, "c": [1.0] * 6}
    places = Counter((place % 3, name) for place, name in enumerate(calls[3:]))
    assert set(places.values()) == {2}
    with pytest.raises(InputError, match="number of rounds is 0"):
        latency.rounds(ways, 0)


def test_factors_are_quotients_of_neighbours():
    found = latency.factors({"slow": [8.0, 12.0, 8.0], "fast": [2.0, 2.0, 4.0], "faster": [1.0, 1.0, 1.0]})
    assert [one["way"] for one in found] == ["slow", "fast", "faster"]
    assert [one["seconds"] for one in found] == [8.0, 2.0, 1.0]
    assert [one["factor"]["median"] for one in found] == [1.0, 4.0, 2.0]
    assert [one["total"]["median"] for one in found] == [1.0, 4.0, 8.0]
    assert found[1]["factor"]["low"] == 2.0 and found[1]["factor"]["high"] == 6.0


@pytest.mark.parametrize("compact", [{}, {"sharing": "all"}, {"heads": [1, 2], "neurons": [3, 32]}])
def test_operations_are_those_that_torch_counts(compact):
    shape = {"vocab_size": 30, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
    more = {"intermediate_size": 32, "attn_implementation": "eager", **({"compact": compact} if compact else {})}
    model = models.build(BertForSequenceClassification, BertConfig(**shape, **more)).eval()
    for rows_, length in ((1, 7), (3, 5)):
        ids = torch.ones(rows_, length, dtype=torch.long)
        for each in (model, models.first_token(model)):
            with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
                each(input_ids=ids, attention_mask=ids)
            assert latency.operations(each, batch_size=rows_, length=length) == counter.get_total_flops()


def test_a_floor_is_the_larger_of_two_times():
    model = models.shaped("tinybert")
    size = latency.weight_bytes(model, precision="bf16", batch_size=1, length=10)
    linear = sum(layer.weight.numel() for layer in model.modules() if isinstance(layer, nn.Linear))
    assert size == 2 * linear + 4 * 10 * 312
    work = latency.operations(model, batch_size=1, length=10)
    how = {"precision": "bf16", "batch_size": 1, "length": 10}
    assert latency.floor_ms(model, latency.Rates(1.0, 1e9), **how) == pytest.approx(work / 1e6)
    assert latency.floor_ms(model, latency.Rates(1e9, 1.0), **how) == pytest.approx(size / 1e6)


def test_rates_are_measured():
    rates = latency.matrix_rates(1)
    assert set(rates) == {"float32", "bf16", "int8"} and min(rates.values()) > 0.1
    assert latency.read_rate(1, size_bytes=10_000_000) > 0.1


def test_peak_memory_is_this_processs_own():
    block = bytearray(600_000_000)
    command = "import helpers.latency as l; print(l.peak_memory_mb())"
    told = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True, cwd=ROOT, check=True)
    assert 30 < float(told.stdout) < latency.peak_memory_mb() - 100 and len(block)
