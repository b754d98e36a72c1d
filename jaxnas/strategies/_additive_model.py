"""The model of a search by replacements: what each option of each decision adds to fitness and costs."""

from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
from flax import struct

from jaxnas.check import InputError
from jaxnas.strategies import knapsack
from jaxnas.strategies.best import Best

RIDGE = 1.0
"""Variance of what the model misses of a genome, over that of how far an option's effect is from its replacement's."""
PRIOR_SPREAD, PRIOR_COUNT = 0.5, 4.0
"""What the model is first said to miss, in standard deviations of the replacements' effects, and after how many
evaluations what it does miss counts as much."""
HIGHEST = jax.lax.Precision.HIGHEST


class AdditiveModel(NamedTuple):
    """Fitness and costs as sums: `base + sum over d of what the option of decision d adds`.

    Attributes:
      fitness: `[D, C]` what each option adds to fitness; 0 where there is none.
      cost: `[D, C, K]` likewise to each cost.
      base_fitness: of no option.
      base_cost: `[K]`.
      factor: `[D C, D C]` lower Cholesky factor of the posterior's precision, for a misfit of variance 1.
      misfit: standard deviation of what the model misses of a genome's fitness.
    """

    fitness: chex.Array
    cost: chex.Array
    base_fitness: chex.Array
    base_cost: chex.Array
    factor: chex.Array
    misfit: chex.Array

    def drawn(self, noise: chex.Array) -> chex.Array:
        """`[P, D, C]` how draws of `fitness` from its posterior differ from the mean, of normal `noise` `[P, D C]`."""
        found = jax.scipy.linalg.solve_triangular(self.factor.T, noise.T, lower=False).T
        return self.misfit * found.reshape(-1, *self.fitness.shape)

    def predict(self, genomes: chex.Array) -> tuple[chex.Array, chex.Array]:
        """Fitness `[N]` and costs `[N, K]` of genomes `[N, D]`."""
        return self.base_fitness + total(self.fitness, genomes), self.base_cost + total(self.cost, genomes)


class AdditiveFront(NamedTuple):
    """What the model holds to be the best for each budget, from that of the cheapest genome to that of the dearest.

    Attributes:
      genome: `[Q + 1, D]`; `[Q1 + 1, Q2 + 1, D]` with two costs.
      fitness: `[…]` by the model; -inf where nothing is that cheap.
      cost: `[…, K]` of that genome, by the model.
      budget: `[…, K]` what its costs were to be at most; where costs are no multiples of one unit, they are rounded to
        the nearest `1 / resolution` of the range, so that a genome's cost may exceed it by some of these.
    """

    genome: chex.Array
    fitness: chex.Array
    cost: chex.Array
    budget: chex.Array


