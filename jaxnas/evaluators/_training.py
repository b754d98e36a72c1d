"""Training from scratch: every candidate is a network of its own, a whole population trains in one program."""

from collections.abc import Sequence
from typing import Any

import flax
import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxnas import check
from jaxnas.check import InputError
from jaxnas.evaluators._trainer import Recipe, trainer
from jaxnas.population import over_population
from jaxnas.spaces import needed
from jaxnas.tasks.task import Task
from jaxnas.types import Evaluator, Space, member_keys, scored


def training(
    space: Space,
    network: nn.Module,
    task: Task,
    *,
    fitness: str = "loss",
    test: bool = False,
    plan: str = "auto",
    devices: Sequence[Any] | None = None,
    chunk: int | None = None,
    **recipe,
) -> Evaluator:
    """Trains each candidate for `Proposal.budget` steps on `task.train` and scores it on `task.validation`.

    Each member has its own seed, `fold_in(key, id)`, for parameters, order of examples and augmentation. A member
    that diverges is not valid. Metrics: validation `loss` and `accuracy` (the task's metric), `train_loss`; with `test`
    also `test_loss` and `test_accuracy`.

    Args:
      space: whose `unpack` hands the network its decisions.
      network: called with `(decisions, x, train)`.
      task: data, loss and metric.
      fitness: "loss" (negative validation loss) or "accuracy" (validation metric).
      test: whether to score on `task.test` as well, for the record; no strategy sees it.
      plan: "map", "vmap", "bucket", or "auto" to pick by platform, see `population.over_population`.
      devices: to split the population over; all of them by default.
      chunk: with "vmap", members side by side on a device; all by default.
      **recipe: fields of `Recipe`: batch_size, learning_rate, cutout, …

    Raises:
      InputError: an unknown option, or a network that does not fit the space or the task.
    """
    check.one_of("fitness", fitness, ("loss", "accuracy"))
    recipe = Recipe.of(**recipe)
    parts = trainer(network, task, recipe)
    fits(space, network, task, recipe)

    def member(genome, key, steps):
        decisions = space.unpack(genome)
        variables, train_loss = parts.train(key, decisions, steps)
        loss, accuracy = parts.score(variables, decisions, task.validation)
        metrics = {"loss": loss, "accuracy": accuracy, "train_loss": train_loss}
        if test:
            metrics["test_loss"], metrics["test_accuracy"] = parts.score(variables, decisions, task.test)
        return metrics

    population = over_population(member, plan=plan, devices=devices, chunk=chunk)

    def evaluate(key, state, proposal):
        metrics = population.run(proposal.genome, proposal.active, member_keys(key, proposal), proposal.budget)
        value = -metrics["loss"] if fitness == "loss" else metrics["accuracy"]
        trained = jnp.isfinite(metrics["train_loss"]) | (proposal.budget == 0)
        valid = jnp.isfinite(metrics["loss"]) & trained
        return scored(value, valid=valid, metrics=metrics), state

    return Evaluator(
        "training",
        init=lambda key: (),
        evaluate=evaluate,
        gives=frozenset({"fitness", "budget"}),
        needs=frozenset({"budget"}),
        jittable=population.jittable,
        report=population.report,
        group=population.group,
    )


def fits(space: Space, network: nn.Module, task: Task, recipe: Recipe) -> None:
    """Raises `InputError` unless the network takes these decisions, inputs and recipe, and gives the task's outputs.

    Of those, loss and metric have to make numbers for each example.
    """
    needed.functions(f"network {type(network).__name__}", space, "unpack")
    x = task.batch_of(2)

    def forward(key, x):
        decisions = space.unpack(space.sample(key))
        outputs, variables = network.init_with_output(key, decisions, x, bool(recipe.auxiliary))
        if recipe.drop_path:
            schedule = {"drop_path": jnp.float32(0)}
            try:  # without the RNG, which a network that drops paths must miss
                network.apply({**variables, "schedule": schedule}, decisions, x, True, mutable=list(variables))
            except flax.errors.InvalidRngError:
                pass
            else:
                raise InputError("it has no paths to drop (recipe drop_path)")
        if recipe.auxiliary and not variables.get("auxiliary"):
            raise InputError("it sows no logits into the collection 'auxiliary' (recipe auxiliary)")
        return outputs

    try:
        outputs = jax.eval_shape(forward, jax.random.key(0), x)
    except Exception as error:
        raise InputError(
            f"network: {type(network).__name__} does not run on inputs {x.shape} of task {task.name!r} with decisions "
            f"{', '.join(space.decisions)}: {error}"
        ) from error
    if outputs.shape != (2, task.outputs):
        raise InputError(
            f"network: {type(network).__name__} gives outputs {outputs.shape} for 2 inputs, but task {task.name!r} "
            f"needs {(2, task.outputs)}."
        )
    task.judges(outputs)
