"""NSGA-II (Deb, Pratap, Agarwal and Meyarivan, 2002): fitness and costs at once, by ranks and crowding."""

from collections.abc import Mapping, Sequence

import chex
import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from jaxnas import check, pareto
from jaxnas.check import InputError
from jaxnas.spaces import needed
from jaxnas.strategies.best import adopted
from jaxnas.types import Genome, Space, Strategy, narrow, propose, take, usable


@struct.dataclass
class Nsga2State:
    """The population of N, by rank and crowding, best first; `id` is -1 in places not yet taken.

    `rank` and `crowding` (-1 for copies) are those of the merged population that it was selected from. `violation` is 0
    where all limits are met.
    """

    genomes: Genome
    fitness: chex.Array
    cost: chex.Array
    id: chex.Array
    rank: chex.Array
    crowding: chex.Array
    violation: chex.Array
    asked: chex.Array

    @property
    def front(self) -> chex.Array:
        """`[N]` mask of feasible, non-dominated members."""
        return (self.id >= 0) & (self.rank == 0) & (self.violation <= 0)


def nsga2(
    space: Space,
    *,
    costs: Sequence[str],
    limits: Mapping[str, float] | None = None,
    population_size: int = 50,
    proposals: int | None = None,
    crossover: float = 0.9,
    mutation: float = 1.0,
    budget: int = 0,
) -> Strategy:
    """Parents by binary tournaments of rank, then crowding; of parents and children together the best N live on.

    At `proposals == population_size` this is the published algorithm, with the space's crossover and mutation in place
    of those for real numbers, and one child for each pair of parents. With fewer, P children join the population in
    each round. Tournaments are drawn with replacement. The first N proposals are random; so are later ones until one
    usable is told.

    Of members that build the same network (equal `canonical` genomes) all but the oldest come last in their front, so
    that it is not crowded out by its copies. A child that is a copy is mutated in another way, once.

    With `limits`, the feasible dominate all others, and of two that are not, the one that violates less (Definition 1).
    `Nsga2State.front` is a mask of the population's non-dominated members; at most N can be, and where more are, the
    most crowded are dropped. Recommends the front's best fitness, or the least violation while none is feasible.

    Args:
      space: what to recombine and to mutate.
      costs: names of the evaluator's K costs, in its order; also as text, separated by commas.
      limits: cost name -> what it may be at most.
      population_size: N.
      proposals: P, architectures in each ask; N by default.
      crossover: probability that a child has two parents.
      mutation: probability that one decision of a child is changed; the published rate of 1/D for each decision changes
        one on average.
      budget: training steps for each.

    Raises:
      InputError: no cost, a limit on an unknown one, a size or probability out of its range, a space without mutation
        or crossover.
    """
    needed.functions("strategy 'nsga2'", space, "mutate", "crossover")
    given = costs.split(",") if costs and isinstance(costs, str) else costs or ()
    names = check.sequence("costs", given, of=str)
    limits = {} if limits is None else limits
    check.mapping("limits", limits)
    if not names:
        raise InputError("costs: expected the names of one or more costs that the evaluator gives, got none.")
    if "" in names or len(set(names)) < len(names):
        raise InputError(f"costs: expected names that differ, got {costs!r}.")
    N, P, K = population_size, population_size if proposals is None else proposals, len(names)
    check.integer("population_size", N, least=2)
    check.integer("proposals", P, least=1, most=N, because="the population_size")
    check.real("crossover", crossover, least=0, most=1)
    check.real("mutation", mutation, least=0, most=1)
    check.integer("budget", budget, least=0)
    for name, limit in limits.items():
        check.one_of("limits", name, names)
        check.real(f"limits, {name}", limit)
        if limit <= 0:
            raise InputError(f"limits, {name}: expected a positive number, got {limit!r}.")
    most = np.array([limits.get(name, np.inf) for name in names], np.float32)

    def init(key):
        return Nsga2State(
            genomes=jax.vmap(space.sample)(jax.random.split(key, N)),
            fitness=jnp.full(N, -jnp.inf, jnp.float32),
            cost=jnp.zeros((N, K), jnp.float32),
            id=jnp.full(N, -1, jnp.int32),
            rank=jnp.full(N, N + P, jnp.int32),
            crowding=jnp.zeros(N, jnp.float32),
            violation=jnp.zeros(N, jnp.float32),
            asked=jnp.int32(0),
        )

    def ask(key, state):
        keys = jax.random.split(key, 6)
        # While none is alive, the places hold the random genomes of `init`, whose children are as random.
        alive = (state.id >= 0).sum(dtype=jnp.int32)
        drawn = jax.random.randint(keys[0], (2, P, 2), 0, jnp.where(alive > 0, alive, N), jnp.int32)
        a, b = drawn[..., 0], drawn[..., 1]
        wins = (state.rank[b] < state.rank[a]) | (
            (state.rank[b] == state.rank[a]) & (state.crowding[b] > state.crowding[a])
        )
        mother, father = jnp.where(wins, b, a)
        two = jax.random.bernoulli(keys[1], jnp.float32(crossover), (P,))
        crossed = jax.vmap(space.crossover)(
            jax.random.split(keys[2], P), take(state.genomes, mother), take(state.genomes, father)
        )
        unchanged = _where(two, crossed, take(state.genomes, mother))
        mutants = lambda key: jax.vmap(space.mutate)(jax.random.split(key, P), unchanged)
        children = _where(jax.random.bernoulli(keys[4], jnp.float32(mutation), (P,)), mutants(keys[3]), unchanged)
        if mutation > 0:
            both = jax.tree.map(lambda *leaves: jnp.concatenate(leaves), state.genomes, children)
            copy = _copies(jax.vmap(space.canonical)(both), jnp.append(state.id >= 0, jnp.ones(P, bool)))[N:]
            children = _where(copy, mutants(jax.random.fold_in(keys[3], 1)), children)
        initial = state.asked + jnp.arange(P) < N

        def begin(children):
            return _where(initial, jax.vmap(space.sample)(jax.random.split(keys[5], P)), children)

        # `asked` does not depend on the seed, so this stays a branch under vmap: sampling is paid for at first only.
        genomes = jax.lax.cond(state.asked < N, begin, lambda children: children, children)
        parent = jnp.stack([state.id[mother], jnp.where(two, state.id[father], -1)], 1)
        parent = jnp.where(initial[:, None], -1, parent)
        return propose(genomes, state.asked, parent=parent, budget=budget), state.replace(asked=state.asked + P)

    def tell(key, state, proposal, feedback):
        if feedback.cost.shape[1:] != (K,):
            raise InputError(f"nsga2: expected {K} costs ({', '.join(names)}), got {feedback.cost.shape[1]}.")
        feedback = narrow(feedback)
        ok = usable(proposal, feedback)
        both = lambda old, new: jnp.concatenate([old, new])
        # The old come first, and stay so among equals.
        genomes = jax.tree.map(both, state.genomes, proposal.genome)
        fitness = both(state.fitness, jnp.where(ok, feedback.fitness, -jnp.inf))
        cost = both(state.cost, jnp.where(ok[:, None], feedback.cost, 0))
        ids = both(state.id, jnp.where(ok, proposal.id, -1))
        violation = pareto.violation(cost, most)
        copy = _copies(jax.vmap(space.canonical)(genomes), ids >= 0)
        rank = pareto.ranks(fitness, cost, ids >= 0, violation)
        # Copies neither crowd those that they copy nor take a place from another member of their front. Behind all of
        # the dominated they would cost more than they take: parents would be worse.
        crowding = jnp.where(copy, -1, pareto.crowding(fitness, cost, jnp.where(copy, len(ids), rank)))
        best = jnp.lexsort((-crowding, rank))[:N]
        return state.replace(
            genomes=take(genomes, best),
            fitness=fitness[best],
            cost=cost[best],
            id=ids[best],
            rank=rank[best],
            crowding=crowding[best],
            violation=violation[best],
        )

    def recommend(state):
        value = jnp.where(state.front, state.fitness, -jnp.inf)
        # Without a front, the first: the one that violates least, or a random genome before the first feedback.
        return take(state.genomes, jnp.argmax(value))

    gives = frozenset({"budget"} if budget else ())
    needs = frozenset({"fitness", "cost"})
    return Strategy("nsga2", init, ask, tell, recommend, needs=needs, gives=gives, cost_names=names, adopt=adopted)


def _copies(genomes: Genome, there: chex.Array) -> chex.Array:
    """`[N]` members that are `there` and equal an earlier one that is."""
    (N,) = there.shape
    same = there[:, None] & there[None] & (jnp.arange(N)[None] < jnp.arange(N)[:, None])
    for leaf in jax.tree.leaves(genomes):
        flat = leaf.reshape(N, -1)
        same &= (flat[:, None] == flat[None]).all(-1)
    return same.any(1)


def _where(chosen: chex.Array, a: Genome, b: Genome) -> Genome:
    """Member by member."""
    return jax.tree.map(lambda x, y: jnp.where(chosen.reshape(-1, *[1] * (x.ndim - 1)), x, y), a, b)
