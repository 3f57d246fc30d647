"""Chains as a tree: what each text builds, what is shared, equal bytes, training of pruned and rounded models."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
import tiny
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import BertConfig

from helpers import models, profiles, records, runs, scores, storage, trees
from helpers.artifacts import Node, Store
from helpers.compress import budgets, conditions, factorization, notation, pruning, quantization, steps
from helpers.compress.budgets import Weights
from helpers.compress.orders import Orders
from helpers.environment import InputError
from helpers.storage import Coding
from helpers.training import Training, task_loss

pytestmark = pytest.mark.usefixtures("few_rows")
SMALL = tiny.RECIPE | {"pretraining_steps": 12, "pretraining_batch_size": 16, "storage_group": 4}
ROW = torch.tensor([[2, 7, 9, 3]])
CHAINS = {
    "3 kB": ["distil > prune fit > int4", "prune fit > int4 > distil", "distil > int4 > prune fit > recover"],
    "7 kB": ["distil > int8", "train > int8", "teacher > low_rank 0.5 > recover > prune fit > int4"],
}


def orders(folder: Path | None = None, chains: dict[str, list[str]] | None = None, **changes: object) -> Orders:
    given = SMALL | {"task": "sst2", "order_chains": CHAINS if chains is None else chains} | changes
    return Orders(profiles.load("mini", **given), store=Store(folder) if folder else None)


def of(one: Orders, text: str) -> Node:
    """Return the stored model behind a chain or the beginning of one."""
    return next(made.model for chain, made in one.tree.items() if notation.write(chain) == text)


# ---- what a text builds


def test_the_steps_of_a_chain_are_the_studys_own() -> None:
    one = orders(chains={"1 MB": ["distil > recover", "train > int4", "teacher", "low_rank 0.5 > train"]})
    assert of(one, "distil").key == one.student.key
    assert of(one, "train").key == one.control.key
    assert of(one, "teacher").key == one.teacher.key
    longer = of(one, "distil > recover").arguments
    assert longer["student"].key == one.student.key and longer["training"].epochs == one.recipe.recovery_epochs
    low = of(one, "low_rank 0.5 > train").arguments
    assert low["model"].function is factorization.factorize and low["training"].epochs == one.control_epochs


def test_what_comes_before_a_training_is_a_condition_of_it() -> None:
    both = ["int4 > prune 0.5 > distil > recover labels", "prune 0.5 > int4 > distil"]
    one = orders(chains={"1 MB": [*both, "int8 > distil", "prune 0.5 > distil > prune 0.7"]})
    aware = of(one, "int8 > distil").arguments
    assert aware["rounding"] == Coding("int8") and "hold_zeros" not in aware
    assert aware["student"].arguments["rounding"] == Coding("int8"), "states are copied by the rounded model, too"
    assert aware["student"].arguments["student"].key == one.start.key, "not by one that was rounded before"
    sparse = of(one, "prune 0.5 > distil").arguments
    assert sparse["hold_zeros"] == "matrices" and "rounding" not in sparse
    start = sparse["student"].arguments["student"]
    assert start.arguments["steps"] == [("prune", 0.5, "each")]
    # what pruning leaves of rounded weights is not what it leaves of others
    one_way, other = (of(one, text) for text in ("int4 > prune 0.5 > distil", "prune 0.5 > int4 > distil"))
    assert one_way.key != other.key
    assert one_way.arguments["rounding"] == other.arguments["rounding"] == Coding("int4", 4)
    labels = of(one, both[0]).arguments
    assert labels["model"].key == one_way.key and labels["hold_zeros"] == "matrices" and labels["rounding"]
    assert one.tree[notation.parse(both[0])].steps == (("round", "int4", 4),)
    last = one.tree[notation.parse("prune 0.5 > distil > prune 0.7")]
    assert last.steps == (("prune", 0.7, "each"),) and last.model.key == of(one, "prune 0.5 > distil").key


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """A store with all models of the tree, and the keys in the order in which they were built."""
    folder, keys, build = tmp_path_factory.mktemp("store"), [], Store._build

    def counted(self: Store, wanted: Node, final: Path) -> None:
        keys.append(wanted.key)
        build(self, wanted, final)

    with pytest.MonkeyPatch.context() as patch:
        tiny.few_rows(patch)
        patch.setattr(Store, "_build", counted)
        one = orders(folder)
        for made in one.tree.values():
            one.store.path(made.model)
    return folder, keys


def test_common_beginnings_are_one_model_and_built_once(built: tuple[Path, list[str]]) -> None:
    folder, keys = built
    one = orders(folder)
    texts = [notation.write(chain) for chain in one.tree]
    assert len(texts) == len(set(texts)) and sum(text == "distil" for text in texts) == 1
    assert len(keys) == len(set(keys)) and of(one, "distil").key in keys
    named = [
        part for chains in one.chains.values() for chain in chains.values() for part in notation.beginnings([chain])
    ]
    assert len(one.tree) < len(named), "chains have beginnings in common"
    assert all(one.store.has(made.model) for made in one.tree.values()), "another run finds all of it"


def test_equal_chains_give_equal_models_whichever_is_built_first(built: tuple[Path, list[str]], tmp_path: Path) -> None:
    forwards, backwards = orders(built[0]), orders(tmp_path, {"3 kB": CHAINS["3 kB"][::-1]})
    for made in reversed(backwards.tree.values()):
        backwards.store.path(made.model)
    assert list(backwards.tree) != [chain for chain in forwards.tree if chain in backwards.tree]
    for chain, other in backwards.tree.items():
        made = forwards.tree[chain]
        assert made.model.key == other.model.key
        if made.trained:
            asked = (forwards.load(made.model, *made.steps), backwards.load(other.model, *other.steps))
            assert torch.equal(*(model(ROW).logits for model in asked)), chain


def test_chains_end_in_as_many_bytes_and_their_files_load_back(built: tuple[Path, list[str]], tmp_path: Path) -> None:
    one = orders(built[0])
    for budget, chains in one.chains.items():
        for chain in chains.values():
            made, layouts = one.tree[chain], trees.layouts(one, chain)
            model, wanted = one.load(made.model, *made.steps), budgets.predicted(chain, one.weights(chain), group=4)
            # a head of fewer outputs is a little smaller, and so is what rounding has made zero
            assert 0.85 * wanted < storage.breakdown(model, layouts=layouts)["total"] <= wanted <= budgets.size(budget)
            amounts = [link[1] for link in chain if link[0] == "prune"]
            assert not amounts or wanted > 0.95 * budgets.size(budget), "no more is pruned than is needed"
            for name, module in pruning.matrices(model) if amounts else ():
                zeros = int((module.weight == 0).sum())
                assert round(amounts[-1] * module.weight.numel()) <= zeros < module.weight.numel(), name
            storage.save(model, tmp_path / "model", layouts=layouts)
            assert torch.equal(storage.load(tmp_path / "model")(ROW).logits, model(ROW).logits)


# ---- training of a model that is pruned or rounded


@pytest.mark.parametrize("rounding", [None, Coding("int4", 4)])
@pytest.mark.parametrize("hold", [None, "matrices"])
def test_labels_are_learned_with_weights_rounded_and_zeros_held(
    hold: str | None, rounding: Coding | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, start, made = tiny.task_data(rows=192), tmp_path / "start", tmp_path / "made"
    start.mkdir(), made.mkdir()
    source = tiny.saved(tmp_path / "source", tiny.classifier(spread=3, dropout=0.0))
    conditions.settle(start, model=source, steps=[("prune", 0.5, "each")])
    before, losses = models.load(start), []

    def watched(model: torch.nn.Module, batch: dict[str, torch.Tensor]) -> tuple[torch.Tensor, dict]:
        loss, parts = task_loss(model, batch)
        losses.append((float(loss.detach()), {name: value.clone() for name, value in batch.items()}))
        return loss, parts

    monkeypatch.setattr(conditions, "task_loss", watched)
    training = Training(epochs=6, learning_rate=5e-3, batch_size=16)
    conditions.learn_labels(
        made, model=start, data=data, training=training, max_length=16, hold_zeros=hold, rounding=rounding
    )
    first, batch = losses[0]
    asked, other = before, quantization.rounded(before, "int4", 4)
    asked, other = (other, asked) if rounding else (asked, other)
    with torch.no_grad():
        assert float(task_loss(asked, batch)[0]) == pytest.approx(first, abs=1e-6)
        assert float(task_loss(other, batch)[0]) != pytest.approx(first, abs=1e-4)
    assert np.mean([loss for loss, _ in losses[-12:]]) < np.mean([loss for loss, _ in losses[:12]])
    after = models.load(made)
    masks = pruning.masks(before, of="matrices")
    grown = [bool((after.get_parameter(name)[~mask] != 0).any()) for name, mask in masks.items()]
    assert not any(grown) if hold else any(grown)
    rounded = quantization.rounded(after, "int4", 4)
    assert not torch.equal(rounded.classifier.weight, after.classifier.weight), "what is stored is not rounded"


def test_a_settled_model_is_what_quick_steps_leave(tmp_path: Path) -> None:
    source, made = tiny.saved(tmp_path / "source", tiny.classifier(spread=3)), tmp_path / "made"
    made.mkdir()
    quick = [("round", "int4", 4), ("prune", 0.5, "each")]
    conditions.settle(made, model=source, steps=quick)
    wanted = steps.apply(models.load(source), quick)
    assert all(torch.equal(value, wanted.state_dict()[name]) for name, value in models.load(made).state_dict().items())


# ---- bytes


SHAPE = BertConfig(**tiny.config(width=16).to_dict())


@given(
    st.sampled_from(["distil", "distil > int4", "int8 > distil", "distil > float8", "train > bf16"]),
    st.sampled_from([0.0, 0.1, 0.5, 0.9]),
    st.sampled_from([None, 0.5]),
    st.sampled_from([0, 3, 8]),
)
def test_predicted_bytes_are_those_of_a_file(text: str, amount: float, low_rank: float | None, group: int) -> None:
    torch.manual_seed(0)
    model = models.build(type(tiny.classifier()), SHAPE)
    start = f"low_rank {low_rank} > " if low_rank else ""
    chain = notation.parse(start + text + (f" > prune {amount}" if amount else ""))
    if low_rank:
        ranks = factorization.ranks_for(model, linear=low_rank)
        model = factorization.low_rank(model, ranks)
    kind = next((link[0] for link in chain if link[0] in notation.ROUNDINGS), None)
    if kind:
        coding = budgets.coding(kind, group)
        model = quantization.rounded(model, coding.kind, coding.group)
    zeros = max((float((module.weight == 0).sum()) for _, module in pruning.matrices(model)), default=0)
    model = pruning.prune(model, amount, of="each")
    weights = Weights.of(SHAPE, low_rank=low_rank)
    layout = budgets.layout(chain, weights, group=group)
    found = storage.breakdown(model, layouts=("dense", layout) if layout == "bitmask" else (layout,))["total"]
    predicted = budgets.predicted(chain, weights, group=group)
    assert found <= predicted, "less only where rounding makes zeros of its own"
    if layout == "dense" or not zeros:
        assert found > 0.93 * predicted


def test_an_amount_fits_by_hand() -> None:
    toy = Weights(matrices=((10, 64),), others=3)
    # float32: 80 bytes of bitmask, 12 of others, and 52 of 640 weights in the 208 that are left
    fitted = budgets.fitted(notation.parse("distil > prune fit"), "0.3 kB", toy, group=64)
    assert fitted[1] == ("prune", 0.918) and budgets.predicted(fitted, toy, group=64) == 80 + 12 + 4 * 52
    assert budgets.predicted(notation.parse("distil > prune 0.917"), toy, group=64) == 80 + 12 + 4 * 53 > 300
    # int4: ten scales of two bytes; with few zeros a bitmask would take more than it saves
    assert budgets.predicted(notation.parse("distil > int4"), toy, group=64) == 320 + 20 + 12
    assert budgets.predicted(notation.parse("distil > prune 0.1 > int4"), toy, group=64) == 320 + 20 + 12
    assert budgets.layout(notation.parse("distil > prune 0.1 > int4"), toy, group=64) == "dense"
    assert budgets.layout(notation.parse("distil > prune 0.9 > int4"), toy, group=64) == "bitmask"
    assert budgets.size("5.2 MB") == 5_200_000 and budgets.size("66 kB") == 66_000


@given(st.sampled_from(["", " > int4", " > int8", " > bf16"]), st.integers(60, 400))
def test_what_fits_is_the_least_that_does(ending: str, tenths: int) -> None:
    toy, budget = Weights(matrices=((40, 50), (50, 8)), others=20), f"{tenths / 100} kB"
    chain = notation.parse(f"distil > prune fit{ending}")
    try:
        fitted = budgets.fitted(chain, budget, toy, group=10)
    except InputError as error:
        assert "without prune fit: leave it out" in str(error) or "nearly all weights pruned" in str(error)
        return
    amount = fitted[1][1]
    less = tuple(("prune", round(amount - 0.001, 3)) if link[0] == "prune" else link for link in fitted)
    assert budgets.predicted(fitted, toy, group=10) <= budgets.size(budget)
    assert amount == 0.001 or budgets.predicted(less, toy, group=10) > budgets.size(budget)


# ---- what cannot be


@pytest.mark.parametrize(
    ("chains", "message"),
    [
        ({}, "order_chains names no chain"),
        ({"5 MB": []}, "the budget '5 MB' has no chain; give one, or leave it out"),
        ({"1 MB": ["distil"], "1000 kB": ["train"]}, "the budgets '1 MB' and '1000 kB', which are one: join them"),
        ({"1 MB": ["low_rank 0.0001 > distil"]}, "Chain 'low_rank 0.0001 > distil': .* less than a rank of one"),
        ({"1 MB": ["distil > prune 0.00001"]}, "with 4 digits at most, or fit, not '0.00001'"),
        ({"5": ["distil"]}, "A budget is a number of MB or kB, as '5.2 MB', not '5'"),
        ({"0 MB": ["distil"]}, "not '0 MB'"),
        ({"1 MB": ["distil > int3"]}, "there is no step 'int3'"),
        ({"1 MB": ["distil", " distil "]}, "'distil' stands twice under '1 MB'"),
        ({"2 kB": ["distil"]}, r"'distil' ends at 0.0\d+ MB, above its budget of 2 kB"),
        ({"0.9 kB": ["distil > prune fit"]}, "with nearly all weights pruned, above its budget of 0.9 kB"),
        ({"1 MB": ["distil > prune fit > int4"]}, "keeps its budget of 1 MB without prune fit: leave it out"),
        ({"2 kB": ["distil > prune 0.5 > int8"]}, "above its budget of 2 kB"),
    ],
)
def test_what_cannot_be_is_named_before_anything_is_built(chains: dict, message: str, tmp_path: Path) -> None:
    one = orders(tmp_path, chains)
    with pytest.raises(InputError, match=message):
        one.check_orders()
    assert not list(tmp_path.iterdir())


def test_a_chain_that_stands_twice_once_its_amount_fits_is_named() -> None:
    amount = next(iter(orders().chains["3 kB"].values()))[1][1]
    with pytest.raises(
        InputError, match=r"Chains 'distil > prune fit > int4' and 'distil > prune 0.\d+ > int4' are one"
    ):
        orders(chains={"3 kB": ["distil > prune fit > int4", f"distil > prune {amount} > int4"]}).check_orders()
    with pytest.raises(InputError, match="'distil > recover' recovers for no epoch: set recovery_epochs"):
        orders(chains={"1 MB": ["distil > recover"]}, recovery_epochs=0).check_orders()


def test_a_student_that_learns_labels_has_no_orders(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="leave prediction in loss_parts"):
        orders(tmp_path, loss_parts=["hidden"]).check_orders()


def test_the_vocabulary_that_decides_amounts_is_the_one_that_is_built(tmp_path: Path) -> None:
    one = orders(tmp_path)
    before = one.pieces
    assert not list(tmp_path.iterdir()) and before <= one.recipe.vocabulary_size
    one.store.path(one.language_model)
    assert orders(tmp_path).pieces == before
    fits = [[notation.write(chain) for chain in orders(tmp_path, task=task).tree] for task in ("sst2", "stsb")]
    assert fits[0] == fits[1], "one amount for all tasks"


# ---- measuring


def test_a_tree_is_measured_and_recorded(
    built: tuple[Path, list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STUDY_ARTIFACTS", str(tmp_path))  # where a trial's record goes
    one = orders(built[0])
    measured = trees.measure(one)
    about = trees.tree(one)
    names = [arm["arm"] for arm in measured]
    assert names == [node["arm"] for node in about["nodes"] if node["timed_as"]]
    assert {each["arm"] for some in about["budgets"].values() for each in some} == set(trees.ends(one)) <= set(names)
    assert [[each["chain"] for each in some] for some in about["budgets"].values()] == list(CHAINS.values())
    nodes = {node["arm"]: node for node in about["nodes"]}
    for node in nodes.values():
        before = nodes[node["before"]] if node["before"] else None
        assert node["chain"].count(">") == (before["chain"].count(">") + 1 if before else 0)
        assert before is None or node["seconds"] >= before["seconds"] and node["steps"] >= before["steps"]
    assert len({node["timed_as"] for node in nodes.values()} - {None}) == 3, "student, teacher, teacher of low rank"
    shared = about["shared"]
    assert 0 < shared["steps"] < shared["steps_alone"] and 0 < shared["seconds"] < shared["seconds_alone"]
    assert shared["steps_alone"] == sum(nodes[arm]["steps"] for arm in trees.ends(one))
    pairs = {tuple(pair["arms"]): pair for pair in about["pairs"]}
    assert len(pairs) == 6
    values = {arm["arm"]: arm["scores"]["accuracy"]["value"] for arm in measured}
    for (first, second), pair in pairs.items():
        assert pair["difference"] == pytest.approx(values[first] - values[second])
        assert pair["low"] <= pair["difference"] <= pair["high"]
    parts = ("embedding", "encoder", "head")
    assert all(sum(arm["bytes"][p] for p in parts) <= arm["parameter"]["predicted_bytes"] for arm in measured)
    path = runs.record(one, "11_order", measured, parameters=vars(one.recipe), began=0.0, orders=about)
    here = records.read(path)
    assert [node["arm"] for node in here["orders"]["nodes"]] == list(nodes), "in their order"
    assert set(trees.shapes(one)) == {node["timed_as"] for node in nodes.values()} - {None}


def test_every_two_are_compared_as_paired_compares_two() -> None:
    draw = np.random.default_rng(0)
    labels = draw.integers(0, 2, 60)
    answers = {name: draw.integers(0, 2, 60) for name in "abc"}
    found = scores.paired_all("cola", answers, labels)
    assert list(found) == list(itertools.combinations("abc", 2))
    for (one, other), value in found.items():
        assert value == scores.paired("cola", answers[one], answers[other], labels)
