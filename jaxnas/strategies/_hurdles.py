"""Progressive dynamic hurdles (So, Liang and Le, 2019): only what does well after few steps is trained for more."""

from collections.abc import Sequence
from functools import partial

import chex
import jax
import jax.numpy as jnp
from flax import struct

from jaxnas import check
from jaxnas.check import InputError
from jaxnas.spaces import needed
from jaxnas.strategies.best import Best, adopted, multi_fidelity, of_largest_budget, unknown
from jaxnas.types import Genome, Space, Strategy, narrow, propose, take, usable


@struct.dataclass
class HurdlesState:
    """The population, what waits to be trained on, and the hurdles.

    Attributes:
      genomes, fitness, id, stage: `[N]` members of the population; the id is -1 where there is none yet, and `stage`
        says which of the budgets a fitness is of.
      waiting, waiting_id, waiting_stage: `[Q]` children that passed a hurdle, first come first, and the stage to which
        they are to be trained; -1 where there is none.
      hurdles: `[B - 1]` least fitness to be trained beyond each budget; infinite where there is no hurdle yet.
      since: children done since the last hurdle.
      asked: proposals, and `children` of them new ones.
      reached: the largest budget that `best` speaks of.
    """

    genomes: Genome
    fitness: chex.Array
    id: chex.Array
    stage: chex.Array
    waiting: Genome
    waiting_id: chex.Array
    waiting_stage: chex.Array
    hurdles: chex.Array
    since: chex.Array
    asked: chex.Array
    children: chex.Array
    reached: chex.Array
    best: Best


