"""A latency table fitted to whole measured networks: seconds to make, for any network over a categorical space."""

from collections.abc import Callable, Sequence

import flax.linen as nn
import jax
import numpy as np
from scipy.optimize import nnls

from jaxnas import check
from jaxnas.check import InputError
from jaxnas.costs._profile import distinct_networks
from jaxnas.costs.calibration import calibrate
from jaxnas.costs.measure import compile_networks, environment, measure_networks
from jaxnas.costs.tables import LatencyTable, LatencyTerm, named_options
from jaxnas.costs.timing import noise_floor
from jaxnas.spaces import needed
from jaxnas.types import Genome, Space

FOLDS = 5


def table_from_networks(
    space: Space,
    network: nn.Module,
    x: jax.ShapeDtypeStruct,
    *,
    networks: int = 32,
    rounds: int = 6,
    limit: float = 0.0,
    seed: int = 0,
    say: Callable[[str], None] = lambda text: None,
) -> LatencyTable:
    """Measures random networks and fits a time to each option of each decision, of pruned genomes.

    Options of one name are taken to be alike until the measurements say otherwise (the prior of `calibrate`). Against
    `profile`, which times every operation alone: no tracing of all architectures, and no knowledge of what several
    decisions bring about together.

    Args:
      space: categorical.
      network: called with `(decisions, x, train)`.
      x: shape and dtype of a batch.
      networks: how many to compile and measure.
      rounds: see `interleaved`.
      limit: seconds of measuring, see `interleaved`.
      seed: of all randomness.
      say: is told how it goes.

    Raises:
      InputError: a space that is not categorical, or has fewer networks; ones that do not depend on their inputs.
    """
    needed.categorical("table_from_networks", space)
    check.integer("networks", networks, least=2 * FOLDS)
    genomes = distinct_networks(space, networks, seed)
    if len(genomes) < networks:
        raise InputError(f"networks: space {space.name!r} has {len(genomes)} different ones, got {networks}.")
    compiled = compile_networks(space, network, genomes, x, seed=seed)
    reads = np.array([each.reads for each in compiled])
    if reads.sum() < FOLDS:
        raise InputError(f"network: {reads.sum()} of {networks} random ones depend on their inputs.")
    timings = measure_networks([each for each in compiled if each.reads], rounds=rounds, limit=limit, seed=seed)
    ms = np.array([1e3 * timing.median for timing in timings])
    counts = _chosen(space, genomes[reads])
    say(f"{len(ms)} networks timed, {ms.min():.3g} to {ms.max():.3g} ms")
    own, constant = _fitted(space, counts, ms)
    begins = np.cumsum([0, *space.choices])
    terms = [
        LatencyTerm((d,), own[begin : begin + n])
        for d, (begin, n) in enumerate(zip(begins, space.choices, strict=False))
    ]
    about = {
        "networks": len(ms),
        "noise_floor": noise_floor({str(i): timing for i, timing in enumerate(timings)}),
        "mape": _held_out_error(space, counts, ms),
        "network": str(network),
    }
    return LatencyTable(
        environment(x), named_options(space), {}, [LatencyTerm((), np.asarray(constant)), *terms], about
    )


def _chosen(space: Space, genomes: Sequence[Genome]) -> np.ndarray:
    """`[N, all options]` 1 where a genome chose the option."""
    genomes = np.asarray(genomes)
    return np.hstack([np.eye(n)[genomes[:, d]] for d, n in enumerate(space.choices)])


def _fitted(space: Space, counts: np.ndarray, ms: np.ndarray) -> tuple[np.ndarray, float]:
    """`[all options]` ms of each, and of the rest of the network."""
    labels = [str(option) for options in space.options for option in options]
    names = sorted(set(labels))
    of = np.array([[label == name for name in names] for label in labels], float)
    by_name = np.hstack([counts @ of, np.ones((len(ms), 1))]) / ms[:, None]
    alike = nnls(by_name, np.ones(len(ms)))[0][:-1]
    floor = 1e-3 * ms.mean()
    fit = calibrate(counts, np.maximum(of @ alike, floor), labels, ms)
    return fit.ms, fit.constant


def _held_out_error(space: Space, counts: np.ndarray, ms: np.ndarray) -> float:
    """Mean relative error on networks that a fit has not seen."""
    fold, errors = np.arange(len(ms)) % FOLDS, []
    for k in range(FOLDS):
        own, constant = _fitted(space, counts[fold != k], ms[fold != k])
        errors += list(abs((counts[fold == k] @ own + constant) / ms[fold == k] - 1))
    return float(np.mean(errors))
