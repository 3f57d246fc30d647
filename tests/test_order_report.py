"""Orders in tables, figures, words and the headline: made from invented records whose answers are known."""

from __future__ import annotations

import itertools
from pathlib import Path

import fake_records
import pytest

from helpers import figures, profiles, records, report
from helpers.environment import InputError
from helpers.report import order_choices, order_findings, orders, summary

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
    alone = orders.points(tree(), name("distil > prune 0.6 > int4"), name("distil > int4 > prune 0.6"), tasks=["rte"])
    assert (alone.value, alone.low, alone.high) == pytest.approx((0, -3, 4))
    # half a point between two seeds: 12.706 times the standard error of 3.5 + 1 (or 4) and half a point more
    seeds = orders.points(tree(), name("prune 0.6 > distil > int4"), name("distil > prune 0.6 > int4"))
    assert seeds.value == pytest.approx(3.75) and seeds.high - seeds.value == pytest.approx(12.706 * 0.25, rel=1e-3)
    some = [record for record in tree() if (record["task"], record["seed"]) != ("rte", 1)]
    assert orders.points(some, name("distil > prune 0.6 > int4"), name("distil > int4 > prune 0.6")).seeds == 1


def test_swaps_are_found_among_the_chains_of_a_budget() -> None:
    found = {swap.told: swap.pairs for swap in order_choices.swaps(tree())}
    dpq, dqp, pdq = (name(chain) for chain in ends(SMALL))
    assert found == {"quantize before prune": ((dqp, dpq),), "prune before distil": ((pdq, dpq),)}
    first = next(swap for swap in order_choices.swaps(tree()) if swap.second == "quantize")
    assert orders.points_over(tree(), first.pairs).value == pytest.approx(-0.5)
    assert orders.points_over(tree(), first.pairs, tasks=["sst2"]).value == pytest.approx(-1)
    assert order_choices.kinds("teacher > low_rank 0.5 > recover labels > bf16") == (
        "teacher",
        "low rank",
        "recover labels",
        "quantize",
    )


def test_the_best_is_chosen_on_held_out_rows_and_compared_with_its_own_steps() -> None:
    arms = [name(chain) for chain in ends(SMALL)]
    assert order_choices.best(tree(), arms) == arms[2]
    assert order_choices.reordered(tree(), arms, arms[2]) == arms[:2]
    half = [record for record in tree() if (record["task"], record["seed"]) != ("rte", 1)]
    for record in half:
        if record["seed"]:
            next(a for a in record["arms"] if a["arm"] == arms[0])["heldout_scores"][record["metrics"][0]] = 1.0
    assert order_choices.best(half, arms) == arms[2], "a seed without all tasks would give some of them more weight"
    other = [name(chain) for chain in ends(LARGE)]
    assert order_choices.reordered(tree(), other, other[0]) == []
    assert list(orders.chains(tree())) == [LARGE, SMALL], "the largest first"


def test_the_front_has_what_no_other_beats() -> None:
    front = order_choices.front(tree())
    assert front[0] == name("teacher") and front[-1] == name("prune 0.6 > distil > int4")
    assert name("distil > prune 0.6 > int4") not in front and name("teacher > prune 0.9") not in front


