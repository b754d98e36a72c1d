"""Monte Carlo tree search with UCT (Kocsis and Szepesvári, 2006) over the decisions of a categorical space.

Level d of the tree chooses the option of decision d, so a node is a prefix of a genome and a node at depth D a whole
one. For architectures: DeepArchitect (Negrinho and Gordon, 2017), Wistuba (2017), AlphaX (Wang et al., 2019).

The library `mctx` is not used: one call of it is a whole search, which calls a model for every simulation from inside
one jitted program. Here every simulation is an architecture to train: `ask` hands it out, the answer comes back
through `tell`, perhaps from the host, perhaps late or in another order; and the tree lives on between the two.
"""

import math

import chex
import jax
import jax.numpy as jnp
from flax import struct

from jaxnas import check
from jaxnas.spaces import needed
from jaxnas.strategies.best import Best, black_box, unknown
from jaxnas.types import Space, Strategy, propose, usable

WINDOW = 256
"""Answers that a new one is ranked among. From 64 to 1,024 it makes no difference on NAS-Bench-201."""


@struct.dataclass
class MctsState:
    """The tree as arrays, M nodes; node 0 is the root, and M stands for "no node".

    Attributes:
      children: `[M, C]` int32, the node of each option.
      parent: `[M]` int32.
      closed: `[M]` int32, options below which every genome was proposed.
      tries: `[M]` int32, descents through the node: answered, failed and outstanding.
      pending: `[M]` int32, virtual losses, one for each descent that is outstanding.
      visits: `[M]` int32, usable answers from below.
      values: `[M]` float, sum of their rewards.
      size: nodes in use.
      seen: `[W]` float, ring of the last usable fitnesses, NaN where there is none yet.
      told: usable answers so far.
      asked: proposals so far.
      best: the best genome.
    """

    children: chex.Array
    parent: chex.Array
    closed: chex.Array
    tries: chex.Array
    pending: chex.Array
    visits: chex.Array
    values: chex.Array
    size: chex.Array
    seen: chex.Array
    told: chex.Array
    asked: chex.Array
    best: Best


