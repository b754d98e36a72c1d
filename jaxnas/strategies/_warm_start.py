"""A search that does not begin from nothing: architectures to try first, and evaluations made before."""

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from jaxnas import check
from jaxnas.check import InputError
from jaxnas.strategies._trials import Trials, trials_of
from jaxnas.types import Genome, Space, Strategy, population_of, scored

INITIAL = "initial"
"""Column of the history: whether an architecture was given to begin with."""


@struct.dataclass
class WarmStartState:
    """The strategy's own state, and how many of the initial genomes were proposed."""

    inner: Any
    given: chex.Array


def warm_start(
    strategy: Strategy,
    space: Space,
    *,
    initial: Sequence[str | Genome] = (),
    trials: Trials | str | os.PathLike | Iterable[Mapping[str, Any]] | None = None,
) -> Strategy:
    """The strategy, begun with architectures to try first, or with what is known of others.

    **Initial architectures** take the places of the first that it asks for, which are random with most strategies, and
    are evaluated like these. The history has a column `initial`.

    **Trials** are told before the first ask, as if the strategy had asked for them and these had been the answers: they
    fill a population, count as its random start and may be recommended. They are not evaluated again and not in the
    history, whose ids begin where theirs end.

    Args:
      strategy: that learns from any architectures: random search, evolution, NSGA-II, BANANAS, NEAT, REINFORCE, PPO;
        from initial ones also ENAS, local search (where it begins again), hurdles, Hyperband and successive halving (in
        the first rung of a bracket).
      space: of the genomes.
      initial: genomes, or strings of the space.
      trials: of an earlier search, see `trials_of`: its folder, a CSV file, rows of a history.

    Raises:
      InputError: nothing to begin with, an architecture that is not of the space, trials that cannot be read or lack a
        cost that the strategy reads; a strategy that learns from its own proposals alone.
    """
    if strategy.adopt is None:
        raise InputError(
            f"warm_start: strategy {strategy.name!r} learns from its own proposals alone"
            f"{', give its argument start' if strategy.name in ('additive', 'beam_search') else ''}."
        )
    alone = strategy.needs & {"budget", "shared"} or strategy.name == "local_search"
    if trials is not None and alone:
        raise InputError(
            f"warm_start.trials: strategy {strategy.name!r} can make nothing of answers that it has not asked for; "
            "give the best of them as initial architectures."
        )
    genomes = _parsed(space, initial)
    if trials is not None and not isinstance(trials, Trials):
        trials = trials_of(space, trials, strategy.cost_names)
    if not genomes and trials is None:
        raise InputError("warm_start: expected initial architectures, or trials, got neither.")
    N = len(genomes)
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *genomes) if genomes else None
    P = population_of(jax.eval_shape(lambda key: strategy.ask(key, strategy.init(key))[0], jax.random.key(0)))
    rounds = None if trials is None else _in_rounds(trials, P)

    def init(key):
        state = strategy.init(key)
        if rounds is None:
            return WarmStartState(state, jnp.int32(0))

        def told(carry, answers):
            state, turn = carry
            ask_key, tell_key = jax.random.split(jax.random.fold_in(key, turn))
            given, fitness, cost, there = answers
            proposal, state = strategy.ask(ask_key, state)
            proposal, state, there = strategy.adopt(state, proposal, given, there)
            proposal = proposal.replace(active=there)
            return (strategy.tell(tell_key, state, proposal, scored(fitness, cost=cost)), turn + 1), None

        return WarmStartState(jax.lax.scan(told, (state, jnp.uint32(2**31)), rounds)[0][0], jnp.int32(0))

    def ask(key, state):
        proposal, inner = strategy.ask(key, state.inner)
        begins = jnp.zeros(P, bool)
        given = state.given
        if N:
            # Those that it has no place for now come in a later ask.
            places = strategy.adopt(inner, proposal, proposal.genome, proposal.active)[2]
            turn = given + jnp.cumsum(places, dtype=jnp.int32) - 1
            wanted = places & (turn < N)
            first = jax.tree.map(lambda leaf: leaf[jnp.clip(turn, 0, N - 1)], stacked)
            proposal, inner, begins = strategy.adopt(inner, proposal, first, wanted)
            given = given + begins.sum(dtype=jnp.int32)
        recorded = {name: proposal.extra[name] for name in strategy.recorded}
        extra = {"own": proposal.extra, INITIAL: begins, **recorded}
        return proposal.replace(extra=extra), WarmStartState(inner, given)

    def tell(key, state, proposal, feedback):
        own = proposal.replace(extra=proposal.extra["own"])
        return state.replace(inner=strategy.tell(key, state.inner, own, feedback))

    return strategy._replace(
        name=f"warm_start({strategy.name})",
        init=init,
        ask=ask,
        tell=tell,
        recommend=lambda state: strategy.recommend(state.inner),
        recorded=(*strategy.recorded, *([INITIAL] if N else [])),
        adopt=None,
    )


def _parsed(space: Space, initial: Sequence[str | Genome]) -> list[Genome]:
    if isinstance(initial, str):
        initial = [initial]
    like = jax.eval_shape(space.sample, jax.random.key(0))
    genomes = []
    for given in check.sequence(f"warm_start.{INITIAL}", initial):
        genome = space.from_string(given) if isinstance(given, str) else given
        shape = lambda tree: jax.tree.map(lambda leaf: np.shape(leaf), tree)
        named = jax.tree.structure(genome) == jax.tree.structure(like) and shape(genome) == shape(like)
        genome = jax.tree.map(lambda leaf, of: np.asarray(leaf, of.dtype), genome, like) if named else None
        if named and space.mask is not None:
            named = bool(((genome >= 0) & (genome < space.choices)).all())
        if not named:
            raise InputError(f"warm_start.{INITIAL}: expected a genome of space {space.name!r}, got {given!r}.")
        genomes.append(genome)
    return genomes


def _in_rounds(trials: Trials, P: int) -> tuple[Any, ...]:  # noqa: N803
    """Genomes, fitness, costs and which are there, each leaf `[rounds, P, ...]`."""
    N = len(trials.fitness)
    rounds = -(-N // P)

    def padded(leaf):
        leaf = np.asarray(leaf)
        leaf = np.concatenate([leaf, np.repeat(leaf[:1], rounds * P - N, 0)])
        return jnp.asarray(leaf.reshape(rounds, P, *leaf.shape[1:]))

    there = jnp.asarray((np.arange(rounds * P) < N).reshape(rounds, P))
    return *jax.tree.map(padded, (trials.genomes, trials.fitness, trials.cost)), there
