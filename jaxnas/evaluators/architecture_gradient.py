"""Gradients of the validation loss in the weights of a mixture: first and second order (Liu et al., 2019).

Each is `(shared, state, weights [D, C], gates [D, C] or None, examples) -> (loss, gradient [D, C])`.
"""

import chex
import jax
import jax.numpy as jnp
import optax

from jaxnas.evaluators.shared_weights import SharedWeights, SupernetState
from jaxnas.tasks.batch import Batch


def first(
    shared: SharedWeights, state: SupernetState, weights: chex.Array, gates: chex.Array | None, examples: Batch
) -> tuple[chex.Array, chex.Array]:
    """At the parameters as they are."""
    of = lambda w: shared.loss(state.params, state, shared.decisions(None, w, gates), examples)[0]
    return shared.mean(jax.value_and_grad(of)(weights))


def second(
    shared: SharedWeights, state: SupernetState, weights: chex.Array, gates: chex.Array | None, examples: Batch
) -> tuple[chex.Array, chex.Array]:
    """At the parameters after one more weight step, differentiated through that step (equation 7)."""
    upcoming = shared.batch(state)

    def of(w):
        choices = shared.decisions(None, w, gates)
        gradient = shared.mean(jax.grad(lambda p: shared.loss(p, state, choices, upcoming)[0])(state.params))
        return shared.loss(shared.apply_gradients(state, gradient)[0], state, choices, examples)[0]

    return shared.mean(jax.value_and_grad(of)(weights))


def finite_difference(
    shared: SharedWeights, state: SupernetState, weights: chex.Array, gates: chex.Array | None, examples: Batch
) -> tuple[chex.Array, chex.Array]:
    """As `second`, with the mixed second derivative from gradients at two points 0.01 away (equation 8)."""
    upcoming = shared.batch(state)
    loss = lambda p, w, on: shared.loss(p, state, shared.decisions(None, w, gates), on)[0]
    gradient = shared.mean(jax.grad(loss)(state.params, weights, upcoming))
    params, pull = jax.vjp(lambda g: shared.apply_gradients(state, g)[0], gradient)
    value, (slope, direct) = jax.value_and_grad(loss, (0, 1))(params, weights, examples)
    (along,) = pull(shared.mean(slope))
    size = 0.01 / jnp.maximum(optax.tree.norm(along), 1e-12)
    moved = lambda sign: jax.tree.map(lambda p, a: p + (sign * size * a).astype(p.dtype), state.params, along)
    at = lambda sign: jax.grad(loss, 1)(moved(sign), weights, upcoming)
    ends = jax.lax.map(at, jnp.array([1.0, -1.0], value.dtype))  # one after the other: compiled once
    return shared.mean((value, direct + (ends[0] - ends[1]) / (2 * size)))


ORDERS = {"first": first, "second": second, "finite_difference": finite_difference}
