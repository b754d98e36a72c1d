"""GDAS: differentiable search that samples one path at a time (Dong and Yang, 2019)."""

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
class GdasState:
    logits: chex.Array
    optimizer: Any
    asked: chex.Array


def gdas(
    space: Space,
    *,
    rounds: int,
    temperature: float = 10.0,
    final_temperature: float = 0.1,
    learning_rate: float = 3e-4,
    weight_decay: float = 1e-3,
    momentum: float = 0.5,
    expected_cost: Callable | None = None,
    cost_weight: float | Sequence[float] = 0.0,
) -> Strategy:
    """A Gumbel-softmax sample, made one-hot on the way forward and soft on the way back (straight through).

    One option of each decision is computed. The gradient reaches the logits through the soft sample (equation 7); an
    option that was not computed counts 0 in it. A cost is that expected of the soft sample, as in FBNet (Wu et al.,
    2019). One draw serves the weight step and the gradient of a round, where the authors' code draws for each.
    Recommends `space.derive` of the softmax.

    Args:
      space: its `mask` and `derive`.
      rounds: over which the temperature falls linearly; it stays there.
      temperature: at the first round.
      final_temperature: at the last.
      learning_rate: of Adam.
      weight_decay: added to the logits' gradient.
      momentum: Adam's first decay rate.
      expected_cost: `probabilities [D, C] -> [K]` or a scalar, differentiable, as `jaxnas.costs` makes it; None: none.
      cost_weight: loss that a unit of cost is worth; one for all K costs, or one for each.

    Raises:
      InputError: a number out of its range, a space that is not categorical.
    """
    needed.categorical("strategy 'gdas'", space, "derive")
    adam = relaxed.adam(learning_rate, weight_decay, momentum)
    check.integer("rounds", rounds, least=1)
    cost_gradient = relaxed.priced(space, expected_cost, cost_weight)
    for name, value in {"temperature": temperature, "final_temperature": final_temperature}.items():
        check.real(name, value, least=1e-6)

    def soft(logits, noise, tau):
        return jax.nn.softmax((jax.nn.log_softmax(relaxed.masked(space, logits)) + noise) / tau, -1)

    def init(key):
        logits = relaxed.initial(space, key)
        return GdasState(logits, adam.init(logits), jnp.int32(0))

    def ask(key, state):
        noise = jax.random.gumbel(key, space.mask.shape, jnp.float32)
        tau = temperature + (final_temperature - temperature) * jnp.minimum(state.asked.astype(jnp.float32) / rounds, 1)
        sample = soft(state.logits, noise, tau)
        hard = jax.nn.one_hot(jnp.argmax(sample, -1), space.mask.shape[1], dtype=jnp.float32)
        proposal = propose(
            space.derive(relaxed.softmax(space, state.logits))[None],
            state.asked,
            budget=1,
            weights=hard[None],
            gates=hard[None] > 0,
            extra={"noise": noise[None], "temperature": tau[None]},
        )
        return proposal, state.replace(asked=state.asked + 1)

    def tell(key, state, proposal, feedback):
        feedback = narrow(feedback)

        def pulled(gradient, extra):
            sample, pull = jax.vjp(lambda a: soft(a, extra["noise"], extra["temperature"]), state.logits)
            return pull(gradient + cost_gradient(sample))[0]

        gradient = jax.vmap(pulled)(relaxed.member_gradient(proposal, feedback), proposal.extra).sum(0)
        return relaxed.descend(state, adam, gradient, usable(proposal, feedback).any())

    needs, gives = frozenset({"gradient", "shared"}), frozenset({"weights", "gates", "budget"})
    return Strategy("gdas", init, ask, tell, relaxed.derived(space), needs=needs, gives=gives)
