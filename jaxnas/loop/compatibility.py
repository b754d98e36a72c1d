"""Whether a strategy and an evaluator fit, and whether an evaluator answers what it says it does."""

import numpy as np

from jaxnas.check import InputError
from jaxnas.loop.rows import RESERVED
from jaxnas.types import Evaluator, Feedback, Proposal, Strategy, population_of


def check_pair(strategy: Strategy, evaluator: Evaluator) -> None:
    """Raises `InputError` where the two do not fit, naming what is missing."""
    missing = strategy.needs - evaluator.gives
    if missing:
        raise InputError(
            f"strategy {strategy.name!r} needs {', '.join(sorted(missing))}, which evaluator {evaluator.name!r} does "
            f"not give (it gives {', '.join(sorted(evaluator.gives))})."
        )
    if strategy.cost_names and strategy.cost_names != evaluator.cost_names:
        raise InputError(
            f"strategy {strategy.name!r} expects costs {', '.join(strategy.cost_names)}; evaluator {evaluator.name!r} "
            f"gives {', '.join(evaluator.cost_names)}."
        )
    missing = evaluator.needs - strategy.gives
    if missing:
        hint = " Give the strategy budget=STEPS, training steps for each candidate." if "budget" in missing else ""
        raise InputError(
            f"evaluator {evaluator.name!r} needs proposals with {', '.join(sorted(missing))}, which strategy "
            f"{strategy.name!r} does not give.{hint}"
        )


def check_feedback(proposal: Proposal, feedback: Feedback, evaluator: Evaluator) -> None:
    """Raises `InputError` where arrays have another shape, or metrics the name of a field of the history."""
    taken = sorted(set(feedback.metrics) & set(RESERVED))
    if taken:
        raise InputError(
            f"evaluator {evaluator.name!r}: a metric cannot be called {', '.join(map(repr, taken))}, a field that the "
            f"history has itself; neither can {', '.join(name for name in RESERVED if name not in taken)}."
        )
    P, K = population_of(proposal), len(evaluator.cost_names)
    for name, shape in {"fitness": (P,), "valid": (P,), "cost": (P, K)}.items():
        got = np.shape(getattr(feedback, name))
        if got != shape:
            raise InputError(f"evaluator {evaluator.name!r}: expected {name} of shape {shape}, got {got}.")
