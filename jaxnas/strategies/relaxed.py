"""Architecture logits and their descent, shared by DARTS, GDAS and binary gates."""

from collections.abc import Callable, Sequence

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxnas import check
from jaxnas.check import InputError
from jaxnas.types import Feedback, Proposal, Space, State, in_32_bits, usable


def initial(space: Space, key: chex.PRNGKey) -> chex.Array:
    """`[D, C]` logits, normal with standard deviation 0.001 as published."""
    return 1e-3 * jax.random.normal(key, space.mask.shape, jnp.float32)


def masked(space: Space, logits: chex.Array) -> chex.Array:
    """Logits, -inf where there is no option."""
    return jnp.where(space.mask, logits, -jnp.inf)


def softmax(space: Space, logits: chex.Array) -> chex.Array:
    """`[D, C]` probabilities, 0 where there is no option."""
    return jax.nn.softmax(masked(space, logits), -1)


def adam(learning_rate: float, weight_decay: float, momentum: float) -> optax.GradientTransformation:
    """Adam with the decay added to the gradient, as the authors of DARTS use it.

    Raises:
      InputError: a number out of its range.
    """
    check.real("learning_rate", learning_rate, least=0)
    check.real("weight_decay", weight_decay, least=0)
    chain = optax.chain(optax.add_decayed_weights(weight_decay), optax.adam(learning_rate, b1=momentum))
    return chain._replace(update=in_32_bits(chain.update))


def priced(space: Space, expected_cost: Callable | None, cost_weight: float | Sequence[float]) -> Callable:
    """`probabilities [D, C] -> [D, C]`, the gradient of the sum of `cost_weight * expected_cost(probabilities)`.

    To be added to the loss's, so that what is descended on is loss + weight * expected cost (Cai, Zhu and Han, 2019,
    equation 6; Wu et al., 2019): wherever the loss's gradient is taken, at a mixture, a Gumbel sample or a pair.

    Raises:
      InputError: a negative weight, a weight without a cost, weights that are not as many as costs, or a cost that is
        not known of every option.
    """
    weights = cost_weight if isinstance(cost_weight, (list, tuple)) else [cost_weight]
    for weight in weights:
        check.real("cost_weight", weight, least=0)
    if expected_cost is None:
        if any(weights):
            raise InputError(f"cost_weight: {cost_weight!r} has nothing to weigh; give expected_cost, or 0.")
        return jnp.zeros_like
    check.function("expected_cost", expected_cost)
    total = lambda probabilities: jnp.sum(jnp.asarray(weights, jnp.float32) * expected_cost(probabilities))
    even = np.asarray(space.mask / space.mask.sum(1, keepdims=True), np.float32)
    found = np.asarray(expected_cost(jnp.asarray(even)))
    if not np.isfinite(found).all():
        raise InputError(
            f"expected_cost: of all options with equal probability it is {found}; the cost of every option must be "
            "known."
        )
    if len(weights) not in (1, found.size):
        raise InputError(f"cost_weight: expected one for each of {found.size} costs, got {list(weights)}.")
    return jax.grad(total)


def descend(state: State, adam: optax.GradientTransformation, gradient: chex.Array, learns: chex.Array) -> State:
    """The state of `logits` and `optimizer` after a step of Adam along the gradient `[D, C]`, where it `learns`."""
    updates, optimizer = adam.update(gradient, state.optimizer, state.logits)
    stepped = state.replace(logits=optax.apply_updates(state.logits, updates), optimizer=optimizer)
    return jax.tree.map(lambda new, old: jnp.where(learns, new, old), stepped, state)


def derived(space: Space) -> Callable:
    """`state -> genome`, what the space derives from the softmax of the logits."""
    return lambda state: space.derive(softmax(space, state.logits))


def member_gradient(proposal: Proposal, feedback: Feedback) -> chex.Array:
    """`[P, D, C]` the gradients of usable members, 0 for the others."""
    ok = usable(proposal, feedback)[:, None, None]
    return jnp.where(ok, feedback.gradient, 0)