def mcts(
    space: Space, *, exploration: float = 0.35, proposals: int = 1, budget: int = 0, capacity: int = 10_000
) -> Strategy:
    """Descends by UCB1 to an option never tried, completes the genome at random; recommends the best seen.

    **Selection.** The option of largest `upper_confidence_bound`; options never tried come first, ties are random.

    **Expansion.** All of the path enters the tree, the random completion too ("one (or more) child nodes", Browne et
    al., 2012, section 3.1): a node is cheap where an evaluation trains a network. So each genome proposed is a node,
    which is closed at once, as is a node whose options are all closed. Search goes elsewhere: no genome is proposed
    twice, and after the last of the space all members are inactive. Fitness is taken to be deterministic in that.
    A tree that is full grows no further. It goes on to steer, and genomes outside it may come again.

    **Reward.** The share of the last `WINDOW` usable answers that are worse (ties count half), as each one is told.
    It is in [0, 1] and the same for any increasing transform of fitness, so `exploration` needs no scale, and a few
    failed networks cannot squeeze all others together as they would between a running minimum and maximum.

    **Parallel asks.** A descent leaves a virtual loss along its path (Chaslot, Winands and van den Herik, 2008): a
    visit of reward 0, until it is told. A member that is not usable takes it off and leaves values and visits as they
    are. It still counts as a try in the exploration term, or a part of the space where all fails would be tried next
    for ever.

    The fewer evaluations there are, the smaller should `exploration` be.

    Args:
      space: categorical: genomes are one integer array `[D]`, options `[D, C]` as in `space.mask`.
      exploration: c of the bound; 0 is greedy, sqrt(2) the UCB1 of Auer et al. (2002).
      proposals: P, architectures in each ask, one descent each.
      budget: training steps for each.
      capacity: evaluations that the tree has room for: its M nodes, of `4 (C + 6)` bytes each, are `1 + capacity D`,
        or the whole tree of the space where that is less.

    Raises:
      InputError: an argument out of its range, a space that is not categorical or restricts combinations of options.
    """
    check.real("exploration", exploration, least=0.0, most=1e3)
    check.integer("proposals", proposals, least=1)
    check.integer("capacity", capacity, least=1)
    mask = needed.categorical("strategy 'mcts'", space)
    needed.free_combinations("strategy 'mcts'", space, "regularized_evolution or ppo")
    D, C = mask.shape
    choices = mask.sum(1)
    whole = sum(math.prod(choices[:d].tolist()) for d in range(D + 1))
    P, M, W = proposals, min(whole, 1 + capacity * D), max(WINDOW, proposals)
    # A node is closed when all its options are: a whole genome, which has none, from the start.
    options_at = jnp.asarray([*choices.tolist(), 0], jnp.int32)

    def init(key):
        zeros = jnp.zeros(M, jnp.int32)
        return MctsState(
            children=jnp.full((M, C), M, jnp.int32),
            parent=jnp.full(M, M, jnp.int32),
            closed=zeros,
            tries=zeros,
            pending=zeros,
            visits=zeros,
            values=jnp.zeros(M, jnp.float32),
            size=jnp.int32(1),
            seen=jnp.full(W, jnp.nan, jnp.float32),
            told=jnp.int32(0),
            asked=jnp.int32(0),
            best=unknown(space, key),
        )

    def descend(state, key):
        """One path from the root, `(state, (genome [D], leaf, active))`; reads the tree first, then writes it once."""

        def at(array, node, otherwise):
            return array.at[node].get(mode="fill", fill_value=otherwise)

        def choose(carry, level):
            node, size = carry
            exists, options_below, noise = level
            children = at(state.children, node, M)
            tries = at(state.tries, children, 0)
            bound = upper_confidence_bound(
                at(state.values, children, 0.0),
                at(state.visits, children, 0) + at(state.pending, children, 0),
                tries,
                at(state.tries, node, 0),
                exploration,
            )
            bound = jnp.where(exists & (at(state.closed, children, -1) < options_below), bound, -jnp.inf)
            option = jnp.argmax(jnp.where(exists & (bound == bound.max()), noise, -1.0)).astype(jnp.int32)
            child = children[option]
            new = (node < M) & (child == M) & (size < M)
            child = jnp.where(new, size, child)
            return (child, size + new), (option, child, new, bound.max() > -jnp.inf)

        levels = jnp.asarray(mask), options_at[1:], jax.random.uniform(key, (D, C), jnp.float32)
        (_, size), (genome, below, new, any_open) = jax.lax.scan(choose, (jnp.int32(0), state.size), levels)
        path = jnp.append(0, below)  # [D + 1], M from where it leaves a tree that is full
        leaf = path[jnp.sum(below < M, dtype=jnp.int32)]
        active = any_open[0]
        path, new = jnp.where(active, path, M), new & active
        created = jnp.where(new, below, M)

        # The new genome is closed, and so is each node above of which it was the last open option.
        last = at(state.closed, path[:-1], 0) + 1 == options_at[:-1]
        closes = jnp.cumprod(jnp.append(last, path[-1] < M)[::-1], dtype=jnp.int32)[::-1]
        state = state.replace(
            children=state.children.at[jnp.where(new, path[:-1], M), genome].set(below, mode="drop"),
            parent=state.parent.at[created].set(path[:-1], mode="drop"),
            closed=state.closed.at[path[:-1]].add(closes[1:], mode="drop"),
            tries=state.tries.at[path].add(1, mode="drop"),
            pending=state.pending.at[path].add(1, mode="drop"),
            size=jnp.where(active, size, state.size),
        )
        return state, (genome, leaf, active)

    def ask(key, state):
        state, (genomes, leaf, active) = jax.lax.scan(descend, state, jax.random.split(key, P))
        proposal = propose(genomes, state.asked, budget=budget, active=active, extra={"leaf": leaf})
        return proposal, state.replace(asked=state.asked + active.sum(dtype=jnp.int32))

    def tell(key, state, proposal, feedback):
        ok = usable(proposal, feedback)
        slot = jnp.where(ok, (state.told + jnp.cumsum(ok, dtype=jnp.int32) - 1) % W, W)
        seen = state.seen.at[slot].set(feedback.fitness, mode="drop")
        reward = jnp.where(ok, percentile(feedback.fitness, seen), 0.0)

        def up(node, _):
            return state.parent.at[node].get(mode="fill", fill_value=M), node

        _, path = jax.lax.scan(up, proposal.extra["leaf"], length=D + 1)  # [D + 1, P]

        def add(array, amount):
            return array.at[path].add(jnp.broadcast_to(amount.astype(array.dtype), path.shape), mode="drop")

        return state.replace(
            pending=add(state.pending, -proposal.active.astype(jnp.int32)),
            visits=add(state.visits, ok),
            values=add(state.values, reward),
            seen=seen,
            told=state.told + ok.sum(dtype=jnp.int32),
            best=state.best.update(proposal, feedback),
        )

    return black_box("mcts", init, ask, tell, budget=budget)


def upper_confidence_bound(
    values: chex.Array, visits: chex.Array, tries: chex.Array, total: chex.Array, exploration: float
) -> chex.Array:
    """`[C]` UCB1 (Auer, Cesa-Bianchi and Fischer, 2002): `values / visits + exploration sqrt(ln total / tries)`.

    Args:
      values: `[C]` sum of the rewards of each option.
      visits: `[C]` what to divide it by; mean 0 where there are none.
      tries: `[C]` times each was chosen; infinity where never.
      total: times that the choice was made.
      exploration: c.
    """
    mean = values / jnp.maximum(visits, 1)
    total = jnp.asarray(total, jnp.float32)
    bonus = exploration * jnp.sqrt(jnp.log(jnp.maximum(total, 1)) / jnp.maximum(tries, 1))
    return jnp.where(tries > 0, mean + bonus, jnp.inf)


def percentile(fitness: chex.Array, seen: chex.Array) -> chex.Array:
    """`[P]` share of `seen` `[W]` (NaN for none) below each fitness `[P]`; those that are equal count half."""
    count = lambda those: those.sum(-1, dtype=jnp.float32)
    below = count(seen < fitness[:, None]) + 0.5 * count(seen == fitness[:, None])
    return below / jnp.maximum(count(~jnp.isnan(seen)), 1)
