"""Problems for networks that carry their weights: fitness of what they compute, nothing to train."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxnas import check
from jaxnas.check import InputError
from jaxnas.tasks.batch import weighted_mean
from jaxnas.tasks.task import Task


class Problem(NamedTuple):
    """What a network is to do.

    Attributes:
      name: for messages and files.
      inputs: number of inputs of the network.
      outputs: number of its outputs.
      fitness: `(apply, genome, key) -> (scalar, {metric: scalar})`, where `apply(genome, x [..., inputs])` gives
        `[..., outputs]`, and for recurrent graphs takes and gives a state besides. A metric `solved` says whether this
        genome does it.
      loss: `(apply, genome, key) -> scalar` to descend on; None where fitness has no gradient.
      memory: whether a network without memory cannot do it.
    """

    name: str
    inputs: int
    outputs: int
    fitness: Callable
    loss: Callable | None = None
    memory: bool = False


def xor() -> Problem:
    """Exclusive or, which takes a hidden node: fitness is (4 - sum of errors)^2, as in the NEAT paper, section 4.1.

    Solved where every output is on the right side of a half.
    """
    x = np.float32([[0, 0], [0, 1], [1, 0], [1, 1]])
    y = np.float32([0, 1, 1, 0])

    def outputs(apply, genome):
        made = apply(genome, x)
        return (made[0] if genome.recurrent else made)[:, 0]

    def fitness(apply, genome, key):
        made = outputs(apply, genome)
        return jnp.square(4 - jnp.abs(y - made).sum()), {"solved": ((made > 0.5) == (y > 0.5)).all()}

    def loss(apply, genome, key):
        return jnp.square(y - outputs(apply, genome)).mean()

    return Problem("xor", 2, 1, fitness, loss)


def supervised(task: Task, *, examples: int = 0, target: float = 1.0) -> Problem:
    """A task as a problem: fitness is minus the mean loss on `examples` of the training split.

    The task's metric on them and on the validation split are metrics; it is solved where the latter reaches `target`.

    Args:
      task: on whose first `examples` (0 for all) networks are scored; inputs are flattened.
      examples: how many.
      target: of the metric on the validation split.

    Raises:
      InputError: more examples than there are, outputs of another kind than a vector, or a loss or metric that does not
        take it.
    """
    check.integer("examples", examples, least=0, most=task.train.size)
    check.real("target", target)
    if task.outputs is None:
        raise InputError(f"task {task.name!r}: expected outputs that are a vector, whose size it says.")
    task.judges(jax.ShapeDtypeStruct((1, task.outputs), jnp.float32))
    train = task.train.take(np.arange(examples or task.train.size))
    x, validation = task.flat(train), task.flat(task.validation)
    metric = task.metric

    def outputs(apply, genome, x):
        made = apply(genome, x)
        return made[0] if genome.recurrent else made

    def loss(apply, genome, key):
        return weighted_mean(task.loss(outputs(apply, genome, x), train.targets), train.weight)

    def fitness(apply, genome, key):
        made = outputs(apply, genome, x)
        split = task.validation
        value = metric.of(outputs(apply, genome, validation), split.targets, split.weights())
        metrics = {
            f"train_{metric.name}": metric.of(made, train.targets, train.weights()),
            metric.name: value,
            "solved": value >= target if metric.higher_is_better else value <= target,
        }
        return -weighted_mean(task.loss(made, train.targets), train.weight), metrics

    return Problem(task.name, x.shape[1], task.outputs, fitness, loss)
