"""Fitness straight from a user's function."""

import numbers
import traceback
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from jaxnas import check
from jaxnas.check import InputError
from jaxnas.networks import GraphNetwork
from jaxnas.types import Evaluator, member_keys, population_of, scored


def direct(
    fitness: Callable, *, network: GraphNetwork | None = None, jittable: bool = True, max_failures: int = 10
) -> Evaluator:
    """Evaluates `fitness(key, genome)`, or with a network `fitness(apply, genome, key)`, on every member.

    It gives a scalar, higher is better, or `(scalar, {name: metric})`. What is not finite marks a failure: the member
    is recorded as not valid, and counted, and never becomes a parent. So is one for which a Python function raises, or
    gives None or text; its line of the history has the field `error`, which says why.

    Args:
      fitness: pure JAX code, vmapped over the population; or, with `jittable=False`, any Python function, called
        once for each active member with a NumPy genome.
      network: how genomes that are graphs compute. `apply(genome, inputs)` is its `apply`; for the very genome that
        `fitness` was given, weights are made ready once, outside of any loop that calls it.
      jittable: whether `fitness` can be traced.
      max_failures: this number of consecutive members for which a Python function raised, or gave no number, ends the
        search; it goes on from there once `fitness` is mended.

    Raises:
      InputError: (when evaluated) `fitness` gives an array; too many failures in a row.
    """
    check.integer("max_failures", max_failures, least=1)

    def member(key, genome, wired):
        if network is None:
            return _parts(fitness(key, genome))

        def apply(own, *inputs):
            return network.run(wired, *inputs) if own is genome else network.apply(own, *inputs)

        return _parts(fitness(apply, genome, key))

    def traced(key, state, proposal):
        genomes, wired = proposal.genome, None
        if network is not None:
            wired = jax.vmap(network.prepare, out_axes=-1)(genomes)  # members last, as the network computes
        values, metrics = jax.vmap(member, (0, 0, -1))(member_keys(key, proposal), genomes, wired)
        return scored(values, metrics=metrics), state

    def called(key, state, proposal):
        P, failed = population_of(proposal), int(state)
        host, keys = jax.tree.map(np.asarray, proposal), member_keys(key, proposal)
        values, metrics, errors = np.full(P, np.nan, np.float32), {}, np.full(P, "", object)
        for i in np.flatnonzero(host.active):
            one = jax.tree.map(lambda leaf: leaf[i], host.genome)  # noqa: B023 used at once
            try:
                said = fitness(keys[i], one) if network is None else fitness(network.apply, one, keys[i])
            except Exception as error:
                said, errors[i], cause = (None, {}), _in_words(error), error
            else:
                said, cause = said if isinstance(said, tuple) else (said, {}), None
                errors[i] = "" if _is_number(said[0]) else f"expected a number, got {said[0]!r}"[:MESSAGE]
            failed = failed + 1 if errors[i] else 0
            if failed >= max_failures:
                raise InputError(
                    f"evaluator 'direct': {failed} evaluations in a row failed, the last with: {errors[i]}"
                ) from cause
            if errors[i]:
                continue
            values[i], named = _parts(said)
            for name, value in named.items():
                metrics.setdefault(name, np.full(P, np.nan, np.float32))[i] = value
        if errors.any():
            metrics["error"] = errors
        return scored(values, valid=np.isfinite(values), metrics=metrics), np.int32(failed)

    evaluate, init = (traced, lambda key: ()) if jittable else (called, lambda key: np.int32(0))
    return Evaluator("direct", init=init, evaluate=evaluate, jittable=jittable, group=0 if jittable else 1)


MESSAGE = 500
"""Characters of a message that are kept."""


def _in_words(error: Exception) -> str:
    """The exception, and the line of the user's code that it comes from."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {error}"[:MESSAGE] + f" ({last.filename}, line {last.lineno})"


def _is_number(value) -> bool:
    """Whether it can be a fitness, or an array that was meant to be one."""
    if isinstance(value, (np.ndarray, np.generic)):
        return value.dtype.kind not in "OSUcMm"
    return isinstance(value, (numbers.Real, jax.Array))


def _parts(value) -> tuple:
    """The fitness and the metrics of what a fitness function returned."""
    value, metrics = value if isinstance(value, tuple) else (value, {})
    for name, part in {"fitness": value, **metrics}.items():
        if not _is_number(part):
            raise InputError(f"evaluator 'direct': expected {name} to be a number, got {part!r}.")
        if np.shape(part) != ():
            raise InputError(
                f"evaluator 'direct': expected {name} to be one number for each genome, got an array of shape "
                f"{np.shape(part)}; reduce it, by a sum or mean say."
            )
    return jnp.asarray(value, jnp.float32), {name: jnp.asarray(metric) for name, metric in metrics.items()}
