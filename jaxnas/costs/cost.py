"""A cost of an architecture beside its fitness, as a config's `cost` names one."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax.numpy as jnp

from jaxnas.check import InputError


class Cost(NamedTuple):
    """What a network costs to run; K numbers.

    Attributes:
      names: of the K costs.
      cost: `genome -> [K]` (a scalar where K = 1), pure JAX code; NaN makes a member unusable.
      expected_cost: `probabilities [D, C] -> [K]`, differentiable; None where a strategy cannot descend on it.
      prepare: (host) `() -> None`, measures what the others need, and must be called before them; None where nothing
        has to be measured.
      measure: (host) `genomes -> [dict]`, a line for each with "architecture" and, by name of a cost, "predicted",
        "measured" (again, of the network itself) and perhaps "noise"; None where there is nothing to measure.
      save: (host) `folder -> None`, keeps what a resumed run goes on with; None where there is nothing.
    """

    names: tuple[str, ...]
    cost: Callable
    expected_cost: Callable | None = None
    prepare: Callable[[], None] | None = None
    measure: Callable | None = None
    save: Callable | None = None


def together(costs: Sequence[Cost]) -> Cost:
    """Several costs as one, their names in this order.

    Raises:
      InputError: none, or a name that two of them have.
    """
    names = tuple(name for cost in costs for name in cost.names)
    twice = sorted({name for name in names if names.count(name) > 1})
    if not names or twice:
        raise InputError(
            f"config.cost: expected different costs, got {', '.join(twice) + ' twice' if twice else 'none'}."
        )
    joined = lambda functions: lambda given: jnp.concatenate([jnp.atleast_1d(each(given)) for each in functions])
    expected = [cost.expected_cost for cost in costs]
    measuring = [cost.measure for cost in costs if cost.measure is not None]

    def measure(genomes: Sequence) -> list[dict]:
        return [
            {k: v for line in lines for k, v in line.items()}
            for lines in zip(*(m(genomes) for m in measuring), strict=True)
        ]

    def each_does(calls: list[Callable | None]) -> Callable | None:
        there = [call for call in calls if call is not None]
        return (lambda *given: [call(*given) for call in there] and None) if there else None

    return Cost(
        names,
        joined([cost.cost for cost in costs]),
        None if None in expected else joined(expected),
        prepare=each_does([cost.prepare for cost in costs]),
        measure=measure if measuring else None,
        save=each_does([cost.save for cost in costs]),
    )
