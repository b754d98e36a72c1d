"""Tabular evaluation: what every genome reaches is already known."""

from collections.abc import Mapping, Sequence

import chex
import jax
import jax.numpy as jnp
import numpy as np

from jaxnas import check
from jaxnas.check import InputError
from jaxnas.spaces import needed
from jaxnas.types import Evaluator, Feedback, Space, member_keys, scored

SEEDS = ("mean", "random")
RESOLUTION = 1e-6
"""Of a column's range: what may be a tie though it was not."""


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
    Everything is float32 on the device.

    Budgets: a proposal reads the largest known budget within its own; a budget of 0, or below all known, reads the
    largest or the smallest of all. Seeds: "mean" over the trainings there are, "random" for one of them drawn again
    for each member (the same in all columns), an integer for that column.

    Simulated time (Dong et al., 2021, NATS-Bench, section 4): `seconds` of each training are summed as if one machine
    did one after another. A member that starts once `limit_seconds` are spent is not valid, as if never trained, nor is
    one whose time is unknown (NaN). The metrics `training_seconds` (its own) and `simulated_seconds` (the sum up to its
    end) are recorded.

    Args:
      space: must be enumerable.
      fitness: higher is better. Numbers that float32 holds equal are ties, unless they differ by more than a millionth
        of the column's range.
      budgets: the B budgets, increasing.
      seeds: "mean", "random", or which of the S.
      seconds: training time, a column.
      limit_seconds: simulated time that may be spent.
      costs: name -> `[N]`, given as `Feedback.cost`; NaN (not supported on the device, say) is not valid.
      metrics: more columns, recorded and never shown to the strategy (test accuracy, say).

    Raises:
      InputError: the space has no enumeration, a column another shape or number of seeds, or a fitness that float32
        cannot tell apart or hold.
    """
    needed.functions("evaluator 'table'", space, "index")
    if limit_seconds is not None:
        check.real("limit_seconds", limit_seconds, least=0)
        if seconds is None:
            raise InputError("limit_seconds: there is no column of seconds to add up.")
    check.increasing("budgets", budgets, least=0, most=2**31 - 1, because="32 bits")
    metrics = dict(metrics or {})
    taken = sorted({"training_seconds", "simulated_seconds"} & set(metrics))
    if seconds is not None and taken:
        raise InputError(f"metrics: {taken[0]!r} is the name of what simulated time records; call it otherwise.")
    given = {"fitness": fitness, **({} if seconds is None else {"seconds": seconds})}
    given |= {f"metrics[{name!r}]": column for name, column in metrics.items()}
    shaped = {name: _shaped(name, column, space, max(len(budgets), 1)) for name, column in given.items()}
    S = shaped["fitness"].shape[1]
    if isinstance(seeds, str):
        check.one_of("seeds", seeds, SEEDS)
    else:
        check.integer("seeds", seeds, least=0, most=S - 1, because=f"fitness has {S} seeds")
    for name, column in shaped.items():
        if seeds != "mean" and column.shape[1] not in (1, S):
            raise InputError(f"{name}: expected 1 or {S} seeds, as fitness has them, got {column.shape[1]}.")
    order = np.argsort(np.isnan(shaped["fitness"]), axis=1, kind="stable")  # trainings that there are, first
    trained = _with_unknown((~np.isnan(shaped["fitness"])).sum(1).astype(np.int32), 0)
    looked_up = {name: _one_training(column, seeds, order) for name, column in shaped.items()}
    _check_told_apart(looked_up["fitness"])
    looked_up = {name: _with_unknown(_float32(name, column)) for name, column in looked_up.items()}
    costs = {name: _with_unknown(_float32(name, _cost(name, column, space))) for name, column in (costs or {}).items()}

    def values(key, proposal) -> tuple[dict[str, chex.Array], chex.Array]:
        rows = jax.vmap(space.index)(proposal.genome)
        # Static where there is but one: a plain gather then.
        b = _largest_within(proposal.budget, budgets) if len(budgets) > 1 else 0
        s = 0
        if seeds == "random" and S > 1:
            u = jax.vmap(lambda k: jax.random.uniform(k, dtype=jnp.float32))(member_keys(key, proposal))
            s = jnp.minimum((u * trained[rows, b]).astype(jnp.int32), S - 1)
        at = lambda c: c[rows, s if c.shape[1] > 1 else 0, b if c.shape[2] > 1 else 0]
        none = jnp.zeros((len(rows), 0), jnp.float32)
        cost = jnp.stack([c[rows] for c in costs.values()], -1) if costs else none
        return {name: at(column) for name, column in looked_up.items()}, cost

    def evaluate(key, state, proposal):
        found, cost = values(key, proposal)
        fitness = found["fitness"]
        valid = jnp.isfinite(fitness) & jnp.isfinite(cost).all(-1)
        recorded = {name: found[f"metrics[{name!r}]"] for name in metrics}
        if seconds is not None:
            valid &= jnp.isfinite(found["seconds"])
            took = jnp.where(proposal.active & valid, found["seconds"], 0)
            end = state + jnp.cumsum(took, dtype=jnp.float32)
            if limit_seconds is not None:
                in_time = end - took < jnp.float32(limit_seconds)
                valid &= in_time
                took = jnp.where(in_time, took, 0)
                end = state + jnp.cumsum(took, dtype=jnp.float32)
            recorded |= {"training_seconds": found["seconds"], "simulated_seconds": end}
            state = end[-1]
        return scored(fitness, cost=cost, valid=valid, metrics=recorded), state

    def known() -> Feedback:
        mean = _one_training(shaped["fitness"], "mean" if seeds == "random" else seeds, order)[:, 0, -1]
        none = np.zeros((len(mean), 0), np.float32)
        cost = np.stack([np.asarray(c)[:-1] for c in costs.values()], -1) if costs else none
        return scored(mean.astype(np.float32), cost=cost, valid=np.isfinite(mean) & np.isfinite(cost).all(-1))

    return Evaluator(
        "table",
        init=lambda key: () if seconds is None else jnp.float32(0),
        evaluate=evaluate,
        gives=frozenset({"fitness"} | ({"budget"} if len(budgets) > 1 else set()) | ({"cost"} if costs else set())),
        cost_names=tuple(costs),
        known=known,
        budgets=tuple(budgets) if len(budgets) > 1 else (),
    )


def _numbers(name: str, column: np.ndarray) -> np.ndarray:
    """The column as float32 where it has no more digits, else as float64."""
    column = np.asarray(column)
    short = jnp.issubdtype(column.dtype, jnp.floating) and column.itemsize <= 4
    if not short and column.dtype.kind not in "fiub":
        raise InputError(f"{name}: expected numbers, got {column.dtype}.")
    return column.astype(np.float32 if short else np.float64, copy=False)


def _shaped(name: str, column: np.ndarray, space: Space, budgets: int) -> np.ndarray:
    column = _numbers(name, column)
    N, shape = space.size, column.shape
    if column.ndim < 3:
        column = column.reshape(*shape, *[1] * (3 - column.ndim))
    if column.ndim != 3 or len(column) != N or column.shape[1] == 0 or column.shape[2] not in (1, budgets):
        seeds = f", [{N}, seeds]" + (f" or [{N}, seeds, {budgets}]" if budgets > 1 else "")
        raise InputError(f"{name}: expected [{N}]{seeds}, a row for each genome, got {shape}.")
    return column


def _cost(name: str, column: np.ndarray, space: Space) -> np.ndarray:
    column = _numbers(f"costs[{name!r}]", column)
    if column.shape != (space.size,):
        raise InputError(f"costs[{name!r}]: expected [{space.size}], one for each genome, got {column.shape}.")
    return column


def _check_told_apart(column: np.ndarray) -> None:
    """Raises `InputError` where float32 makes ties of numbers that are far apart, for the column's range."""
    if column.dtype == np.float32:
        return
    known = np.unique(column[np.isfinite(column)])
    if not known.size:
        return
    rounded = _float32("fitness", known)
    last = np.append(np.flatnonzero(np.diff(rounded)), known.size - 1)  # of each run of ties
    first = np.append(0, last[:-1] + 1)
    k = int(np.argmax(known[last] - known[first]))
    low, high = known[first[k]], known[last[k]]
    if high - low > RESOLUTION * (known[-1] - known[0]):
        raise InputError(
            f"fitness: {float(low)!r} and {float(high)!r} are one number in float32, which the device has. Subtract an "
            "offset from the column."
        )


def _float32(name: str, column: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):
        rounded = column.astype(np.float32)
    beyond = np.isfinite(column) & ~np.isfinite(rounded)
    if beyond.any():
        raise InputError(
            f"{name}: {float(column[beyond][0])!r} is beyond float32, which the device has. Scale the column."
        )
    return rounded


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
        return np.where(count > 0, mean, np.nan).astype(column.dtype)
    return column[:, [seeds if column.shape[1] > 1 else 0]]


def _largest_within(budget: chex.Array, budgets: Sequence[int]) -> chex.Array:
    """`[P]` positions in `budgets`."""
    position = jnp.searchsorted(jnp.asarray(budgets, jnp.int32), budget, side="right").astype(jnp.int32) - 1
    return jnp.where(budget <= 0, len(budgets) - 1, jnp.maximum(position, 0)).astype(jnp.int32)
