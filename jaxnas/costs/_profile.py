"""A latency table of a space and its network, made on this device, and how far to trust it."""

from collections.abc import Callable
from typing import NamedTuple

import flax.linen as nn
import jax
import numpy as np

from jaxnas import check
from jaxnas.check import InputError
from jaxnas.costs.calibration import select_calibration_set
from jaxnas.costs.enumeration import all_operations
from jaxnas.costs.measure import Network, compile_networks, measure_networks, measure_operations
from jaxnas.costs.tables import LatencyTable, latency_table
from jaxnas.costs.timing import noise_floor
from jaxnas.spaces import needed
from jaxnas.statistics import rank_correlation
from jaxnas.types import Space

CALIBRATION = 16
"""Whole networks that a table is calibrated on."""
CANDIDATES = 400
"""Of which they are chosen."""
SPARE = 2
"""Networks that may turn out not to read their images."""


class HeldOut(NamedTuple):
    """Networks that calibrated nothing, N of them.

    Attributes:
      genomes: `[N, D]`.
      measured, predicted, uncalibrated: `[N]` ms; the last is the sum of what the operations took alone.
      flops: `[N]`.
      noise_floor: see `costs.noise_floor`; above 4 % nothing can be said.
    """

    genomes: np.ndarray
    measured: np.ndarray
    predicted: np.ndarray
    uncalibrated: np.ndarray
    flops: np.ndarray
    noise_floor: float

    @property
    def by_flops(self) -> np.ndarray:
        """`[N]` ms, FLOPs times one factor that is fitted to these very networks."""
        return self.flops * np.median(self.measured / self.flops)

    def summary(self) -> dict[str, float]:
        """Spearman's correlation with what was measured, mean relative error (MAPE), and the shares within 5 and 10 %;
        of FLOPs too, after one factor is fitted to these very networks."""
        about = {"": self.predicted, "uncalibrated_": self.uncalibrated, "flops_": self.by_flops}
        found: dict[str, float] = {}
        for name, predicted in about.items():
            error = abs(predicted / self.measured - 1)
            found[f"{name}spearman"] = rank_correlation(predicted, self.measured, measures=("spearman",))[
                "spearman"
            ].value
            found[f"{name}mape"] = float(error.mean())
            found[f"{name}within_5"] = float((error <= 0.05).mean())
            found[f"{name}within_10"] = float((error <= 0.10).mean())
        return {**found, "noise_floor_mape": self.noise_floor, "n": len(self.measured)}


class Profile(NamedTuple):
    """A table, and what was held out, None for nothing."""

    table: LatencyTable
    held_out: HeldOut | None


def profile(
    space: Space,
    network: nn.Module,
    x: jax.ShapeDtypeStruct,
    *,
    held_out: int = 0,
    calibration: int = CALIBRATION,
    rounds: int = 5,
    seed: int = 0,
    say: Callable[[str], None] = lambda text: None,
) -> Profile:
    """Measures all operations of a space, calibrates on whole networks, and validates on others.

    Args:
      space: categorical.
      network: called with `(decisions, x, train)`.
      x: shape and dtype of a batch.
      held_out: random networks to validate on.
      calibration: networks to calibrate on, chosen to tell most.
      rounds: see `interleaved`.
      seed: of all randomness.
      say: is told how it goes.

    Raises:
      InputError: a space that is not categorical, too few networks in it, and what `all_operations` refuses.
    """
    needed.categorical("profile", space)
    check.integer("held_out", held_out, least=0)
    check.integer("calibration", calibration, least=1)
    drawn = held_out + SPARE if held_out else 0
    genomes = distinct_networks(space, drawn + CANDIDATES, seed)
    if len(genomes) < drawn + calibration:
        raise InputError(f"held_out: space {space.name!r} has {len(genomes)} networks for {held_out} + {calibration}.")
    tested, candidates = genomes[:drawn], genomes[drawn:]
    operations = all_operations(space, network, x, seed=seed)
    say(f"{len(operations.distinct)} distinct operations")
    tested, programs = _reading(tested, compile_networks(space, network, tested, x, seed=seed))
    tested, programs = tested[:held_out], programs[:held_out]
    timings = measure_operations(operations.distinct, rounds=rounds, seed=seed)
    alone = np.array([1e3 * timings[key].median for key in operations.distinct])
    say(f"{sum(alone > 0)} of them timed alone, {alone[alone > 0].min():.3g} to {alone.max():.3g} ms")
    counts = operations.counts(candidates)
    chosen = candidates[select_calibration_set(counts, alone, operations.classes, calibration)]
    chosen, calibrating = _reading(chosen, compile_networks(space, network, chosen, x, seed=seed))
    networks = measure_networks([*programs, *calibrating], rounds=rounds, seed=seed)
    say(f"{len(networks)} networks timed")
    table = latency_table(space, operations, timings, chosen, networks[len(programs) :], x)
    if not held_out:
        return Profile(table, None)
    counts, own = operations.counts(tested), networks[: len(programs)]
    predicted = sum(term.ms[tuple(tested[:, d] for d in term.decisions)] for term in table.terms)
    return Profile(
        table,
        HeldOut(
            genomes=tested,
            measured=np.array([1e3 * t.median for t in own]),
            predicted=predicted,
            uncalibrated=counts @ alone,
            flops=np.array([program.costs["flops"] for program in programs]),
            noise_floor=noise_floor({str(i): t for i, t in enumerate(own)}),
        ),
    )


def _reading(genomes: np.ndarray, networks: list[Network]) -> tuple[np.ndarray, list[Network]]:
    """Without the networks whose outputs do not depend on their images."""
    reads = np.array([network.reads for network in networks], bool)
    return genomes[: len(reads)][reads], [network for network in networks if network.reads]


def distinct_networks(space: Space, n: int, seed: int) -> np.ndarray:
    """`[at most n, D]` random pruned genomes, all different."""
    keys = jax.random.split(jax.random.key(seed), 4 * n)
    genomes = np.asarray(jax.jit(jax.vmap(lambda key: space.pruned(space.sample(key))))(keys), np.int32)
    return genomes[np.sort(np.unique(genomes, axis=0, return_index=True)[1])][:n]
