"""The keys of a search's config."""

from collections.abc import Mapping, Sequence
from typing import Any

from jaxnas import check
from jaxnas.check import InputError

SEARCH = {
    "space": "What may be built.",
    "strategy": "What to try next.",
    "evaluator": "How good a network is.",
    "seed": "Of all randomness, 32 bits.",
    "rounds": "Rounds of ask, evaluate, tell; may grow when a run is resumed.",
}
"""What a search must have."""
PARTS = {
    "network": "How a genome becomes a module.",
    "task": "The data, with loss and metric.",
    "problem": "What networks that carry their weights are to do, in place of a task.",
    "parent": "A trained network, of whose parts those of the search are made.",
    "warm_up": "A strategy (and its `rounds`) that goes first, on whose shared weights the other goes on.",
    "warm_start": "What a search begins with: initial architectures, trials of an earlier search or a CSV file.",
    "early_stopping": "Ends a differentiable search by its curvature: window, ratio, start.",
    "cost": "What an architecture costs beside its fitness, `latency` on this device say; or a list of several.",
    "objective": "How a cost counts in fitness.",
    "fine_tune": "Gradient descent on a graph's weights at birth: steps, learning_rate, inherited.",
}
"""What else its parts are made of."""
LATER = {
    "retrain": "The final training of what was found: steps, seeds, plan, network, distillation, inherit (the search's "
    "weights), save (in the workdir's folder child), and fields of the recipe.",
    "random_search": "Whether to search at random at the same cost, beside it.",
    "reference": "An architecture to retrain beside it.",
    "yardstick": "A hand-made network of as many parameters, beside it: its arguments, and `scaled`, which grows.",
    "recommend": "Which point of the front to recommend: the most accurate within limits on costs, numbers or shares "
    "('50%') of the reference's; by default the strategy's limits.",
    "table": "A table that knows the architecture found: path, metric.",
    "reference_point": "Fitness and costs from which hypervolume is measured.",
    "seconds": "Wall-clock limit, at which a search ends as finished; with a larger one the same command goes on.",
    "rounds_per_call": "Rounds in one call of the compiled program, where the evaluator needs no host.",
}
"""What comes after a search, or only says how it is executed: the run is the same whatever these are."""
KEYS = {**SEARCH, **PARTS, **LATER}


def check_keys(config: Mapping[str, Any], required: Sequence[str], optional: Sequence[str] = ()) -> None:
    """Raises `InputError` for a key that the config lacks, or that nothing reads, with the nearest."""
    check.mapping("config", config)
    for key in config:
        check.one_of("config", key, (*required, *optional))
    for key in required:
        if config.get(key) is None:
            raise InputError(f"config.{key}: expected a value, the config has none.")
    check.seed("config.seed", config.get("seed"))


def identity(config: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """What makes it the same run, and the rest, which may differ from one call to the next (see `search`)."""
    later = ("rounds", *LATER)
    return {k: v for k, v in config.items() if k not in later}, {k: config.get(k) for k in later}
