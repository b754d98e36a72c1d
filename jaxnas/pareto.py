"""Pareto domination: fronts, ranks, crowding and hypervolume, jittable.

Everywhere `fitness` `[N]`, higher is better, and `cost` `[N, K]`, lower is better, are those of a `Feedback`; `valid`
`[N]` says which members count (all by default), and what the others hold is never read. A member with a NaN never
counts: what is not known is not good.
"""

import chex
import jax
import jax.numpy as jnp


def counted(fitness: chex.Array, cost: chex.Array, valid: chex.Array | None = None) -> chex.Array:
    """`[N]` mask of members that are valid and have a fitness and all costs."""
    known = ~(jnp.isnan(fitness) | jnp.isnan(cost).any(-1))
    return known if valid is None else known & valid


def violation(cost: chex.Array, limits: chex.Array) -> chex.Array:
    """`[N]` how far the costs lie above `limits` `[K]`, summed in multiples of each limit; 0 where feasible.

    Limits are positive, infinite for none.
    """
    return jnp.maximum(jnp.divide(cost, limits) - 1, 0).sum(-1)


def dominates(
    fitness: chex.Array, cost: chex.Array, valid: chex.Array | None = None, violation: chex.Array | None = None
) -> chex.Array:
    """`[N, N]` whether i dominates j: nowhere worse and somewhere better.

    With `violation` `[N]`, constraint domination (Deb, Pratap, Agarwal and Meyarivan, 2002, Definition 1): of two that
    are not both feasible, the one that violates less.
    """
    there = counted(fitness, cost, valid)
    worse = jnp.concatenate([-fitness[:, None], cost], 1)
    no_worse = better = None
    for column in worse.T:  # one objective at a time, so that no [N, N, 1 + K] is held
        below, above = column[:, None] < column[None], column[:, None] > column[None]
        no_worse = ~above if no_worse is None else no_worse & ~above
        better = below if better is None else better | below
    found = no_worse & better
    if violation is not None:
        feasible = violation <= 0
        found = jnp.where(feasible[:, None] & feasible[None], found, violation[:, None] < violation[None])
    return found & there[:, None] & there[None]


def front(
    fitness: chex.Array, cost: chex.Array, valid: chex.Array | None = None, violation: chex.Array | None = None
) -> chex.Array:
    """`[N]` mask of valid, non-dominated members.

    With `violation`: of the feasible, or of those that violate least if none is.

    Jit it for thousands: then the N^2 comparisons are not stored.
    """
    return counted(fitness, cost, valid) & ~dominates(fitness, cost, valid, violation).any(0)


def ranks(
    fitness: chex.Array, cost: chex.Array, valid: chex.Array | None = None, violation: chex.Array | None = None
) -> chex.Array:
    """`[N]` int32, the front that each is in: 0 for `front`, 1 for the front without those, …; N where not valid.

    Non-dominated sorting (Deb et al., 2002, section III A), as N^2 comparisons and a loop over the fronts.
    """
    (N,) = fitness.shape
    better = dominates(fitness, cost, valid, violation)

    def peel(carry):
        rank, left, r = carry
        first = left & ~(better & left[:, None]).any(0)
        return jnp.where(first, r, rank), left & ~first, r + 1

    there = counted(fitness, cost, valid)
    start = (jnp.full(N, N, jnp.int32), there, jnp.int32(0))
    return jax.lax.while_loop(lambda carry: carry[1].any(), peel, start)[0]


def crowding(fitness: chex.Array, cost: chex.Array, rank: chex.Array) -> chex.Array:
    """`[N]` crowding distance in the front of each (Deb et al., 2002, section III B); infinite at its ends.

    The distance between an objective's next lower and next higher member, divided by the front's range as in the
    authors' code, summed over objectives. 0 where `rank` (see `ranks`) says not valid.
    """
    (N,) = rank.shape
    total = jnp.zeros(N, jnp.float32)
    for column in jnp.concatenate([fitness[:, None], cost], 1).T:
        order = jnp.lexsort((column, rank))
        value, group = column[order], rank[order]
        same = group[1:] == group[:-1]
        first, last = jnp.append(True, ~same), jnp.append(~same, True)
        low = jax.ops.segment_min(value, group, N + 1, indices_are_sorted=True)[group]
        high = jax.ops.segment_max(value, group, N + 1, indices_are_sorted=True)[group]
        width = high - low
        gap = jnp.append(value[1:], 0) - jnp.append(0, value[:-1])
        gap = jnp.where(first | last, jnp.inf, gap / jnp.where(width > 0, width, 1))
        total = total.at[order].add(gap.astype(jnp.float32))
    return jnp.where(rank < N, total, 0)


def hypervolume(
    fitness: chex.Array, cost: chex.Array, reference: chex.Array, valid: chex.Array | None = None
) -> chex.Array:
    """The volume that the valid members dominate, within `reference` `[1 + K]`, a fitness and costs; exact.

    A member that does not improve on every coordinate of the reference adds nothing. Members need not be a front.
    Two objectives are a sort and a sum; each further one takes N times as long (Zitzler and Thiele, 1999, by slicing).
    """
    # In `room` members that do not count may stay, if finite: a box without height has no volume.
    gain = jnp.where(counted(fitness, cost, valid), jnp.maximum(fitness - reference[0], 0), 0)
    room = jnp.maximum(reference[1:] - cost, 0)
    return _union(gain, jnp.where(jnp.isfinite(room), room, 0))


def hypervolumes(
    fitness: chex.Array, cost: chex.Array, reference: chex.Array, valid: chex.Array | None = None
) -> chex.Array:
    """`[N]` the hypervolume of the first 1, 2, …, N members."""
    (N,) = fitness.shape
    there = jnp.ones(N, bool) if valid is None else valid
    until = there & (jnp.arange(N) <= jnp.arange(N)[:, None])
    return jax.vmap(lambda mask: hypervolume(fitness, cost, reference, mask))(until)


def _union(gain: chex.Array, room: chex.Array) -> chex.Array:
    """Volume of the union of boxes from the origin to `gain` `[N]` × `room` `[N, K]`.

    Sliced along the last axis: between two neighboring ends, the boxes that reach further are all there.
    """
    order = jnp.argsort(-room[:, -1])  # does not depend on `gain`, so it is sorted once where only that is vmapped
    gain, room = gain[order], room[order]
    thickness = room[:, -1] - jnp.append(room[1:, -1], 0)
    if room.shape[1] == 1:
        return (thickness * jax.lax.cummax(gain)).sum()
    until = jnp.arange(len(gain)) <= jnp.arange(len(gain))[:, None]
    areas = jax.lax.map(lambda mask: _union(jnp.where(mask, gain, 0), room[:, :-1]), until)
    return (thickness * areas).sum()
