"""Trainings that are kept after their evaluation, for members of a later one to go on from."""

from collections.abc import Callable
from typing import Any

import chex
import jax
import jax.numpy as jnp
from flax import struct

from jaxnas.training import TrainState
from jaxnas.types import Genome, Proposal


@struct.dataclass
class KeptTrainings:
    """The last K trainings, a ring whose `next` is the place of the next one.

    `id` is -1 where there is none yet; `key` is the data of the key that a training had, which it goes on with.
    """

    id: chex.Array
    genome: Genome
    key: chex.Array
    training: TrainState
    next: chex.Array


def none_kept(size: int, begin: Callable[[jax.Array, Genome], TrainState], sample: Callable) -> KeptTrainings:
    """Room for `size` trainings, of which there is none; `begin` says what one is, `(key, genome) -> TrainState`."""
    key = jax.random.key(0)
    like = jax.eval_shape(lambda key: (sample(key), jax.random.key_data(key), begin(key, sample(key))), key)
    genome, data, training = jax.tree.map(lambda leaf: jnp.zeros((size, *leaf.shape), leaf.dtype), like)
    return KeptTrainings(jnp.full(size, -1, jnp.int32), genome, data, training, jnp.int32(0))


def earlier(kept: KeptTrainings, proposal: Proposal) -> tuple[chex.Array, chex.Array, TrainState]:
    """Of each member that has its parent's genome, what is kept of the parent.

    Returns:
      `(found [P] bool, key data [P, ...], trainings [P, ...])`; of those not found, anything.
    """
    match = (kept.id == proposal.parent[:, :1]) & (kept.id >= 0)
    for own, there in zip(*map(jax.tree.leaves, (proposal.genome, kept.genome)), strict=True):
        equal = own[:, None] == there
        match &= equal.all(tuple(range(2, equal.ndim)))
    at = match.argmax(1)
    return match.any(1), kept.key[at], jax.tree.map(lambda leaf: leaf[at], kept.training)


def with_trainings(kept: KeptTrainings, proposal: Proposal, keys: chex.Array, trainings: Any) -> KeptTrainings:
    """With the active members' trainings in place of the oldest."""
    size = len(kept.id)
    order = jnp.cumsum(proposal.active) - 1
    last = order >= proposal.active.sum() - size  # of more than there is room for
    at = jnp.where(proposal.active & last, (kept.next + order) % size, size)
    put = lambda there, new: there.at[at].set(new, mode="drop")
    return KeptTrainings(
        id=put(kept.id, proposal.id),
        genome=jax.tree.map(put, kept.genome, proposal.genome),
        key=put(kept.key, keys),
        training=jax.tree.map(put, kept.training, trainings),
        next=(kept.next + proposal.active.sum()) % size,
    )
