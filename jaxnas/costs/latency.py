"""Latency of architectures, predicted from measured operations.

Each distinct operation of a space is timed alone; an architecture's latency is the sum over its operations. What that
leaves out (fusion, caches, operations side by side) is learnt from a few whole networks: calibration.
"""

import difflib
import itertools
import json
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from jaxnas import check
from jaxnas.check import InputError
from jaxnas.costs.measure import environment
from jaxnas.costs.operations import Operations, Tracer
from jaxnas.costs.timing import Timing, noise_floor
from jaxnas.spaces import needed
from jaxnas.types import Genome, Space

FORMAT = "jaxnas latency table 1"


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


def most_telling(counts: np.ndarray, alone: np.ndarray, classes: Sequence[str], n: int) -> np.ndarray:
    """`[n]` which of `counts` `[N, O]` to measure, so that the others are predicted best: greedily, each the one that
    takes most from the sum of their variances (A-optimal for `calibrate`). Args are those of `calibrate`.

    Of 79 networks of NAS-Bench-201, 16 so chosen predicted others with a mean error of 3.2 %, random ones of 4.1 %.

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


class Entry(NamedTuple):
    """Of one operation.

    Attributes:
      ms: measured alone.
      noise: see `Timing.noise`.
      calibrated_ms: what it adds to a network.
    """

    ms: float
    noise: float
    calibrated_ms: float


class LatencyTerm(NamedTuple):
    """What some decisions together add to the latency.

    Attributes:
      decisions: their positions.
      ms: `[options of the first, of the second, ...]`.
    """

    decisions: tuple[int, ...]
    ms: np.ndarray


class LatencyTable(NamedTuple):
    """What was measured, and where.

    Attributes:
      environment: device, versions, flags, and the batch's shape and dtype; see `environment`.
      space: its decisions -> their options, as text.
      operations: `Operation.key` -> entry.
      terms: whose sum is the latency of a pruned genome.
      calibration: "networks", how many, their "noise_floor" (see `costs.noise_floor`), and the mean error on them, of
        the sum of times alone "uncalibrated_mape", of the calibrated one "mape"; fractions.
    """

    environment: Mapping[str, Any]
    space: Mapping[str, Sequence[str]]
    operations: Mapping[str, Entry]
    terms: Sequence[LatencyTerm]
    calibration: Mapping[str, float]

    @property
    def batch(self) -> jax.ShapeDtypeStruct:
        """Shape and dtype of the images."""
        return jax.ShapeDtypeStruct(tuple(self.environment["shape"]), self.environment["dtype"])

    def save(self, path: str | pathlib.Path) -> None:
        """Writes JSON, whole or not at all."""
        fields = self._asdict()
        fields["operations"] = {k: e._asdict() for k, e in self.operations.items()}
        rounded = lambda ms: np.vectorize(lambda v: float(f"{v:.6g}"), otypes=[float])(ms).tolist()
        fields["terms"] = [{"decisions": list(t.decisions), "ms": rounded(t.ms)} for t in self.terms]
        path = pathlib.Path(path)
        partial = path.with_name(path.name + ".partial")
        partial.write_text(json.dumps({"format": FORMAT, **fields}))
        partial.replace(path)


def latency_table(
    space: Space,
    operations: Operations,
    timings: Mapping[str, Timing],
    genomes: Sequence[Genome],
    networks: Sequence[Timing],
    x: jax.ShapeDtypeStruct,
) -> LatencyTable:
    """The table of measured operations, calibrated on measured networks.

    Args:
      space: of the genomes.
      operations: of the space, see `all_operations`.
      timings: of each of them, see `measure_operations`.
      genomes: that calibrate, pruned.
      networks: their timings, see `measure_networks`.
      x: shape and dtype of a batch.
    """
    alone = np.array([1e3 * timings[key].median for key in operations.distinct])
    counts, ms = operations.counts(genomes), np.array([1e3 * t.median for t in networks])
    fit = calibrate(counts, alone, operations.classes, ms)
    keyed = zip(operations.distinct, alone, fit.ms, strict=True)
    entries = {key: Entry(float(a), timings[key].noise, float(c)) for key, a, c in keyed}
    terms = [LatencyTerm(t.decisions, t.counts @ fit.ms) for t in operations.terms]
    errors = {"uncalibrated_mape": counts @ alone, "mape": counts @ fit.ms + fit.constant}
    about = {
        "networks": len(ms),
        "noise_floor": noise_floor({str(i): t for i, t in enumerate(networks)}),
        **{name: float(np.mean(abs(predicted / ms - 1))) for name, predicted in errors.items()},
    }
    constant = LatencyTerm((), np.asarray(fit.constant))
    return LatencyTable(environment(x), _named(space), entries, [constant, *terms], about)


def _named(space: Space) -> dict[str, list[str]]:
    return {name: [str(o) for o in options] for name, options in zip(space.decisions, space.options, strict=True)}


def load_latency_table(
    path: str | pathlib.Path, *, batch: jax.ShapeDtypeStruct | None = None, anywhere: bool = False
) -> LatencyTable:
    """Reads a table that `LatencyTable.save` wrote.

    Args:
      path: of the file.
      batch: shape and dtype of the images that it is for; by default those of the table.
      anywhere: whether a table of another environment will do.

    Raises:
      InputError: no such file, not such a table, or one that was measured in another environment.
    """
    try:
        fields = json.loads(pathlib.Path(path).read_text())
    except (OSError, ValueError) as error:
        raise InputError(f"latency table: {path} cannot be read ({error}); `jaxnas profile` makes one.") from error
    if not isinstance(fields, dict) or fields.pop("format", None) != FORMAT or set(fields) != set(LatencyTable._fields):
        raise InputError(f"latency table: {path} is not one ({FORMAT!r}); `jaxnas profile` makes one.")
    fields["operations"] = {k: Entry(**e) for k, e in fields["operations"].items()}
    fields["terms"] = [LatencyTerm(tuple(t["decisions"]), np.asarray(t["ms"])) for t in fields["terms"]]
    table = LatencyTable(**fields)
    here = environment(batch or table.batch)
    other = {k: v for k, v in table.environment.items() if here.get(k) != v}
    if other and not anywhere:
        differences = "; ".join(f"{k} {v!r}, here {here.get(k)!r}" for k, v in other.items())
        raise InputError(
            f"latency table: {path} was measured elsewhere: {differences}. Measure here with `jaxnas profile`, or say "
            "anywhere=True to use it all the same."
        )
    return table


class LatencyModel(NamedTuple):
    """Latency of a space's architectures in ms, in pure JAX.

    Attributes:
      latency: `genome [D] -> ms` of its pruned form.
      expected_latency: `probabilities [D, C] -> ms`, of decisions drawn independently; differentiable.
    """

    latency: Callable[[chex.Array], chex.Array]
    expected_latency: Callable[[chex.Array], chex.Array]


def latency_model(space: Space, network: nn.Module, table: LatencyTable, *, seed: int = 0) -> LatencyModel:
    """Predictions by a table.

    Args:
      space: of the genomes.
      network: whose operations the table must have; checked on random genomes.
      table: measured for this space and network.
      seed: of these genomes.

    Raises:
      InputError: a space that is not categorical, a table of another one, or an operation that it does not have, with
        the nearest that it has.
    """
    needed.categorical("latency_model", space)
    if _named(space) != {name: list(options) for name, options in table.space.items()}:
        raise InputError(
            f"latency table: it is of a space that decides {', '.join(table.space)}, not of {space.name!r} with "
            f"{', '.join(space.decisions)} and the same options."
        )
    genomes = jax.vmap(lambda key: space.pruned(space.sample(key)))(jax.random.split(jax.random.key(seed), 8))
    examples = [space.unpack(genome) for genome in np.asarray(genomes)]
    tracer = Tracer(network, table.batch, examples)
    for decisions in examples:
        for _, operation in tracer.operations(decisions):
            if operation not in table.operations:
                near = difflib.get_close_matches(operation, table.operations, n=1)
                raise InputError(
                    f"latency table: the network runs {operation!r}, which the table does not have"
                    f"{f' (the nearest is {near[0]!r})' if near else ''}. Measure this network with `jaxnas profile`."
                )

    def latency(genome):
        genome = space.pruned(jnp.asarray(genome))
        at = lambda term: jnp.asarray(term.ms, jnp.float32)[tuple(genome[d] for d in term.decisions)]
        return sum(at(term) for term in table.terms)

    def expected_latency(probabilities):
        total = 0.0
        for term in table.terms:
            left = jnp.asarray(term.ms, jnp.float32)
            for d in reversed(term.decisions):
                left = left @ probabilities[d, : left.shape[-1]]
            total += left
        return total

    return LatencyModel(latency, expected_latency)


def fastest(space: Space, latency: Callable, *, samples: int = 256, seed: int = 0) -> tuple[np.ndarray, float]:
    """A genome of least latency, by descent over neighbors from the fastest of random ones; and its latency.

    Raises:
      InputError: a space without neighbors, or whose genomes are no single arrays; a latency that is known of none of
        the samples.
    """
    needed.one_array("fastest", space)
    needed.functions("fastest", space, "neighbors")
    known = lambda ms: jnp.where(jnp.isnan(ms), jnp.inf, ms)
    of, neighbors = jax.jit(lambda genomes: known(jax.vmap(latency)(genomes))), jax.jit(space.neighbors)
    start = jax.vmap(space.sample)(jax.random.split(jax.random.key(seed), samples))
    best = start[jnp.argmin(of(start))]
    value = float(of(best[None])[0])
    if value == float("inf"):
        raise InputError(f"latency: it is not known of any of {samples} samples of space {space.name!r}.")
    while True:
        genomes, mask = neighbors(best)
        near = jnp.where(mask, of(genomes), jnp.inf)
        if not float(near.min()) < value:
            return np.asarray(best), value
        best, value = genomes[jnp.argmin(near)], float(near.min())