def test_tables_and_figures_are_published_with_what_they_rest_on() -> None:
    texts = report.render_tables(tree())
    assert {f"{table}.md" for table in orders.TABLES} <= texts.keys()
    table = texts["orders.csv"].splitlines()
    assert len(table) == 1 + 5 and table[1].startswith("distil > int4,8 MB,7.80,")
    row = next(line for line in table if line.startswith("prune 0.6 > distil > int4"))
    assert ",4.90," in row and ",4.0,yes," in row and "+3.75 [" in row
    assert "A tree has 5 stored steps after student's start and teacher, in the place of 12 if" in texts["orders.md"]
    assert "over all runs they took 240 minutes in the place of 600." in texts["orders.md"]
    assert "NOTEBOOKS=11" in texts["orders.md"] and "RTE,SST-2" in texts["order_pairs.csv"].splitlines()[0]
    assert "prune before distil,5 MB,1,+3.75," in texts["order_swaps.csv"]
    assert texts["order_answer.md"].startswith("- Within 8 MB `distil > int4` is best on held-out rows.")
    assert "- Points are hundredths" in texts["order_answer.md"] and "NOTEBOOKS=11`." in texts["order_answer.md"]
    pairs = texts["order_pairs.csv"].splitlines()[1:]
    assert len(pairs) == 3 and pairs[0].startswith('distil > int4 > prune 0.6,distil > prune 0.6 > int4,5 MB,"-0.50 [')
    used = texts["order_methods.csv"].splitlines()[1:]
    assert [line.split(",8 MB,")[0] for line in used[:2]] == ['"distil, quantize"', '"teacher, prune, quantize"']
    assert "teacher > prune 0.9 > int4,1," in used[1] and '"-30.00 [' in used[1]
    assert used[2].startswith('"distil, prune, quantize",5 MB,prune 0.6 > distil > int4,3,') and len(used) == 3
    assert "orders.md" not in report.render_tables(fake_records.study())
    drawn = figures.published(tree())
    assert {"order_tree", "order_front", "order_points"} <= drawn.keys()
    told = figures.alt_text(drawn["order_points"])
    assert "distil > int4 0.0, inside noise; teacher > prune 0.9 > int4 -30.0; prune 0.6 > distil > int4 +0.8" in told
    alt = figures.alt_text(drawn["order_tree"])
    assert "prune 0.6 > distil > int4 4.90 MB +0.8" in alt and "teacher > prune 0.9 > int4 7.90 MB -30.0" in alt
    assert "Not beaten: teacher (90.0 MB, +3.0)" in figures.alt_text(drawn["order_front"])
    for draw in (figures.order_tree, figures.order_front, figures.order_points):
        with pytest.raises(InputError, match="run notebook 11_order"):
            draw(fake_records.study())


def test_every_node_of_the_picture_has_a_place_of_its_own_right_of_what_it_is_made_from() -> None:
    nodes = orders.nodes(tree())
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
    small = next(text for text in said if text.startswith("Within 5 MB"))
    assert "`prune 0.6 > distil > int4` is best on held-out rows" in small
    assert "+0.75 points [-2.43, +3.93] (inside noise) beside the whole student" in small
    assert "+3.75 points [+0.57, +6.93] beside `distil > prune 0.6 > int4`" in small
    assert "+4.00 points [+0.82, +7.18] beside the mean of the 2 other orders of its steps" in small
    assert "Quantize before prune, within 5 MB: -0.50 points [-3.33, +1.62] (inside noise)." in said
    assert said[-1].startswith("Points are hundredths, on the mean over RTE and SST-2; intervals are not adjusted")
    alone = report.answer([record for record in tree() if record["seed"] == 0])
    assert "with one seed intervals cover the choice of rows alone" in alone[-1]


def test_what_others_found_is_held_against_the_same_comparison_here() -> None:
    (kim,) = report.findings_table(tree()).reset_index().to_dict("records")  # no other's chains are in this tree
    assert kim["System"].startswith("Kim") and kim["It comes out"] == "lower here"
    assert kim["Here"] == "distil > prune 0.6 > int4 beside prune 0.6 > distil > int4"
    assert kim["Mean difference (points)"] == "-3.75 [-6.93, -0.57]"
    (finding, pairs), *_ = order_findings.compared(tree())
    assert pairs == [(name("distil > prune 0.6 > int4"), name("prune 0.6 > distil > int4"))]
    for low, claim, told in ((1, "higher", "as there"), (1, "equal", "not as there"), (-1, "equal", "inside noise")):
        difference = summary.Summary(low + 1, low, low + 2, seeds=1)
        assert order_findings.verdict(finding._replace(claim=claim), difference) == told
    few = without(tree(), *ends(SMALL))
    assert not order_findings.compared(few) and "order_findings.md" not in report.render_tables(few)


@pytest.mark.parametrize("profile", ["mini", "minilm", "minilm_systems", "paper"])
def test_the_chains_of_every_finding_are_in_the_profiles(profile: str) -> None:
    budgets = profiles.load(profile, task="sst2", seed=0).order_chains.values()
    for finding in order_findings.FINDINGS:
        for pair in finding.pairs:
            # BERT-base itself does not come within a budget of the student's, however much of it is pruned
            large = profile == "paper" and pair[0].startswith("teacher")
            assert any({*pair} <= {*some} for some in budgets) is not large, (finding.source, pair)


