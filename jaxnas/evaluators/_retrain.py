"""The final training of chosen architectures, on train and validation data, scored on the test data."""

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from jaxnas import check, version
from jaxnas.check import InputError
from jaxnas.evaluators.work import variables_of, work
from jaxnas.execution import all_devices
from jaxnas.population import over_population
from jaxnas.segments import Segments, fingerprint
from jaxnas.tasks.task import Task
from jaxnas.training import Distillation, Parent, Recipe, fits, trainer
from jaxnas.training.parent import start
from jaxnas.training.start import Initialize
from jaxnas.types import Genome, Space

EXAMPLES = 64
"""Of training, by which data are known when a call is repeated."""


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
    workdir: str | os.PathLike | None = None,
    progress: bool = False,
    **recipe,
) -> dict[str, np.ndarray]:
    """Trains each genome `seeds` times on train + validation and scores it on the test split.

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
      workdir: folder of checkpoints: the same call goes on where an earlier one was interrupted, to the same bits, and
        SIGTERM saves and ends the process (see `jaxnas.preemption`). None keeps nothing.
      progress: whether stderr is told how far it is.
      **recipe: fields of `Recipe`.

    Returns:
      "test_loss" and the task's metric by its name, "test_accuracy", `[G, S]` each, and "parameters" `[G]`; where it is
      said what a training begins with, "before_test_loss" and "before_test_accuracy" of that.

    Raises:
      InputError: as `training`; a number out of its range; no genomes; a folder that cannot be written.
      CheckpointError: a damaged checkpoint.
    """
    check.integer("seeds", seeds, least=1)
    if len(genomes) == 0:
        raise InputError("genomes: expected at least one, got none.")
    given = {"steps": steps, "seed": seed, "initialize": initialize, "parent": parent, "distillation": distillation}
    where = {"plan": plan, "devices": devices, "workdir": workdir, "progress": progress}
    return _retrained(space, network, task, genomes, seeds, **given, **where, **recipe)[0]


def train_alone(
    space: Space, network: nn.Module, task: Task, genome: Genome, **options
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Trains one genome once on train + validation, as `retrain` with plan "bucket" does, and keeps its variables.

    Args:
      space, network, task: as in `retrain`.
      genome: the architecture.
      **options: as in `retrain`, but for seeds, plan and devices.

    Returns:
      Variables of the stand-alone network, and what `retrain` returns of it.

    Raises:
      InputError: as `retrain`.
    """
    scores, variables = _retrained(space, network, task, [genome], 1, plan="bucket", **options)
    return variables(), scores


def _retrained(
    space, network, task, genomes, seeds, *, steps, seed=0, initialize=None, parent=None, distillation=None,
    plan="auto", devices=None, workdir=None, progress=False, **recipe,
) -> tuple[dict[str, np.ndarray], Callable[[], dict[str, Any]]]:  # fmt: skip
    """What `retrain` returns, and `() ->` the variables of the first of the last turn."""
    check.integer("steps", steps, least=1)
    check.seed("seed", seed)
    final, recipe = task.with_validation(), Recipe.of(**recipe)
    initialize, distillation = start(parent, initialize, distillation)
    parts = trainer(network, final, recipe, initialize, distillation)
    fits(space, network, final, recipe, initialize)

    def begin(genome, key):
        return parts.begin(key, space.unpack(genome))

    def advance(genome, key, training, at, until):  # `at` is the same for all: side by side, none waits for another
        return parts.advance(key, space.unpack(genome), training.replace(step=at), until, steps)

    def variables(genome, training):
        return parts.variables(space.unpack(genome), training)

    def score(genome, training):
        loss, value = parts.score(variables(genome, training), space.unpack(genome), final.test)
        return {"test_loss": loss, f"test_{task.metric.name}": value}

    where = {"plan": plan, "devices": devices}
    where["work"] = work(space, network, final, min(recipe.batch_size, final.train.size))
    # Of several processes each device keeps the trainings of its members; scores all have.
    populations = [
        over_population(fn, **where, gather=fn in (score, variables)) for fn in (begin, advance, score, variables)
    ]
    begins, advances, scores, kept = (jax.jit(of.run) if of.jittable else of.run for of in populations)
    G, S = len(genomes), seeds
    keys = jax.random.split(jax.random.key(seed), G * S)
    folder = None
    if workdir is not None:
        N = final.train.size
        data = final._replace(train=final.train.take(np.linspace(0, N - 1, EXAMPLES).astype(int)), validation=None)
        what = (data, N, network, tuple(recipe), initialize, parent, distillation)
        what = (what, space.name, genomes, seeds, steps, seed, populations[0].report()["plan"], version.__version__)
        folder = check.local_path("workdir", workdir) / fingerprint(what)

    def trained(turn: np.ndarray, segments: Segments) -> Callable[[], dict[str, Any]]:
        own, active = np.maximum(turn, turn[0]), turn >= 0
        members = jax.tree.map(lambda *leaves: jnp.stack(leaves)[own // S], *genomes), jnp.asarray(active)

        def further(training, at, until):
            return advances(*members, keys[own], held=(training,), shared=(jnp.int32(at), jnp.int32(until)))

        before = {} if initialize is None else scores(*members, held=(begins(*members, keys[own]),))
        training = segments.run(turn.tolist(), begins(*members, keys[own]), further)
        found = {**{f"before_{name}": of for name, of in before.items()}, **scores(*members, held=(training,))}
        found = {name: np.asarray(of).tolist() for name, of in found.items()}
        segments.finish({int(t): {name: of[i] for name, of in found.items()} for i, t in enumerate(turn) if t >= 0})
        return lambda: jax.tree.map(lambda leaf: leaf[0], kept(*members, held=(training,)))

    last = None
    with Segments(folder, steps=steps, count=G * S, progress=progress) as segments:
        for turn in _turns([t for t in range(G * S) if t not in segments.finished], populations[0].group, devices):
            last = None  # one turn's trainings are in memory at a time
            last = trained(turn, segments)
    dtype, results = jax.dtypes.canonicalize_dtype(float), [segments.finished[t] for t in range(G * S)]
    found = {name: np.array([of[name] for of in results], dtype).reshape(G, S) for name in results[0]}
    return {**found, "parameters": np.array([parameters(space, network, task, g) for g in genomes])}, last


def _turns(trainings: Sequence[int], group: int, devices: Sequence[Any] | None) -> np.ndarray:
    """`[turns, members]`, the trainings that run at a time, -1 for none: side by side all, else one on each device."""
    count = len(all_devices() if devices is None else devices)  # which then need not wait for each other
    size = group or -(-len(trainings) // count) * count
    return np.array([*trainings, *[-1] * (-len(trainings) % size)], np.int32).reshape(-1, size)


def parameters(space: Space, network: nn.Module, task: Task, genome: Genome) -> int:
    """Number of trainable parameters of the stand-alone network."""
    decisions = space.unpack(jax.tree.map(np.asarray, genome))
    variables = variables_of(network, task, lambda: decisions)
    return sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))
