"""GLUE's metrics against hand computation and against the libraries; intervals against what they promise."""

import math
import warnings
from pathlib import Path

import evaluate
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import accuracy_score, f1_score, matthews_corrcoef

from helpers import scores
from helpers.environment import InputError, RunError
from helpers.scores import bootstrap, metrics

CASES = [(task, metric) for task, names in scores.TASK_METRICS.items() for metric in names]
LIBRARY = {
    "accuracy": lambda p, r: accuracy_score(r, p),
    "f1": lambda p, r: f1_score(r, p, zero_division=0.0),
    "matthews_correlation": lambda p, r: matthews_corrcoef(r, p),
    "pearson": lambda p, r: stats.pearsonr(p, r).statistic,
    "spearmanr": lambda p, r: stats.spearmanr(p, r).statistic,
}


def example(task, n=60, seed=0):
    """Return predictions and references that agree in part."""
    generator = np.random.default_rng(seed)
    if task == "stsb":
        references = generator.integers(0, 21, n) / 4
        return np.round(references + generator.normal(size=n), 1), references
    references = generator.integers(0, 3 if task == "mnli" else 2, n)
    return np.where(generator.random(n) < 0.75, references, generator.permutation(references)), references


@pytest.fixture(autouse=True)
def no_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


# ---- values


def test_tasks_and_main_metrics_are_glues():
    assert {task: scores.main_metric(task) for task in scores.TASK_METRICS} == {
        **{task: "accuracy" for task in ("sst2", "rte", "qnli", "mnli")},
        **{"cola": "matthews_correlation", "stsb": "pearson", "mrpc": "f1", "qqp": "f1"},
    }


def test_values_computed_by_hand():
    # 3 hits, 1 false alarm, 2 misses, 2 correct rejections
    predictions, references = [1, 1, 1, 1, 0, 0, 0, 0], [1, 1, 1, 0, 1, 1, 0, 0]
    assert scores.score("sst2", predictions, references) == {"accuracy": 5 / 8}
    assert scores.score("mrpc", predictions, references) == {"f1": pytest.approx(6 / 9), "accuracy": 5 / 8}
    by_hand = (3 * 2 - 1 * 2) / math.sqrt(4 * 5 * 3 * 4)
    assert scores.score("cola", predictions, references) == {"matthews_correlation": pytest.approx(by_hand)}
    # deviations (-1.5, -.5, .5, 1.5) and (-2.5, .5, -.5, 2.5): products 7, squares 5 and 13
    # ranks 1 2 3 4 and 1 3 2 4: 1 - 6 * (0 + 1 + 1 + 0) / (4 * 15)
    by_hand = {"pearson": pytest.approx(7 / math.sqrt(65)), "spearmanr": pytest.approx(0.8)}
    assert scores.score("stsb", [0.0, 1.0, 2.0, 3.0], [0.0, 3.0, 2.0, 5.0]) == by_hand


@pytest.mark.parametrize(("task", "metric"), CASES)
def test_score_equals_the_library(task, metric):
    predictions, references = example(task)
    expected = LIBRARY[metric](predictions, references)
    assert scores.score(task, predictions, references)[metric] == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("task", scores.TASK_METRICS)
def test_score_is_the_metric_of_evaluate(task, tmp_path):
    predictions, references = example(task)
    metric = scores.GlueMetric(config_name=task, cache_dir=str(tmp_path))
    assert isinstance(metric, evaluate.Metric)
    for half in (slice(0, 30), slice(30, None)):
        metric.add_batch(predictions=predictions[half], references=references[half])
    assert metric.compute() == scores.score(task, predictions, references)
    assert metric.features["references"].dtype == ("float32" if task == "stsb" else "int64")


def test_the_file_survives_the_import_scanner_of_evaluate(tmp_path, monkeypatch):
    # the scanner reads `import a, b` and trailing comments as names of packages: loading by path shows it
    monkeypatch.setattr(evaluate.config, "HF_MODULES_CACHE", str(tmp_path))
    monkeypatch.syspath_prepend(str(Path(metrics.__file__).parents[1]))
    metric = evaluate.load(metrics.__file__, "cola", cache_dir=str(tmp_path))
    value = metric.compute(predictions=[0, 1, 1], references=[0, 1, 0])
    assert value == scores.score("cola", [0, 1, 1], [0, 1, 0])