def test_chains_that_never_left_the_floor_tell_nothing_of_an_order() -> None:
    some = tree()
    for record in some:
        for arm in record["arms"]:
            if arm["arm"] in map(name, ends(SMALL)[:2]) and record["task"] == "rte":
                arm["scores"][record["metrics"][0]] = {"value": 0.5, "low": record["floor"] - 0.1, "high": 0.6}
    one, other = map(name, ends(SMALL)[:2])
    assert not orders.says_nothing(some, one, other), "one of two tasks"
    alone = [record for record in some if record["task"] == "rte"]
    assert orders.says_nothing(alone, one, other) and not orders.says_nothing(alone, one, name(ends(SMALL)[2]))
    assert {swap.told for swap in order_choices.swaps(alone)} == {"prune before distil"}
    assert [finding.source for finding, _ in order_findings.compared(alone)] == ["Kim and Hassan Awadalla 2020"]


def test_a_swap_whose_pairs_contradict_each_other_depends_on_the_chain() -> None:
    some, more = tree(), ["distil > bf16", "bf16 > distil"]
    for record in some:
        arm = next(one for one in record["arms"] if one["arm"] == name("distil > int4"))
        record["arms"] += [arm | {"arm": name(chain), "title": chain, "chain": chain} for chain in more]
        node = next(one for one in record["orders"]["nodes"] if one["arm"] == name("distil > int4"))
        record["orders"]["nodes"] += [node | {"arm": name(chain), "chain": chain, "before": None} for chain in more]
        for budget, gap, (one, other) in ((LARGE, -0.2, more), (LARGE, 0.3, ["distil > int4", "int4 > distil"])):
            if other not in more:
                record["arms"].append(arm | {"arm": name(other), "title": other, "chain": other})
                record["orders"]["nodes"].append(node | {"arm": name(other), "chain": other, "before": None})
            listed = [each["arm"] for each in record["orders"]["budgets"][budget]]
            new = [{"chain": chain, "arm": name(chain)} for chain in (one, other) if name(chain) not in listed]
            record["orders"]["budgets"][budget] += new
            pair = {"arms": [name(other), name(one)], "difference": gap, "low": gap - 0.01, "high": gap + 0.01}
            record["orders"]["pairs"].append(pair)
    swap = next(swap for swap in order_choices.swaps(some) if swap.told == "quantize before distil")
    assert len(swap.pairs) == 2 and orders.points_over(some, swap.pairs).value == pytest.approx(5)
    assert (
        'quantize before distil,8 MB,2,"-20.00 to +30.00, depends on the chain",' in report.swaps_table(some).to_csv()
    )
    assert "from -20.00 to +30.00, depends on the chain over 2 pairs" in " ".join(report.answer(some))


def test_the_headline_has_the_best_chain_of_the_smallest_budget(tmp_path: Path) -> None:
    for record in tree():
        records.write(record, tmp_path / "results" / "minilm_systems" / "records")
    found = report.headline(tmp_path / "results")
    assert found["order_chains"]["value"] == 5 and found["order_tasks"]["value"] == 2
    assert found["order_best_chain"]["value"] == "prune 0.6 > distil > int4"
    assert found["order_budget"]["value"] == SMALL and found["order_compared"]["value"] == 2
    assert found["order_gain_points"]["value"] == 4.0
    assert found["order_gain_points_low"]["value"] == 0.82 and found["order_gain_points_high"]["value"] == 7.18
    assert len(found["order_best_chain"]["records"]) == 4
    again = records.read_all(tmp_path / "results" / "minilm_systems" / "records")
    assert order_choices.swaps(again) == order_choices.swaps(tree()) and list(orders.nodes(again)) == list(
        orders.nodes(tree())
    )
    said = report.readme_block(tmp_path / "results")
    assert "2 tasks and 2 seeds of profile `minilm_systems`, the best on held-out rows within 5 MB of weights" in said
    assert "is `prune 0.6 > distil > int4`: 60.0 % of each matrix set to zero, distilled, rounded to int4." in said
    assert (
        "points: +0.75 [-2.43, +3.93] (inside noise) beside the whole student and +4.00 [+0.82, +7.18] beside" in said
    )
    assert "beside the mean of the 2 other orders of its steps. Two neighbours swapped change" in said
    assert "by more than noise: prune before distil (+3.75). Inside noise: quantize before prune." in said


