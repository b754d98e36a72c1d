"""Policies: distributions over the genomes of a categorical space that a gradient can move."""

from collections.abc import Callable
from typing import Any, NamedTuple

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxnas import check
from jaxnas.spaces import needed
from jaxnas.types import Space

Params = Any
"""A pytree of arrays."""


class Policy(NamedTuple):
    """An autoregressive distribution: decision d is drawn given decisions 0 … d-1.

    Attributes:
      init: `key -> params`.
      sample: `(key, params) -> genome [D]`.
      logits: `(params, genome [D]) -> [D, C]`, log-probabilities of each decision's options given the genome's earlier
        decisions; -inf where there is no option.
    """

    init: Callable[[chex.PRNGKey], Params]
    sample: Callable[[chex.PRNGKey, Params], chex.Array]
    logits: Callable[[Params, chex.Array], chex.Array]


def log_prob(policy: Policy, params: Params, genome: chex.Array) -> chex.Array:
    """Log-probability of a genome `[D]`, in nats."""
    return jnp.take_along_axis(policy.logits(params, genome), genome[:, None], 1).sum()


def entropy(logits: chex.Array) -> chex.Array:
    """Sum over decisions of the entropies of `[D, C]` log-probabilities, in nats."""
    exists = jnp.isfinite(logits)
    finite = jnp.where(exists, logits, 0)  # before the product, whose gradient would be NaN at -inf
    return -jnp.where(exists, jnp.exp(finite) * finite, 0).sum()


def independent_policy(space: Space) -> Policy:
    """Each decision has logits of its own, uniform at first (over what earlier decisions allow).

    Raises:
      InputError: a space that is not categorical.
    """
    D, C = needed.categorical("independent_policy", space).shape

    def logits(params, genome):
        return _normalized(params, _existing(space, genome))

    def sample(key, params):
        if space.allowed is None:
            return jax.random.categorical(key, _normalized(params, space.mask)).astype(jnp.int32)

        def body(genome, x):
            d, noise = x
            choice = jnp.argmax(_normalized(params[d], space.allowed(genome, d)) + noise)
            return genome.at[d].set(choice.astype(jnp.int32)), None

        noise = jax.random.gumbel(key, (D, C), jnp.float32)
        return jax.lax.scan(body, jnp.zeros(D, jnp.int32), (jnp.arange(D), noise))[0]

    return Policy(lambda key: jnp.zeros((D, C), jnp.float32), sample, logits)


def lstm_policy(space: Space, *, hidden: int = 100) -> Policy:
    """The recurrent controller of Zoph and Le (2017): one layer, each choice embedded into the next step.

    Every decision has a softmax and an embedding of its own; parameters start uniform in [-0.08, 0.08] as published,
    so the first samples are nearly uniform.

    Args:
      space: categorical.
      hidden: units of the LSTM, and size of the embeddings.

    Raises:
      InputError: a number out of its range, a space that is not categorical.
    """
    check.integer("hidden", hidden, least=1)
    D, C = needed.categorical("lstm_policy", space).shape
    module = _Step(D, C, hidden)
    start = jnp.zeros(hidden, jnp.float32), jnp.zeros(hidden, jnp.float32)

    def sample(key, params):
        # The genome so far is carried along only where options depend on it.
        def body(carry, x):
            memory, before, genome = carry
            d, noise = x
            memory, raw = module.apply(params, memory, d, before)
            exists = jnp.asarray(space.mask)[d] if space.allowed is None else space.allowed(genome, d)
            choice = jnp.argmax(_normalized(raw, exists) + noise).astype(jnp.int32)
            genome = genome if space.allowed is None else genome.at[d].set(choice)
            return (memory, choice, genome), choice

        noise = jax.random.gumbel(key, (D, C), jnp.float32)
        unmade = None if space.allowed is None else jnp.zeros(D, jnp.int32)
        return jax.lax.scan(body, (start, jnp.int32(0), unmade), (jnp.arange(D), noise))[1]

    def logits(params, genome):
        before = jnp.concatenate([jnp.zeros(1, jnp.int32), genome[:-1]])
        raw = jax.lax.scan(lambda carry, x: module.apply(params, carry, *x), start, (jnp.arange(D), before))[1]
        return _normalized(raw, _existing(space, genome))

    return Policy(lambda key: module.init(key, start, 0, 0), sample, logits)


class _Step(nn.Module):
    """`(carry, d, choice made for d-1) -> (carry, logits [C] of decision d)`."""

    D: int
    C: int
    hidden: int

    @nn.compact
    def __call__(self, carry, d, choice):
        uniform = lambda key, shape, dtype=jnp.float32: jax.random.uniform(key, shape, dtype, -0.08, 0.08)
        first = self.param("start", uniform, (self.hidden,))
        embedding = self.param("embedding", uniform, (self.D, self.C, self.hidden))
        kernel = self.param("kernel", uniform, (self.D, self.hidden, self.C))
        # A product with a one-hot vector: vmapped over seeds, its gradient is not a scatter.
        x = jnp.where(d == 0, first, jax.nn.one_hot(choice, self.C, dtype=jnp.float32) @ embedding[d - 1])
        carry, y = nn.OptimizedLSTMCell(self.hidden, kernel_init=uniform, recurrent_kernel_init=uniform)(carry, x)
        return carry, y @ kernel[d]


def _existing(space: Space, genome: chex.Array) -> chex.Array:
    """`[D, C]` options that each decision has, given the earlier ones."""
    if space.allowed is None:
        return space.mask
    return jax.vmap(lambda d: space.allowed(genome, d))(jnp.arange(len(space.decisions)))


def _normalized(logits: chex.Array, mask: chex.Array) -> chex.Array:
    return jax.nn.log_softmax(jnp.where(mask, logits, -jnp.inf), -1)
