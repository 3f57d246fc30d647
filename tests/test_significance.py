"""Is a difference more than chance? Flips, McNemar, Holm and p-values, by hand, beside scipy, and in the report."""

import copy
import math

import fake_records
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from helpers import records, report, scores
from helpers.environment import InputError, RunError
from helpers.report import differences

# ---- flips


def test_flips_are_counted_both_ways_and_wrong_to_wrong():
    references = [0, 1, 2, 0, 1]
    before = [0, 0, 1, 1, 1]
    after = [1, 1, 0, 0, 1]  # lost, gained, wrong to wrong, gained, as before
    assert scores.flips("mnli", after, before, references) == (2, 1, 4, 5)
    assert scores.flips("mnli", before, after, references) == (1, 2, 4, 5)
    assert scores.flips("mnli", before, before, references) == (0, 0, 0, 5)


def test_scores_do_not_flip_and_bad_labels_are_refused():
    assert scores.flips("stsb", [1.0, 2.0], [1.5, 2.0], [1.0, 3.0]) is None
    with pytest.raises(InputError, match="one of each per example"):
        scores.flips("rte", [0, 1], [0, 1, 1], [0, 1])


@given(st.lists(st.tuples(*[st.integers(0, 1)] * 3), min_size=1, max_size=60))
def test_flips_of_two_classes_are_the_difference_of_accuracies(rows):
    ours, theirs, references = zip(*rows, strict=True)
    found = scores.flips("rte", ours, theirs, references)
    assert found.changed == found.gained + found.lost <= found.n == len(rows)
    difference = np.mean(np.equal(ours, references)) - np.mean(np.equal(theirs, references))
    assert (found.gained - found.lost) / found.n == pytest.approx(difference)


# ---- McNemar


def test_mcnemar_by_hand():
    assert scores.mcnemar(0, 6) == pytest.approx(2 / 2**6)
    assert scores.mcnemar(2, 6) == pytest.approx(2 * (1 + 8 + 28) / 2**8)
    assert scores.mcnemar(4, 4) == scores.mcnemar(0, 0) == 1.0
    with pytest.raises(InputError, match="-1"):
        scores.mcnemar(-1, 3)


def test_mcnemar_of_many_flips_is_close_to_the_chi_square_of_the_textbook():
    gained, lost = 320, 400
    chi_square = (abs(gained - lost) - 1) ** 2 / (gained + lost)
    assert scores.mcnemar(gained, lost) == pytest.approx(stats.chi2.sf(chi_square, df=1), rel=0.02)


def test_mcnemar_cries_wolf_no_more_often_than_it_says():
    # two models of equal accuracy that differ on 40 rows: 2,000 such pairs
    drawn = np.random.default_rng(3).binomial(40, 0.5, size=2000)
    alarms = np.mean([scores.mcnemar(int(gained), 40 - int(gained)) < 0.05 for gained in drawn])
    assert 0.01 < alarms < 0.06  # exact, and therefore below 5 % for so few rows


# ---- Holm


def test_holm_by_hand():
    # 0.005 x 4, 0.01 x 3, 0.03 x 2, 0.04 x 1 is below the one before
    assert scores.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert scores.holm([]) == [] and scores.holm([0.2]) == [0.2] and scores.holm([0.6, 0.7]) == [1.0, 1.0]
    with pytest.raises(InputError, match="from 0 to 1"):
        scores.holm([0.5, 1.5])


@given(st.lists(st.floats(0, 1), max_size=12), st.randoms())
def test_holm_keeps_the_order_and_lies_between_nothing_and_bonferroni(p_values, random):
    adjusted = scores.holm(p_values)
    for p, found in zip(p_values, adjusted, strict=True):
        assert p <= found <= min(1.0, p * len(p_values)) or found == pytest.approx(p)
    by_size = [found for _, found in sorted(zip(p_values, adjusted, strict=True))]
    assert by_size == sorted(by_size)
    turned = random.sample(range(len(p_values)), len(p_values))
    assert scores.holm([p_values[place] for place in turned]) == [adjusted[place] for place in turned]


# ---- p-values


def test_p_value_is_that_of_the_interval_it_comes_from():
    assert scores.p_value(1.0, 0.0, 2.0) == pytest.approx(0.05)
    assert scores.p_value(-1.0, -2.0, 0.0) == pytest.approx(0.05)
    values = [0.3, 0.1, 0.4, 0.2]
    seeds = scores.mean_interval(values)
    assert scores.p_value(*seeds, degrees=3) == pytest.approx(stats.ttest_1samp(values, 0).pvalue)
    assert scores.p_value(0.0, 0.0, 0.0) == 1.0 and scores.p_value(0.2, 0.2, 0.2) == 0.0
    for bad in ((0.0, 1.0, -1.0), (0.0, math.nan, 1.0)):
        with pytest.raises(InputError, match="no interval"):
            scores.p_value(*bad)


@given(st.floats(-1, 1), st.floats(1e-3, 1), st.floats(1e-3, 1))
def test_p_value_is_below_a_twentieth_exactly_where_the_interval_leaves_zero_out(value, below, above):
    low, high = value - below, value + above
    p = scores.p_value(value, low, high)
    if min(abs(low), abs(high)) > 1e-6:
        assert (p < 0.05) == (low > 0 or high < 0)


