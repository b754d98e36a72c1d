"""Binary gates: ProxylessNAS's search, two paths in memory at a time (Cai, Zhu and Han, 2019)."""

from collections.abc import Callable, Sequence
from typing import Any

import chex
import jax
import jax.numpy as jnp
import optax
from flax import struct

from jaxnas import check
from jaxnas.spaces import needed
from jaxnas.strategies import relaxed
from jaxnas.types import Space, Strategy, narrow, propose, usable


@struct.dataclass
class BinaryGatesState:
    logits: chex.Array
    optimizer: Any
    asked: chex.Array


def binary_gates(
    space: Space,
    *,
    learning_rate: float = 1e-3,
    weight_decay: float = 0.0,
    weight_rounds: int = 1,
    expected_cost: Callable | None = None,
    cost_weight: float | Sequence[float] = 0.0,
) -> Strategy:
    """Rounds of weights train one sampled path; after `weight_rounds` of them one moves logits, of two options each.

    There, two options of each decision are drawn without replacement by their probabilities, both are computed, and
    one of the two is the output. With p the softmax over the pair and g the loss's gradient in the gates, the logits'
    is d logits_i = sum_j g_j p_j (1[i = j] - p_i) (the paper's equation 4, within the pair of section 3.2). After the
    step the pair is shifted, so that all others keep their probability. Adam has no momentum, which would move logits
    that were not drawn. A cost (equation 6) is that expected within the pair, and its gradient in p is added to g: it
    moves what was drawn, and weighs as much beside the loss wherever the probabilities are. Recommends `space.derive`
    of the softmax.

    Args:
      space: its `mask` and `derive`; every decision has two options.
      learning_rate: of Adam.
      weight_decay: added to the gradient of the logits drawn.
      weight_rounds: between two rounds of the logits.
      expected_cost: `probabilities [D, C] -> [K]` or a scalar, differentiable, as `jaxnas.costs` makes it; None: none.
      cost_weight: loss that a unit of cost is worth; one for all K costs, or one for each.

    Raises:
      InputError: a number out of its range, a space that is not categorical.
    """
    needed.categorical("strategy 'binary_gates'", space, "derive")
    adam = relaxed.adam(learning_rate, weight_decay, 0.0)
    check.integer("weight_rounds", weight_rounds, least=1)
    cost_gradient = relaxed.priced(space, expected_cost, cost_weight)
    C = space.mask.shape[1]

    def init(key):
        logits = relaxed.initial(space, key)
        return BinaryGatesState(logits, adam.init(logits), jnp.int32(0))

    def ask(key, state):
        draw_key, key = jax.random.split(key)
        noisy = relaxed.masked(space, state.logits) + jax.random.gumbel(draw_key, space.mask.shape, jnp.float32)
        order = jnp.argsort(-noisy, -1)  # Gumbel: a draw without replacement
        hot = lambda chosen: jax.nn.one_hot(chosen, C, dtype=jnp.float32)
        pair = hot(order[:, 0]) + hot(order[:, 1]) > 0
        within = jnp.where(pair, state.logits, -jnp.inf)
        output = hot(jax.random.categorical(key, within))
        path = hot(order[:, 0])
        learns = state.asked % (weight_rounds + 1) == weight_rounds
        weights = jnp.where(learns, output, path)
        proposal = propose(
            space.derive(relaxed.softmax(space, state.logits))[None],
            state.asked,
            budget=jnp.where(learns, 0, 1),
            weights=weights[None],
            gates=jnp.where(learns, pair, path > 0)[None],
        )
        return proposal, state.replace(asked=state.asked + 1)

    def tell(key, state, proposal, feedback):
        feedback = narrow(feedback)
        learns = usable(proposal, feedback) & (proposal.budget == 0)
        pair = proposal.gates[0]
        p = jax.nn.softmax(jnp.where(pair, state.logits, -jnp.inf), -1)
        g = relaxed.member_gradient(proposal, feedback)[0] + cost_gradient(p)
        gradient = p * (g - (g * p).sum(-1, keepdims=True))
        updates, optimizer = adam.update(gradient, state.optimizer, jnp.where(pair, state.logits, 0))
        logits = jnp.where(pair, optax.apply_updates(state.logits, updates), state.logits)
        mass = lambda a: jax.nn.logsumexp(jnp.where(pair, a, -jnp.inf), -1, keepdims=True)
        logits = jnp.where(pair, logits + mass(state.logits) - mass(logits), logits)
        moved = state.replace(logits=logits, optimizer=optimizer)
        return jax.tree.map(lambda new, old: jnp.where(learns.any(), new, old), moved, state)

    needs, gives = frozenset({"gradient", "shared"}), frozenset({"weights", "gates", "budget"})
    return Strategy("binary_gates", init, ask, tell, relaxed.derived(space), needs=needs, gives=gives)
