"""Search by an additive model, as in Puzzle (Bercovich et al., 2024): replacement scores, and a knapsack over them."""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np

from jaxnas import check
from jaxnas.check import InputError
from jaxnas.spaces import needed
from jaxnas.strategies import knapsack
from jaxnas.strategies._additive_model import AdditiveModel, AdditiveState, total
from jaxnas.strategies._beam_search import given_genome
from jaxnas.strategies.best import Best
from jaxnas.types import Space, Strategy, narrow, propose, usable

WIDER = 1.5
"""How much wider draws are in the next ask where at most half of this one came to anything new; else as much less."""


def additive(
    space: Space,
    *,
    costs: Sequence[str] = (),
    limits: Mapping[str, float] | None = None,
    start: str | Sequence[int] | None = None,
    proposals: int = 8,
    resolution: int | None = None,
    capacity: int = 1000,
    budget: int = 0,
) -> Strategy:
    """Changes one decision of `start` at a time, adds up what the changes do, and finds the best sum within costs.

    **Replacements.** First `start` and each genome with one decision changed from it are evaluated: 1 + the number of
    options - D of them. What a change does to fitness and to each cost is taken to add up over decisions, as in Puzzle
    (Bercovich et al., 2024), so the best genome within limits is the optimum of a knapsack, which is found exactly
    (`strategies.knapsack`). The last ask of this part is padded, and until all replacements are told, `ask` proposes
    inactive members only. A replacement that failed counts as worse than all others, and the dearest of its decision.

    **Refinement.** In later rounds the sum is corrected, which Puzzle does not do: a Bayesian linear regression on
    the decisions of all genomes evaluated since, with the replacements' effects as prior mean. Costs are corrected
    in the same way. The first member of an ask is the optimum of the posterior mean, each other that of a draw of
    the effects from the posterior (Thompson sampling; without limits in every second ask), or what is next best: of
    the optima for all smaller budgets and of those with one decision changed, what was not proposed before. A
    member for which nothing is left is inactive; where half of them are, the next ask's draws are 1.5 times as wide.

    **Limits.** On one or two costs. Without, each member has a budget of its own, and an ask spreads them between the
    costs of the cheapest genome and of the fittest (of two costs, the dearest), so that the front is searched; then
    there can be at most two costs. Without costs, fitness alone is searched. A limit below the cheapest genome of the
    model has the cheapest evaluated, then the next.

    Recommends the fittest evaluated within the limits; before there is one, the optimum of the model, which is the
    cheapest by the model where it holds the limits for too low: look at its cost. `AdditiveState.front` gives the
    model's optimum of every budget.

    Args:
      space: categorical, all combinations allowed.
      costs: names of the evaluator's K costs, in its order; also as text, separated by commas. Where limits are given,
        those without one are not looked at.
      limits: cost name -> what it may be at most, one or two of them.
      start: the genome to replace in, as a string or as positions `[D]`; by default the first option of each decision.
      proposals: P, architectures in each ask.
      resolution: budgets of each cost that the knapsack tells apart where costs are not multiples of one unit; by
        default 1,000, and 100 of each of two costs.
      capacity: N, evaluations after the replacements to learn from; later ones take the place of the oldest.
      budget: training steps for each.

    Raises:
      InputError: a number out of its range, a limit on an unknown cost, more than two budgets, a `start` that is not of
        the space, a space that is not categorical or restricts combinations of options.
    """
    mask = needed.categorical("strategy 'additive'", space)
    needed.free_combinations("strategy 'additive'", space, "nsga2 or regularized_evolution")
    names, limits = _checked(costs, {} if limits is None else limits)
    axes = [k for k, name in enumerate(names) if name in limits] or list(range(len(names)))
    if len(axes) > 2:
        raise InputError(
            f"{'limits' if limits else 'costs'}: expected one or two budgets, got {len(axes)} "
            f"({', '.join(names[k] for k in axes)}); give limits on one or two costs."
        )
    P, K, N, B = proposals, len(names), capacity, len(axes)
    resolution = (100 if B == 2 else 1000) if resolution is None else resolution
    check.integer("proposals", P, least=1)
    check.integer("resolution", resolution, least=1)
    check.integer("capacity", N, least=P, because="the proposals")
    check.integer("budget", budget, least=0)
    first = given_genome("start", np.zeros(len(mask), np.int32) if start is None else start, space)
    most = np.array([limits.get(name, np.inf) for name in names], np.float32)
    D, C = mask.shape
    replacements, where = _replacements(first, mask)
    R = len(replacements)
    first_rounds = math.ceil(R / P)
    solver = _Solver(space, mask, np.array(axes, np.int32), resolution, most[axes] if limits else None)
    initial = solver.hashed(jnp.asarray(replacements))

    def init(key):
        zero, unknown = jnp.int32(0), jnp.float32(jnp.nan)
        return AdditiveState(
            start=jnp.asarray(first),
            options=jnp.asarray(mask),
            replaced_fitness=jnp.full((D, C), unknown),
            replaced_cost=jnp.full((D, C, K), unknown),
            genomes=jnp.tile(jnp.asarray(first), (N, 1)),
            fitness=jnp.full(N, -jnp.inf, jnp.float32),
            cost=jnp.zeros((N, K), jnp.float32),
            told=zero,
            seen=jnp.zeros((N, 2), jnp.uint32),
            proposed=zero,
            exploration=jnp.float32(1),
            answered=zero,
            rounds=zero,
            asked=zero,
            best=Best(jnp.asarray(first), jnp.float32(-jnp.inf)),
        )

    def replace(key, state):
        row = state.rounds * P + jnp.arange(P, dtype=jnp.int32)
        genomes = jnp.asarray(replacements)[jnp.minimum(row, R - 1)]
        return genomes, row < R, jnp.minimum(row, R - 1), state

    def wait(key, state):
        return jnp.tile(state.start, (P, 1)), jnp.zeros(P, bool), jnp.full(P, -1, jnp.int32), state

    def refine(key, state):
        keys = jax.random.split(key, 2)
        model = state.model()
        problem = solver.problem(model)
        noise = state.exploration * jax.random.normal(keys[0], (P, D * C), jnp.float32)
        # The mean itself, while anything is left near it: at one budget for one member, at many in every other ask.
        at_mean = (jnp.arange(P) == 0) | ((not limits) & ((state.rounds - first_rounds) % 2 == 0))
        noise = jnp.where(at_mean[:, None] & (state.exploration <= 1), 0, noise)
        gains = model.fitness + jnp.where(mask, model.drawn(noise), 0)
        budgets = (
            jnp.tile(problem.limit, (P, 1))
            if limits
            else problem.spread(keys[1], P, jnp.where(mask, model.fitness, -jnp.inf))
        )

        def member(carry, one):
            seen, proposed = carry
            _, genome, code, active = solver.best(*one, problem, jnp.concatenate([initial, seen]))
            slot = jnp.where(active, proposed % N, N)
            return (seen.at[slot].set(code, mode="drop"), proposed + active), (genome, active)

        # One after another, so that no two are the same.
        start = (state.seen, state.proposed)
        (seen, proposed), (genomes, active) = jax.lax.scan(member, start, (gains, budgets))
        order = jnp.argsort(~active, stable=True)
        few = 2 * active.sum(dtype=jnp.int32) <= P
        exploration = jnp.clip(state.exploration * jnp.where(few, jnp.float32(WIDER), jnp.float32(1 / WIDER)), 1, 100)
        state = state.replace(seen=seen, proposed=proposed, exploration=exploration)
        return genomes[order], active[order], jnp.full(P, -1, jnp.int32), state

    def ask(key, state):
        # `rounds` does not depend on the seed, so this stays a branch under vmap.
        later = lambda key, state: jax.lax.cond(state.answered < R, wait, refine, key, state)
        genomes, active, row, state = jax.lax.cond(state.rounds < first_rounds, replace, later, key, state)
        proposal = propose(genomes, state.asked, budget=budget, active=active, extra={"replacement": row})
        return proposal, state.replace(asked=state.asked + active.sum(dtype=jnp.int32), rounds=state.rounds + 1)

    def tell(key, state, proposal, feedback):
        if K and feedback.cost.shape[1:] != (K,):
            raise InputError(f"additive: expected {K} costs ({', '.join(names)}), got {feedback.cost.shape[1]}.")
        feedback = narrow(feedback)
        feedback = feedback.replace(cost=feedback.cost[:, :K])
        ok = usable(proposal, feedback)
        row = proposal.extra["replacement"]
        # The start's answer, row 0, is that of its own options.
        d, c = jnp.where((ok & (row > 0))[:, None], jnp.asarray(where)[jnp.maximum(row, 0)], D).T
        is_start = ok & (row == 0)
        own = (jnp.arange(C) == state.start[:, None]) & is_start.any()
        i = jnp.argmax(is_start)

        def replaced(table, new):
            table = table.at[d, c].set(new, mode="drop")
            return jnp.where(own.reshape(D, C, *[1] * (table.ndim - 2)), new[i], table)

        enters = ok & (row < 0)
        told = state.told + jnp.cumsum(enters, dtype=jnp.int32)
        slot = jnp.where(enters, (told - 1) % N, N)
        ring = lambda old, new: old.at[slot].set(new, mode="drop")
        within = (feedback.cost <= most).all(-1)
        return state.replace(
            replaced_fitness=replaced(state.replaced_fitness, feedback.fitness),
            replaced_cost=replaced(state.replaced_cost, feedback.cost),
            genomes=ring(state.genomes, proposal.genome),
            fitness=ring(state.fitness, feedback.fitness),
            cost=ring(state.cost, feedback.cost),
            told=told[-1],
            answered=state.answered + (proposal.active & (row >= 0)).sum(dtype=jnp.int32),
            best=state.best.update(proposal.replace(active=ok & within), feedback),
        )

    def recommend(state):
        def by_model(state):
            model = state.model()
            problem = solver.problem(model)
            return solver.best(model.fitness, problem.limit, problem, initial)[0]

        known = jnp.isfinite(state.best.fitness) | (state.answered == 0)
        return jax.lax.cond(known, lambda state: state.best.genome, by_model, state)

    gives = frozenset({"budget"} if budget else ())
    needs = frozenset({"fitness", *["cost"] * (K > 0)})
    return Strategy("additive", init, ask, tell, recommend, needs=needs, gives=gives, cost_names=names)


