"""Orders in tables, figures, words and the headline: made from invented records whose answers are known."""

from __future__ import annotations

import itertools
from pathlib import Path

import fake_records
import pytest

from helpers import figures, records, report
from helpers.environment import InputError
from helpers.report import orders, summary

SMALL, LARGE = "5 MB", "8 MB"
# chain: megabytes of its weights, points to the student by task on the validation split, and on held-out rows
CHAINS = {
    "distil": (57.0, (0, 0), 0),
    "distil > prune 0.6": (25.0, (-1, -1), 0),
    "distil > prune 0.6 > int4": (4.9, (-2, -4), -3),
    "prune 0.6": None,
    "prune 0.6 > distil": (25.0, (1, 0), 0),
    "prune 0.6 > distil > int4": (4.9, (1, 0), 2),
    "distil > int4": (7.8, (0, 0), 1),
    "distil > int4 > prune 0.6": (4.9, (-2, -5), -9),
    "teacher": (90.0, (3, 3), 0),
    "teacher > prune 0.9": (12.0, (-30, -30), 0),
    "teacher > prune 0.9 > int4": (7.9, (-30, -30), -30),
}
WRITTEN = {
    SMALL: ["distil > prune fit > int4", "distil > int4 > prune fit", "prune fit > distil > int4"],
    LARGE: ["distil > int4", "teacher > prune fit > int4"],
}
SEEDS = (0, 1)
TASKS = ("rte", "sst2")


def name(chain: str) -> str:
    return "order_" + chain.replace(" > ", "_").replace(" ", "_")


def ends(budget: str) -> list[str]:
    return [chain.replace("fit", "0.9" if "teacher" in chain else "0.6") for chain in WRITTEN[budget]]


def value(chain: str, task: str, seed: int) -> float:
    """Return the invented points: the second seed has half a point more in chains that begin with prune."""
    _, given, _ = CHAINS[chain]
    return given[TASKS.index(task)] + (0.5 if seed and chain.startswith("prune") else 0.0)


def tree(profile: str = "minilm_systems") -> list[dict]:
    made = []
    for task, seed in itertools.product(TASKS, SEEDS):
        record = fake_records.make("02_augmentation", task, seed, profile=profile, source="folder")
        record["notebook"], record["arms"], metric = "11_order", [], record["metrics"][0]
        nodes = []
        for chain, about in CHAINS.items():
            before = chain.rpartition(" > ")[0]
            timed = None if about is None else name("teacher" if "teacher" in chain else "distil")
            nodes.append({"arm": name(chain), "chain": chain, "before": name(before) if before else None, "steps": 2})
            nodes[-1] |= {"seconds": 120.0 * chain.count(">"), "timed_as": timed}
            if about is None:
                continue
            points = value(chain, task, seed)
            arm = fake_records.trained(name(chain), task, seed)
            size = int(about[0] * 1e6)
            arm |= {"title": chain, "chain": chain, "parameter": {"predicted_bytes": size}}
            arm["bytes"] |= {"file": size + 10**5, "embedding": size - 20, "encoder": 10, "head": 10}
            arm["scores"] = {metric: {"value": 0.7 + points / 100, "low": 0.6, "high": 0.8}}
            arm["heldout_scores"] = {metric: 0.7 + about[2] / 100}
            arm["versus"] = {"arm": "student", "difference": points / 100}
            arm["versus"] |= {"low": (points - 3) / 100, "high": (points + 3) / 100}
            record["arms"].append(arm)
        pairs = []
        for budget in (SMALL, LARGE):
            for one, other in itertools.combinations(ends(budget), 2):
                gap = value(one, task, seed) - value(other, task, seed)
                pairs.append({"arms": [name(one), name(other)], "difference": gap / 100})
                pairs[-1] |= {"low": (gap - 3) / 100, "high": (gap + 4) / 100}
        listed = {
            budget: [{"chain": text, "arm": name(end)} for text, end in zip(WRITTEN[budget], ends(budget), strict=True)]
            for budget in (SMALL, LARGE)
        }
        shared = {"steps": 5, "steps_alone": 12, "seconds": 3600.0, "seconds_alone": 9000.0}
        record["orders"] = {"budgets": listed, "nodes": nodes, "pairs": pairs, "shared": shared}
        made.append(record)
    return made


