"""The searches of an experiment: its own, and random search at the same cost."""

import pathlib
from collections.abc import Mapping
from typing import Any

import jax

from jaxnas.config.keys import identity
from jaxnas.config.wiring import Parts
from jaxnas.result import Result
from jaxnas.search import Phase, search
from jaxnas.strategies import random_search


def phases(parts: Parts, config: Mapping[str, Any]) -> list[Phase]:
    """The strategy's, after a warm-up where the config has one."""
    first = [Phase(parts.warm_up, config["warm_up"]["rounds"])] if parts.warm_up else []
    return [*first, Phase(parts.strategy, config["rounds"])]


def random_phases(parts: Parts, config: Mapping[str, Any]) -> list[Phase]:
    """Random search of the same cost: as many candidates, or as many weight steps where weights are shared."""
    if "shared" not in parts.evaluator.gives:
        ask = lambda key: parts.strategy.ask(key, parts.strategy.init(key))[0]
        P = jax.eval_shape(ask, jax.random.key(0)).id.shape[0]
        budget = (config.get("strategy") or {}).get("budget", 0)
        return [Phase(random_search(parts.space, proposals=P, budget=budget), config["rounds"])]
    P = 10
    paths = Phase(random_search(parts.space, proposals=P, budget=1), -(-config["evaluator"]["steps"] // P))
    return [paths, Phase(random_search(parts.space, proposals=P), 10)]


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
