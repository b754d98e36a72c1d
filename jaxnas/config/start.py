"""Where a search's learning begins: how many of its evaluations are drawn at random before."""

from collections.abc import Mapping
from typing import Any

from jaxnas.config import registry

START = ("population_size", "initial", "proposals")
"""Arguments of strategies that say how many architectures are drawn before the first that learned from any."""
RANDOM = (
    "random_search",
    "additive",
    "beam_search",
    "exhaustive",
    "fair_paths",
    "sandwich",
    "hyperband",
    "successive_halving",
    "darts",
    "gdas",
    "binary_gates",
)
"""Strategies of which that is no news, or that begin otherwise."""


def only_random(arguments: Mapping[str, Any], evaluations: int) -> str:
    """A sentence where so few evaluations are all of a strategy's random start; empty where it has begun to search."""
    entry = registry.known("strategy").get(arguments.get("name"))
    if entry is None or arguments["name"] in RANDOM:
        return ""
    defaults = {name: p.default for name, p in registry.parameters(entry.factory).items()}
    given = {name: arguments.get(name, defaults[name]) for name in START if name in defaults}
    start = max((n for n in given.values() if isinstance(n, int)), default=0)
    if evaluations > start:
        return ""
    name = next(name for name, n in given.items() if n == start)
    return (
        f"{arguments['name']} begins with {start} random architectures ({name}): of {evaluations} evaluations all are, "
        "which is random search under another name"
    )
