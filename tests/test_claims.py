"""The report's claims: read as data, answered from records by hand-checked measures, judged by their intervals."""

import copy
import math

import fake_records
import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers import report
from helpers.environment import InputError
from helpers.report import claims, reported, sentences
from helpers.report.claim_measures import measured
from helpers.report.claim_measures import reported as of_report
from helpers.report.claim_numbers import claim_numbers, kept_numbers
from helpers.report.claims import Claim, overall, verdict
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
        ("measure: {points: student, of: teachr}\n  holds: {above: 1}", "x names 'teachr', which is no arm"),
        ("measure: {points: int8, of: student, tasks: [stbs]}\n  holds: {above: 1}", "x names 'stbs'"),
        ("measure: {points: int8, of: student, over: some}\n  holds: {above: 1}", "x is over 'some': .*most"),
        ("measure: {points: student, of: teacher}\n  holds: {near: 1}", "x holds at .*near.*at_least"),
        ("measure: {points: student, of: teacher}\n  holds: {above: 1, below: 2}", "x holds at"),
        ("measure: points\n  holds: {above: 1}", "x has a measure that is no mapping"),
        ("measure: {points: student, of: teacher}\n  holds: 5", "x has a holds that is no mapping"),
        ("measure: {points: student, of: teacher}\n  holds: {above: much}", "x holds at 'much', which is no number"),
        (
            "measure: {points: int8, of: student, tasks: cola}\n  holds: {above: 1}",
            "x has tasks that are no list: 'cola'",
        ),
    ],
)
def test_a_claim_that_cannot_be_judged_is_named(tmp_path, entry, message):
    file = tmp_path / "claims.yaml"
    file.write_text(f"- claim: x\n  source: report, 1\n  says: something\n  {entry}\n", encoding="utf-8")
    with pytest.raises(InputError, match=message):
        claims.claims(file)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- claim: [", r"claims\.yaml is not valid YAML: while parsing .*line 1"),
        ("claim: x", "is no list of claims; each begins with a line"),
        ("", "is no list of claims"),
        ("- claim: x\n  says: y\n  source: report, 1\n- 3", "claim 1 of 2 has no measure, holds; give it"),
    ],
)
def test_a_file_that_holds_no_claims_is_named_in_one_line(tmp_path, text, message):
    file = tmp_path / "claims.yaml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=message) as error:
        claims.claims(file)
    assert "\n" not in str(error.value)


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


def _mean(study, measure):
    return measured(study, measure).parts[""]


def test_the_share_of_a_score_is_its_mean_over_tasks_or_each(one):
    one = copy.deepcopy(one)
    teachers, students = _arms(one, "01", "teacher"), _arms(one, "01", "student")
    metric = {record["task"]: record["metrics"][0] for record in one}
    shares = {}
    for task, student in students.items():
        ours, theirs = (each[task]["scores"][metric[task]]["value"] for each in (students, teachers))
        student["versus"] |= {"difference": ours - theirs, "low": ours - theirs - 0.02, "high": ours - theirs + 0.02}
        shares[task] = ours / theirs
    found = _mean(one, {"share_of_score": "student", "of": "teacher"})
    assert found.value == pytest.approx(100 * sum(shares.values()) / 5) and found.low < found.value < found.high
    each = measured(one, {"share_of_score": "student", "of": "teacher", "over": "each"})
    assert each.tasks == tuple(fake_records.TASKS)
    assert {task: part.value for task, part in each.parts.items()} == pytest.approx(
        {task: 100 * share for task, share in shares.items()}
    )
    alone = _mean(one, {"share_of_score": "student", "of": "teacher", "tasks": ["stsb"]})
    low = students["stsb"]["versus"]["low"]
    assert alone.low == pytest.approx(100 * (1 + low / teachers["stsb"]["scores"]["pearson"]["value"]))


def test_models_that_were_not_compared_in_pairs_have_the_wider_interval(one):
    paired = _mean(one, {"share_of_score": "student", "of": "teacher"})
    apart = copy.deepcopy(one)
    for student in _arms(apart, "01", "student").values():
        student["versus"]["arm"] = "control"
    found = _mean(apart, {"share_of_score": "student", "of": "teacher"})
    assert found.high - found.low > paired.high - paired.low
    assert measured(apart, {"points": "student", "of": "teacher"}) is None
    for student in _arms(apart, "01", "student").values():
        student["versus"].update(arm="teacher", low=None)
    assert measured(apart, {"points": "student", "of": "teacher"}) is None, "an undefined interval judges nothing"


def test_where_the_student_is_at_its_floor_nothing_can_be_lost_and_nothing_is_judged(one):
    whole = measured(one, {"points": "int8", "of": "student", "over": "each"})
    assert whole.floored == () and "rte" in whole.parts
    study = copy.deepcopy(one)
    for notebook in ("01", "03", "04"):
        _arms(study, notebook, "student")["rte"]["scores"]["accuracy"].update(value=0.54, low=0.50, high=0.58)
    found = measured(study, {"points": "int8", "of": "student", "over": "each"})
    assert found.floored == ("rte",) and "rte" not in found.parts and len(found.parts) == 4
    kept = measured(study, {"share_of_score": "student", "of": "teacher", "over": "each"})
    assert "rte" in kept.parts, "to sink to the floor is a loss"


