"""What operations add to a network, learned from a few whole networks' latencies."""

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from jaxnas import check
from jaxnas.check import InputError


class Fit(NamedTuple):
    """Milliseconds that operations add to a network: `[O]`, and a constant."""

    ms: np.ndarray
    constant: float


def calibrate(counts: np.ndarray, alone: np.ndarray, classes: Sequence[str], ms: np.ndarray) -> Fit:
    """Bayesian linear regression of networks' latencies on the counts of their operations.

    What an operation adds to a network is its time alone times a factor: the sum of one for all operations (normal
    around 1), one for its class and one of its own (around 0). Relative errors are normal too. Widths are those of
    greatest evidence; an operation that no network has seen gets the factor of its class. A factor may be negative,
    for what XLA fuses away.

    Args:
      counts: `[N, O]` how often each operation runs in each network.
      alone: `[O]` ms.
      classes: of the O operations.
      ms: `[N]` measured.

    Raises:
      InputError: no network, or a latency that is not positive.
    """
    counts, alone, ms = (np.asarray(a, float) for a in (counts, alone, ms))
    if not len(ms) or not (ms > 0).all():
        raise InputError(f"ms: expected positive latencies of at least one network, got {ms.tolist()}.")
    X = _relative(counts, alone, ms)
    mean = np.append(np.ones(len(alone)), 0.0)
    error = 1 - X @ mean

    def posterior(class_width: float, own_width: float, noise: float):
        K = _prior(classes, class_width, own_width)
        S = X @ K @ X.T + noise**2 * np.eye(len(ms))
        solved = np.linalg.solve(S, error)
        return -error @ solved - np.linalg.slogdet(S)[1], mean + K @ X.T @ solved

    widths = itertools.product((0.1, 0.3, 1.0, 3.0), (0.03, 0.1, 0.3, 0.6), (0.01, 0.02, 0.04, 0.08, 0.16))
    factors = max((posterior(*w) for w in widths), key=lambda found: found[0])[1]
    return Fit(factors[:-1] * alone, float(factors[-1] * ms.mean()))


def _relative(counts: np.ndarray, alone: np.ndarray, ms: np.ndarray) -> np.ndarray:
    """`[N, O + 1]` the part that each operation, and a constant, would be of a network by its time alone."""
    return np.hstack([counts * alone, np.full((len(ms), 1), ms.mean())]) / ms[:, None]


def _prior(classes: Sequence[str], class_width: float, own_width: float) -> np.ndarray:
    """`[O + 1, O + 1]` covariance of factors, the constant's last."""
    names = np.array(classes)
    K = np.full((len(names) + 1,) * 2, 0.0)
    K[:-1, :-1] = 0.5**2 + class_width**2 * (names[:, None] == names) + own_width**2 * np.eye(len(names))
    K[-1, -1] = 0.3**2
    return K


def select_calibration_set(counts: np.ndarray, alone: np.ndarray, classes: Sequence[str], n: int) -> np.ndarray:
    """`[n]` indices: which of `counts` `[N, O]` to measure, so that the others are predicted best.

    Greedily, each the one that takes most from the sum of their variances (A-optimal for `calibrate`). Args are those
    of `calibrate`.

    Raises:
      InputError: fewer than n to choose from.
    """
    check.integer("n", n, least=1, most=len(counts), because="networks to choose from")
    X = _relative(counts, alone, np.maximum(counts @ alone, 1e-9))
    K, chosen = _prior(classes, 0.5, 0.5), []
    for _ in range(n):
        covariance = X @ K @ X.T
        gain = (covariance**2).sum(0) / (np.diag(covariance) + 0.03**2)
        gain[chosen] = -1
        chosen.append(int(gain.argmax()))
        seen = K @ X[chosen[-1]]
        K = K - np.outer(seen, seen) / (X[chosen[-1]] @ seen + 0.03**2)
    return np.array(chosen)
