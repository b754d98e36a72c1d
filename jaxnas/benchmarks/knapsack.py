"""The exact optimum of every budget by one dynamic programme, beside a mixed-integer programme for each budget."""

import json
import pathlib
import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from jaxnas import check
from jaxnas.benchmarks import side_by_side
from jaxnas.check import InputError
from jaxnas.strategies import knapsack


def measure(
    *,
    instances: int = 1000,
    decisions: int = 30,
    options: int = 6,
    budget: int = 120,
    rounds: int = 5,
    workdir: str = "",
) -> dict[str, Any]:
    """Random instances, and the replacement scores that a search left behind, by `strategies.knapsack` and by SciPy's
    `milp` (HiGHS).

    Args:
      instances: random ones, whose optima are compared, each at a budget of its own.
      decisions: of an instance, as a decoder has layers.
      options: of each decision.
      budget: the largest.
      rounds: timings of both, in turn.
      workdir: of a search by `additive` with one cost or more, of whose replacements the first cost counts; none by
        default.

    Returns:
      `equal` (instances with equal optima), `largest_difference`, `ms` (`all_budgets`: all by one call; `one_milp`: one
      budget), `milp_seconds_all_budgets` of one instance, and with a workdir the same of its `library`.

    Raises:
      InputError: a number out of its range, a workdir without replacement scores.
    """
    side_by_side.positive(instances=instances, decisions=decisions, options=options, budget=budget, rounds=rounds)
    draw = np.random.default_rng(0)
    solve = jax.jit(knapsack.front, static_argnums=3)
    mask = np.ones((decisions, options), bool)
    differences, asked = [], draw.integers(decisions, budget + 1, instances)
    for most in asked:
        scores = draw.normal(size=(decisions, options)).astype(np.float32)
        costs = draw.integers(1, 2 * budget // decisions, (decisions, options))
        ours = float(solve(scores, costs, mask, budget).score[most])
        theirs = _milp(scores, costs, most)
        both = np.isinf(ours) and np.isinf(theirs)
        differences.append(0.0 if both else abs(ours - theirs))
    found = {
        "instances": instances,
        "equal": int(np.sum(np.array(differences) < 1e-3)),
        "largest_difference": float(np.max(differences)),
        **_timed(solve, scores, costs, mask, budget, rounds),
    }
    if workdir:
        scores, costs, mask = _library(check.local_path("workdir", workdir))
        grid = knapsack.quantized(costs, 1000, mask=mask)
        integers, most = np.asarray(grid.integers), int(np.where(mask, grid.integers, 0).max(1).sum())
        ours = np.asarray(solve(scores, integers, mask, most).score)
        theirs = np.array([_milp(np.where(mask, scores, 1e3), integers, budget) for budget in range(most + 1)])
        library = {"decisions": len(mask), "options": int(mask.sum()), "budgets": most + 1, "exact": bool(grid.exact)}
        library |= {
            "equal": int((abs(ours - theirs) < 1e-3).sum()),
            **_timed(solve, scores, integers, mask, most, rounds),
        }
        found["library"] = library
    return found


def _milp(scores: np.ndarray, costs: np.ndarray, most: int) -> float:
    """Least total score within a budget; infinite where nothing is."""
    from scipy import optimize

    one_each = np.kron(np.eye(len(scores)), np.ones(scores.shape[1]))
    limits = [
        optimize.LinearConstraint(one_each, 1, 1),
        optimize.LinearConstraint(costs.reshape(1, -1), -np.inf, float(most)),
    ]
    whole, bounds = np.ones(scores.size), optimize.Bounds(0, 1)
    solution = optimize.milp(scores.ravel().astype(float), integrality=whole, bounds=bounds, constraints=limits)
    return float(solution.fun) if solution.success else np.inf


def _timed(solve: Callable, scores, costs, mask, most: int, rounds: int) -> dict[str, Any]:
    ours = lambda i: 1e3 * side_by_side.timed(lambda: solve(scores, costs, mask, most).score)[0]
    filled = np.where(mask, scores, 1e3)
    theirs = lambda i: 1e3 * side_by_side.timed(lambda: _milp(filled, costs, most // 2))[0]
    took = side_by_side.alternate(rounds, {"all_budgets": ours, "one_milp": theirs})
    begin = time.perf_counter()
    for budget in range(most + 1):
        _milp(filled, costs, budget)
    whole = time.perf_counter() - begin
    ms = {name: side_by_side.summary(runs) for name, runs in took.items()}
    return {"ms": ms, "budgets": most + 1, "milp_seconds_all_budgets": whole}


def _library(folder: pathlib.Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """`[D, C]` losses and first costs of a search's replacements in its first architecture, and which there are."""
    file = folder / "history.jsonl"
    rows = [json.loads(line) for line in file.read_text().splitlines()] if file.is_file() else []
    if not rows or not rows[0]["cost"]:
        raise InputError(f"workdir: {folder} holds no search with a cost.")
    name, start = next(iter(rows[0]["cost"])), np.array(rows[0]["genome"])
    D, C = len(start), 1 + max(max(row["genome"]) for row in rows)
    scores, costs, mask = np.zeros((D, C), np.float32), np.zeros((D, C)), np.zeros((D, C), bool)
    mask[np.arange(D), start] = True
    for row in rows:
        (changed,) = np.nonzero(np.array(row["genome"]) != start)
        if len(changed) == 1:
            at = changed[0], row["genome"][changed[0]]
            scores[at], costs[at] = rows[0]["fitness"] - row["fitness"], row["cost"][name] - rows[0]["cost"][name]
            mask[at] = True
    if mask.sum() <= D:
        raise InputError(
            f"workdir: the search in {folder} scored no replacements; expected one by the strategy additive."
        )
    return scores, costs, mask
