"""REINFORCE and PPO on a policy over architectures."""

from collections.abc import Callable
from typing import Any

import chex
import jax
import jax.numpy as jnp
import optax
from flax import struct

from jaxnas import check
from jaxnas.strategies.best import Best, black_box, unknown
from jaxnas.strategies.policy import Policy, entropy, log_prob, lstm_policy
from jaxnas.types import Space, Strategy, propose, usable


@struct.dataclass
class State:
    """`baseline` and `spread` are moving averages of fitness and of its squared distance from the baseline."""

    params: Any
    optimizer: Any
    baseline: chex.Array
    spread: chex.Array
    told: chex.Array
    asked: chex.Array
    best: Best


def reinforce(
    space: Space,
    *,
    proposals: int = 5,
    learning_rate: float = 0.01,
    baseline_decay: float = 0.9,
    entropy_weight: float = 0.2,
    hidden: int = 32,
    policy: Callable[[Space], Policy] | None = None,
    budget: int = 0,
) -> Strategy:
    """REINFORCE (Williams, 1992) on a controller, as in Zoph and Le (2017, section 3.2); recommends the best seen.

    One Adam step for each batch of P samples, along the gradient of

        mean_k advantage_k log pi(genome_k) + entropy_weight * mean_k entropy_k

    where the advantage is fitness minus its moving average (of earlier batches; the first is its own), divided by the
    moving root mean square of that difference, so that neither setting depends on the unit of fitness. The entropy is
    the sum over decisions of their conditional entropies along each sample. Members that are not usable count for
    nothing; a batch without any changes nothing.

    Args:
      space: genomes must be single integer arrays.
      proposals: P, samples for each step.
      learning_rate: of Adam.
      baseline_decay: weight of the past in the moving averages, in [0, 1).
      entropy_weight: of the bonus.
      hidden: units of the LSTM; the papers' is 100.
      policy: `space -> Policy` instead of that LSTM: `independent_policy`, or your own.
      budget: training steps for each.

    Raises:
      InputError: a number out of its range.
    """
    settings = (proposals, learning_rate, baseline_decay, entropy_weight, hidden, policy, budget)
    return _policy_gradient("reinforce", space, reinforce_surrogate, 1, *settings)


def ppo(
    space: Space,
    *,
    proposals: int = 5,
    epochs: int = 4,
    clip: float = 0.2,
    learning_rate: float = 0.005,
    baseline_decay: float = 0.9,
    entropy_weight: float = 0.1,
    hidden: int = 32,
    policy: Callable[[Space], Policy] | None = None,
    budget: int = 0,
) -> Strategy:
    """Proximal policy optimization (Schulman et al., 2017, equation 7), the choice of NASNet (Zoph et al., 2018).

    As `reinforce`, but each batch serves several Adam steps: with r = pi(genome) / pi_asked(genome), each along the
    gradient of the mean of min(r advantage, clip(r, 1 - clip, 1 + clip) advantage) plus the entropy bonus. With one
    epoch and no clipping it is REINFORCE. The probability under which a genome was asked for comes back in
    `Proposal.extra`, so answers may be late.

    Args:
      space, proposals, learning_rate, baseline_decay, entropy_weight, hidden, policy, budget: as in `reinforce`.
      epochs: steps on each batch.
      clip: how far a ratio may move before it stops counting; `inf` for no clipping.

    Raises:
      InputError: a number out of its range.
    """
    check.integer("epochs", epochs, least=1)
    check.real("clip", clip, least=0)
    settings = (proposals, learning_rate, baseline_decay, entropy_weight, hidden, policy, budget)
    return _policy_gradient("ppo", space, ppo_surrogate(clip), epochs, *settings)


