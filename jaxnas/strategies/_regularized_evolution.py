"""Regularized (aging) evolution (Real, Aggarwal, Huang and Le, 2019, Algorithm 1)."""

from functools import partial

import chex
import jax
import jax.numpy as jnp
from flax import struct

from jaxnas import check, rng
from jaxnas.spaces import needed
from jaxnas.strategies.best import Best, adopted, black_box, unknown
from jaxnas.types import Genome, Space, Strategy, propose, take, usable


@struct.dataclass
class EvolutionState:
    """The population is a ring in order of birth: the next child takes the place of the oldest."""

    genomes: Genome
    fitness: chex.Array
    id: chex.Array
    born: chex.Array
    asked: chex.Array
    best: Best


def regularized_evolution(
    space: Space, *, population_size: int = 100, tournament_size: int = 25, proposals: int = 1, budget: int = 0
) -> Strategy:
    """Tournament selection with replacement, one mutation, and the oldest dies; recommends the best ever seen.

    At `proposals=1` this is the published algorithm exactly. With more, the P children of one ask choose their
    parents in the same population, and together replace its P oldest. The first `population_size` proposals are
    random; so are later ones until one usable is told. A member that is not usable (see `types.usable`) never enters
    the population.

    Args:
      space: what to mutate.
      population_size: members alive at a time.
      tournament_size: members drawn, with replacement, for each choice of a parent.
      proposals: P, architectures in each ask, at most `population_size`.
      budget: training steps for each.

    Raises:
      InputError: a size out of its range, a space without mutation.
    """
    N, S, P = population_size, tournament_size, proposals
    needed.functions("strategy 'regularized_evolution'", space, "mutate")
    check.integer("tournament_size", S, least=1)
    check.integer("population_size", N, least=S, because="the tournament_size")
    check.integer("proposals", P, least=1, most=N, because="the population_size")

    # One byte a decision where that is surely enough: thousands of rings side by side must fit in the cache.
    dtypes = jax.tree.map(lambda leaf: leaf.dtype, jax.eval_shape(space.sample, jax.random.key(0)))
    small = needed.gives_positions(space) and space.mask.shape[1] <= 128

    def packed(genomes):
        return genomes.astype(jnp.int8) if small else genomes

    def unpacked(genomes):
        return genomes.astype(dtypes) if small else genomes

    def init(key):
        genomes = jax.vmap(space.sample)(jax.random.split(key, N))
        return EvolutionState(
            genomes=packed(genomes),
            fitness=jnp.full(N, -jnp.inf, jnp.float32),
            id=jnp.full(N, -1, jnp.int32),
            born=jnp.int32(0),
            asked=jnp.int32(0),
            best=unknown(space, key),
        )

    def ask(key, state):
        # While none was born, the ring still holds the random genomes of `init`, whose mutants are as random.
        alive = jnp.where(state.born > 0, jnp.minimum(state.born, N), N)
        if N <= rng.MOST:
            drawn = rng.below(rng.uint16_pairs(key, P * S), alive).reshape(P, S)
        else:
            drawn = jax.random.randint(key, (P, S), 0, alive, jnp.int32)
        winner = jnp.take_along_axis(drawn, jnp.argmax(state.fitness[drawn], 1, keepdims=True), 1)[:, 0]
        # Far from 0, 1, …, which count the words of `drawn`.
        member = jax.vmap(partial(jax.random.fold_in, key))(jnp.uint32(2**31) + jnp.arange(P, dtype=jnp.uint32))
        initial = state.asked + jnp.arange(P) < N

        def begin(children):
            fresh = jax.vmap(space.sample)(member)
            return jax.tree.map(lambda a, b: jnp.where(initial.reshape(P, *[1] * (a.ndim - 1)), a, b), fresh, children)

        children = jax.vmap(space.mutate)(member, unpacked(take(state.genomes, winner)))
        # `asked` does not depend on the seed, so this stays a branch under vmap: sampling is paid for at first only.
        genomes = jax.lax.cond(state.asked < N, begin, lambda children: children, children)
        parent = jnp.stack([jnp.where(initial, -1, state.id[winner]), jnp.full(P, -1, jnp.int32)], 1)
        proposal = propose(genomes, state.asked, parent=parent, budget=budget)
        return proposal, state.replace(asked=state.asked + P)

    def tell(key, state, proposal, feedback):
        enters = usable(proposal, feedback)
        born = state.born + jnp.cumsum(enters, dtype=jnp.int32)
        slot = jnp.where(enters, (born - 1) % N, N)

        def put(ring, new):
            return ring.at[slot].set(new, mode="drop")

        return state.replace(
            genomes=jax.tree.map(put, state.genomes, packed(proposal.genome)),
            fitness=put(state.fitness, feedback.fitness),
            id=put(state.id, proposal.id),
            born=born[-1],
            best=state.best.update(proposal, feedback),
        )

    return black_box("regularized_evolution", init, ask, tell, budget=budget, adopt=adopted)
