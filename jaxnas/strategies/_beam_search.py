"""Beam search from one genome to another, as PostNAS places full attention (Gu et al., 2025, Jet-Nemotron)."""

import math
from collections.abc import Sequence

import chex
import jax.numpy as jnp
import numpy as np
from flax import struct

from jaxnas import check
from jaxnas.check import InputError
from jaxnas.spaces import needed
from jaxnas.strategies.best import Best, black_box, unknown
from jaxnas.types import Space, Strategy, propose, usable


@struct.dataclass
class BeamSearchState:
    """The present level: N places for genomes with `level` changes, of which `count` are taken.

    Attributes:
      level: changes from `start`; M + 1 after the last.
      changed: `[N, M]` bool, which of the M decisions that differ have their value in `goal`.
      parent: `[N]` int32, id of the genome with one change less; of several, the fittest.
      fitness: `[N]` float, -inf where none is told yet, or none that is usable.
      id: `[N]` int32, -1 where none is told yet.
      count: places taken.
      proposed: of these, asked for.
      told: of these, answered.
      asked: proposals so far.
      level_best: `[M + 1, D]` genome and `[M + 1]` fitness of the best with 0, 1, …, M changes, -inf for none.
      best: of all.
    """

    level: chex.Array
    changed: chex.Array
    parent: chex.Array
    fitness: chex.Array
    id: chex.Array
    count: chex.Array
    proposed: chex.Array
    told: chex.Array
    asked: chex.Array
    level_best: Best
    best: Best