def hurdles(
    space: Space,
    *,
    stages: Sequence[int] = (),
    children: int = 100,
    population_size: int = 100,
    tournament_size: int = 30,
    proposals: int = 1,
    budgets: Sequence[int] = (),
) -> Strategy:
    """Evolution by tournaments whose children are trained for more steps only while they clear hurdles.

    Every child is trained to the first of the budgets. After each `children` of them a hurdle is set at the end of
    training as it then is: the mean fitness of the population's members that were trained so far. From then on a child
    above it is trained to the next budget, and so on: so most steps go to what looks best, and the first hurdle is set
    before any step beyond the first budget is taken. A child that stops enters the population with the fitness it has,
    in the place of the worst of a tournament; a parent is the best of one.

    A child that goes on is proposed again, with its own id as its parent: its training goes on where it stopped where
    the evaluator keeps it (`evaluators.training(keep=…)`), and is made anew with more steps where not. The first
    `population_size` children are random. Recommends the best of the largest budget told.

    Where the paper says nothing: ties in fitness go to the older.

    Args:
      space: what to mutate.
      stages: training steps in all, increasing: the first budget, the second, …; by default those that the evaluator
        knows.
      children: how many are done between two hurdles.
      population_size: N.
      tournament_size: members drawn, with replacement, for a parent, and for who dies.
      proposals: P, architectures in each ask.
      budgets: the only ones that can be trained (those of a table); none for any.

    Raises:
      InputError: a number out of its range, fewer than two stages, stages that do not increase or that the evaluator
        does not know; a space without mutation.
    """
    needed.functions("strategy 'hurdles'", space, "mutate")
    stages = check.increasing("stages", stages, least=1) or tuple(budgets)
    N, S, P = population_size, tournament_size, proposals
    check.integer("proposals", P, least=1)
    check.integer("children", children, least=1)
    check.integer("tournament_size", S, least=1)
    check.integer("population_size", N, least=2)
    if len(stages) < 2:
        raise InputError(f"stages: expected two or more numbers of steps, got {list(stages)}.")
    for stage in stages:
        if len(budgets) and stage not in budgets:
            raise InputError(f"stages: the evaluator knows {', '.join(map(str, budgets))} steps, got {stage}.")
    B, Q = len(stages), 4 * P
    steps = jnp.asarray(stages, jnp.int32)

    def init(key):
        none = lambda count: jnp.full(count, -1, jnp.int32)
        zero = jnp.int32(0)
        some = jax.vmap(space.sample)(jax.random.split(key, max(N, Q)))
        return HurdlesState(
            genomes=take(some, jnp.arange(N)),
            fitness=jnp.full(N, -jnp.inf, jnp.float32),
            id=none(N),
            stage=none(N),
            waiting=take(some, jnp.arange(Q)),
            waiting_id=none(Q),
            waiting_stage=none(Q),
            hurdles=jnp.full(B - 1, jnp.inf, jnp.float32),
            since=zero,
            asked=zero,
            children=zero,
            reached=jnp.int32(-1),
            best=unknown(space, key),
        )

    def ask(key, state):
        member = jax.vmap(partial(jax.random.fold_in, key))(jnp.arange(1, P + 1, dtype=jnp.uint32))
        waits = (state.waiting_id >= 0).sum(dtype=jnp.int32)
        place = jnp.arange(P, dtype=jnp.int32)
        goes_on = place < waits
        alive = (state.id >= 0).sum(dtype=jnp.int32)
        drawn = jax.random.randint(key, (P, S), 0, jnp.maximum(alive, 1), jnp.int32)
        winner = jnp.take_along_axis(drawn, jnp.argmax(state.fitness[drawn], 1, keepdims=True), 1)[:, 0]
        fresh = (state.children + place - waits < N) | (alive == 0)
        where = lambda chosen, a, b: jax.tree.map(
            lambda x, y: jnp.where(chosen.reshape(P, *[1] * (x.ndim - 1)), x, y), a, b
        )
        children = where(
            fresh, jax.vmap(space.sample)(member), jax.vmap(space.mutate)(member, take(state.genomes, winner))
        )
        at = jnp.minimum(place, Q - 1)
        parent = jnp.where(goes_on, state.waiting_id[at], jnp.where(fresh, -1, state.id[winner]))
        stage = jnp.where(goes_on, state.waiting_stage[at], 0)
        proposal = propose(
            where(goes_on, take(state.waiting, at), children),
            state.asked,
            parent=jnp.stack([parent, jnp.full(P, -1, jnp.int32)], 1),
            extra={"stage": stage},
        ).replace(budget=steps[stage])
        left = jnp.arange(Q) + P  # who waited behind them moves up
        moved = lambda leaf, fill: jnp.where(left < Q, leaf[jnp.minimum(left, Q - 1)], fill)
        return proposal, state.replace(
            waiting=take(state.waiting, jnp.minimum(left, Q - 1)),
            waiting_id=moved(state.waiting_id, -1),
            waiting_stage=moved(state.waiting_stage, -1),
            asked=state.asked + P,
            children=state.children + (~goes_on).sum(dtype=jnp.int32),
        )

    def tell(key, state, proposal, feedback):
        feedback = narrow(feedback)
        ok, stage = usable(proposal, feedback), proposal.extra["stage"]
        bar = jnp.append(state.hurdles, jnp.float32(jnp.inf))[stage]
        passes = ok & (feedback.fitness > bar)
        slot = (state.waiting_id >= 0).sum(dtype=jnp.int32) + jnp.cumsum(passes, dtype=jnp.int32) - 1
        passes &= slot < Q  # what finds no place stops here
        slot = jnp.where(passes, slot, Q)
        put = lambda queue, new: queue.at[slot].set(new, mode="drop")
        state = state.replace(
            waiting=jax.tree.map(put, state.waiting, proposal.genome),
            waiting_id=put(state.waiting_id, proposal.id),
            waiting_stage=put(state.waiting_stage, stage + 1),
        )

        def enter(state, member):
            genome, fitness, id, stage, enters, key = member
            alive = (state.id >= 0).sum(dtype=jnp.int32)
            drawn = jax.random.randint(key, (S,), 0, N, jnp.int32)
            loser = drawn[jnp.argmin(state.fitness[drawn])]
            at = jnp.where(enters, jnp.where(alive < N, alive, loser), N)
            put = lambda leaf, new: leaf.at[at].set(new, mode="drop")
            return state.replace(
                genomes=jax.tree.map(put, state.genomes, genome),
                fitness=put(state.fitness, fitness),
                id=put(state.id, id),
                stage=put(state.stage, stage),
            ), None

        keys = jax.random.split(key, P)
        members = (proposal.genome, feedback.fitness, proposal.id, stage, ok & ~passes, keys)
        state, _ = jax.lax.scan(enter, state, members)
        since = state.since + (proposal.active & ~passes).sum(dtype=jnp.int32)
        set_so_far = jnp.isfinite(state.hurdles).sum(dtype=jnp.int32)
        trained = (state.id >= 0) & (state.stage == set_so_far)
        due = (since >= children) & (set_so_far < B - 1) & trained.any()
        mean = jnp.where(trained, state.fitness, 0).sum() / jnp.maximum(trained.sum(), 1)
        placed = state.hurdles.at[jnp.minimum(set_so_far, B - 2)].set(mean.astype(jnp.float32))
        best, reached = of_largest_budget(state.best, state.reached, proposal, feedback)
        return state.replace(
            hurdles=jnp.where(due, placed, state.hurdles),
            since=jnp.where(due, 0, since),
            best=best,
            reached=reached,
        )

    def adopt(state, proposal, genomes, wanted):
        # Those beyond the first stage go on with their training.
        return adopted(state, proposal, genomes, wanted & (proposal.extra["stage"] == 0))

    return multi_fidelity("hurdles", init, ask, tell, adopt=adopt)
