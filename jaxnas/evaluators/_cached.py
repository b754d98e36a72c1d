"""Evaluate each architecture once."""

import jax
import jax.numpy as jnp
from flax import struct

from jaxnas import check
from jaxnas.check import InputError
from jaxnas.spaces import needed
from jaxnas.types import Evaluator, Feedback, Space, population_of, propose


@struct.dataclass
class CachedState:
    """A memory of `used` feedbacks by (canonical genome, budget), and the state of the wrapped evaluator."""

    genomes: jax.Array
    budget: jax.Array
    feedback: Feedback
    used: jax.Array
    inner: object


def cached(evaluator: Evaluator, space: Space, *, capacity: int = 4096) -> Evaluator:
    """Answers from memory where the canonical genome was evaluated before with the same budget.

    The memory is part of the evaluator's state, so it is jitted, saved and resumed with it. Members of one proposal
    that are equal are evaluated once. Invalid evaluations are remembered too. When `capacity` is reached, further
    architectures are evaluated each time. The metric `cached` says which members were answered from memory.

    Args:
      evaluator: what to wrap; it sees remembered members as inactive, which the plan "map" skips.
      space: for `canonical`; genomes must be single arrays.
      capacity: evaluations to remember.

    Raises:
      InputError: the evaluator runs on the host, or learns (has a state or gives gradients); the space's genomes are no
        single arrays.
    """
    needed.one_array("evaluator 'cached'", space)
    check.integer("capacity", capacity, least=1)
    if not evaluator.jittable:
        raise InputError(f"evaluator: {evaluator.name!r} runs on the host, where a dict of its own remembers as well.")
    if "gradient" in evaluator.gives or jax.tree.leaves(jax.eval_shape(evaluator.init, jax.random.key(0))):
        raise InputError(f"evaluator: {evaluator.name!r} changes from one evaluation to the next; nothing to remember.")

    def init(key):
        inner = evaluator.init(key)
        genome = space.sample(key)
        one = propose(genome[None], jnp.int32(0))
        example = jax.eval_shape(evaluator.evaluate, key, inner, one)[0]
        return CachedState(
            genomes=jnp.zeros((capacity, *genome.shape), genome.dtype),  # of budget -1, which no proposal has
            budget=jnp.full(capacity, -1, jnp.int32),
            feedback=jax.tree.map(lambda leaf: jnp.zeros((capacity, *leaf.shape[1:]), leaf.dtype), example),
            used=jnp.int32(0),
            inner=inner,
        )

    def evaluate(key, state, proposal):
        P = population_of(proposal)
        genomes = jax.vmap(space.canonical)(proposal.genome)

        def same(others, budgets):
            equal = (genomes[:, None] == others[None]).reshape(P, others.shape[0], -1).all(-1)
            return equal & (proposal.budget[:, None] == budgets[None])

        remembered = same(state.genomes, state.budget)
        known = remembered.any(1)
        twins = same(genomes, proposal.budget) & proposal.active[None]
        first = jnp.argmax(twins, 1)
        fresh = proposal.active & ~known & (first == jnp.arange(P))
        feedback, inner = evaluator.evaluate(key, state.inner, proposal.replace(active=fresh))

        def answer(new, memory):
            at = known.reshape(P, *[1] * (new.ndim - 1))
            return jnp.where(at, memory[jnp.argmax(remembered, 1)], new[first])

        def keep(memory, new):
            return memory.at[slot].set(new, mode="drop")

        answered = jax.tree.map(answer, feedback, state.feedback)
        slot = jnp.where(fresh, state.used + jnp.cumsum(fresh, dtype=jnp.int32) - 1, capacity)
        state = CachedState(
            genomes=keep(state.genomes, genomes),
            budget=keep(state.budget, proposal.budget),
            feedback=jax.tree.map(keep, state.feedback, feedback),
            used=jnp.minimum(state.used + fresh.sum(dtype=jnp.int32), capacity),
            inner=inner,
        )
        return answered.replace(metrics={**answered.metrics, "cached": ~fresh & proposal.active}), state

    # What is remembered where follows from the order of evaluation, so a proposal stays whole.
    return evaluator._replace(name=f"cached({evaluator.name})", init=init, evaluate=evaluate, group=0)