def beam_search(
    space: Space,
    *,
    start: str | Sequence[int],
    goal: str | Sequence[int],
    width: int = 4,
    proposals: int = 8,
    budget: int = 0,
) -> Strategy:
    """Changes one decision after another from its value in `start` to that in `goal`, and keeps the fittest each time.

    Level 0 is `start`. Level l is all genomes that change one more decision of a member of the beam, each once; the
    fittest `width` of them are the next beam. With M decisions that differ, level M is `goal`, after which all members
    are inactive: M (M + 1) / 2 + 1 evaluations at width 1, about `width` times that, 2^M where width leaves none out.
    `BeamSearchState.level_best` has the best of each level: fitness against the number of changes. PostNAS begins
    where no layer has full attention, and reads at level 2 which two of them serve best.

    A level of more than P members takes several asks, the last of which is padded with inactive ones; until all of them
    are told, `ask` proposes inactive members only. Members that are not usable come last in their level, so that a beam
    of failures goes on as well. Recommends the best seen, of any level.

    Args:
      space: categorical, all combinations allowed.
      start: the genome to begin with, as a string or as positions `[D]`.
      goal: where all changes lead to, likewise.
      width: members of the beam.
      proposals: P, architectures in each ask.
      budget: training steps for each.

    Raises:
      InputError: a number out of its range, a genome that is not of the space, a `goal` that is `start`.
    """
    mask = needed.categorical("strategy 'beam_search'", space)
    needed.free_combinations("strategy 'beam_search'", space, "local_search or regularized_evolution")
    check.integer("width", width, least=1)
    check.integer("proposals", proposals, least=1)
    begin, end = given_genome("start", start, space), given_genome("goal", goal, space)
    differ = np.flatnonzero(begin != end).astype(np.int32)
    if not len(differ):
        raise InputError(f"goal: expected another genome than start, got {space.to_string(end)!r} twice.")
    P, D, M = proposals, len(mask), len(differ)
    beams = [min(width, math.comb(M, level)) for level in range(M)]
    N = max(min(beam * (M - level), math.comb(M, level + 1)) for level, beam in enumerate(beams))
    W = max(beams)
    words = jnp.asarray(np.random.default_rng(0).integers(0, 2**32, (M, 2), np.uint32))

    def genomes_of(changed):
        chosen = jnp.zeros((len(changed), D), bool).at[:, differ].set(changed)
        return jnp.where(chosen, jnp.asarray(end), jnp.asarray(begin))

    def children(changed, fitness, ids):
        """The next level: `(changed [N, M], parent [N], count)`, those of the fittest first."""
        # Stable, so that members that were not usable still come before places that are not taken.
        order = jnp.argsort(-fitness, stable=True)[:W]
        there = (ids[order] >= 0) & (jnp.arange(len(order)) < width)
        step = jnp.eye(M, dtype=bool)
        each = (changed[order][:, None] | step).reshape(-1, M)
        new = (there[:, None] & ~changed[order]).reshape(-1)
        # Equal rows are neighbors once sorted by a hash; in a run of them the first is the fittest parent's.
        code = jnp.sum(jnp.where(each[..., None], words, 0), 1, dtype=jnp.uint32)
        by = jnp.lexsort((code[:, 1], code[:, 0], ~new))
        again = jnp.append(False, (each[by][1:] == each[by][:-1]).all(-1) & new[by][1:])
        new = new.at[by].set(new[by] & ~again)
        first = jnp.argsort(~new, stable=True)[:N]
        pad = N - len(first)
        put = lambda rows, value: jnp.pad(rows[first], [(0, pad)] + [(0, 0)] * (rows.ndim - 1), constant_values=value)
        return put(each, False), put(jnp.repeat(ids[order], M), -1), new.sum(dtype=jnp.int32)

    def init(key):
        zero, none = jnp.int32(0), jnp.full(N, -1, jnp.int32)
        found = Best(jnp.tile(jnp.asarray(begin), (M + 1, 1)), jnp.full(M + 1, -jnp.inf, jnp.float32))
        return BeamSearchState(
            level=zero,
            changed=jnp.zeros((N, M), bool),
            parent=none,
            fitness=jnp.full(N, -jnp.inf, jnp.float32),
            id=none,
            count=jnp.int32(1),
            proposed=zero,
            told=zero,
            asked=zero,
            level_best=found,
            best=unknown(space, key).replace(genome=jnp.asarray(begin)),
        )

    def ask(key, state):
        slot = state.proposed + jnp.arange(P, dtype=jnp.int32)
        active = slot < state.count
        at = jnp.minimum(slot, N - 1)
        proposal = propose(
            genomes_of(state.changed[at]),
            state.asked,
            parent=jnp.stack([state.parent[at], jnp.full(P, -1, jnp.int32)], 1),
            budget=budget,
            active=active,
            extra={"level": jnp.full(P, state.level), "slot": slot},
        )
        count = active.sum(dtype=jnp.int32)
        return proposal, state.replace(asked=state.asked + count, proposed=state.proposed + count)

    def tell(key, state, proposal, feedback):
        ok = usable(proposal, feedback)
        mine = proposal.active & (proposal.extra["level"] == state.level)
        slot = jnp.where(mine, proposal.extra["slot"], N)
        fitness = state.fitness.at[slot].set(jnp.where(ok, feedback.fitness, -jnp.inf), mode="drop")
        ids = state.id.at[slot].set(proposal.id, mode="drop")
        told = state.told + mine.sum(dtype=jnp.int32)

        # Finished once: the level after the last has no places taken, and none is told.
        done = (told == state.count) & (state.count > 0)
        keep = lambda new, old: jnp.where(done, new, old)
        changed, parent, count = children(state.changed, fitness, ids)
        zero = jnp.int32(0)
        at = jnp.minimum(state.level, M)
        here = Best(state.level_best.genome[at], state.level_best.fitness[at])
        here = here.update(proposal.replace(active=mine), feedback)
        return BeamSearchState(
            level=state.level + done,
            changed=keep(changed, state.changed),
            parent=keep(parent, state.parent),
            fitness=keep(jnp.full(N, -jnp.inf, jnp.float32), fitness),
            id=keep(jnp.full(N, -1, jnp.int32), ids),
            count=keep(count, state.count),
            proposed=keep(zero, state.proposed),
            told=keep(zero, told),
            asked=state.asked,
            level_best=Best(
                state.level_best.genome.at[at].set(here.genome), state.level_best.fitness.at[at].set(here.fitness)
            ),
            best=state.best.update(proposal, feedback),
        )

    return black_box("beam_search", init, ask, tell, budget=budget)


def given_genome(argument: str, value: str | Sequence[int], space: Space) -> np.ndarray:
    """`[D]` int32 genome of a categorical space, of its string or of positions.

    Raises:
      InputError: a string that `space.from_string` refuses, positions of another number or beyond the options.
    """
    if isinstance(value, str):
        return np.asarray(space.from_string(value), np.int32)
    choices = space.choices
    try:
        genome = np.asarray(value)
    except ValueError:
        genome = np.zeros(0)
    if genome.shape != choices.shape or not np.issubdtype(genome.dtype, np.integer):
        raise InputError(f"{argument}: expected a genome's string or {len(choices)} integers, got {value!r}.")
    wrong = np.flatnonzero((genome < 0) | (genome >= choices))
    if len(wrong):
        d = wrong[0]
        raise InputError(
            f"{argument}: expected a position in [0, {choices[d] - 1}] for decision {space.decisions[d]!r}, got "
            f"{genome[d]}."
        )
    return genome.astype(np.int32)