def test_a_difference_is_the_mean_over_tasks_with_the_wider_of_two_intervals() -> None:
    found = orders.points(tree(), name("distil > prune 0.6 > int4"), name("distil > int4 > prune 0.6"))
    # 0 on one task and 1 on the other, without any noise over seeds; each task's examples: 3 below, 4 above
    assert found.value == pytest.approx(0.5) and found.seeds == 2
    assert found.low == pytest.approx(0.5 - (9 + 9) ** 0.5 / 2) and found.high == pytest.approx(
        0.5 + (16 + 16) ** 0.5 / 2
    )
    turned = orders.points(tree(), name("distil > int4 > prune 0.6"), name("distil > prune 0.6 > int4"))
    assert (turned.value, turned.low, turned.high) == pytest.approx((-found.value, -found.high, -found.low))
    alone = orders.points(tree(), name("distil > prune 0.6 > int4"), name("distil > int4 > prune 0.6"), task="rte")
    assert (alone.value, alone.low, alone.high) == pytest.approx((0, -3, 4))
    # half a point between two seeds: 12.706 times the standard error of 3.5 + 1 (or 4) and half a point more
    seeds = orders.points(tree(), name("prune 0.6 > distil > int4"), name("distil > prune 0.6 > int4"))
    assert seeds.value == pytest.approx(3.75) and seeds.high - seeds.value == pytest.approx(12.706 * 0.25, rel=1e-3)
    some = [record for record in tree() if (record["task"], record["seed"]) != ("rte", 1)]
    assert orders.points(some, name("distil > prune 0.6 > int4"), name("distil > int4 > prune 0.6")).seeds == 1


def test_swaps_are_found_among_the_chains_of_a_budget() -> None:
    found = {swap.told: swap.pairs for swap in orders.swaps(tree())}
    dpq, dqp, pdq = (name(chain) for chain in ends(SMALL))
    assert found == {"quantize before prune": ((dqp, dpq),), "prune before distil": ((pdq, dpq),)}
    first = next(swap for swap in orders.swaps(tree()) if swap.second == "quantize")
    assert orders.swap_points(tree(), first).value == pytest.approx(-0.5)
    assert orders.swap_points(tree(), first, task="sst2").value == pytest.approx(-1)
    assert orders.kinds("teacher > low_rank 0.5 > recover labels > bf16") == (
        "teacher",
        "low rank",
        "recover labels",
        "quantize",
    )


def test_the_best_is_chosen_on_held_out_rows_and_compared_with_its_own_steps() -> None:
    arms = [name(chain) for chain in ends(SMALL)]
    assert orders.best(tree(), arms) == name("prune 0.6 > distil > int4")
    assert orders.beside(tree(), arms, arms[2]) == arms[0] and orders.beside(tree(), arms, arms[0]) == arms[1]
    other = [name(chain) for chain in ends(LARGE)]
    assert orders.beside(tree(), other, other[0]) is None
    assert list(orders.chains(tree())) == [LARGE, SMALL], "the largest first"


def test_the_front_has_what_no_other_beats() -> None:
    front = orders.front(tree())
    assert front[0] == name("teacher") and front[-1] == name("prune 0.6 > distil > int4")
    assert name("distil > prune 0.6 > int4") not in front and name("teacher > prune 0.9") not in front


