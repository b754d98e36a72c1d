"""DARTS: differentiable architecture search on a relaxed supernet (Liu, Simonyan and Yang, 2019)."""

from collections.abc import Callable, Sequence
from typing import Any

import chex
import jax
import jax.numpy as jnp
from flax import struct

from jaxnas import check
from jaxnas.spaces import needed
from jaxnas.strategies import relaxed
from jaxnas.types import Space, Strategy, narrow, propose, usable


@struct.dataclass
class DartsState:
    logits: chex.Array
    optimizer: Any
    asked: chex.Array
    told: chex.Array


def darts(
    space: Space,
    *,
    learning_rate: float = 3e-4,
    weight_decay: float = 1e-3,
    warm_up: int = 0,
    momentum: float = 0.5,
    expected_cost: Callable | None = None,
    cost_weight: float | Sequence[float] = 0.0,
) -> Strategy:
    """The softmax of architecture logits mixes the options; Adam moves the logits along the evaluator's gradient.

    One mixture is asked for in each round, and one weight step on it: with the paper's algorithm 1, a step of the
    logits and then one of the weights at the new logits. That is weight step and gradient in each evaluation once the
    first weight step is left out, hence budget 0 in the first round. First or second order is the evaluator's matter.
    Recommends `space.derive` of the softmax.

    Args:
      space: its `mask` and `derive`.
      learning_rate: of Adam.
      weight_decay: added to the logits' gradient.
      warm_up: rounds in which only weights learn.
      momentum: Adam's first decay rate.
      expected_cost: `probabilities [D, C] -> [K]` or a scalar, differentiable, as `jaxnas.costs` makes it; None: none.
      cost_weight: loss that a unit of cost is worth; one for all K costs, or one for each.

    Raises:
      InputError: a number out of its range, a space that is not categorical.
    """
    needed.categorical("strategy 'darts'", space, "derive")
    adam = relaxed.adam(learning_rate, weight_decay, momentum)
    check.integer("warm_up", warm_up, least=0)
    cost_gradient = relaxed.priced(space, expected_cost, cost_weight)

    def init(key):
        logits = relaxed.initial(space, key)
        return DartsState(logits, adam.init(logits), jnp.int32(0), jnp.int32(0))

    def ask(key, state):
        weights = relaxed.softmax(space, state.logits)
        budget = jnp.where((state.asked == 0) & (warm_up == 0), 0, 1)
        proposal = propose(space.derive(weights)[None], state.asked, budget=budget, weights=weights[None])
        return proposal, state.replace(asked=state.asked + 1)

    def tell(key, state, proposal, feedback):
        feedback = narrow(feedback)
        weights, pull = jax.vjp(lambda logits: relaxed.softmax(space, logits), state.logits)
        (gradient,) = pull(relaxed.member_gradient(proposal, feedback).sum(0) + cost_gradient(weights))
        learns = usable(proposal, feedback).any() & (state.told >= warm_up)
        state = relaxed.descend(state, adam, gradient, learns)
        return state.replace(told=state.told + proposal.active.any())

    needs, gives = frozenset({"gradient", "shared"}), frozenset({"weights", "budget"})
    return Strategy("darts", init, ask, tell, relaxed.derived(space), needs=needs, gives=gives)