class _Problem(NamedTuple):
    """The knapsack of a model's costs on B axes.

    Attributes:
      cost: `[D, C, B]` what each option adds.
      base: `[B]` cost of no option.
      low: `[B]` cost of the cheapest genome, `high` that of the dearest.
      limit: `[B]` that of all genomes; `high` where none is given.
      integers: `[D, C, B]` the costs as whole numbers; `[D, C, 1]` zeros without costs.
    """

    cost: chex.Array
    base: chex.Array
    low: chex.Array
    high: chex.Array
    limit: chex.Array
    integers: chex.Array

    def spread(self, key: chex.PRNGKey, P: int, gains: chex.Array) -> chex.Array:  # noqa: N803
        """`[P, B]` budgets, one in each P-th of the range of each cost: with two, paired at random.

        Of one cost, the range ends at that of the genome of the largest sum of `gains`: there the front ends as well.
        """
        B = len(self.low)
        if not B:
            return jnp.zeros((P, 0), jnp.float32)
        fittest = jnp.argmax(gains, 1)[None]
        top = self.high if B > 1 else (self.base + total(self.cost, fittest))[0]
        order_key, key = jax.random.split(key)
        order = [jax.random.permutation(k, jnp.arange(P, dtype=jnp.int32)) for k in jax.random.split(order_key, B)]
        strata = jnp.stack(order, 1).astype(jnp.float32)
        share = (strata + jax.random.uniform(key, (P, B), jnp.float32)) / P
        return self.low + share * (top - self.low)

    def excess(self, genomes: chex.Array, most: chex.Array) -> chex.Array:
        """`[N]` how far the costs lie above `most` `[B]`, summed in parts of their range; 0 within."""
        slack = 2e-6 * jnp.abs(most)  # sums of 32 bits
        above = jnp.maximum(self.base + total(self.cost, genomes) - most - slack, 0)
        return (above / self.scale).sum(-1)

    @property
    def scale(self) -> chex.Array:
        """`[B]` by how much genomes differ in cost."""
        return jnp.where(self.high > self.low, self.high - self.low, 1)