@pytest.mark.parametrize("task", ["cola", "stsb"])
@pytest.mark.parametrize("constant", ["predictions", "references", "both"])
def test_constant_correlations_are_zero_without_a_warning(task, constant):
    varied, same = [0, 1, 1, 0], [1, 1, 1, 1]
    predictions = varied if constant == "references" else same
    references = varied if constant == "predictions" else same
    assert set(scores.score(task, predictions, references).values()) == {0.0}
    assert scores.interval(task, predictions, references, resamples=50) == (0.0, 0.0, 0.0)


def test_f1_without_any_positive_is_zero():
    assert scores.score("qqp", [0, 0, 0], [0, 0, 0]) == {"f1": 0.0, "accuracy": 1.0}


def test_scoring_leaves_the_random_state_alone():
    np.random.seed(1)
    before = np.random.get_state()[1].copy()
    scores.interval("cola", *example("cola"), resamples=10)
    assert np.array_equal(np.random.get_state()[1], before)


# ---- predictions from logits


def test_predictions_are_the_largest_logit_or_the_score():
    assert scores.predictions("mnli", np.array([[0.1, 0.3, 0.2], [5.0, -1.0, 4.0]])).tolist() == [1, 0]
    assert scores.predictions("stsb", np.array([[2.5], [-0.5]])).tolist() == [2.5, -0.5]


@pytest.mark.parametrize(("task", "shape"), [("stsb", (4, 2)), ("stsb", (4,)), ("rte", (4, 1)), ("rte", (4, 2, 2))])
def test_logits_of_another_shape_are_refused(task, shape):
    with pytest.raises(InputError, match=f"{task}: the logits have shape"):
        scores.predictions(task, np.zeros(shape))


def test_logits_that_are_not_finite_are_a_failed_run():
    with pytest.raises(RunError, match="rte: some logits are not finite"):
        scores.predictions("rte", np.array([[0.0, np.nan]]))


# ---- bad input


@pytest.mark.parametrize(
    ("task", "predictions", "references", "message"),
    [
        ("cloa", [0], [0], "'cloa' is not known: choose one of cola"),
        ("rte", [0, 1], [0], r"shapes \(2,\) and \(1,\)"),
        ("rte", [], [], "one of each per example"),
        ("rte", [[0]], [[0]], "one of each per example"),
        ("rte", [0, 1], [-1, -1], "unlabelled"),
        ("stsb", [0.0, 1.0], [-1.0, -1.0], "unlabelled"),
        ("stsb", [0.0, np.nan], [1.0, 2.0], "predictions are not finite"),
        ("rte", ["yes"], ["no"], "not finite numbers"),
        ("rte", [0.5], [1], "not classes"),
        ("rte", [-1], [1], "not classes"),
        ("cola", [0, 2], [0, 1], "above 1"),
        ("qqp", [0, 1], [0, 2], "above 1"),
    ],
)
def test_bad_labels_are_refused_with_a_sentence(task, predictions, references, message):
    with pytest.raises(InputError, match=message):
        scores.score(task, predictions, references)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"metric": "f1"}, "cola has no metric 'f1': choose one of matthews_correlation"),
        ({"level": 95}, "level"),
        ({"resamples": 1}, "resamples"),
    ],
)
def test_bad_options_are_refused_with_a_sentence(options, message):
    with pytest.raises(InputError, match=message):
        scores.interval("cola", *example("cola"), **options)


# ---- the bootstrap