def without(some: list[dict], *gone: str) -> list[dict]:
    """Return records without some chains' ends."""
    for record in some:
        for budget, listed in list(record["orders"]["budgets"].items()):
            record["orders"]["budgets"][budget] = [each for each in listed if each["arm"] not in map(name, gone)]
            if not record["orders"]["budgets"][budget]:
                del record["orders"]["budgets"][budget]
    return some


def test_chains_without_another_order_have_no_tables_of_orders_and_no_gain(tmp_path: Path) -> None:
    few = without(tree(), *ends(SMALL))
    texts = report.render_tables(few)
    assert "orders.md" in texts and not {"order_pairs.md", "order_swaps.md"} & texts.keys()
    assert list(report.swaps_table(few).columns) == [] and len(report.answer(few)) == 2
    for record in few:
        records.write(record, tmp_path / "results" / "minilm_systems" / "records")
    found = report.headline(tmp_path / "results")
    assert found["order_best_chain"]["value"] == "distil > int4" and "order_gain_points" not in found
    said = report.readme_block(tmp_path / "results")
    assert "`distil > int4`: distilled, rounded to int4. Its mean" in said and "swapped" not in said


def test_a_study_that_is_not_complete_has_what_can_be_told() -> None:
    some = [r for r in tree() if (r["task"], r["seed"]) in {("rte", 0), ("sst2", 1)}]
    assert orders.points(some, name("distil > int4"), name("teacher > prune 0.9 > int4")) is None
    table = report.render_tables(some)["orders.csv"]
    assert "—" in table and "+30.00 [" not in table and "-30.00 [" in table
    assert orders.seeds_of(some) == []
    more = [r for r in tree() if (r["task"], r["seed"]) != ("rte", 1)]
    assert orders.seeds_of(more) == [0] and "Means over tasks are of seed 0:" in report.render_tables(more)["orders.md"]
    assert "Means over" not in report.render_tables(tree())["orders.md"]
    assert "with one seed" in report.answer(more)[-1] and "with one seed" not in report.answer(tree())[-1]
    assert figures.published(some)["order_tree"] and report.answer(some)[-1].startswith("Points are hundredths")


def test_a_chain_that_ran_on_one_task_is_shown_but_neither_best_nor_averaged() -> None:
    some, chain = tree(), "prune 0.6 > distil > int4"
    for record in some:
        if record["task"] == "rte":
            record["arms"] = [arm for arm in record["arms"] if arm["arm"] != name(chain)]
            record["orders"]["nodes"] = [node for node in record["orders"]["nodes"] if node["arm"] != name(chain)]
            record["orders"]["pairs"] = [p for p in record["orders"]["pairs"] if name(chain) not in p["arms"]]
            listed = record["orders"]["budgets"][SMALL]
            record["orders"]["budgets"][SMALL] = [each for each in listed if each["arm"] != name(chain)]
    assert order_choices.best(some, [name(chain), name(ends(SMALL)[0])]) == name(ends(SMALL)[0])
    assert not orders.says_nothing(some, name(chain), name(ends(SMALL)[0])), "where it did not run it is not at chance"
    assert orders.to_student(some, name(chain)) is None and name(chain) not in order_choices.front(some)
    assert "prune 0.6 > distil > int4 4.90 MB +0.2 (SST-2)" in figures.alt_text(figures.order_tree(some))
    row = next(line for line in report.render_tables(some)["orders.csv"].splitlines() if line.startswith(chain))
    assert ",—,—," in row and "+4.25 [" in row


def test_time_is_that_of_a_models_shape() -> None:
    some = tree()
    for record in some:
        record["latency_setup"] = fake_records.study()[-1]["latency_setup"]
        for arm in record["arms"]:
            kind = {name("teacher"): 64.0, name("distil"): 16.0}.get(arm["arm"])
            arm["latency"] = {"batch32_true": {"median_ms": kind}} if kind else None
    assert orders.milliseconds(some, name("teacher > prune 0.9 > int4")) == 2.0
    assert orders.milliseconds(some, name("distil > int4")) == 0.5
    assert name("teacher > prune 0.9") not in order_choices.front(some)
    for record in some:
        for arm in record["arms"]:
            if arm["arm"] == name("teacher"):
                arm["latency"] = {"batch32_true": {"median_ms": 15.9}}
    assert name("teacher > prune 0.9 > int4") not in order_choices.front(some), "as fast, but for noise"
    assert summary.timed(some, notebooks=("11_order",))[0]
