"""A latency table of a space and its network, made on this device, and how far to trust it."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import flax.linen as nn
import jax
import numpy as np

from jaxnas import check
from jaxnas.check import InputError
from jaxnas.costs.calibration import select_calibration_set
from jaxnas.costs.enumeration import all_operations
from jaxnas.costs.measure import Meter, Network, compile_networks, in_parallel, stopwatch
from jaxnas.costs.tables import CostTable, calibrated_table
from jaxnas.costs.timing import Timing, noise_floor
from jaxnas.spaces import needed
from jaxnas.statistics import rank_correlation
from jaxnas.types import Space

CALIBRATION = 16
"""Whole networks that a table is calibrated on."""
CANDIDATES = 400
"""Of which they are chosen."""
OPERATIONS = 0.15
"""The part of the seconds left in which rounds of operations may be added."""
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
    """What was measured.

    Attributes:
      table: of the operations.
      held_out: None for nothing.
      timing: of "operations" and "networks" -> "seconds" that measuring took, the least and the most rounds of one of
        them "rounds_least" and "rounds_most", "left_out", how many of the most were not kept, "stolen", see `Timing`,
        and "noise_floor".
    """

    table: CostTable
    held_out: HeldOut | None
    timing: Mapping[str, Mapping[str, float]]


def profile(
    space: Space,
    network: nn.Module,
    x: jax.ShapeDtypeStruct,
    *,
    held_out: int = 0,
    calibration: int = CALIBRATION,
    rounds: int = 6,
    limit: float = 0.0,
    meter: Meter | None = None,
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
      limit: seconds, from the start, after which rounds are no longer added; by default none are.
      meter: what tells how long programs take, a clock by default; `costs.estimates` for devices that are not there.
      seed: of all randomness.
      say: is told how it goes.

    Raises:
      InputError: a space that is not categorical, too few networks in it, and what `all_operations` refuses.
    """
    begin, meter = time.perf_counter(), meter or stopwatch(rounds=rounds, seed=seed)
    left = lambda: max(limit - (time.perf_counter() - begin), 0.0)
    needed.categorical("profile", space)
    check.integer("held_out", held_out, least=0)
    check.integer("calibration", calibration, least=1)
    drawn = held_out + SPARE if held_out else 0
    genomes = distinct_networks(space, drawn + CANDIDATES, seed)
    if len(genomes) < drawn + calibration:
        raise InputError(f"held_out: space {space.name!r} has {len(genomes)} networks for {held_out} + {calibration}.")
    tested, candidates = genomes[:drawn], genomes[drawn:]
    # Tracing keeps one core busy; compiling, which takes as long, mostly goes on beside it.
    operations, compiled = in_parallel(
        lambda task: task(),
        [
            lambda: all_operations(space, network, x, seed=seed),
            lambda: compile_networks(space, network, tested, x, seed=seed),
        ],
    )
    say(f"{len(operations.distinct)} distinct operations ({time.perf_counter() - begin:.0f} s)")
    tested, programs = _reading(tested, compiled)
    tested, programs = tested[:held_out], programs[:held_out]
    start = time.perf_counter()
    timings = meter.operations(operations.distinct, OPERATIONS * left())
    timed = {"operations": _about(list(timings.values()), time.perf_counter() - start)}
    alone = np.array([1e3 * timings[key].median for key in operations.distinct])
    told = "estimated" if meter.estimated_by else "timed"
    say(f"{sum(alone > 0)} of them {told} alone, {alone[alone > 0].min():.3g} to {alone.max():.3g} ms")
    counts = operations.counts(candidates)
    chosen = candidates[select_calibration_set(counts, alone, operations.classes, calibration)]
    chosen, calibrating = _reading(chosen, compile_networks(space, network, chosen, x, seed=seed))
    start = time.perf_counter()
    networks = meter.networks([*programs, *calibrating], left())
    timed["networks"] = about = _about(networks, time.perf_counter() - start)
    rounds_taken = (
        f" by {meter.estimated_by}"
        if meter.estimated_by
        else f", in {about['rounds_least']} to {about['rounds_most']} rounds (the calmer half counts), while others "
        f"took {about['stolen']:.0%} of the time that their threads were ready"
    )
    say(f"{len(networks)} networks {told}{rounds_taken}")
    table = calibrated_table(space, operations, timings, chosen, networks[len(programs) :], x, meter)
    if not held_out:
        return Profile(table, None, timed)
    counts, own = operations.counts(tested), networks[: len(programs)]
    predicted = sum(term.values[tuple(tested[:, d] for d in term.decisions)] for term in table.terms)
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
        timed,
    )


def _about(timings: Sequence[Timing], seconds: float) -> dict[str, float]:
    """See `Profile.timing`."""
    rounds = [len(t.seconds) + t.left_out for t in timings]
    return {
        "seconds": seconds,
        "rounds_least": min(rounds),
        "rounds_most": max(rounds),
        "left_out": max(t.left_out for t in timings),
        "stolen": float(np.mean([t.stolen for t in timings])),
        "noise_floor": noise_floor({str(i): t for i, t in enumerate(timings)}),
    }


def _reading(genomes: np.ndarray, networks: list[Network]) -> tuple[np.ndarray, list[Network]]:
    """Without the networks whose outputs do not depend on their images."""
    reads = np.array([network.reads for network in networks], bool)
    return genomes[: len(reads)][reads], [network for network in networks if network.reads]


def distinct_networks(space: Space, n: int, seed: int) -> np.ndarray:
    """`[at most n, D]` random pruned genomes, all different."""
    keys = jax.random.split(jax.random.key(seed), 4 * n)
    genomes = np.asarray(jax.jit(jax.vmap(lambda key: space.pruned(space.sample(key))))(keys), np.int32)
    return genomes[np.sort(np.unique(genomes, axis=0, return_index=True)[1])][:n]
