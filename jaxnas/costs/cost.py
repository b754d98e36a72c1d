"""A cost of an architecture beside its fitness, as a config's `cost` names one."""

from collections.abc import Callable
from typing import NamedTuple


class Cost(NamedTuple):
    """What a network costs to run; K numbers.

    Attributes:
      names: of the K costs.
      cost: `genome -> [K]` (a scalar where K = 1), pure JAX code; NaN makes a member unusable.
      expected_cost: `probabilities [D, C] -> [K]`, differentiable; None where a strategy cannot descend on it.
      prepare: (host) `() -> None`, measures what the others need, and must be called before them; None where nothing
        has to be measured.
      measure: (host) `genomes -> [dict]`, a line for each with "architecture", what was predicted and what is measured
        again; None where there is nothing to measure.
      save: (host) `folder -> None`, keeps what a resumed run goes on with; None where there is nothing.
    """

    names: tuple[str, ...]
    cost: Callable
    expected_cost: Callable | None = None
    prepare: Callable[[], None] | None = None
    measure: Callable | None = None
    save: Callable | None = None
