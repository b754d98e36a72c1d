"""Costs of an architecture, beside a fitness that comes without."""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp

from jaxnas.check import InputError
from jaxnas.types import Evaluator


def with_cost(evaluator: Evaluator, cost: Callable, names: Sequence[str]) -> Evaluator:
    """The evaluator, whose feedback has `cost(genome) -> [K]` (a scalar where K = 1) as its last K costs.

    Args:
      evaluator: what to wrap.
      cost: pure JAX code, vmapped over the population; NaN makes a member unusable.
      names: of the K costs.

    Raises:
      InputError: no name, or one that the evaluator has already; in `evaluate`, as many costs as there are no names.
    """
    names = (names,) if isinstance(names, str) else tuple(names)
    twice = [n for i, n in enumerate(names) if n in (*evaluator.cost_names, *names[:i])]
    if not names or twice:
        raise InputError(f"names: expected new names of costs, got {', '.join(twice) + ' twice' if twice else 'none'}.")

    def evaluate(key, state, proposal):
        feedback, state = evaluator.evaluate(key, state, proposal)
        new = jax.vmap(lambda genome: jnp.atleast_1d(cost(genome)))(proposal.genome)
        if new.shape[1:] != (len(names),):
            raise InputError(f"cost: expected [{len(names)}], of {', '.join(names)}, got {list(new.shape[1:])}.")
        valid = feedback.valid & jnp.isfinite(new).all(-1)
        return feedback.replace(cost=jnp.concatenate([jnp.asarray(feedback.cost), new], 1), valid=valid), state

    return evaluator._replace(
        name=f"with_cost({evaluator.name})",
        evaluate=evaluate,
        gives=evaluator.gives | {"cost"},
        cost_names=(*evaluator.cost_names, *names),
        known=None,
    )