class _Solver(NamedTuple):
    """Finds the best genome by a model; `limits` `[B]` are those of the costs `axes` `[B]`, or None."""

    space: Space
    mask: np.ndarray
    axes: np.ndarray
    resolution: int
    limits: np.ndarray | None

    def hashed(self, genomes: chex.Array) -> chex.Array:
        """`[N, 2]` uint32, by which genomes that build the same network are known again."""
        words = np.random.default_rng(0).integers(0, 2**32, (*self.mask.shape, 2), np.uint32)
        return total(jnp.asarray(words), jax.vmap(self.space.canonical)(genomes))

    def problem(self, model: AdditiveModel) -> _Problem:
        """Of the costs that have budgets."""
        there, cost, base = jnp.asarray(self.mask), model.cost[..., self.axes], model.base_cost[self.axes]
        low = base + jnp.where(there[..., None], cost, jnp.inf).min(1).sum(0)
        high = base + jnp.where(there[..., None], cost, -jnp.inf).max(1).sum(0)
        limit = high if self.limits is None else jnp.asarray(self.limits)
        # What nothing within the limits reaches need not be told apart.
        span = jnp.where(limit > low, jnp.minimum(limit, high) - low, high - low)
        integers = _integers(cost, self.resolution, there, span)
        return _Problem(cost, base, low, high, limit, integers)

    def best(
        self, gains: chex.Array, most: chex.Array, problem: _Problem, seen: chex.Array
    ) -> tuple[chex.Array, chex.Array, chex.Array, chex.Array]:
        """The genome of the largest sum of `gains` `[D, C]` within `most` `[B]`.

        Returns:
          the best of all `[D]`, the best that is not in `seen` `[S, 2]`, its hash `[2]`, and whether there is one.
        """
        D, B = len(self.mask), len(self.axes)
        found = knapsack.front(-gains, problem.integers, jnp.asarray(self.mask), (self.resolution,) * B or (0,))
        # Where two costs are so limited that no genome is within both, the least sum of both.
        sums = jnp.where(self.mask, (problem.cost / problem.scale).sum(-1), jnp.inf)
        cheapest = jnp.argmin(sums, 1).astype(jnp.int32)[None]
        pool = jnp.concatenate([jnp.maximum(found.choices.reshape(-1, D), 0), cheapest])
        there = jnp.append(found.score.reshape(-1) < jnp.inf, True)

        def choose(pool, there, least):
            gain = jnp.where(there & (problem.excess(pool, most) <= least), total(gains, pool), -jnp.inf)
            return jnp.argmax(gain), gain.max() > -jnp.inf

        # Costs were rounded to whole numbers, so what each budget's optimum costs is looked at.
        least = jnp.where(there, problem.excess(pool, most), jnp.inf).min()
        optimum = pool[choose(pool, there, least)[0]]

        d, c = np.argwhere(self.mask).astype(np.int32).T
        near = jnp.where(np.arange(D) == d[:, None], c[:, None], optimum)
        pool = jnp.concatenate([pool, near])
        there = jnp.append(there, jnp.ones(len(d), bool))
        code = self.hashed(pool)
        new = there & ~(code[:, None] == seen).all(-1).any(1)
        # Where limits can be met nothing beyond is proposed; where they cannot, what exceeds them least.
        least = jnp.where(least > 0, jnp.where(new, problem.excess(pool, most), jnp.inf).min(), 0)
        i, any_new = choose(pool, new, least)
        return optimum, pool[i], code[i], any_new


