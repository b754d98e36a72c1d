"""Hyperband (Li, Jamieson, DeSalvo, Rostamizadeh and Talwalkar, 2018) and successive halving, which is one bracket.

Many members are trained a little, the better ones more: rungs of (members, budget). A promoted member has its
parent's genome: it is trained again from scratch with the larger budget, so that each rung has a whole learning-rate
schedule, or goes on where its parent stopped (`evaluators.training(keep=…)`).
"""

from collections.abc import Sequence

import chex
import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from jaxnas import check
from jaxnas.strategies.best import Best, adopted, multi_fidelity, of_largest_budget, unknown
from jaxnas.types import Genome, Space, Strategy, narrow, propose, take, usable

Rung = tuple[int, int]
"""(members, budget of each)."""


@struct.dataclass
class HyperbandState:
    """The present rung: up to M members, of which `proposed` were asked for and `told` answered.

    `turn` counts rungs from the start. `genomes` are those to be trained, best of the last rung first (in the first
    rung of a bracket, those told); `parent` their ids there. `reached` is the largest budget that `best` speaks of.
    """

    turn: chex.Array
    proposed: chex.Array
    told: chex.Array
    genomes: Genome
    parent: chex.Array
    fitness: chex.Array
    id: chex.Array
    asked: chex.Array
    reached: chex.Array
    best: Best