def _policy_gradient(
    name, space, surrogate, epochs, proposals, learning_rate, baseline_decay, entropy_weight, hidden, policy, budget
) -> Strategy:
    check.integer("proposals", proposals, least=1)
    check.real("learning_rate", learning_rate, least=0)
    check.real("baseline_decay", baseline_decay, least=0, most=1)
    check.real("entropy_weight", entropy_weight, least=0)
    pi = lstm_policy(space, hidden=hidden) if policy is None else policy(space)
    adam = optax.adam(learning_rate)

    def init(key):
        params = pi.init(key)
        zero = jnp.float32(0)
        return State(params, adam.init(params), zero, zero, jnp.int32(0), jnp.int32(0), unknown(space, key))

    def ask(key, state):
        genomes = jax.vmap(lambda k: pi.sample(k, state.params))(jax.random.split(key, proposals))
        old = jax.vmap(lambda g: log_prob(pi, state.params, g))(genomes)
        proposal = propose(genomes, state.asked, budget=budget, extra={"log_prob": old})
        return proposal, state.replace(asked=state.asked + proposals)

    def tell(key, state, proposal, feedback):
        ok = usable(proposal, feedback)
        count = jnp.maximum(ok.sum(), 1)
        mean_of = lambda values: jnp.where(ok, values, 0).sum() / count
        fitness = jnp.where(ok, feedback.fitness, 0)

        first = state.told == 0
        baseline = jnp.where(first, mean_of(fitness), state.baseline)
        square = mean_of((fitness - baseline) ** 2)
        spread = jnp.where(first, square, baseline_decay * state.spread + (1 - baseline_decay) * square)
        advantage = (fitness - baseline) / jnp.maximum(jnp.sqrt(spread), 1e-8)

        def epoch(_, carry):
            params, optimizer = carry
            gradient = jax.grad(policy_loss)(params, pi, surrogate, entropy_weight, proposal, advantage, ok)
            updates, optimizer = adam.update(gradient, optimizer, params)
            return optax.apply_updates(params, updates), optimizer

        params, optimizer = jax.lax.fori_loop(0, epochs, epoch, (state.params, state.optimizer))
        learned = state.replace(
            params=params,
            optimizer=optimizer,
            baseline=baseline_decay * baseline + (1 - baseline_decay) * mean_of(fitness),
            spread=spread,
            told=state.told + 1,
        )
        learned = jax.tree.map(lambda new, old: jnp.where(ok.any(), new, old), learned, state)
        return learned.replace(best=state.best.update(proposal, feedback))

    return black_box(name, init, ask, tell, budget=budget)


def policy_loss(params, pi: Policy, surrogate: Callable, entropy_weight: float, proposal, advantage, ok) -> chex.Array:
    """What Adam descends: minus the mean over members `ok` `[P]` of the surrogate, and of the entropy bonus.

    Args:
      params, pi: the policy.
      surrogate: `(log_probs [P], log_probs when asked [P], advantage [P]) -> [P]`.
      entropy_weight: of the bonus.
      proposal: as asked, with its `extra`.
      advantage: `[P]`.
      ok: `[P]` bool, members that count.
    """
    logits = jax.vmap(lambda g: pi.logits(params, g))(proposal.genome)
    log_probs = jnp.take_along_axis(logits, proposal.genome[..., None], 2).sum((1, 2))
    gain = surrogate(log_probs, proposal.extra["log_prob"], advantage) + entropy_weight * jax.vmap(entropy)(logits)
    return -jnp.where(ok, gain, 0).sum() / jnp.maximum(ok.sum(), 1)


def reinforce_surrogate(log_probs, old, advantage):
    """Williams (1992): its gradient is advantage * grad log pi."""
    return advantage * log_probs


def ppo_surrogate(clip: float) -> Callable:
    """Schulman et al. (2017), equation 7."""

    def surrogate(log_probs, old, advantage):
        ratio = jnp.exp(log_probs - old)
        return jnp.minimum(ratio * advantage, jnp.clip(ratio, 1 - clip, 1 + clip) * advantage)

    return surrogate
