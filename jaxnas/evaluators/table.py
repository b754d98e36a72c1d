"""Tabular evaluation: what every genome reaches is already known."""

from collections.abc import Mapping, Sequence

import chex
import jax
import jax.numpy as jnp
import numpy as np

from jaxnas import check
from jaxnas.check import InputError
from jaxnas.types import Evaluator, Feedback, Space, member_keys, scored

SEEDS = ("mean", "random")


def table(
    space: Space,
    fitness: np.ndarray,
    *,
    budgets: Sequence[int] = (),
    seeds: str | int = "mean",
    seconds: np.ndarray | None = None,
    limit_seconds: float | None = None,
    costs: Mapping[str, np.ndarray] | None = None,
    metrics: Mapping[str, np.ndarray] | None = None,
) -> Evaluator:
    """Looks fitness up by `space.index`; jittable end to end, so whole searches can be scanned and vmapped.

    Columns are `[N]`, `[N, S]` (a column for each of S trainings) or `[N, S, B]` (B training budgets), N the size of
    the space, row i for the genome `space.from_index(i)`. NaN in `fitness` marks what failed or was never measured;
    such a member is not valid, nor is one whose index is N (a genome that a partial enumeration does not know).

    Budgets: a proposal reads the largest known budget within its own; a budget of 0, or below all known, reads the
    largest or the smallest of all. Seeds: "mean" over the trainings there are, "random" for one of them drawn anew
    for each member (the same in all columns), an integer for that column.

    Simulated time (Dong et al., 2021, NATS-Bench, section 4): `seconds` of each training are summed as if one machine
    did one after another. A member that starts once `limit_seconds` are spent is not valid, as if never trained. The
    metrics `seconds` (its own) and `simulated_seconds` (the sum up to its end) are recorded.

    Args:
      space: must be enumerable.
      fitness: higher is better.
      budgets: the B budgets, increasing.
      seeds: "mean", "random", or which of the S.
      seconds: training time, a column.
      limit_seconds: simulated time that may be spent.
      costs: name -> column `[N]`, given as `Feedback.cost`; NaN (not supported on the device, say) is not valid.
      metrics: more columns, recorded and never shown to the strategy (test accuracy, say).

    Raises:
      InputError: the space has no enumeration, or a column another shape.
    """
    if space.index is None:
        raise InputError(f"space {space.name!r} of {space.size} genomes has no index, which a table needs.")
    if limit_seconds is not None:
        check.real("limit_seconds", limit_seconds, least=0)
        if seconds is None:
            raise InputError("limit_seconds: there is no column of seconds to add up.")
    if list(budgets) != sorted(set(budgets)):
        raise InputError(f"budgets: expected increasing integers, got {list(budgets)}.")
    given = {"fitness": fitness, **(metrics or {}), **({} if seconds is None else {"seconds": seconds})}
    shaped = {name: _shaped(name, column, space, max(len(budgets), 1)) for name, column in given.items()}
    S = shaped["fitness"].shape[1]
    if isinstance(seeds, str):
        check.one_of("seeds", seeds, SEEDS)
    else:
        check.integer("seeds", seeds, least=0, most=S - 1, because=f"fitness has {S} seeds")
    order = np.argsort(np.isnan(shaped["fitness"]), axis=1, kind="stable")  # trainings that there are, first
    trained = _with_unknown((~np.isnan(shaped["fitness"])).sum(1).astype(np.int32), 0)
    columns = {name: _with_unknown(_one_training(column, seeds, order)) for name, column in shaped.items()}
    costs = {name: _with_unknown(_shaped(name, c, space, 1)[:, 0, 0]) for name, c in (costs or {}).items()}

    def values(key, proposal) -> dict[str, chex.Array]:
        rows = jax.vmap(space.index)(proposal.genome)
        # Static where there is but one: a plain gather then.
        b = _largest_within(proposal.budget, budgets) if len(budgets) > 1 else 0
        s = 0
        if seeds == "random" and S > 1:
            u = jax.vmap(jax.random.uniform)(member_keys(key, proposal))
            s = jnp.minimum((u * trained[rows, b]).astype(jnp.int32), S - 1)
        at = lambda c: c[rows, s if c.shape[1] > 1 else 0, b if c.shape[2] > 1 else 0]
        return {name: at(column) for name, column in columns.items()} | {n: c[rows] for n, c in costs.items()}

    def evaluate(key, state, proposal):
        found = values(key, proposal)
        cost = jnp.stack([found.pop(name) for name in costs], -1) if costs else None
        fitness = found.pop("fitness")
        valid = jnp.isfinite(fitness)
        if costs:
            valid &= jnp.isfinite(cost).all(-1)
        if seconds is not None:
            took = jnp.where(proposal.active & valid, found["seconds"], 0)
            end = state + jnp.cumsum(took)
            if limit_seconds is not None:
                in_time = end - took < limit_seconds
                valid &= in_time
                took = jnp.where(in_time, took, 0)
                end = state + jnp.cumsum(took)
            found["simulated_seconds"] = end
            state = end[-1]
        return scored(fitness, cost=cost, valid=valid, metrics=found), state

    def known() -> Feedback:
        mean = _one_training(shaped["fitness"], "mean" if seeds == "random" else seeds, order)[:, 0, -1]
        cost = np.stack([np.asarray(c)[:-1] for c in costs.values()], -1) if costs else np.zeros((len(mean), 0))
        return scored(mean, cost=cost, valid=np.isfinite(mean) & np.isfinite(cost).all(-1))

    return Evaluator(
        "table",
        init=lambda key: () if seconds is None else jnp.float32(0),
        evaluate=evaluate,
        gives=frozenset({"fitness"} | ({"budget"} if len(budgets) > 1 else set()) | ({"cost"} if costs else set())),
        cost_names=tuple(costs),
        known=known,
    )


