"""Statistics over seeds: incumbents and hypervolume over time, ranks, significance of differences (host, NumPy)."""

import itertools
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxnas import check, pareto
from jaxnas.check import InputError


def incumbents(fitness: np.ndarray, values: np.ndarray, spent: np.ndarray, at: Sequence[float]) -> np.ndarray:
    """`[seeds, len(at)]` the value of the best evaluation so far, once `at` was spent.

    Args:
      fitness: `[seeds, evaluations]` as the strategy saw it, higher is better; NaN for what does not count (invalid,
        padding, or not of the full budget). The earlier one on ties.
      values: `[seeds, evaluations]` what to report of an evaluation: its true value, or test accuracy.
      spent: `[seeds, evaluations]` what all evaluations up to and with this one have cost, not decreasing.
      at: costs to report at. NaN before the first that counts.
    """
    seen = np.where(np.isnan(fitness), -np.inf, fitness)
    best = np.maximum.accumulate(seen, 1)
    new = seen > np.concatenate([np.full((len(seen), 1), -np.inf), best[:, :-1]], 1)
    holder = np.maximum.accumulate(np.where(new, np.arange(seen.shape[1]), -1), 1)
    out = np.full((len(seen), len(at)), np.nan)
    for j, cost in enumerate(at):
        last = (spent <= cost * (1 + 1e-6)).sum(1) - 1
        row = np.where(last >= 0, np.take_along_axis(holder, np.maximum(last, 0)[:, None], 1)[:, 0], -1)
        out[:, j] = np.where(row >= 0, np.take_along_axis(values, np.maximum(row, 0)[:, None], 1)[:, 0], np.nan)
    return out


def hypervolumes(fitness: np.ndarray, cost: np.ndarray, reference: Sequence[float]) -> np.ndarray:
    """`[seeds, evaluations]` the hypervolume of all evaluations up to and with each (see `pareto.hypervolume`).

    Args:
      fitness: `[seeds, evaluations]`, higher is better; NaN for what does not count.
      cost: `[seeds, evaluations, K]`, lower is better.
      reference: `[1 + K]`, (fitness, *costs).
    """
    _, N = fitness.shape
    reference = np.asarray(reference, np.float32)
    volumes = np.empty(fitness.shape)
    for s, (f, c) in enumerate(zip(np.asarray(fitness, np.float32), np.asarray(cost, np.float32), strict=True)):
        valid = np.isfinite(f) & np.isfinite(c).all(-1)
        new = np.asarray(_not_dominated_before(f, c, valid))  # few, and all that add any volume
        size = -(-max(new.sum(), 1) // 64) * 64  # one program for many of them
        padded = [np.resize(column, (size, *column.shape[1:])) for column in (f[new], c[new])] if new.any() else None
        if padded is None:
            volumes[s] = 0
            continue
        found = np.asarray(_volumes(*padded, reference, np.arange(size) < new.sum()))
        volumes[s] = np.append(0, found)[np.cumsum(new)]
    return volumes


@jax.jit
def _not_dominated_before(fitness, cost, valid):
    earlier = jnp.arange(len(fitness))[:, None] < jnp.arange(len(fitness))
    return valid & ~(pareto.dominates(fitness, cost, valid) & earlier).any(0)


_volumes = jax.jit(pareto.hypervolumes)


def ranks(results: Mapping[str, np.ndarray]) -> dict[str, float]:
    """Mean rank of each over the seeds, 1 is best, ties share; `results` name -> `[seeds]`, higher is better."""
    from scipy import stats

    lengths = {name: len(v) for name, v in results.items()}
    if len(set(lengths.values())) != 1:
        raise InputError(f"results: expected as many seeds of each, got {lengths}.")
    table = stats.rankdata(-np.stack([np.nan_to_num(v, nan=-np.inf) for v in results.values()]), axis=0)
    return dict(zip(results, table.mean(1).tolist(), strict=True))


class Difference(NamedTuple):
    """One pair, seed by seed.

    Attributes:
      mean: of a - b.
      low, high: its 95 % interval, by bootstrap over the seeds (percentiles).
      p: two-sided Wilcoxon signed-rank test.
      corrected: that p, corrected for all pairs of the call (Holm, 1979).
    """

    mean: float
    low: float
    high: float
    p: float
    corrected: float

    @property
    def significant(self) -> bool:
        """Whether both agree: the interval excludes 0, and the corrected p is below .05."""
        return (self.low > 0 or self.high < 0) and self.corrected < 0.05


def differences(
    results: Mapping[str, np.ndarray], *, resamples: int = 2000, seed: int = 0
) -> dict[tuple[str, str], Difference]:
    """Every pair (a, b) of `results`, name -> `[seeds]`, over the seeds that both have: bootstrap and rank test."""
    from scipy import stats

    found, weights = {}, {}
    for a, b in itertools.combinations(results, 2):
        n = min(len(results[a]), len(results[b]))
        check.integer("seeds", n, least=2)
        if n not in weights:
            weights[n] = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=resamples) / n
        d = np.asarray(results[a][:n], float) - np.asarray(results[b][:n], float)
        low, high = np.quantile(weights[n] @ d, [0.025, 0.975])
        p = float(stats.wilcoxon(d).pvalue) if d.any() else 1.0
        found[a, b] = (float(d.mean()), float(low), float(high), p)
    corrected = holm([p for *_, p in found.values()])
    return {pair: Difference(*figures, c) for (pair, figures), c in zip(found.items(), corrected, strict=True)}


