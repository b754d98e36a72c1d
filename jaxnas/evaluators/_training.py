"""Training from scratch: every candidate is a network of its own, a whole population trains in one program."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxnas import check
from jaxnas.check import InputError
from jaxnas.evaluators.kept_trainings import earlier, none_kept, with_trainings
from jaxnas.evaluators.work import work
from jaxnas.population import over_population
from jaxnas.tasks.task import Task
from jaxnas.training import Distillation, Parent, Recipe, fits, trainer
from jaxnas.training.parent import start
from jaxnas.training.start import Initialize
from jaxnas.types import Evaluator, Genome, Space, member_keys, scored


def training(
    space: Space,
    network: nn.Module,
    task: Task,
    *,
    fitness: str = "loss",
    test: bool = False,
    initialize: Initialize = None,
    parent: Parent | None = None,
    distillation: Distillation | Mapping[str, Any] | None = None,
    keep: int = 0,
    curve: Sequence[int] = (),
    hyperparameters: Callable[[Genome], dict[str, Any]] | None = None,
    plan: str = "auto",
    devices: Sequence[Any] | None = None,
    chunk: int | None = None,
    **recipe,
) -> Evaluator:
    """Trains each candidate for `Proposal.budget` steps on `task.train` and scores it on `task.validation`.

    Each member has its own seed, `fold_in(key, id)`, for parameters, order of examples and augmentation. A member
    that diverges is not valid. Metrics: validation `loss` and the task's metric by its name (`accuracy`), `train_loss`;
    with `test` also `test_loss` and `test_accuracy`; with a `curve` of T steps `loss_curve` and `accuracy_curve`
    `[P, T]`.

    Args:
      space: whose `unpack` hands the network its decisions.
      network: called with `(decisions, x, train)`.
      task: data, loss and metric.
      fitness: "loss" (negative) or the name of the task's metric ("accuracy"; negative where lower is better), both of
        the validation split.
      test: whether to score on `task.test` as well, for the record; no strategy sees it.
      initialize: variables to begin with, `{"params": …}` by path, or a function `(key, decisions, variables) ->
        variables`; by default the parent's, or else the network's own.
      parent: a trained network, of which those of the search are made.
      distillation: a teacher to learn from besides, see `jaxnas.training.Distillation`; its fields without a teacher
        where the parent is it; none by default.
      keep: how many trainings, the last ones, are kept: a member with the genome of its parent goes on where the
        parent's stopped, up to its own budget in steps (a promotion of Hyperband), instead of from the beginning. The
        learning rate falls along `schedule_steps`, which then is needed.
      curve: increasing steps after which a training is scored on the validation split besides, its learning curve; NaN
        beyond its budget.
      hyperparameters: `genome -> {"learning_rate": …}`, numbers of the recipe that differ by genome: traced, so that a
        population of them is one program.
      plan: "map", "vmap", "bucket", or "auto" to pick by platform, see `population.over_population`.
      devices: to split the population over; all of them by default.
      chunk: with "vmap", members side by side on a device; all by default.
      **recipe: fields of `Recipe`: batch_size, learning_rate, cutout, …

    Raises:
      InputError: an unknown option, or a network that does not fit the space or the task.
    """
    metric = task.metric
    check.one_of("fitness", fitness, ("loss", metric.name))
    recipe = Recipe.of(**recipe)
    initialize, distillation = start(parent, initialize, distillation)
    check.integer("keep", keep, least=0)
    if keep and not recipe.schedule_steps:
        raise InputError("schedule_steps: expected the steps of the longest training, since trainings go on (keep).")
    if keep and plan == "bucket":
        raise InputError("keep: trainings that go on are of one program, which plan 'bucket' has not; give 'map'.")
    curve = check.increasing("curve", curve, least=1, most=2**31 - 1, because="32 bits")
    if keep and curve:
        raise InputError("curve: of trainings that go on (keep) each part is scored at its end; give one of the two.")
    numbers = hyperparameters or (lambda genome: None)
    parts = trainer(network, task, recipe, initialize, distillation)
    fits(space, network, task, recipe, initialize)

    def scored_on(variables, decisions, train_loss):
        loss, value = parts.score(variables, decisions, task.validation)
        metrics = {"loss": loss, metric.name: value, "train_loss": train_loss}
        if test:
            metrics["test_loss"], metrics[f"test_{metric.name}"] = parts.score(variables, decisions, task.test)
        return metrics

    def member(genome, key, steps):
        decisions = space.unpack(genome)
        variables, train_loss = parts.train(key, decisions, steps, numbers(genome))
        return scored_on(variables, decisions, train_loss)

    def followed(genome, key, steps):
        decisions, own = space.unpack(genome), numbers(genome)
        pack = parts.packing(decisions)

        def part(training, until):
            training = parts.advance(key, decisions, training, jnp.minimum(until, steps), steps, own, pack)
            variables = parts.variables(decisions, training, pack)
            score = lambda: parts.score(variables, decisions, task.validation)
            beyond = lambda: jax.tree.map(lambda leaf: jnp.full(leaf.shape, jnp.nan, leaf.dtype), jax.eval_shape(score))
            return training, jax.lax.cond(until <= steps, score, beyond)

        training, (losses, values) = jax.lax.scan(part, parts.begin(key, decisions), jnp.array(curve, jnp.int32))
        training = parts.advance(key, decisions, training, steps, steps, own, pack)
        metrics = scored_on(parts.variables(decisions, training, pack), decisions, training.loss)
        return metrics | {"loss_curve": losses, f"{metric.name}_curve": values}

    def going_on(genome, key, steps, found, training):
        decisions = space.unpack(genome)
        begun = parts.begin(key, decisions)
        training = jax.tree.map(lambda old, new: jnp.where(found, old, new), training, begun)
        training = parts.advance(key, decisions, training, steps, recipe.schedule_steps, numbers(genome))
        return scored_on(parts.variables(decisions, training), decisions, training.loss), training

    of = work(space, network, task, min(recipe.batch_size, task.train.size))
    where = {"plan": plan, "devices": devices, "chunk": chunk, "work": of}
    population = over_population(going_on if keep else followed if curve else member, **where)
    begin = lambda key, genome: parts.begin(key, space.unpack(genome))

    def evaluate(key, state, proposal):
        keys = member_keys(key, proposal)
        if keep:
            found, data, trainings = earlier(state, proposal)
            data = jnp.where(found[:, None], data, jax.random.key_data(keys))
            given = (jax.random.wrap_key_data(data), proposal.budget, found, trainings)
            metrics, trainings = population.run(proposal.genome, proposal.active, *given)
            state = with_trainings(state, proposal, data, trainings)
            metrics["continued"] = found
        else:
            metrics = population.run(proposal.genome, proposal.active, keys, proposal.budget)
        value = metric.fitness(metrics, fitness)
        trained = jnp.isfinite(metrics["train_loss"]) | (proposal.budget == 0)
        valid = jnp.isfinite(metrics["loss"]) & trained
        return scored(value, valid=valid, metrics=metrics), state

    return Evaluator(
        "training",
        init=lambda key: none_kept(keep, begin, space.sample) if keep else (),
        evaluate=evaluate,
        gives=frozenset({"fitness", "budget"}),
        needs=frozenset({"budget"}),
        jittable=population.jittable,
        report=lambda: {**population.report(), "steps_per_epoch": parts.per_epoch},
        group=0 if keep else population.group,  # a call's trainings take the places of those kept
    )