def brackets(max_budget: int, reduction: int = 3, min_budget: int = 1) -> tuple[tuple[Rung, ...], ...]:
    """Rungs of each bracket of one pass of Hyperband (Algorithm 1).

    With R the largest budget in units of the smallest and s from `floor(log_reduction R)` down to 0:
    `n = ceil((s_max + 1) / (s + 1) * reduction^s)` members begin, `floor(n / reduction^i)` are in rung i, whose budget
    is `R * reduction^(i - s)`. (The paper's Table 1 prints 27 and 9 for n where its formula, and everybody's code, has
    34 and 15.)
    """
    _check(min_budget, max_budget, reduction)
    s_max = 0
    while min_budget * reduction ** (s_max + 1) <= max_budget:
        s_max += 1
    passes = []
    for s in range(s_max, -1, -1):
        n = -(-(s_max + 1) * reduction**s // (s + 1))
        passes.append(tuple((n // reduction**i, max_budget // reduction ** (s - i)) for i in range(s + 1)))
    return tuple(passes)


def halving(members: int, min_budget: int, max_budget: int, reduction: int = 3) -> tuple[Rung, ...]:
    """Rungs of one bracket: `floor(members / reduction^i)` with the last budget `max_budget`, and each before it
    that divided by `reduction` once more.

    Raises:
      InputError: too few members to reach `max_budget`.
    """
    _check(min_budget, max_budget, reduction)
    rungs = 1
    while min_budget * reduction**rungs <= max_budget:
        rungs += 1
    check.integer("members", members, least=reduction ** (rungs - 1), because=f"{rungs} rungs, {reduction} times fewer")
    return tuple((members // reduction**i, max_budget // reduction ** (rungs - 1 - i)) for i in range(rungs))


def within(rungs: Sequence[Rung], budgets: Sequence[int]) -> tuple[Rung, ...]:
    """The rungs of a bracket as they are where only some budgets can be trained, none of them above the first rung's.

    Each rung gets the largest of `budgets` within its own. Of rungs that come to the same budget the first stays, with
    all of its members: none would learn anything from the others. `(9, 22), (3, 66), (1, 200)` within 12 and 200 is
    `(9, 12), (1, 200)`.
    """
    known = np.asarray(budgets)
    kept: list[Rung] = []
    for members, budget in rungs:
        real = int(known[known <= budget].max())
        if not kept or kept[-1][1] < real:
            kept.append((members, real))
    return tuple(kept)


def successive_halving(
    space: Space,
    *,
    min_budget: int,
    max_budget: int,
    members: int = 27,
    reduction: int = 3,
    budgets: Sequence[int] = (),
    proposals: int = 1,
) -> Strategy:
    """Successive halving (Jamieson and Talwalkar, 2016): `members` random genomes, the best 1/`reduction` promoted.

    After the last rung it begins again with new members. Recommends the best of the largest budget told so far.

    Args:
      space: what to sample from.
      min_budget: training steps of the first rung, about: budgets are `max_budget` divided by powers of `reduction`.
      max_budget: training steps of the last.
      members: of the first rung.
      reduction: eta, how many times fewer members and larger budgets from rung to rung.
      budgets: the only ones that can be trained, increasing (those of a table); none for any. Then no rung is planned
        below the smallest, each asks for the largest within its plan, and rungs of the same are one (see `within`).
      proposals: P, members in each ask; the end of a rung is padded with inactive ones.

    Raises:
      InputError: a size out of its range, too few members to reach the last rung, budgets that do not increase.
    """
    _check(min_budget, max_budget, reduction)
    least = _least(min_budget, max_budget, budgets)
    return _strategy("successive_halving", space, (halving(members, least, max_budget, reduction),), budgets, proposals)


def hyperband(
    space: Space,
    *,
    max_budget: int,
    min_budget: int = 1,
    reduction: int = 3,
    budgets: Sequence[int] = (),
    proposals: int = 1,
) -> Strategy:
    """Hyperband: brackets of successive halving, from many members of little budget to few of the whole one.

    `brackets` says what one pass trains; after it, the next begins. Recommends the best of the largest budget told.

    Args:
      space: of the genomes.
      max_budget: R, training steps of each bracket's last rung.
      min_budget: training steps that are worth asking for.
      reduction: eta.
      budgets: see `successive_halving`.
      proposals: P, members in each ask; the end of a rung is padded with inactive ones.

    Raises:
      InputError: a size out of its range, budgets that do not increase.
    """
    _check(min_budget, max_budget, reduction)
    schedule = brackets(max_budget, reduction, _least(min_budget, max_budget, budgets))
    return _strategy("hyperband", space, schedule, budgets, proposals)


def _strategy(
    name: str,
    space: Space,
    schedule: Sequence[Sequence[Rung]],
    budgets: Sequence[int],
    P: int,  # noqa: N803
) -> Strategy:
    check.integer("proposals", P, least=1)
    if len(budgets):
        schedule = [within(bracket, budgets) for bracket in schedule]
    rungs = [(b, r, *rung) for b, bracket in enumerate(schedule) for r, rung in enumerate(bracket)]
    bracket_of, rung_of, members_of, budget_of = (jnp.asarray(column, jnp.int32) for column in zip(*rungs, strict=True))
    K, M = len(rungs), max(rung[2] for rung in rungs)

    def init(key):
        genomes = jax.vmap(space.sample)(jax.random.split(key, M))
        none = jnp.full(M, -1, jnp.int32)
        zero = jnp.int32(0)
        return HyperbandState(
            turn=zero,
            proposed=zero,
            told=zero,
            genomes=genomes,
            parent=none,
            fitness=jnp.full(M, -jnp.inf, jnp.float32),
            id=none,
            asked=zero,
            reached=jnp.int32(-1),
            best=unknown(space, key),
        )

    def ask(key, state):
        k = state.turn % K
        slot = state.proposed + jnp.arange(P, dtype=jnp.int32)
        active = slot < members_of[k]  # all are asked for: none, until the last answer promotes
        at = jnp.minimum(slot, M - 1)
        first = rung_of[k] == 0
        fresh = jax.vmap(space.sample)(jax.random.split(key, P))
        genomes = jax.tree.map(lambda a, b: jnp.where(first, a, b), fresh, take(state.genomes, at))
        parent = jnp.where(first, -1, state.parent[at])
        full = lambda value: jnp.full(P, value, jnp.int32)
        proposal = propose(
            genomes,
            state.asked,
            parent=jnp.stack([parent, full(-1)], 1),
            active=active,
            extra={"turn": full(state.turn), "bracket": full(bracket_of[k]), "rung": full(rung_of[k]), "slot": slot},
        ).replace(budget=full(budget_of[k]))
        count = active.sum(dtype=jnp.int32)
        return proposal, state.replace(asked=state.asked + count, proposed=state.proposed + count)

    def tell(key, state, proposal, feedback):
        feedback = narrow(feedback)
        k = state.turn % K
        ok = usable(proposal, feedback)
        mine = proposal.active & (proposal.extra["turn"] == state.turn)
        slot = jnp.where(mine, proposal.extra["slot"], M)
        put = lambda rung, new: rung.at[slot].set(new, mode="drop")
        genomes = jax.tree.map(put, state.genomes, proposal.genome)
        fitness = put(state.fitness, jnp.where(ok, feedback.fitness, -jnp.inf))
        ids = put(state.id, proposal.id)
        told = state.told + mine.sum(dtype=jnp.int32)

        done = told == members_of[k]
        order = jnp.argsort(-fitness)  # stable, so that unusable members still come before empty slots
        keep = lambda new, old: jnp.where(done, new, old)
        zero = jnp.int32(0)
        best, reached = of_largest_budget(state.best, state.reached, proposal, feedback)
        return HyperbandState(
            turn=state.turn + done,
            proposed=keep(zero, state.proposed),
            told=keep(zero, told),
            genomes=jax.tree.map(lambda leaf: keep(leaf[order], leaf), genomes),
            parent=keep(ids[order], state.parent),
            fitness=keep(jnp.full(M, -jnp.inf, jnp.float32), fitness),
            id=keep(jnp.full(M, -1, jnp.int32), ids),
            asked=state.asked,
            reached=reached,
            best=best,
        )

    def adopt(state, proposal, genomes, wanted):
        # Later rungs train those that were promoted.
        return adopted(state, proposal, genomes, wanted & (proposal.extra["rung"] == 0))

    return multi_fidelity(name, init, ask, tell, adopt=adopt)


def _check(min_budget: int, max_budget: int, reduction: int) -> None:
    check.integer("min_budget", min_budget, least=1)
    check.integer("max_budget", max_budget, least=min_budget, because="the min_budget")
    check.integer("reduction", reduction, least=2)


def _least(min_budget: int, max_budget: int, budgets: Sequence[int]) -> int:
    """The smallest budget to plan for, where only some can be trained."""
    if not len(budgets):
        return min_budget
    check.increasing("budgets", budgets, least=1)
    least = max(min_budget, int(budgets[0]))
    check.integer("max_budget", max_budget, least=least, because="the smallest of budgets")
    return least