def test_amounts_of_pruning_are_asked_one_by_one(one):
    measure = {"points": ["pruned_0.1", "pruned_0.9"], "of": "student", "over": "each"}
    found = measured(one, measure)
    assert list(found.parts) == ["pruned_0.1", "pruned_0.9"]
    assert found.parts["pruned_0.9"].value < found.parts["pruned_0.1"].value
    claim = Claim("x", "y", "z", measure, {"at_least": -1})
    assert overall(claim, list(found.parts.values())) == "contradicted: less"


def test_bytes_and_weights_are_counted_exactly(one):
    shape = next(iter(_arms(one, "04", "bert_base_shape").values()))
    tiny = next(iter(_arms(one, "04", "tinybert_shape").values()))
    share = 100 * tiny["bytes"]["file"] / shape["bytes"]["file"]
    found = _mean(one, {"share_of_bytes": "tinybert_shape", "of": "bert_base_shape"})
    assert found[:3] == pytest.approx((share, share, share))
    saved = _mean(one, {"bytes_saved": "tinybert_shape", "of": "bert_base_shape"})
    assert saved[:3] == pytest.approx((100 - share,) * 3)
    parts = {"embedding": 1, "encoder": "1/12", "head": 1}
    weights = (shape["bytes"]["embedding"] + shape["bytes"]["encoder"] / 12 + shape["bytes"]["head"]) / 4
    assert _mean(one, {"millions": parts, "of": "bert_base_shape"}).value == pytest.approx(weights / 1e6)
    of_all = _mean(one, {"share_of_parts": parts, "of": "bert_base_shape"}).value
    assert of_all == pytest.approx(100 * weights / shape["parameters"])


def test_time_saved_is_that_of_both_beside_the_same_baseline(one):
    study = copy.deepcopy(one)
    for name, speed in (("student", 10.0), ("int8", 12.5)):
        for arm in _arms(study, "04", name).values():
            arm["latency"]["batch32_true"]["speedup"] = {"median": speed, "low": speed / 1.02, "high": speed * 1.02}
    found = _mean(study, {"time_saved": "int8", "of": "student"})
    assert found.value == pytest.approx(20.0)  # 8 in the place of 10
    half = math.hypot(math.log(1.02), math.log(1.02))
    one_task = _mean(study, {"time_saved": "int8", "of": "student", "tasks": ["rte"]})
    assert one_task.low == pytest.approx(100 * (1 - 0.8 * math.exp(half)))
    elsewhere = copy.deepcopy(study)
    record = next(r for r in elsewhere if (r["notebook"][:2], r["task"]) == ("04", "rte"))
    record["environment"]["cpu"]["model"] = "Another"
    assert "rte" not in measured(elsewhere, {"time_saved": "int8", "of": "student"}).tasks, "another machine's"
    for arm in _arms(study, "04", "int8").values():
        arm["latency"] = None
    assert measured(study, {"time_saved": "int8", "of": "student"}) is None


# ---- verdicts on several parts


@pytest.mark.parametrize(
    ("over", "lows", "said"),
    [
        ("each", (1, 2, 3), "reproduced"),
        ("each", (1, 2, -1), "not decidable"),
        ("each", (1, -1, -9), "contradicted: less"),
        ("most", (1, 2, -9), "reproduced"),
        ("most", (1, -1, -9), "not decidable"),
        ("most", (1, -9, -9), "contradicted: less"),
        ("most", (1, -9), "contradicted: less"),
    ],
)
def test_each_needs_all_and_most_more_than_half(over, lows, said):
    claim = Claim("x", "y", "z", {"points": "int8", "of": "student", "over": over}, {"above": 0})
    assert overall(claim, [Summary(low + 1, low, low + 4, 1) for low in lows]) == said


# ---- the report's own tables


def _own(study, measure):
    return of_report(measure, measured(study, measure))


def test_the_reports_own_tables_answer_the_same_measures_over_the_same_tasks(one):
    table = reported.table(1)
    assert table.loc["TinyBERT", reported.column("stsb", "spearmanr")] == "0.8468"
    shares = {"cola": 0.2755 / 0.5577, "rte": 0.6101 / 0.7256, "stsb": 0.8354 / 0.8791, "qnli": 0.8678 / 0.9136}
    shares["sst2"] = 0.8979 / 0.9232
    measure = {"share_of_score": "student", "of": "teacher"}
    assert _own(one, measure)[""] == pytest.approx(100 * sum(shares.values()) / 5)
    three = fake_records.study("minilm", tasks=("cola", "rte", "sst2"))
    assert _own(three, measure)[""] == pytest.approx(100 * sum(shares[task] for task in ("cola", "rte", "sst2")) / 3)
    assert _own(three, measure | {"over": "most"}) == pytest.approx(
        {task: 100 * shares[task] for task in ("cola", "rte", "sst2")}
    )
    assert _own(one, {"bytes_saved": "int8", "of": "student"})[""] == pytest.approx(100 * (1 - 43.74 / 58.39))
    points = 100 * (0.8371 - 0.8354)
    assert _own(one, {"points": "int8", "of": "student", "tasks": ["stsb"]})[""] == pytest.approx(points)
    saved = 100 * 0.4 / 7.6
    assert _own(one, {"time_saved": "pruned", "of": "student", "tasks": ["rte"]})[""] == pytest.approx(saved)
    assert _own(one, {"points": "pruned_0.3", "of": "student"}) == {}