def _shaped(name: str, column: np.ndarray, space: Space, budgets: int) -> np.ndarray:
    column = np.asarray(column, np.float32)
    N, shape = space.size, column.shape
    if column.ndim < 3:
        column = column.reshape(*shape, *[1] * (3 - column.ndim))
    if column.ndim != 3 or len(column) != N or column.shape[2] not in (1, budgets):
        seeds = f", [{N}, seeds]" + (f" or [{N}, seeds, {budgets}]" if budgets > 1 else "")
        raise InputError(f"{name}: expected [{N}]{seeds}, a row for each genome, got {shape}.")
    return column


def _with_unknown(column: np.ndarray, value: float = np.nan) -> chex.Array:
    """The column with one row more, for genomes that the space has no index of."""
    return jnp.asarray(np.concatenate([column, np.full_like(column[:1], value)]))


def _one_training(column: np.ndarray, seeds: str | int, order: np.ndarray) -> np.ndarray:
    """`[N, S, B]`, S reduced to 1 unless it is drawn at run time."""
    if seeds == "random":
        S = column.shape[1]
        return np.take_along_axis(column, order, 1) if order.shape[1] == S and S > 1 else column
    if seeds == "mean":
        known = ~np.isnan(column)
        count = known.sum(1, keepdims=True)
        mean = np.where(known, column, 0).sum(1, keepdims=True, dtype=np.float64) / np.maximum(count, 1)
        return np.where(count > 0, mean, np.nan).astype(np.float32)
    return column[:, [seeds if column.shape[1] > 1 else 0]]


def _largest_within(budget: chex.Array, budgets: Sequence[int]) -> chex.Array:
    """`[P]` positions in `budgets`."""
    position = jnp.searchsorted(jnp.asarray(budgets), budget, side="right") - 1
    return jnp.where(budget <= 0, len(budgets) - 1, jnp.maximum(position, 0)).astype(jnp.int32)
