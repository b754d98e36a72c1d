"""ENAS: a controller on shared weights that learn from its own samples (Pham et al., 2018)."""

from collections.abc import Callable
from typing import Any

import chex
import jax.numpy as jnp
from flax import struct

from jaxnas import check
from jaxnas.spaces import needed
from jaxnas.strategies.best import Best, unknown
from jaxnas.strategies.policy import Policy
from jaxnas.strategies.policy_gradient import reinforce
from jaxnas.types import Space, Strategy, narrow


@struct.dataclass
class EnasState:
    """`best` is that of the final scores; `scored` says whether there was one."""

    controller: Any
    rounds: chex.Array
    scored: chex.Array
    best: Best


def enas(
    space: Space,
    *,
    rounds: int,
    weight_rounds: int = 1,
    proposals: int = 5,
    learning_rate: float = 0.01,
    baseline_decay: float = 0.9,
    entropy_weight: float = 0.2,
    hidden: int = 32,
    policy: Callable[[Space], Policy] | None = None,
) -> Strategy:
    """Samples of the policy train the weights for some rounds, then are scored to train the policy for one.

    Weight rounds give each of P samples a weight step; in a policy round budget 0 asks for scores, on which `reinforce`
    takes its step. After `rounds`, samples are only scored, and the best of those is recommended: scores from before
    are of other weights.

    Args:
      space: categorical.
      rounds: of learning; those of the search beyond are final scores.
      weight_rounds: before each policy round.
      proposals, learning_rate, baseline_decay, entropy_weight, hidden, policy: as in `reinforce`.

    Raises:
      InputError: a number out of its range, a space that is not categorical.
    """
    needed.categorical("strategy 'enas'", space)
    check.integer("rounds", rounds, least=1)
    check.integer("weight_rounds", weight_rounds, least=1)
    controller = reinforce(
        space,
        proposals=proposals,
        learning_rate=learning_rate,
        baseline_decay=baseline_decay,
        entropy_weight=entropy_weight,
        hidden=hidden,
        policy=policy,
    )

    def init(key):
        return EnasState(controller.init(key), jnp.int32(0), jnp.array(False), unknown(space, key))

    def ask(key, state):
        proposal, inner = controller.ask(key, state.controller)
        final = state.rounds >= rounds
        trains = ~final & (state.rounds % (weight_rounds + 1) < weight_rounds)
        P = proposal.budget.shape
        extra = {"controller": proposal.extra, "final": jnp.full(P, final)}
        proposal = proposal.replace(budget=jnp.full(P, trains, jnp.int32), extra=extra)
        return proposal, state.replace(controller=inner, rounds=state.rounds + 1)

    def tell(key, state, proposal, feedback):
        feedback = narrow(feedback)
        # By the proposal, not by the counter, so that late answers are read right.
        final, scored = proposal.extra["final"], proposal.budget == 0
        alone = lambda members: proposal.replace(active=proposal.active & members, extra=proposal.extra["controller"])
        inner = controller.tell(key, state.controller, alone(scored & ~final), feedback)
        begun = state.scored | final.any()
        forget = begun & ~state.scored
        best = state.best.replace(fitness=jnp.where(forget, -jnp.inf, state.best.fitness))
        best = best.update(alone(scored & (final | ~begun)), feedback)
        return state.replace(controller=inner, scored=begun, best=best)

    def adopt(state, proposal, genomes, wanted):
        own = proposal.replace(extra=proposal.extra["controller"])
        inner, controlled, there = controller.adopt(state.controller, own, genomes, wanted)
        extra = {**proposal.extra, "controller": inner.extra}
        return inner.replace(extra=extra), state.replace(controller=controlled), there

    gives = frozenset({"budget"})
    needs = frozenset({"fitness", "shared"})
    return Strategy("enas", init, ask, tell, lambda state: state.best.genome, needs=needs, gives=gives, adopt=adopt)