def _checked(costs: Sequence[str], limits: Mapping[str, float]) -> tuple[tuple[str, ...], Mapping[str, float]]:
    """Names of the costs, and the limits, once they are known to be fine."""
    names = check.sequence("costs", costs.split(",") if costs and isinstance(costs, str) else costs or (), of=str)
    check.mapping("limits", limits)
    if "" in names or len(set(names)) < len(names):
        raise InputError(f"costs: expected names that differ, got {costs!r}.")
    for name, limit in limits.items():
        if not names:
            raise InputError(f"limits: there are no costs to limit, got {dict(limits)!r}; give their names as costs.")
        check.one_of("limits", name, names)
        check.real(f"limits, {name}", limit)
        if limit <= 0:
            raise InputError(f"limits, {name}: expected a positive number, got {limit!r}.")
    return names, limits


def _replacements(first: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`[R, D]` the genome `first` and all with one decision changed, and `[R, 2]` which decision, to which option."""
    changes = np.argwhere(mask & (np.arange(mask.shape[1]) != first[:, None])).astype(np.int32)
    genomes = np.tile(first, (1 + len(changes), 1))
    genomes[np.arange(1, len(genomes)), changes[:, 0]] = changes[:, 1]
    return genomes, np.concatenate([np.full((1, 2), -1, np.int32), changes])


def _integers(cost: chex.Array, resolution: int, mask: chex.Array, span: chex.Array) -> chex.Array:
    """`[D, C, B]` costs as whole numbers, rounded to the nearest; `[D, C, 1]` zeros where there are none."""
    if not cost.shape[-1]:
        return jnp.zeros((*mask.shape, 1), jnp.int32)
    grid = lambda cost, span: knapsack.quantized(cost, resolution, mask=mask, span=span, up=False).integers
    return jnp.stack([grid(cost[..., b], span[b]) for b in range(cost.shape[-1])], -1)