@pytest.mark.parametrize(("task", "metric"), CASES)
def test_resampled_metrics_equal_the_library_on_the_drawn_examples(task, metric):
    predictions, references = example(task, n=25, seed=3)
    drawn = np.concatenate(list(bootstrap.counts(25, 40, seed=5)))
    values = bootstrap.resample(metric, [predictions], references, resamples=40, seed=5)[0]
    for times, value in zip(drawn.astype(int), values, strict=True):
        chosen = np.repeat(np.arange(25), times)
        expected = LIBRARY[metric](predictions[chosen], references[chosen])
        assert value == pytest.approx(expected, abs=1e-9)


@st.composite
def resamples(draw):
    """Return `n` points with many ties and `n` draws of them."""
    n = draw(st.integers(1, 12))
    numbers = st.lists(st.integers(-3, 3), min_size=n, max_size=n)
    drawn = draw(st.lists(st.integers(0, n - 1), min_size=n, max_size=n))
    return np.array(draw(numbers), dtype=float), np.array(draw(numbers), dtype=float), drawn


@settings(max_examples=100, deadline=None)
@given(resamples(), st.sampled_from(["pearson", "spearmanr"]), st.sampled_from([0.0, 100.0]))
def test_correlations_of_counts_equal_those_of_the_drawn_points(points, metric, shift):
    # shifted: far from zero, sums of squares would cancel
    x, y, drawn = points
    counts = np.bincount(drawn, minlength=len(x)).astype(float)
    value = bootstrap.METRICS[metric](x + shift, y)(counts[None])[0]
    constant = np.ptp(x[drawn]) == 0 or np.ptp(y[drawn]) == 0
    assert value == pytest.approx(0.0 if constant else LIBRARY[metric](x[drawn], y[drawn]), abs=1e-9)


def test_counts_draw_as_many_as_there_are_examples_in_any_number_of_chunks(monkeypatch):
    whole = np.concatenate(list(bootstrap.counts(7, 50, seed=2)))
    assert whole.shape == (50, 7) and (whole.sum(axis=1) == 7).all() and whole.min() >= 0
    monkeypatch.setattr(bootstrap, "_CELLS", 7 * 8)
    chunks = list(bootstrap.counts(7, 50, seed=2))
    assert [len(chunk) for chunk in chunks] == [8] * 6 + [2]
    assert (np.concatenate(chunks).sum(axis=1) == 7).all()


@pytest.mark.parametrize(("task", "metric"), CASES)
def test_interval_holds_its_value_and_is_reproducible(task, metric):
    predictions, references = example(task)
    found = scores.interval(task, predictions, references, metric=metric, resamples=300)
    assert found.value == scores.score(task, predictions, references)[metric]
    assert found.low < found.value < found.high
    assert found == scores.interval(task, predictions, references, metric=metric, resamples=300)
    assert found != scores.interval(task, predictions, references, metric=metric, resamples=300, seed=1)
    narrow = scores.interval(task, predictions, references, metric=metric, resamples=300, level=0.5)
    assert found.low < narrow.low < narrow.high < found.high


def test_interval_of_an_accuracy_is_close_to_the_binomial_one():
    references = np.zeros(400, dtype=int)
    predictions = (np.arange(400) >= 320).astype(int)  # 80 % correct
    found = scores.interval("sst2", predictions, references, resamples=4000)
    half = 1.96 * math.sqrt(0.8 * 0.2 / 400)
    assert found == (0.8, pytest.approx(0.8 - half, abs=0.005), pytest.approx(0.8 + half, abs=0.005))
    error = scores.standard_error("sst2", predictions, references, resamples=4000)
    assert error == pytest.approx(math.sqrt(0.8 * 0.2 / 400), rel=0.05)


def test_95_percent_intervals_hold_the_truth_about_95_times_in_100():
    # a bivariate normal with correlation 0.6, 400 samples of 150: the share has a standard error of 1.1 %
    generator = np.random.default_rng(11)
    held = 0
    for trial in range(400):
        x = generator.normal(size=150)
        y = 0.6 * x + 0.8 * generator.normal(size=150)
        values = bootstrap.resample("pearson", [x], y, resamples=200, seed=trial)[0]
        low, high = np.quantile(values, [0.025, 0.975])
        held += low <= 0.6 <= high
    assert 0.90 <= held / 400 <= 0.98