def test_tables_and_figures_are_published_with_what_they_rest_on() -> None:
    texts = report.render_tables(tree())
    assert {"orders.md", "order_pairs.md", "order_swaps.md"} <= texts.keys()
    table = texts["orders.csv"].splitlines()
    assert len(table) == 1 + 5 and table[1].startswith("distil > int4,8 MB,7.80,")
    row = next(line for line in table if line.startswith("prune 0.6 > distil > int4"))
    assert ",4.90," in row and ",4.00," in row and "+3.75 [" in row and ",yes," in row
    assert (
        "5 stored steps after student's start and teacher, in the place of 12; over all runs they took 4.00 hours"
        in (texts["orders.md"])
    )
    assert "NOTEBOOKS=11" in texts["orders.md"] and "RTE,SST-2" in texts["order_pairs.csv"].splitlines()[0]
    pairs = texts["order_pairs.csv"].splitlines()[1:]
    assert len(pairs) == 3 and pairs[0].startswith('distil > int4 > prune 0.6,distil > prune 0.6 > int4,5 MB,"-0.50 [')
    assert "orders.md" not in report.render_tables(fake_records.study())
    drawn = figures.published(tree())
    assert {"order_tree", "order_front"} <= drawn.keys()
    alt = figures.alt_text(drawn["order_tree"])
    assert "prune 0.6 > distil > int4 4.90 MB +0.8" in alt and "teacher > prune 0.9 > int4 7.90 MB -30.0" in alt
    assert "Not beaten: teacher (90.0 MB, +3.0)" in figures.alt_text(drawn["order_front"])
    for draw in (figures.order_tree, figures.order_front):
        with pytest.raises(InputError, match="run notebook 11_order"):
            draw(fake_records.study())


def test_every_node_of_the_picture_has_a_place_of_its_own_right_of_what_it_is_made_from() -> None:
    nodes = orders.trees(tree())
    places = figures.orders._places(nodes)
    assert len(set(places.values())) == len(nodes)
    for arm, node in nodes.items():
        column, row = places[arm]
        assert column == node["chain"].count(">")
        if node["before"]:
            left, top = places[node["before"]]
            assert left == column - 1 and top <= row


def test_the_answer_says_what_is_best_and_what_is_noise() -> None:
    said = report.answer(tree())
    assert any("Within 5 MB `prune 0.6 > distil > int4` is best on held-out rows" in text for text in said)
    small = next(text for text in said if text.startswith("Within 5 MB"))
    assert "+3.75 points [" in small and "beside `distil > prune 0.6 > int4`" in small
    assert "+0.75 points [" in small and "beside the whole student (mean over RTE and SST-2)" in small
    assert (
        "There 1 of the 2 other chains are better than `distil > prune 0.6 > int4` by more than noise, 0 worse." in said
    )
    assert "Quantize before prune: -0.50 points [-3.33, +1.62] (inside noise)." in said
    assert sum("inside noise" in text for text in said) < len(said)


def test_the_headline_has_the_best_chain_of_the_smallest_budget(tmp_path: Path) -> None:
    for record in tree():
        records.write(record, tmp_path / "results" / "minilm_systems" / "records")
    found = report.headline(tmp_path / "results")
    assert found["order_chains"]["value"] == 5 and found["order_tasks"]["value"] == 2
    assert found["order_best_chain"]["value"] == "prune 0.6 > distil > int4"
    assert (
        found["order_compared_chain"]["value"] == "distil > prune 0.6 > int4"
        and found["order_budget"]["value"] == SMALL
    )
    assert found["order_gain_points"]["value"] == 3.75
    assert found["order_gain_points_low"]["value"] < 3.75 < found["order_gain_points_high"]["value"]
    assert len(found["order_best_chain"]["records"]) == 4
    again = records.read_all(tmp_path / "results" / "minilm_systems" / "records")
    assert orders.swaps(again) == orders.swaps(tree()) and list(orders.trees(again)) == list(orders.trees(tree()))


def test_time_is_that_of_a_models_shape() -> None:
    some = tree()
    for record in some:
        record["latency_setup"] = fake_records.study()[-1]["latency_setup"]
        for arm in record["arms"]:
            kind = {name("teacher"): 64.0, name("distil"): 16.0}.get(arm["arm"])
            arm["latency"] = {"batch32_true": {"median_ms": kind}} if kind else None
    assert orders.milliseconds(some, name("teacher > prune 0.9 > int4")) == 2.0
    assert orders.milliseconds(some, name("distil > int4")) == 0.5
    assert name("teacher > prune 0.9") not in orders.front(some)
    assert summary.timed(some, notebooks=("11_order",))[0]
