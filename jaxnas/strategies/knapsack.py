"""The multiple-choice knapsack problem, exactly and for all budgets at once, as one program.

One option of each decision, such that the sum of the scores is least and that of the costs at most a budget: what is to
be solved where a network's loss and costs are taken as sums over its decisions. Costs are whole numbers, `quantized`
makes them of measured ones. With C options, D decisions and budgets 0 … Q the dynamic programme (Kellerer, Pferschy and
Pisinger, 2004, section 11.5) takes D C Q steps, which are pseudo-polynomial: exact for small Q without any solver.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np

from jaxnas import check
from jaxnas.check import InputError

TOLERANCE = 1e-3
"""How far a cost of 32 bits may be from a multiple of the unit, in units: it is a difference of large numbers."""


class Front(NamedTuple):
    """The optimum of every budget.

    Attributes:
      score: `[Q + 1]`, or `[Q1 + 1, Q2 + 1]`, float32: least total score; infinite where nothing is that cheap.
      choices: `[…, D]` int32, positions in the options of each decision; -1 where nothing is that cheap.
    """

    score: chex.Array
    choices: chex.Array


class Grid(NamedTuple):
    """Costs as whole numbers: a choice that costs `n` in them costs `least + n * unit` at most.

    Attributes:
      integers: `[D, C]` int32, above the cheapest option of each decision.
      unit: what one of them stands for.
      least: cost of the cheapest choice.
      exact: whether the costs are multiples of the unit.
    """

    integers: chex.Array
    unit: chex.Array
    least: chex.Array
    exact: chex.Array


def front(scores: chex.Array, costs: chex.Array, mask: chex.Array, most: int | Sequence[int]) -> Front:
    """The choice of least total score for each budget from 0 to `most`, where the costs add up to that or less.

    Pure and static, so it can be jitted, and vmapped over scores. The table of choices takes D times the number of
    budgets, a byte each (four with more than 128 options).

    Args:
      scores: `[D, C]` float, lower is better; infinite for an option that must not be chosen.
      costs: `[D, C]` whole numbers that are not negative, or `[D, C, 2]` for two budgets.
      mask: `[D, C]` bool, which options exist.
      most: Q, the largest budget; `(Q1, Q2)` for two. Static.

    Raises:
      InputError: shapes that do not fit, a budget below 0.
    """
    scores, costs, mask = jnp.asarray(scores, jnp.float32), jnp.asarray(costs, jnp.int32), jnp.asarray(mask, bool)
    budgets = (most,) if isinstance(most, (int, np.integer)) else check.sequence("most", most)
    for budget in budgets:
        check.integer("most", budget, least=0)
    costs = costs[..., None] if costs.ndim == 2 else costs
    if costs.shape != (*scores.shape, len(budgets)) or mask.shape != scores.shape or scores.ndim != 2:
        raise InputError(
            f"expected scores and mask [D, C] and costs [D, C] or [D, C, 2] for as many budgets, got {scores.shape}, "
            f"{mask.shape}, {costs.shape} and most={most!r}."
        )
    axes = [jnp.arange(budget + 1, dtype=jnp.int32) for budget in budgets]
    budget = jnp.stack(jnp.meshgrid(*axes, indexing="ij"), -1)  # […, K]
    small = jnp.int8 if scores.shape[1] <= 128 else jnp.int32

    def choose(best, decision):
        score, cost, there = decision
        left = budget - cost.reshape(-1, *[1] * len(budgets), len(budgets))  # [C, …, K]
        fits = (left >= 0).all(-1) & there.reshape(-1, *[1] * len(budgets))
        rest = best[tuple(jnp.moveaxis(jnp.maximum(left, 0), -1, 0))]
        total = jnp.where(fits, rest + score.reshape(-1, *[1] * len(budgets)), jnp.inf)
        return total.min(0), jnp.argmin(total, 0).astype(small)

    start = jnp.zeros(budget.shape[:-1], jnp.float32)
    score, chosen = jax.lax.scan(choose, start, (scores, costs, mask))
    feasible = score < jnp.inf

    def trace(left, decision):
        options, cost = decision
        option = options[tuple(jnp.moveaxis(left, -1, 0))].astype(jnp.int32)
        # Where nothing fits, the trace means nothing: it only has to stay within the table.
        return jnp.maximum(left - cost[option], 0), jnp.where(feasible, option, -1)

    _, choices = jax.lax.scan(trace, budget, (chosen, costs), reverse=True)
    return Front(score, jnp.moveaxis(choices, 0, -1))


def quantized(
    costs: chex.Array,
    resolution: int,
    *,
    mask: chex.Array | None = None,
    span: chex.Array | None = None,
    up: bool = True,
) -> Grid:
    """Costs as whole numbers of at most `resolution` units in all, exactly where that is possible.

    Bytes, parameters and a simulator's cycles are multiples of some unit. The largest one is taken, if the span is no
    more than `resolution` of it; then the knapsack's optimum is that of the costs themselves. Otherwise the unit is
    `span / resolution`, and each cost is rounded up, so that a budget is never exceeded. What that may lose: the cost
    of a choice of D options is overstated by less than D units, so the optimum found within a budget is no worse than
    the true one within a budget that is `D * unit` smaller.

    NumPy costs are computed with as they are, in 64 bits; JAX arrays in 32, also within a program. Multiples may be off
    by `TOLERANCE` of a unit (in 64 bits, a thousandth of that).

    Args:
      costs: `[D, C]` float, of any sign.
      resolution: the largest budget in units, static.
      mask: `[D, C]` bool, which options exist; all by default.
      span: what the largest budget that matters allows above the cheapest choice; by default, any choice. Options that
        exceed it alone are given `resolution + 1`.
      up: round up what is not exact; False rounds to the nearest, which is off by about `sqrt(D / 12)` units either
        way, for those that look at the true cost of what they get.

    Raises:
      InputError: a resolution below 1, costs that are no matrix.
    """
    check.integer("resolution", resolution, least=1)
    xp: Any = jnp if any(isinstance(a, jax.Array) for a in (costs, mask, span)) else np
    costs = jnp.asarray(costs, jnp.float32) if xp is jnp else np.asarray(costs, np.float64)
    if costs.ndim != 2:
        raise InputError(f"costs: expected [D, C], got {costs.shape}.")
    there = xp.ones(costs.shape, bool) if mask is None else xp.asarray(mask, bool)
    cheapest = xp.where(there, costs, xp.inf).min(1, keepdims=True)
    above = xp.where(there, costs - cheapest, 0)
    tolerance = TOLERANCE if xp is jnp else TOLERANCE / 1000
    noise = 8 * xp.finfo(costs.dtype).eps * xp.abs(xp.where(there, costs, 0)).max()
    above = xp.where(above > noise, above, 0)
    every = above.max(1).sum()
    span = every if span is None else xp.minimum(every, xp.asarray(span, costs.dtype))
    span = xp.where(span > 0, span, 1)

    # A unit divides the smallest difference, and with less than `span / resolution` the range would not fit.
    matters = (above > 0) & (above <= span * (1 + 1e-6))
    smallest = xp.where(matters, above, xp.inf).min()
    smallest = xp.where(xp.isfinite(smallest), smallest, span)
    units = smallest / xp.arange(1, resolution + 1).astype(costs.dtype)
    multiple = above[..., None] / units
    fits = xp.where(matters[..., None], xp.abs(multiple - xp.round(multiple)) < tolerance, True).all((0, 1))
    fits = fits & (span / units < resolution + tolerance)
    exact = fits.any()
    unit = xp.where(exact, units[xp.argmax(fits)], span / resolution)

    steps = above / unit
    rounded = xp.where(exact | (not up), xp.round(steps), xp.ceil(steps - 1e-4))
    integers = xp.where(above <= span * (1 + 1e-6), rounded, resolution + 1).astype(xp.int32)
    return Grid(integers, unit, cheapest.sum(), exact)
