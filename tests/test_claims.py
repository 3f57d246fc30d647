"""The report's claims: read as data, answered from records by hand-checked measures, judged by their intervals."""

import copy
import math

import fake_records
import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers import report
from helpers.environment import InputError
from helpers.report import claims, reported
from helpers.report.claim_measures import measured
from helpers.report.claim_measures import reported as of_report
from helpers.report.claim_numbers import claim_numbers, kept_numbers
from helpers.report.claims import Claim, verdict
from helpers.report.summary import Summary


@pytest.fixture(scope="module")
def one():
    return fake_records.study("minilm", seeds=(0,))


def _arms(study, notebook, name):
    return {
        record["task"]: fake_records.arm(record, name) for record in study if record["notebook"].startswith(notebook)
    }


# ---- the claims as data


def test_every_claim_is_answered_by_a_measure_and_quotes_a_place():
    found = claims.claims()
    assert len({claim.name for claim in found}) == len(found) >= 15
    for claim in found:
        assert claim.source.startswith(("report, ", "overview, ")) and len(claim.says) > 20


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("measure: {guess: student, of: teacher}\n  holds: {above: 1}", "x has the measure .*guess.*share_of_score"),
        ("measure: {points: student}\n  holds: {above: 1}", "x has the measure"),
        ("measure: {points: student, of: teacher}\n  holds: {near: 1}", "x holds at .*near.*at_least"),
        ("measure: {points: student, of: teacher}\n  holds: {above: 1, below: 2}", "x holds at"),
    ],
)
def test_a_claim_that_cannot_be_judged_is_named(tmp_path, entry, message):
    file = tmp_path / "claims.yaml"
    file.write_text(f"- claim: x\n  source: report, 1\n  says: something\n  {entry}\n", encoding="utf-8")
    with pytest.raises(InputError, match=message):
        claims.claims(file)


# ---- verdicts


@pytest.mark.parametrize(
    ("holds", "low", "high", "said"),
    [
        ({"at_least": 90}, 90, 95, "reproduced"),
        ({"at_least": 90}, 89, 95, "not decidable"),
        ({"at_least": 90}, 80, 89.9, "contradicted: less"),
        ({"above": 0}, 0, 0, "contradicted: less"),
        ({"above": 0}, 0.1, 2, "reproduced"),
        ({"above": 0}, -1, 2, "not decidable"),
        ({"at_most": 10}, 11, 12, "contradicted: more"),
        ({"below": 10}, 3, 10, "not decidable"),
        ({"about": 50}, 45, 55, "reproduced"),
        ({"about": 50}, 56, 57, "contradicted: more"),
        ({"about": -50}, -54, -46, "reproduced"),
        ({"about": 50}, 40, 60, "not decidable"),
        ({"above": 0}, math.nan, math.nan, "not decidable"),
    ],
)
def test_a_verdict_follows_from_the_interval(holds, low, high, said):
    assert verdict(Claim("x", "y", "z", {}, holds), Summary((low + high) / 2, low, high, 3)) == said


@given(st.floats(-100, 100), st.floats(0, 50), st.floats(0, 50), st.sampled_from(["about", "at_least", "below"]))
def test_a_wider_interval_never_decides_more(value, half, more, bound):
    claim = Claim("x", "y", "z", {}, {bound: 10.0})
    narrow = verdict(claim, Summary(value, value - half, value + half, 3))
    wide = verdict(claim, Summary(value, value - half - more, value + half + more, 3))
    assert wide in (narrow, "not decidable")


# ---- measures


def test_the_share_of_a_score_is_its_mean_over_tasks(one):
    teachers, students = _arms(one, "01", "teacher"), _arms(one, "01", "student")
    metric = {record["task"]: record["metrics"][0] for record in one}
    shares = []
    for task, student in students.items():
        student["versus"]["difference"] = (
            student["scores"][metric[task]]["value"] - teachers[task]["scores"][metric[task]]["value"]
        )
        shares.append(student["scores"][metric[task]]["value"] / teachers[task]["scores"][metric[task]]["value"])
    found = measured(one, {"share_of_score": "student", "of": "teacher"})
    assert found.value == pytest.approx(100 * sum(shares) / 5) and found.low < found.value < found.high
    alone = measured(one, {"share_of_score": "student", "of": "teacher", "tasks": ["stsb"]})
    versus, whole = students["stsb"]["versus"], teachers["stsb"]["scores"]["pearson"]["value"]
    assert alone.low == pytest.approx(100 * (1 + versus["low"] / whole))


def test_models_that_were_not_compared_in_pairs_have_the_wider_interval(one):
    paired = measured(one, {"share_of_score": "student", "of": "teacher"})
    apart = copy.deepcopy(one)
    for student in _arms(apart, "01", "student").values():
        student["versus"]["arm"] = "control"
    found = measured(apart, {"share_of_score": "student", "of": "teacher"})
    assert found.high - found.low > paired.high - paired.low
    assert measured(apart, {"points": "student", "of": "teacher"}) is None