def test_paired_intervals_hold_a_known_difference_about_95_times_in_100():
    # a right 80 %, b right 75 % of the time, mostly on the same rows: 300 samples of 200 rows
    generator = np.random.default_rng(5)
    held, references = 0, np.ones(200, dtype=int)
    for trial in range(300):
        both, ours, theirs = generator.random((3, 200))
        a, b = ((both < 0.7) | (each < share) for each, share in ((ours, 1 / 3), (theirs, 1 / 6)))
        found = scores.paired("rte", a.astype(int), b.astype(int), references, resamples=200, seed=trial)
        held += found.low <= 0.05 <= found.high
    assert 0.90 <= held / 300 <= 0.98


# ---- in records and in the report


def _flipped(study):
    """Give each comparison of classes flips that make its difference."""
    study = copy.deepcopy(study)
    for record in study:
        for arm in record["arms"]:
            if not arm["versus"]:
                continue
            n = arm["n"]
            turned = round(arm["versus"]["difference"] * n)
            gained, lost = max(turned, 0) + 3, max(-turned, 0) + 3
            classes = record["task"] != "stsb"
            arm["versus"]["flips"] = (
                {"gained": gained, "lost": lost, "changed": gained + lost, "n": n} if classes else None
            )
            if record["metrics"] == ["accuracy"]:
                arm["versus"]["difference"] = turned / n
    return study


def test_a_record_whose_flips_contradict_its_difference_is_refused(tmp_path):
    study = _flipped(fake_records.study(tasks=("rte",)))
    records.write(study[0], tmp_path)
    wrong = copy.deepcopy(study[0])
    flips = next(arm["versus"]["flips"] for arm in wrong["arms"] if arm["versus"])
    flips["gained"] += 1
    with pytest.raises(RunError, match=r"flips: \d+ right or wrong of \d+ changed"):
        records.write(wrong, tmp_path)
    flips["changed"] += 1
    with pytest.raises(RunError, match="flips: they make a difference of"):
        records.write(wrong, tmp_path)


def test_the_table_has_a_row_for_each_comparison_and_task():
    study = _flipped(fake_records.study())
    table = report.significance_table(study)
    assert len(table) == 4 * 5 and list(table.index.names) == ["System", "Task"]
    row = table.loc[("int8 student - distilled student", "RTE")]
    flips = differences.flips(study, "rte", "int8")[0]
    assert (row["Wrong to right"], row["Right to wrong"]) == (str(flips["gained"]), str(flips["lost"]))
    assert row["Answers changed"] == f"{100 * flips['changed'] / 277:.1f} %"
    assert row["p, McNemar"] == f"{scores.mcnemar(flips['gained'], flips['lost']):.3f}"
    assert set(table.xs("STS-B", level="Task")["Wrong to right"]) == {"—"}
    column = table.loc["int8 student - distilled student"]
    raw = [differences.p_value(study, task, "int8") for task in ("cola", "rte", "stsb", "qnli", "sst2")]
    assert list(column["p, Holm"]) == ["< 0.001" if p < 0.001 else f"{p:.3f}" for p in scores.holm(raw)]


def test_with_several_seeds_either_noise_alone_can_make_a_difference_undecidable():
    study = fake_records.study("minilm", tasks=("rte",), seeds=(0, 1, 2))
    versus = [
        arm["versus"]
        for record in study
        if record["notebook"][:2] == "01"
        for arm in record["arms"]
        if arm["arm"] == "student"
    ]
    for each, difference in zip(versus, (0.10, 0.11, 0.12), strict=True):
        each.update(difference=difference, low=difference - 0.2, high=difference + 0.2)
    wide = differences.p_value(study, "rte", "student")
    assert wide == pytest.approx(scores.p_value(0.11, -0.09, 0.31)) and wide > 0.05
    for each in versus:
        each.update(low=each["difference"] - 0.01, high=each["difference"] + 0.01)
    seeds = stats.ttest_1samp([0.10, 0.11, 0.12], 0).pvalue
    assert differences.p_value(study, "rte", "student") == pytest.approx(seeds)


def test_flips_of_several_seeds_are_means_and_p_values_a_range():
    study = _flipped(fake_records.study("minilm", tasks=("rte",), seeds=(0, 1, 2)))
    row = report.significance_table(study).loc[("int8 student - distilled student", "RTE")]
    found = differences.flips(study, "rte", "int8")
    assert row["Wrong to right"] == f"{np.mean([each['gained'] for each in found]):.1f}" and row["Seeds"] == "3"
    ends = sorted(scores.mcnemar(each["gained"], each["lost"]) for each in found)
    shown = ["< 0.001" if p < 0.001 else f"{p:.3f}" for p in (ends[0], ends[-1])]
    assert row["p, McNemar"] == " to ".join(dict.fromkeys(shown))


def test_flips_that_some_seeds_did_not_count_are_not_shown():
    study = _flipped(fake_records.study("minilm", tasks=("rte",), seeds=(0, 1)))
    for record in study:
        if record["seed"] == 1:
            for arm in record["arms"]:
                if arm["versus"]:
                    del arm["versus"]["flips"]
    assert set(report.significance_table(study)["Wrong to right"]) == {"—"}


def test_records_without_flips_have_dashes_and_records_without_comparisons_no_table():
    table = report.significance_table(fake_records.study(tasks=("rte",)))
    assert set(table["Wrong to right"]) == {"—"} and "—" not in set(table["p"])
    bare = fake_records.study(tasks=("rte",))
    for record in bare:
        for arm in record["arms"]:
            arm["versus"] = None
    assert "significance.md" not in report.render_tables(bare) and report.significance_table(bare).empty
    assert "significance.md" in report.render_tables(fake_records.study(tasks=("rte",)))
