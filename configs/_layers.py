"""What the small searches on tasks of every kind have in common: layers of chosen operations, evolution, training."""

from collections.abc import Mapping, Sequence
from typing import Any


def config(
    task: str, operations: Sequence[str], network: Mapping[str, Any], *, budget: int = 200, **evaluator: Any
) -> dict[str, Any]:
    """A search of 12 rounds of 8 networks of four layers, and what it found retrained beside random search's.

    Args:
      task: its name.
      operations: that each layer may have.
      network: arguments of `networks.Layers` beside them.
      budget: steps that each network is trained for; twice as many when it is retrained.
      **evaluator: of `evaluators.training`.
    """
    return {
        "seed": 0,
        "rounds": 12,
        "space": {"name": "layers", "operations": tuple(operations), "depth": 4},
        "task": {"name": task},
        "network": {"name": "layers", "operations": tuple(operations), "depth": 4, **network},
        "strategy": {
            "name": "regularized_evolution",
            "population_size": 24,
            "tournament_size": 6,
            "proposals": 8,
            "budget": budget,
        },
        "evaluator": {
            "name": "training",
            "fitness": "loss",
            "batch_size": 64,
            "optimizer": "adamw",
            "learning_rate": 3e-3,
            "warm_up": 20,
            "weight_decay": 1e-2,
            "no_decay": ("*/bias", "*/scale"),
            **evaluator,
        },
        "random_search": True,
        "retrain": {"steps": 2 * budget, "seeds": 3},
    }


def larger(small: Mapping[str, Any], *, features: int, depth: int, rounds: int, steps: int) -> dict[str, Any]:
    """The same at a scale for an accelerator."""
    return {
        **small,
        "rounds": rounds,
        "space": {**small["space"], "depth": depth},
        "network": {**small["network"], "depth": depth, "features": features},
        "strategy": {**small["strategy"], "population_size": 100, "tournament_size": 25, "budget": steps},
        "retrain": {"steps": 2 * steps, "seeds": 5},
    }