class Correlation(NamedTuple):
    """`value` and its 95 % interval, by bootstrap over the pairs (percentiles)."""

    value: float
    low: float
    high: float


MEASURES = ("spearman", "kendall")


def rank_correlation(
    a: np.ndarray, b: np.ndarray, *, measures: Sequence[str] = MEASURES, resamples: int = 1000, seed: int = 0
) -> dict[str, Correlation]:
    """Spearman's rho and Kendall's tau (b) of `a` and `b`, `[n]` each; NaN where one of them is constant.

    Args:
      a, b: values, of which the ranks count.
      measures: which of the two; thousands of resamples of Kendall's take a while.
      resamples: of the bootstrap.
      seed: of the bootstrap.

    Raises:
      InputError: fewer than three pairs, not as many of each, or an unknown measure.
    """
    from scipy import stats

    a, b = np.asarray(a, float), np.asarray(b, float)
    if a.shape != b.shape or a.ndim != 1 or len(a) < 3:
        raise InputError(f"a, b: expected as many values of each, three or more, got {a.shape} and {b.shape}.")
    a, b = (np.unique(values, return_inverse=True)[1] for values in (a, b))
    known = {"spearman": _spearman, "kendall": lambda a, b: stats.kendalltau(a, b).statistic}
    found = {}
    for name in measures:
        check.one_of("measures", name, known)
        random = np.random.default_rng(seed)
        drawn = (random.integers(0, len(a), len(a)) for _ in range(resamples))
        spread = [known[name](a[rows], b[rows]) for rows in drawn]
        # Resamples in which one of them is constant say nothing.
        low, high = np.nanquantile(spread, [0.025, 0.975]) if np.isfinite(spread).any() else (np.nan, np.nan)
        found[name] = Correlation(float(known[name](a, b)), float(low), float(high))
    return found


def _spearman(a: np.ndarray, b: np.ndarray) -> float:
    """Of values that are small integers: by counting, which is much faster than SciPy's sort."""

    def centered_ranks(values):
        count = np.bincount(values)
        ranks = (np.cumsum(count) - 0.5 * count)[values]
        return ranks - ranks.mean()

    a, b = centered_ranks(a), centered_ranks(b)
    scale = np.sqrt((a * a).sum() * (b * b).sum())
    return (a * b).sum() / scale if scale else np.nan


def holm(p: Sequence[float]) -> list[float]:
    """p-values corrected for their number by Holm's step-down method."""
    order = np.argsort(p)
    stepped = np.asarray(p, float)[order] * (len(p) - np.arange(len(p)))
    corrected = np.empty(len(p))
    corrected[order] = np.minimum(np.maximum.accumulate(stepped), 1)
    return corrected.tolist()
