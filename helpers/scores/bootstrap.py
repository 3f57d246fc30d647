"""The bootstrap over examples (Efron and Tibshirani 1993, chapter 13) for GLUE's metrics, in numpy.

A resample is a vector that counts how often each example was drawn. A metric of `R` resamples of `n` examples
is then arithmetic on an `R x n` matrix, even Spearman's: nothing is sorted again, ranks are running sums.
"""

from collections.abc import Callable, Iterator, Sequence

import numpy as np

__all__ = ["METRICS", "counts", "resample"]

_CELLS = 1_000_000  # counts held at once: 8 MB for each array that a metric makes of them

# counts [R, n] -> metric [R]
Resampled = Callable[[np.ndarray], np.ndarray]


def resample(
    metric: str,
    predictions: Sequence[np.ndarray],
    references: np.ndarray,
    *,
    resamples: int = 1000,
    seed: int = 0,
) -> np.ndarray:
    """Return `[k, resamples]` values of a metric for `k` models' predictions, each `[n]`, drawn alike."""
    functions = [METRICS[metric](np.asarray(each), np.asarray(references)) for each in predictions]
    chunks = [[function(chunk) for function in functions] for chunk in counts(len(references), resamples, seed=seed)]
    return np.concatenate(chunks, axis=1)


def counts(n: int, resamples: int, *, seed: int = 0) -> Iterator[np.ndarray]:
    """Yield chunks `[r, n]`, `resamples` rows in all: how often each example was drawn; a row sums to `n`."""
    generator = np.random.default_rng(seed)
    rows = max(1, _CELLS // n)
    for start in range(0, resamples, rows):
        size = min(rows, resamples - start)
        drawn = generator.integers(0, n, size=(size, n)) + n * np.arange(size)[:, None]
        yield np.bincount(drawn.ravel(), minlength=size * n).reshape(size, n).astype(np.float64)


def _accuracy(predictions: np.ndarray, references: np.ndarray) -> Resampled:
    correct = (predictions == references).astype(np.float64)
    return lambda counts: counts @ correct / len(correct)


def _f1(predictions: np.ndarray, references: np.ndarray) -> Resampled:
    cells = _cells(predictions, references)

    def f1(counts: np.ndarray) -> np.ndarray:
        hit, false_alarm, miss, _ = (counts @ cells).T
        return _ratio(2 * hit, 2 * hit + false_alarm + miss)

    return f1


def _matthews(predictions: np.ndarray, references: np.ndarray) -> Resampled:
    cells = _cells(predictions, references)

    def matthews(counts: np.ndarray) -> np.ndarray:
        hit, false_alarm, miss, rejection = (counts @ cells).T
        said, unsaid = hit + false_alarm, miss + rejection
        true, untrue = hit + miss, false_alarm + rejection
        return _ratio(hit * rejection - false_alarm * miss, np.sqrt(said * unsaid) * np.sqrt(true * untrue))

    return matthews


def _pearson(predictions: np.ndarray, references: np.ndarray) -> Resampled:
    # centred first, because sums of squares of numbers far from zero cancel
    x, y = (each - each.mean() for each in (predictions.astype(np.float64), references.astype(np.float64)))
    products = np.stack([x, y, x * x, y * y, x * y], axis=1)

    def pearson(counts: np.ndarray) -> np.ndarray:
        x_mean, y_mean, xx, yy, xy = (counts @ products).T / len(x)
        x_variance, y_variance = xx - x_mean**2, yy - y_mean**2
        # a resample that drew equal values only has a variance of rounding errors
        constant = (x_variance <= 1e-12 * xx) | (y_variance <= 1e-12 * yy)
        spread = np.sqrt(np.where(constant, 0.0, x_variance * y_variance))
        return np.clip(_ratio(xy - x_mean * y_mean, spread), -1.0, 1.0)

    return pearson


def _spearman(predictions: np.ndarray, references: np.ndarray) -> Resampled:
    ranks = [_ranks(predictions), _ranks(references)]

    def spearman(counts: np.ndarray) -> np.ndarray:
        x, y = (rank(counts) for rank in ranks)
        x_spread, y_spread, both = (np.einsum("rn,rn,rn->r", counts, a, b) for a, b in ((x, x), (y, y), (x, y)))
        return np.clip(_ratio(both, np.sqrt(x_spread) * np.sqrt(y_spread)), -1.0, 1.0)

    return spearman


def _ranks(values: np.ndarray) -> Resampled:
    """Return a function from counts to every example's rank less the mean rank, `[R, n]`; ties share it."""
    distinct, group = np.unique(values, return_inverse=True)
    order = np.argsort(group, kind="stable")
    last = np.searchsorted(group[order], np.arange(len(distinct)), side="right") - 1

    def ranks(counts: np.ndarray) -> np.ndarray:
        upto = np.cumsum(counts[:, order], axis=1)[:, last]
        before = np.concatenate([np.zeros((len(counts), 1)), upto[:, :-1]], axis=1)
        # ranks of a group run from before + 1 to upto; the mean of all n ranks is (n + 1) / 2
        return ((before + upto - len(values)) / 2)[:, group]

    return ranks


def _cells(predictions: np.ndarray, references: np.ndarray) -> np.ndarray:
    """Return `[n, 4]`: is it a hit, a false alarm, a miss, a correct rejection (class 1 is positive)."""
    said, true = predictions == 1, references == 1
    return np.stack([said & true, said & ~true, ~said & true, ~said & ~true], axis=1).astype(np.float64)


def _ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    # undefined where every prediction or every reference is the same: 0, as for the metrics of the whole set
    return np.divide(above, below, out=np.zeros_like(above), where=below > 0)


METRICS: dict[str, Callable[[np.ndarray, np.ndarray], Resampled]] = {
    "accuracy": _accuracy,
    "f1": _f1,
    "matthews_correlation": _matthews,
    "pearson": _pearson,
    "spearmanr": _spearman,
}