# ---- comparisons


@pytest.mark.parametrize(("task", "metric"), CASES)
def test_paired_difference_has_the_sign_of_the_better_model(task, metric):
    better, references = example(task, n=300)
    worse = np.random.default_rng(9).permutation(better)
    found = scores.paired(task, better, worse, references, metric=metric, resamples=300)
    difference = scores.score(task, better, references)[metric] - scores.score(task, worse, references)[metric]
    assert found.value == pytest.approx(difference) and 0 < found.low < found.value < found.high
    mirrored = scores.paired(task, worse, better, references, metric=metric, resamples=300)
    assert mirrored == pytest.approx((-found.value, -found.high, -found.low))


def test_paired_difference_of_a_model_and_itself_is_zero_and_pairing_narrows():
    predictions, references = example("sst2", n=300)
    assert scores.paired("sst2", predictions, predictions, references, resamples=100) == (0.0, 0.0, 0.0)
    other = predictions.copy()
    other[:6] = 1 - other[:6]
    pair = scores.paired("sst2", predictions, other, references, resamples=500)
    alone = scores.interval("sst2", predictions, references, resamples=500)
    assert pair.high - pair.low < (alone.high - alone.low) / 2


def test_mean_over_seeds_has_the_t_interval():
    # mean 2, standard deviation 1, t(0.975, 2) = 4.30265
    half = 4.30265 / math.sqrt(3)
    assert scores.mean_interval([1.0, 2.0, 3.0]) == pytest.approx((2.0, 2 - half, 2 + half), abs=1e-4)
    assert scores.mean_interval([1.0, 2.0, 3.0], level=0.5).high == pytest.approx(2 + 0.81650 / math.sqrt(3), abs=1e-4)
    alone = scores.mean_interval([0.7])
    assert alone.value == 0.7 and math.isnan(alone.low) and math.isnan(alone.high)
    for bad in ([], [1.0, float("nan")]):
        with pytest.raises(InputError, match="finite"):
            scores.mean_interval(bad)


def test_floor_is_the_majority_or_the_mean_of_train():
    assert scores.floor("rte", [1, 1, 0]) == 1 and isinstance(scores.floor("rte", [1, 1, 0]), int)
    assert scores.floor("mnli", [2, 0, 2, 1]) == 2
    assert scores.floor("stsb", [1.0, 2.0, 4.5]) == 2.5
    assert scores.floor_score("rte", [1, 1, 0], [1, 0, 0, 0]) == 0.25
    assert scores.floor_score("mrpc", [1, 1, 0], [1, 1, 0]) == pytest.approx(0.8)
    assert scores.floor_score("cola", [1, 1, 0], [1, 0]) == 0.0
    assert scores.floor_score("stsb", [1.0, 2.0], [1.0, 3.0]) == 0.0


def test_retention_is_the_share_of_the_lead():
    assert scores.retention(0.8, 0.9, 0.5) == pytest.approx(0.75)
    assert scores.retention(0.4, 0.9, 0.5) == pytest.approx(-0.25)
    assert math.isnan(scores.retention(0.8, 0.5, 0.5)) and math.isnan(scores.retention(0.8, 0.4, 0.5))


def test_teacher_at_its_floor_stops_the_run_with_a_message():
    references = np.tile([0, 1], 50)
    good = references.copy()
    good[:20] = 1 - good[:20]
    scores.check_teacher("rte", good, references, 0.5)
    with pytest.raises(
        RunError, match=r"rte: the teacher's accuracy is 0\.800 .*floor of 0\.750.*epochs.*learning rate"
    ):
        scores.check_teacher("rte", good, references, 0.75)
    with pytest.raises(RunError, match=r"0\.500"):
        scores.check_teacher("rte", np.zeros(100, dtype=int), references, 0.5)


def test_constant_teacher_with_no_standard_error_is_stopped_too():
    with pytest.raises(RunError, match="cola"):
        scores.check_teacher("cola", [1, 1, 1, 1], [0, 1, 0, 1], 0.0)