@struct.dataclass
class AdditiveState:
    """What was answered: to the replacements, and to the genomes that the model proposed.

    Attributes:
      start: `[D]` genome that the replacements change.
      options: `[D, C]` bool, which exist.
      replaced_fitness: `[D, C]` of `start` with that one option in place of its own, and of `start` itself at its own
        options; NaN where not known.
      replaced_cost: `[D, C, K]` likewise.
      genomes: `[N, D]` ring of the usable answers to later proposals, in order of telling.
      fitness: `[N]` of these; -inf where there is none.
      cost: `[N, K]`.
      told: answers that entered the ring.
      seen: `[N, 2]` uint32 ring of hashes of what was proposed since the replacements.
      proposed: proposals since the replacements.
      exploration: what draws from the posterior are multiplied by: 1, more while they come to little that is new.
      answered: replacements told, usable or not.
      rounds: asks so far.
      asked: proposals so far.
      best: the fittest evaluated within the limits.
    """

    start: chex.Array
    options: chex.Array
    replaced_fitness: chex.Array
    replaced_cost: chex.Array
    genomes: chex.Array
    fitness: chex.Array
    cost: chex.Array
    told: chex.Array
    seen: chex.Array
    proposed: chex.Array
    exploration: chex.Array
    answered: chex.Array
    rounds: chex.Array
    asked: chex.Array
    best: Best

    def model(self) -> AdditiveModel:
        """The posterior mean of all told so far; pure, so that it can be jitted.

        Bayesian linear regression of what the replacements do not explain of later evaluations on one-hot decisions.
        """
        D, C = self.options.shape
        own = jnp.arange(C) == self.start[:, None]
        known = self.options & jnp.isfinite(self.replaced_fitness)
        changed = known & ~own
        # Without the start's own answer, what is said of the options only compares them with one another.
        some = jnp.maximum(changed.sum(dtype=jnp.float32), 1)
        mean = lambda values, there: jnp.where(there, values, 0).sum((0, 1)) / some
        has_start = known[0, self.start[0]]
        fitness0 = jnp.where(has_start, self.replaced_fitness[0, self.start[0]], mean(self.replaced_fitness, changed))
        cost0 = jnp.where(has_start, self.replaced_cost[0, self.start[0]], mean(self.replaced_cost, changed[..., None]))
        gain = jnp.where(changed, self.replaced_fitness - fitness0, 0)
        price = jnp.where(changed[..., None], self.replaced_cost - cost0, 0)
        # What failed counts as worse than all others, and as the dearest of its decision, until a genome with it
        # succeeds.
        failed = self.options & ~own & ~known
        between = gain.max() - gain.min()
        worst = gain.min() - jnp.where(between > 0, between, 1)
        dearest = price.max(1, keepdims=True)
        gain, price = jnp.where(failed, worst, gain), jnp.where(failed[..., None], dearest, price)

        there = jnp.isfinite(self.fitness)
        x = (self.genomes[..., None] == jnp.arange(C)) & there[:, None, None]
        x = x.reshape(len(there), -1).astype(jnp.float32)
        missed = jnp.where(there, self.fitness - fitness0 - total(gain, self.genomes), 0)
        costs_missed = jnp.where(there[:, None], self.cost - cost0 - total(price, self.genomes), 0)
        both = jnp.concatenate([missed[:, None], costs_missed], 1)
        precision = jnp.matmul(x.T, x, precision=HIGHEST) + RIDGE * jnp.eye(D * C, dtype=jnp.float32)
        factor = jnp.linalg.cholesky(precision)
        right = jnp.matmul(x.T, both, precision=HIGHEST)
        shift = jax.scipy.linalg.cho_solve((factor, True), right)
        explained = jnp.sum(right[:, 0] * shift[:, 0])
        spread = jnp.sqrt(jnp.where(changed, gain**2, 0).sum() / some)
        prior = PRIOR_SPREAD * jnp.where(spread > 0, spread, 1.0)
        left = PRIOR_COUNT * prior**2 + jnp.maximum((missed**2).sum() - explained, 0)
        return AdditiveModel(
            fitness=jnp.where(self.options, gain + shift[:, 0].reshape(D, C), 0),
            cost=jnp.where(self.options[..., None], price + shift[:, 1:].reshape(D, C, -1), 0),
            base_fitness=fitness0,
            base_cost=cost0,
            factor=factor,
            misfit=jnp.sqrt(left / (PRIOR_COUNT + there.sum(dtype=jnp.float32))),
        )

    def front(self, resolution: int = 1000) -> AdditiveFront:
        """The model's optimum of every budget, costs being one or two; jittable with a static `resolution`.

        Raises:
          InputError: no cost, or more than two.
        """
        K = self.cost.shape[1]
        if K not in (1, 2):
            raise InputError(f"front: expected a search with one or two costs, got {K}.")
        model = self.model()
        grids = [knapsack.quantized(model.cost[..., k], resolution, mask=self.options, up=False) for k in range(K)]
        integers, unit, least, _ = (jnp.stack(each, -1) for each in zip(*grids, strict=True))
        found = knapsack.front(-model.fitness, integers, self.options, (resolution,) * K)
        steps = jnp.stack(jnp.meshgrid(*[jnp.arange(resolution + 1)] * K, indexing="ij"), -1)
        genome = jnp.maximum(found.choices, 0)
        fitness, cost = model.predict(genome)
        fitness = jnp.where(found.score < jnp.inf, fitness, -jnp.inf)
        return AdditiveFront(genome, fitness, cost, model.base_cost + least + steps * unit)

    def least_sensitive(self, limits: chex.Array) -> chex.Array:
        """The genome `[D]` that a sensitivity search takes, as a yardstick (FastNAS of NVIDIA's Model Optimizer).

        Each decision takes the cheapest of its options that alone lose at most a threshold of fitness, with the least
        threshold that brings the sum of each cost within `limits` `[K]`; the cheapest of all where none does. Only the
        replacements count; of several costs, the sum in parts of their range is what is cheapest.

        Raises:
          InputError: no cost, or limits of another number.
        """
        if not self.cost.shape[1] or jnp.shape(limits) != self.cost.shape[1:]:
            raise InputError(f"limits: expected [{self.cost.shape[1]}], one for each cost, got {jnp.shape(limits)}.")
        model = self.alone().model()
        lost = jnp.where(self.options, -model.fitness, jnp.inf)
        lost = jnp.maximum(lost - lost[jnp.arange(len(lost)), self.start][:, None], 0)
        there = self.options[..., None]
        high, low = (
            jnp.where(there, model.cost, -jnp.inf).max(1).sum(0),
            jnp.where(there, model.cost, jnp.inf).min(1).sum(0),
        )
        price = (model.cost / jnp.where(high > low, high - low, 1)).sum(-1)

        def at(threshold):
            genome = jnp.argmin(jnp.where(self.options & (lost <= threshold), price, jnp.inf), 1).astype(jnp.int32)
            cost = model.base_cost + total(model.cost, genome[None])[0]
            return genome, (cost <= limits + 2e-6 * jnp.abs(limits)).all()

        genomes, within = jax.vmap(at)(jnp.sort(jnp.where(self.options, lost, 0).ravel()))
        return genomes[jnp.where(within.any(), jnp.argmax(within), -1)]

    def alone(self) -> "AdditiveState":
        """Of the replacements, without what was learned from later evaluations."""
        return self.replace(fitness=jnp.full_like(self.fitness, -jnp.inf), told=jnp.zeros_like(self.told))


def total(table: chex.Array, genomes: chex.Array) -> chex.Array:
    """`[N, …]` the sum over decisions of `table` `[D, C, …]` at the options of `genomes` `[N, D]`."""
    return table[jnp.arange(genomes.shape[-1]), genomes].sum(genomes.ndim - 1, dtype=table.dtype)