# ---- in tables, headline and README


def test_the_table_has_each_claim_that_records_can_judge_and_names_the_others(one):
    table = report.claims_table(one)
    assert len(table) == len(claims.claims()) - 2  # DistilBERT's scores need notebook 06
    row = table[table.index.str.contains("10 percent to 30 percent")].iloc[0]
    assert row["Measure"] == "score of the pruned student less that of the distilled student"
    assert row["Notebook"] == "01,03"
    assert row["Holds"] == "at least -1 points, each" and row["Here"].startswith("10 %: ")
    assert row["Over"] == "CoLA, RTE, STS-B, QNLI and SST-2; 2,349 rows; 1 seed"
    timed = table[table.index.str.contains("inference time")].iloc[0]
    assert "CoLA 14.6 %; RTE 14.5 %" in timed["The report's tables"] and "Testor 9000, 2 threads" in timed["Over"]
    text = report.render_tables(one)["claims.md"]
    assert "Reproduced: the whole interval" in text and "Profile `minilm`, seed 0" in text
    assert "without a verdict: “retaining 97%" in text
    both = report.claims_table(one, fake_records.systems(profile="minilm"))
    assert len(both) == len(claims.claims()) and set(both["Profile"]) == {"`minilm`"}


def test_the_records_with_more_tasks_judge_and_then_those_with_more_seeds(one):
    few = fake_records.study("minilm_systems", tasks=("rte", "stsb", "sst2"), seeds=(0, 1, 2))
    verdicts = {each.claim.name: each for each in claims.judged(few, one)}
    assert verdicts["kept"].records is one and verdicts["kept_stsb"].records is few
    assert verdicts["bert_parameters"].records is few, "the first, where nothing else decides"


def test_the_headline_counts_verdicts_and_what_is_kept(one):
    numbers = claim_numbers(one)
    verdicts = list(report.claims_table(one)["Verdict"])
    assert numbers["claims_judged"] == (len(verdicts), "claims")
    assert numbers["claims_reproduced"][0] == verdicts.count("reproduced")
    assert numbers["claims_counted"][0] == list(report.claims_table(one)["Over"]).count("exact") == 6
    assert claim_numbers([]) == {} and kept_numbers([]) == {}
    study = fake_records.study("minilm", seeds=(0, 1, 2))
    kept = kept_numbers(study)
    assert {f"retention_{task}" for task in fake_records.TASKS} < kept.keys() and kept["seeds_rte"] == (3, "seeds")
    mean = sum(kept[f"retention_{task}"][0] for task in fake_records.TASKS) / 5
    assert kept["retention_above_floor_mean"][0] == pytest.approx(mean, abs=1e-4)


def test_what_is_kept_is_told_with_its_seeds():
    value = {"retention_cola": 0.825, "retention_rte": 0.9, "seeds_cola": 5, "seeds_rte": 3}
    value |= {"retention_above_floor_mean": 0.8625, "tasks_at_report_tinybert": 1}
    numbers = {name: {"value": number} for name, number in value.items()}
    said = sentences.sentences(numbers, [], generated=False)
    assert said == (
        "Of its teacher's lead over the floor the student keeps CoLA 82 %, RTE 90 %, on the mean 86 % (5 seeds "
        "of CoLA and 3 seeds of RTE). It reaches the scores of the report's TinyBERT, a student of BERT-base, "
        "on 1 of 2 tasks."
    )
    one = {name: number for name, number in numbers.items() if not name.endswith("_rte")}
    floored = numbers | {"retention_rte": {"value": -0.1}, "seeds_cola": {"value": 3}}
    said = sentences.sentences(floored, [], generated=False)
    assert "on the mean 86 %, RTE counted, where it has not left the floor (3 seeds). It" in said
    assert "keeps CoLA 82 % (5 seeds). It" in sentences.sentences(one, [], generated=False)


def test_a_task_reaches_the_reports_tinybert_in_every_metric(one):
    study = copy.deepcopy(one)
    for student in _arms(study, "01", "student").values():
        for score in student["scores"].values():
            score["value"] = 0.99
    assert kept_numbers(study)["tasks_at_report_tinybert"] == (5, "of 5 tasks, 5 measured")
    _arms(study, "01", "student")["stsb"]["scores"]["spearmanr"]["value"] = 0.84
    assert kept_numbers(study)["tasks_at_report_tinybert"] == (4, "of 5 tasks, 5 measured")