def test_bytes_and_weights_are_counted_exactly(one):
    shape = next(iter(_arms(one, "04", "bert_base_shape").values()))
    tiny = next(iter(_arms(one, "04", "tinybert_shape").values()))
    share = 100 * tiny["bytes"]["file"] / shape["bytes"]["file"]
    found = measured(one, {"share_of_bytes": "tinybert_shape", "of": "bert_base_shape"})
    assert found[:3] == pytest.approx((share, share, share))
    saved = measured(one, {"bytes_saved": "tinybert_shape", "of": "bert_base_shape"})
    assert saved.value == pytest.approx(100 - share)
    parts = {"embedding": 1, "encoder": "1/12", "head": 1}
    weights = (shape["bytes"]["embedding"] + shape["bytes"]["encoder"] / 12 + shape["bytes"]["head"]) / 4
    assert measured(one, {"millions": parts, "of": "bert_base_shape"}).value == pytest.approx(weights / 1e6)
    of_all = measured(one, {"share_of_parts": parts, "of": "bert_base_shape"}).value
    assert of_all == pytest.approx(100 * weights / shape["parameters"])


def test_time_saved_is_that_of_both_beside_the_same_baseline(one):
    study = copy.deepcopy(one)
    for name, speed in (("student", 10.0), ("int8", 12.5)):
        for arm in _arms(study, "04", name).values():
            arm["latency"]["batch32_true"]["speedup"] = {"median": speed, "low": speed / 1.02, "high": speed * 1.02}
    found = measured(study, {"time_saved": "int8", "of": "student"})
    assert found.value == pytest.approx(20.0)  # 8 in the place of 10
    half = math.hypot(math.log(1.02), math.log(1.02))
    one_task = measured(study, {"time_saved": "int8", "of": "student", "tasks": ["rte"]})
    assert one_task.low == pytest.approx(100 * (1 - 0.8 * math.exp(half)))
    for arm in _arms(study, "04", "int8").values():
        arm["latency"] = None
    assert measured(study, {"time_saved": "int8", "of": "student"}) is None


def test_the_reports_own_tables_answer_the_same_measures():
    table = reported.table(1)
    assert table.loc["TinyBERT", reported.column("stsb", "spearmanr")] == "0.8468"
    shares = [0.2755 / 0.5577, 0.6101 / 0.7256, 0.8354 / 0.8791, 0.8678 / 0.9136, 0.8979 / 0.9232]
    assert of_report({"share_of_score": "student", "of": "teacher"}) == pytest.approx(100 * sum(shares) / 5)
    assert of_report({"bytes_saved": "int8", "of": "student"}) == pytest.approx(100 * (1 - 43.74 / 58.39))
    points = 100 * (0.8371 - 0.8354)
    assert of_report({"points": "int8", "of": "student", "tasks": ["stsb"]}) == pytest.approx(points)
    assert of_report({"time_saved": "pruned", "of": "student", "tasks": ["rte"]}) == pytest.approx(100 * 0.4 / 7.6)
    assert of_report({"points": "pruned_0.3", "of": "student"}) is None


# ---- in tables, headline and README


def test_the_table_has_each_claim_that_records_can_judge(one):
    table = report.claims_table(one)
    assert len(table) == len(claims.claims()) - 1  # DistilBERT's share needs notebook 06
    row = table[table.index.str.contains("10 percent to 30 percent")].iloc[0]
    assert row["Measure"] == "score of the student pruned by 30 % less that of the distilled student"
    assert row["Holds"] == "at least -1 points" and "5 tasks, 2,349 rows, 1 seed" in row["Over"]
    both = report.claims_table(one, fake_records.systems(profile="minilm"))
    assert len(both) == len(claims.claims()) and set(both["Profile"]) == {"`minilm`"}
    text = report.render_tables(one)["claims.md"]
    assert "Reproduced: the whole interval" in text and "Profile `minilm`, seed 0" in text


def test_the_headline_counts_verdicts_and_what_is_kept(one):
    numbers = claim_numbers(one)
    verdicts = list(report.claims_table(one)["Verdict"])
    assert numbers["claims_judged"] == (len(verdicts), "claims")
    assert numbers["claims_reproduced"][0] == verdicts.count("reproduced")
    assert claim_numbers([]) == {} and kept_numbers([]) == {}
    study = fake_records.study("minilm", seeds=(0, 1, 2))
    kept = kept_numbers(study)
    assert {f"retention_{task}" for task in fake_records.TASKS} < kept.keys() and kept["seeds_rte"] == (3, "seeds")
    mean = sum(kept[f"retention_{task}"][0] for task in fake_records.TASKS) / 5
    assert kept["retention_above_floor_mean"][0] == pytest.approx(mean, abs=1e-4)


def test_a_task_reaches_the_reports_tinybert_in_every_metric(one):
    study = copy.deepcopy(one)
    for student in _arms(study, "01", "student").values():
        for score in student["scores"].values():
            score["value"] = 0.99
    assert kept_numbers(study)["tasks_at_report_tinybert"] == (5, "of 5 tasks")
    _arms(study, "01", "student")["stsb"]["scores"]["spearmanr"]["value"] = 0.84
    assert kept_numbers(study)["tasks_at_report_tinybert"] == (4, "of 5 tasks")
