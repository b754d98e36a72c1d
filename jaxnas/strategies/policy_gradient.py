"""REINFORCE and PPO on a policy over architectures."""

from collections.abc import Callable
from typing import Any

import chex
import jax
import jax.numpy as jnp
import optax
from flax import struct

from jaxnas import check
from jaxnas.spaces import needed
from jaxnas.strategies.best import Best, adopted, black_box, unknown
from jaxnas.strategies.policy import Params, Policy, entropy, log_prob, lstm_policy
from jaxnas.types import Proposal, Space, Strategy, in_32_bits, propose, usable

OUTLIER = 3.0
"""Spreads from the baseline beyond which fitness counts as if it were there."""


@struct.dataclass
class PolicyGradientState:
    """`baseline` and `spread` are moving averages of fitness and of its distance from the baseline (root mean square),
    both of fitness without outliers."""

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
    moving root mean square of that difference, so that neither setting depends on the unit of fitness. Fitness further
    than `OUTLIER` times that from the baseline counts as if it were so far: a few networks of -100 among 0 … 4 must not
    make all others alike. The entropy is the sum over decisions of their conditional entropies along each sample.
    Members that are not usable count for nothing; a batch without any changes nothing.

    Args:
      space: categorical.
      proposals: P, samples for each step.
      learning_rate: of Adam.
      baseline_decay: weight of the past in the moving averages, in [0, 1).
      entropy_weight: of the bonus.
      hidden: units of the LSTM; the papers' is 100.
      policy: `space -> Policy` instead of that LSTM: `independent_policy`, or your own.
      budget: training steps for each.

    Raises:
      InputError: a number out of its range, a space that is not categorical.
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
    needed.categorical(f"strategy {name!r}", space)
    check.integer("proposals", proposals, least=1)
    check.real("learning_rate", learning_rate, least=0)
    check.real("baseline_decay", baseline_decay, least=0, most=1)
    check.real("entropy_weight", entropy_weight, least=0)
    if policy is not None:
        check.function("policy", policy)
    pi = lstm_policy(space, hidden=hidden) if policy is None else policy(space)
    adam = optax.adam(learning_rate)
    update = in_32_bits(adam.update)

    def init(key):
        params = pi.init(key)
        zero = jnp.float32(0)
        return PolicyGradientState(
            params, adam.init(params), zero, zero, jnp.int32(0), jnp.int32(0), unknown(space, key)
        )

    def ask(key, state):
        genomes = jax.vmap(lambda k: pi.sample(k, state.params))(jax.random.split(key, proposals))
        old = jax.vmap(lambda g: log_prob(pi, state.params, g))(genomes)
        proposal = propose(genomes, state.asked, budget=budget, extra={"log_prob": old})
        return proposal, state.replace(asked=state.asked + proposals)

    def tell(key, state, proposal, feedback):
        ok = usable(proposal, feedback)
        count = jnp.maximum(ok.sum(dtype=jnp.float32), 1)
        mean_of = lambda values: jnp.where(ok, values, 0).sum() / count
        fitness = jnp.where(ok, feedback.fitness, 0)

        first = state.told == 0
        middle, own = typical(fitness, ok)
        near = jnp.clip(fitness, middle - OUTLIER * own, middle + OUTLIER * own)
        baseline = jnp.where(first, mean_of(near), state.baseline)
        distance = fitness - baseline
        # Of the first batch, and of one in which none had differed, there is only its own scale.
        fresh = first | (state.spread == 0)
        scale = jnp.where(fresh, jnp.where(first, own, typical(distance, ok, 0.0)[1]), state.spread)
        unit = jnp.where(scale > 0, scale, 1)
        units = jnp.clip(distance / unit, -OUTLIER, OUTLIER)
        square = mean_of(units**2)
        moving = jnp.sqrt(jnp.where(fresh, square, baseline_decay + (1 - baseline_decay) * square))
        advantage = units / jnp.where(moving > 0, moving, 1)

        def epoch(_, carry):
            params, optimizer = carry
            gradient = jax.grad(policy_loss)(params, pi, surrogate, entropy_weight, proposal, advantage, ok)
            updates, optimizer = update(gradient, optimizer, params)
            return optax.apply_updates(params, updates), optimizer

        params, optimizer = jax.lax.fori_loop(0, epochs, epoch, (state.params, state.optimizer))
        learned = state.replace(
            params=params,
            optimizer=optimizer,
            baseline=baseline + (1 - baseline_decay) * unit * mean_of(units),
            spread=scale * moving,
            told=state.told + 1,
        )
        learned = jax.tree.map(lambda new, old: jnp.where(ok.any(), new, old), learned, state)
        return learned.replace(best=state.best.update(proposal, feedback))

    def adopt(state, proposal, genomes, wanted):
        proposal, state, there = adopted(state, proposal, genomes, wanted)
        old = jax.vmap(lambda g: log_prob(pi, state.params, g))(proposal.genome)
        return proposal.replace(extra={"log_prob": old}), state, there

    return black_box(name, init, ask, tell, budget=budget, adopt=adopt)


def typical(values: chex.Array, ok: chex.Array, middle: chex.Array | None = None) -> tuple[chex.Array, chex.Array]:
    """Middle and scale of those of `values` `[P]` that are `ok`, whatever a few of them are; 0 where there are none.

    The median and 1.48 times the median distance from it (or from `middle`), which is the standard deviation of normal
    values; the root mean square distance where more than half have none.
    """
    median = lambda those: jnp.nan_to_num(in_32_bits(jnp.nanmedian)(jnp.where(ok, those, jnp.nan)))
    middle = median(values) if middle is None else middle
    distance = jnp.abs(values - middle)
    half, largest = 1.4826 * median(distance), jnp.where(ok, distance, 0).max()
    parts = jnp.where(ok, distance / jnp.where(largest > 0, largest, 1), 0)  # squares of the distances may be too large
    square = (parts**2).sum() / jnp.maximum(ok.sum(dtype=jnp.float32), 1)
    return middle, jnp.where(half > 0, half, largest * jnp.sqrt(square))


def policy_loss(
    params: Params,
    pi: Policy,
    surrogate: Callable,
    entropy_weight: float,
    proposal: Proposal,
    advantage: chex.Array,
    ok: chex.Array,
) -> chex.Array:
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


def reinforce_surrogate(log_probs: chex.Array, old: chex.Array, advantage: chex.Array) -> chex.Array:
    """Williams (1992): its gradient is advantage * grad log pi."""
    return advantage * log_probs


def ppo_surrogate(clip: float) -> Callable:
    """Schulman et al. (2017), equation 7."""

    def surrogate(log_probs, old, advantage):
        ratio = jnp.exp(log_probs - old)
        return jnp.minimum(ratio * advantage, jnp.clip(ratio, 1 - clip, 1 + clip) * advantage)

    return surrogate
