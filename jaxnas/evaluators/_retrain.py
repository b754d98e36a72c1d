"""The final training of chosen architectures, on train and validation data, scored on the test data."""

from collections.abc import Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from jaxnas import check
from jaxnas.check import InputError
from jaxnas.evaluators.work import variables_of, work
from jaxnas.execution import all_devices
from jaxnas.population import over_population
from jaxnas.tasks.task import Task
from jaxnas.training import Distillation, Parent, Recipe, Trainer, fits, trainer
from jaxnas.training.parent import start
from jaxnas.training.start import Initialize
from jaxnas.types import Genome, Space


def retrain(
    space: Space,
    network: nn.Module,
    task: Task,
    genomes: Sequence[Genome],
    *,
    steps: int,
    seeds: int = 1,
    seed: int = 0,
    initialize: Initialize = None,
    parent: Parent | None = None,
    distillation: Distillation | Mapping[str, Any] | None = None,
    plan: str = "auto",
    devices: Sequence[Any] | None = None,
    **recipe,
) -> dict[str, np.ndarray]:
    """Trains each genome `seeds` times on train + validation and scores it on the test split; by default one program.

    Args:
      space, network, task: as in `training`.
      genomes: G genomes.
      steps: training steps.
      seeds: S trainings of each genome.
      seed: of all randomness.
      initialize: variables to begin with, `{"params": …}` by path, or a function `(key, decisions, variables) ->
        variables`; by default the parent's, or else the network's own.
      parent: a trained network, of which those are made.
      distillation: a teacher to learn from besides, see `jaxnas.training.Distillation`; its fields without a teacher
        where the parent is it; none by default.
      plan: see `population.over_population`; "bucket" compiles each genome's network alone, for long trainings.
      devices: to split the trainings over; all of them by default.
      **recipe: fields of `Recipe`.

    Returns:
      "test_loss" and the task's metric by its name, "test_accuracy", `[G, S]` each, and "parameters" `[G]`; where it is
      said what a training begins with, "before_test_loss" and "before_test_accuracy" of that.

    Raises:
      InputError: as `training`; a number out of its range; or no genomes.
    """
    check.integer("steps", steps, least=1)
    check.integer("seeds", seeds, least=1)
    check.seed("seed", seed)
    final = task.with_validation()
    recipe = Recipe.of(**recipe)
    initialize, distillation = start(parent, initialize, distillation)
    parts = trainer(network, final, recipe, initialize, distillation)
    fits(space, network, final, recipe, initialize)

    def member(genome, key, steps):
        return _trained(parts, final, initialize, key, space.unpack(genome), steps)[1]

    G, S = len(genomes), seeds
    if G == 0:
        raise InputError("genomes: expected at least one, got none.")
    # As many as devices share evenly, which then need not wait for each other (see `population`).
    extra = -(G * S) % len(all_devices() if devices is None else devices)
    training = np.minimum(np.arange(G * S + extra, dtype=np.int32), G * S - 1)
    active = jnp.arange(G * S + extra, dtype=jnp.int32) < G * S
    keys = jax.random.split(jax.random.key(seed), G * S)[training]
    members = jax.tree.map(lambda *leaves: jnp.stack(leaves)[training // S], *genomes)
    of = work(space, network, final, min(recipe.batch_size, final.train.size))
    population = over_population(member, plan=plan, devices=devices, work=of)
    run = jax.jit(population.run) if population.jittable else population.run
    scores = run(members, active, keys, jnp.full(active.shape, steps, jnp.int32))
    out = {name: np.asarray(value)[: G * S].reshape(G, S) for name, value in scores.items()}
    return {**out, "parameters": np.array([parameters(space, network, task, g) for g in genomes])}


def _trained(parts: Trainer, task: Task, initialize: Initialize, key, decisions, steps) -> tuple[Any, dict[str, Any]]:
    """Variables of a training, and its scores: before it too, where it is said what it begins with."""

    def scored(name, variables):
        loss, value = parts.score(variables, decisions, task.test)
        return {f"{name}_loss": loss, f"{name}_{task.metric.name}": value}

    scores = {}
    if initialize is not None:
        scores = scored("before_test", parts.variables(decisions, parts.begin(key, decisions)))
    variables, _ = parts.train(key, decisions, steps)
    return variables, scores | scored("test", variables)


def train_alone(
    space: Space,
    network: nn.Module,
    task: Task,
    genome: Genome,
    *,
    steps: int,
    seed: int = 0,
    initialize: Initialize = None,
    parent: Parent | None = None,
    distillation: Distillation | Mapping[str, Any] | None = None,
    **recipe,
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Trains one genome on train + validation, as `retrain` does, and keeps its variables.

    Args:
      space, network, task, steps, seed, initialize, parent, distillation, recipe: as in `retrain`.
      genome: the architecture.

    Returns:
      Variables of the stand-alone network, and what `retrain` returns of it.

    Raises:
      InputError: as `retrain`.
    """
    check.integer("steps", steps, least=1)
    check.seed("seed", seed)
    final, recipe = task.with_validation(), Recipe.of(**recipe)
    initialize, distillation = start(parent, initialize, distillation)
    parts = trainer(network, final, recipe, initialize, distillation)
    fits(space, network, final, recipe, initialize)
    decisions = space.unpack(jax.tree.map(np.asarray, genome))
    key = jax.random.split(jax.random.key(seed), 1)[0]
    variables, scores = jax.jit(lambda key: _trained(parts, final, initialize, key, decisions, steps))(key)
    shaped = {name: np.asarray(value).reshape(1, 1) for name, value in scores.items()}
    return variables, {**shaped, "parameters": np.array([parameters(space, network, task, genome)])}


def parameters(space: Space, network: nn.Module, task: Task, genome: Genome) -> int:
    """Number of trainable parameters of the stand-alone network."""
    decisions = space.unpack(jax.tree.map(np.asarray, genome))
    variables = variables_of(network, task, lambda: decisions)
    return sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))
