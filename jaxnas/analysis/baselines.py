"""The searches of an experiment: its own, and random search at the same cost."""

import pathlib
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxnas.config.keys import identity
from jaxnas.config.wiring import Parts
from jaxnas.loop.history import History
from jaxnas.loop.result import Result
from jaxnas.search import Phase, search
from jaxnas.strategies import random_search
from jaxnas.types import Genome, Strategy, propose


def phases(parts: Parts, config: Mapping[str, Any]) -> list[Phase]:
    """The strategy's, after a warm-up where the config has one."""
    first = [Phase(parts.warm_up, config["warm_up"]["rounds"])] if parts.warm_up else []
    return [*first, Phase(parts.strategy, config["rounds"])]


def at_random(parts: Parts, config: Mapping[str, Any], found: Result) -> tuple[Parts, list[Phase]]:
    """Random search of the same cost as what was found: as many candidates, or weight steps where they are shared.

    Of a strategy whose budgets differ, each has the largest, and there are as many as it took steps in all. Where
    weights are trained by a warm-up alone, random search scores with the same: the parts begin with them.
    """
    P, trains = _proposals(parts.strategy), "budget" in parts.strategy.gives
    if "shared" not in parts.evaluator.gives:
        budget, rounds = full_budget(config, found.history), config["rounds"]
        if trains and "budget" not in (config.get("strategy") or {}):
            rounds = -(-_steps(found.history) // (P * budget))
        return parts, [Phase(random_search(parts.space, proposals=P, budget=budget), rounds)]
    scored = Phase(random_search(parts.space, proposals=P), config["rounds"])
    if parts.warm_up and trains:
        return parts, [*phases(parts, config)[:1], scored]
    if parts.warm_up:
        trained = jax.device_get(found.state.evaluator)  # a program cannot close over arrays of several processes
        init = lambda key: jax.tree.map(jnp.asarray, trained)
        return parts._replace(evaluator=parts.evaluator._replace(init=init)), [scored]
    if trains:  # whose answers are those of its weight steps
        paths = random_search(parts.space, proposals=10, budget=1)
        steps = int(found.history.column("budget").sum())
        return parts, [Phase(paths, -(-steps // 10)), Phase(random_search(parts.space, proposals=10), 10)]
    return parts, [scored]


def full_budget(config: Mapping[str, Any], history: History) -> int:
    """Training steps of a whole evaluation: what the strategy asks for, or the largest of what it asked for."""
    return (config.get("strategy") or {}).get("budget", int(history.column("budget").max()))


def _steps(history: History) -> int:
    """Training steps of all evaluations; of those that went on with another's training, what came on top."""
    budget = history.column("budget").astype(int)
    if "continued" not in history.names:
        return int(budget.sum())
    by_id = dict(zip(history.column("id").tolist(), budget.tolist(), strict=True))
    before = [by_id.get(parent, 0) for parent in history.column("parent")[:, 0].tolist()]
    return int((budget - np.where(history.column("continued"), before, 0)).sum())


def given(genomes: Genome, like: Strategy, budget: int) -> Strategy:
    """Asks for `genomes` `[n, …]`, in proposals as large as those of another strategy, so that no program is new."""
    P = _proposals(like)
    padded = jax.tree.map(lambda leaf: jnp.concatenate([leaf, jnp.repeat(leaf[:1], P - len(leaf), 0)]), genomes)
    active = jnp.arange(P) < len(jax.tree.leaves(genomes)[0])
    ask = lambda key, state: (propose(padded, jnp.int32(0), budget=budget, active=active), state)
    tell = lambda key, state, proposal, feedback: state
    recommend = lambda state: jax.tree.map(lambda leaf: leaf[0], padded)
    return Strategy("given", lambda key: (), ask, tell, recommend, gives=frozenset({"budget"} if budget else ()))


def scored_reference(parts: Parts, config: Mapping[str, Any], history: History) -> Mapping[str, Any]:
    """`config.reference` evaluated as the search evaluates its candidates: a line of a history."""
    genome = jnp.asarray(parts.space.from_string(config["reference"]))[None]
    phase = Phase(given(genome, parts.strategy, full_budget(config, history)), 1)
    return searched(parts, [phase], config, None, progress=False).history[0]


def _proposals(strategy: Strategy) -> int:
    """P of its proposals."""
    ask = lambda key: strategy.ask(key, strategy.init(key))[0]
    return jax.eval_shape(ask, jax.random.key(0)).id.shape[0]


def searched(
    parts: Parts, phases: list[Phase], config: Mapping[str, Any], workdir: pathlib.Path | None, **options
) -> Result:
    """The search in the workdir, from where it stands there; `options` are those of `search`."""
    same, settings = identity(config)
    return search(
        parts.space,
        phases,
        parts.evaluator,
        seed=config["seed"],
        workdir=None if workdir is None else str(workdir),
        config=same,
        settings=settings,
        **{name: config[name] for name in ("seconds", "rounds_per_call") if config.get(name) is not None},
        **options,
    )
