"""Fitness before any training: zero-cost proxies at one shared initialization, on one batch."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax import struct, traverse_util

from jaxnas import check
from jaxnas.check import InputError
from jaxnas.evaluators.work import variables_of, work
from jaxnas.population import over_population
from jaxnas.proxies import PROXIES, counting, named, together
from jaxnas.tasks.task import Task
from jaxnas.training import Recipe, fits, trainer
from jaxnas.training.start import Initialize
from jaxnas.types import Evaluator, Space, scored

PLANS = ("auto", "map", "vmap")


@struct.dataclass
class ZeroCostState:
    """`variables` of the population network, `chosen` `[B]` training examples, sorted `ranks` `{proxy: [R]}`."""

    variables: Any
    chosen: chex.Array
    key: chex.Array
    ranks: dict[str, chex.Array]


def zero_cost(
    space: Space,
    network: nn.Module,
    task: Task,
    *,
    proxies: str | Sequence[str] | Mapping[str, float] = "synflow",
    batch_size: int = 64,
    reference: int = 64,
    initialize: Initialize = None,
    plan: str = "auto",
    devices: Sequence[Any] | None = None,
    chunk: int | None = None,
) -> Evaluator:
    """Scores each candidate at initialization, by proxies that need no training (`jaxnas.proxies`).

    All candidates have the same initial parameters, where they share an operation, and see the same batch. Fitness is
    the score of the one proxy. Of several, it is the weighted sum of ranks: of each the share of `reference` random
    architectures that score less, straight between them and beyond. A negative weight seeks low scores. A candidate
    with a score that is not finite is not valid. Metrics: each proxy's score.

    Args:
      space: whose `unpack` hands the network its decisions.
      network: called with `(decisions, x, train)`.
      task: `train` has the batch, `loss` is the proxies'.
      proxies: names ("synflow,nwot", or "all"), or weights by name.
      batch_size: B, examples drawn once by the seed, not augmented.
      reference: R, architectures that ranks are taken among.
      initialize: variables to begin with, `{"params": …}` by path, or a function `(key, decisions, variables) ->
        variables`; by default the network's own.
      plan: "auto", "map" or "vmap", see `population.over_population`.
      devices: to split the population over; all of them by default.
      chunk: with "vmap", members side by side on a device; all by default.

    Raises:
      InputError: an unknown proxy or option, a network that does not fit the space or the task, or a proxy that does
        not fit the network, the batch or its labels.
    """
    names = named(list(proxies) if isinstance(proxies, Mapping) else proxies)
    given = map(float, proxies.values()) if isinstance(proxies, Mapping) else [1.0] * len(names)
    weights = dict(zip(names, given, strict=True))
    check.integer("batch_size", batch_size, least=1, most=task.train.size, because="training examples")
    check.integer("reference", reference, least=2)
    check.one_of("plan", plan, PLANS)
    fits(space, network, task, Recipe(), initialize)
    refuse_counting(names, space, network, task)
    member = scorer(space, network, names, task.loss)

    of = work(space, network, task, batch_size)
    population = over_population(member, plan=plan, devices=devices, chunk=chunk, work=of)

    def score(state, genomes, active):
        batch = task.train.take(state.chosen)
        batch = batch._replace(inputs=task.inputs(batch.inputs))
        return population.run(genomes, active, shared=(state.variables, batch, jax.random.wrap_key_data(state.key)))

    def init(key):
        init_key, batch_key, draw_key, rank_key = jax.random.split(key, 4)
        variables = trainer(network, task, Recipe(), initialize).init(init_key, space.unpack(space.sample(init_key)))
        chosen = jax.random.permutation(batch_key, jnp.arange(task.train.size, dtype=jnp.int32))[:batch_size]
        state = ZeroCostState(variables, chosen, jax.random.key_data(draw_key), {})
        if len(names) == 1:
            return state
        genomes = jax.vmap(space.sample)(jax.random.split(rank_key, reference))
        scores = score(state, genomes, jnp.ones(reference, bool))
        return state.replace(ranks={name: _sorted(values) for name, values in scores.items()})

    def evaluate(key, state, proposal):
        scores = score(state, proposal.genome, proposal.active)
        if len(names) == 1:
            fitness = scores[names[0]] * jnp.sign(weights[names[0]])
        else:
            fitness = sum(weights[name] * rank(scores[name], state.ranks[name]) for name in names)
        valid = jnp.stack([jnp.isfinite(value) for value in scores.values()]).all(0)
        return scored(jnp.where(valid, fitness, -jnp.inf), valid=valid, metrics=scores), state

    # What a proxy refuses is refused now.
    genomes = jax.eval_shape(lambda key: space.sample(key)[None], jax.random.key(0))
    jax.eval_shape(lambda key, g: score(init(key), g, jnp.ones(1, bool)), jax.random.key(0), genomes)
    return Evaluator(
        "zero_cost",
        init=init,
        evaluate=evaluate,
        report=lambda: {**population.report(), "proxies": weights},
        group=population.group,
    )


def scorer(space: Space, network: nn.Module, names: Sequence[str], loss: Callable) -> Callable:
    """`(genome, variables, batch, key) -> {proxy: score}`; variables are those of the population network."""
    score = together(names)

    def member(genome, variables, batch, key):
        others = [c for c in variables if c != "params"]
        apply = lambda params, x: network.apply(
            {**variables, "params": params}, space.unpack(genome), x, True, mutable=others
        )
        return score(apply, variables["params"], batch, key, loss)

    return member


def refuse_counting(names: Sequence[str], space: Space, network: nn.Module, task: Task) -> None:
    """Raises `InputError` for proxies that count what is there where masks cut it to what is chosen."""
    counted = counting(names)
    if counted and (layer := _narrower(space, network, task)):
        raise InputError(
            f"proxies: {', '.join(counted)} count all that a layer has, of which this network's ({layer}) are cut by "
            "masks to what is chosen; expected proxies of what it computes: "
            f"{', '.join(name for name in PROXIES if not counting([name]))}."
        )


def _narrower(space: Space, network: nn.Module, task: Task) -> str | None:
    """The path of a parameter of which some stand-alone networks have a part alone; None where there is none."""
    shapes = lambda unpack: traverse_util.flatten_dict(variables_of(network, task, unpack)["params"])
    every = shapes(lambda: space.unpack(space.sample(jax.random.key(0))))
    for seed in range(4):
        genome = jax.tree.map(np.asarray, space.sample(jax.random.key(seed)))
        for path, leaf in shapes(lambda genome=genome: space.unpack(genome)).items():
            if path in every and leaf.shape != every[path].shape:
                return "/".join(path)
    return None


def _sorted(scores):
    """Ascending; in the place of what is not finite the lowest that is."""
    finite = jnp.isfinite(scores)
    low = jnp.min(jnp.where(finite, scores, jnp.inf))
    return jnp.sort(jnp.where(finite, scores, low))


def rank(score: chex.Array, reference: chex.Array) -> chex.Array:
    """`[P]` share of `reference` `[R]` (sorted) below `score` `[P]`, increasing throughout.

    Straight between the members of the reference, and beyond them with the slope of all of it.
    """
    R = len(reference)
    low, high = reference[0], reference[-1]
    span = jnp.where(high > low, high - low, 1)
    beyond = jnp.minimum(score - low, 0) + jnp.maximum(score - high, 0)
    return jnp.interp(score, reference, jnp.arange(R, dtype=jnp.float32) / (R - 1)) + beyond / span
