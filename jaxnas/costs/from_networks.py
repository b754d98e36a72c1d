"""A cost table fitted to whole networks: seconds to make, for any network over a categorical space."""

from collections.abc import Callable, Sequence

import flax.linen as nn
import jax
import numpy as np
from scipy.optimize import nnls

from jaxnas import check
from jaxnas.check import InputError
from jaxnas.costs._profile import distinct_networks
from jaxnas.costs.calibration import calibrate
from jaxnas.costs.measure import LATENCY, Network, compile_networks, environment, measure_networks
from jaxnas.costs.tables import CostTable, CostTerm, named_options
from jaxnas.costs.timing import noise_floor
from jaxnas.spaces import needed
from jaxnas.statistics import rank_correlation
from jaxnas.types import Genome, Space

FOLDS = 5
PEAK = "peak_mb"
"""Name of the cost."""
PREFILL, DECODE = "prefill_ms", "decode_ms"
"""Which are timed as latency is, of the network that is given."""


def table_from_networks(
    space: Space,
    network: nn.Module,
    x: jax.ShapeDtypeStruct,
    *,
    cost: str = LATENCY,
    networks: int = 32,
    rounds: int = 6,
    limit: float = 0.0,
    seed: int = 0,
    say: Callable[[str], None] = lambda text: None,
) -> CostTable:
    """Measures random networks and fits a cost to each option of each decision, of pruned genomes.

    Options of one name are taken to be alike until the measurements say otherwise (the prior of `calibrate`). Against
    `profile`, which times every operation alone: no tracing of all architectures, and no knowledge of what several
    decisions bring about together.

    Args:
      space: categorical.
      network: called with `(decisions, x, train)`.
      x: shape and dtype of a batch.
      cost: "latency_ms", "prefill_ms" or "decode_ms", which are timed, or "peak_mb", megabytes of parameters, inputs,
        outputs and temporaries in inference, which the compiler says of each network.
      networks: how many to compile and measure.
      rounds: see `interleaved`.
      limit: seconds of measuring, see `interleaved`.
      seed: of all randomness.
      say: is told how it goes.

    Raises:
      InputError: a space that is not categorical, or has fewer networks; ones that do not depend on their inputs.
    """
    needed.categorical("table_from_networks", space)
    check.one_of("cost", cost, (LATENCY, PEAK, PREFILL, DECODE))
    check.integer("networks", networks, least=2 * FOLDS)
    genomes = distinct_networks(space, networks, seed)
    if len(genomes) < networks:
        raise InputError(f"networks: space {space.name!r} has {len(genomes)} different ones, got {networks}.")
    compiled = compile_networks(space, network, genomes, x, seed=seed)
    reads = np.array([each.reads for each in compiled])
    if reads.sum() < FOLDS:
        raise InputError(f"network: {reads.sum()} of {networks} random ones depend on their inputs.")
    reading = [each for each in compiled if each.reads]
    if cost == PEAK:
        floor, values = 0.0, np.array([peak_mb(each) for each in reading])
    else:
        timings = measure_networks(reading, rounds=rounds, limit=limit, seed=seed)
        floor = noise_floor({str(i): timing for i, timing in enumerate(timings)})
        values = np.array([1e3 * timing.median for timing in timings])
    counts = _chosen(space, genomes[reads])
    say(f"{len(values)} networks: {cost} from {values.min():.3g} to {values.max():.3g}")
    own, constant = _fitted(space, counts, values)
    begins = np.cumsum([0, *space.choices])
    terms = [
        CostTerm((d,), own[begin : begin + n]) for d, (begin, n) in enumerate(zip(begins, space.choices, strict=False))
    ]
    about = {
        "networks": len(values),
        "noise_floor": floor,
        **_held_out(space, counts, values),
        "network": str(network),
    }
    terms = [CostTerm((), np.asarray(constant)), *terms]
    return CostTable(cost, environment(x), named_options(space), {}, terms, about)


def peak_mb(network: Network) -> float:
    """Megabytes that one call takes on the device."""
    return network.costs["peak_bytes"] / 1e6


def _chosen(space: Space, genomes: Sequence[Genome]) -> np.ndarray:
    """`[N, all options]` 1 where a genome chose the option."""
    genomes = np.asarray(genomes)
    return np.hstack([np.eye(n)[genomes[:, d]] for d, n in enumerate(space.choices)])


def _fitted(space: Space, counts: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, float]:
    """`[all options]` what each costs, and what the rest of the network does."""
    labels = [str(option) for options in space.options for option in options]
    names = sorted(set(labels))
    of = np.array([[label == name for name in names] for label in labels], float)
    by_name = np.hstack([counts @ of, np.ones((len(values), 1))]) / values[:, None]
    alike = nnls(by_name, np.ones(len(values)))[0][:-1]
    floor = 1e-3 * values.mean()
    fit = calibrate(counts, np.maximum(of @ alike, floor), labels, values)
    return fit.ms, fit.constant


def _held_out(space: Space, counts: np.ndarray, values: np.ndarray) -> dict[str, float]:
    """On networks that a fit has not seen: the mean relative error, and Spearman's rank correlation."""
    fold, predicted = np.arange(len(values)) % FOLDS, np.zeros(len(values))
    for k in range(FOLDS):
        own, constant = _fitted(space, counts[fold != k], values[fold != k])
        predicted[fold == k] = counts[fold == k] @ own + constant
    ranks = rank_correlation(predicted, values, measures=("spearman",))["spearman"].value
    return {"mape": float(np.mean(abs(predicted / values - 1))), "spearman": ranks}
