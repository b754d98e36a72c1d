"""Problems for networks that carry their weights: fitness of what they compute, nothing to train."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxnas import check
from jaxnas.tasks.task import Task, by_example


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
    """A classification task as a problem: fitness is minus the mean loss on `examples` of the training split.

    Accuracies on them and on the validation split are metrics; it is solved where the latter reaches `target`.

    Args:
      task: on whose first `examples` (0 for all) networks are scored; inputs are flattened.
      examples: how many.
      target: validation accuracy.

    Raises:
      InputError: more examples than there are, or a loss or metric that is not of each example.
    """
    check.integer("examples", examples, least=0, most=task.train.size)
    check.real("target", target)
    task.judges(jax.ShapeDtypeStruct((1, task.outputs), jnp.float32))
    train = task.train.take(np.arange(examples or task.train.size))
    flat = lambda split: np.asarray(task.inputs(split.x)).reshape(split.size, -1)
    x, validation = flat(train), flat(task.validation)

    def outputs(apply, genome, x):
        made = apply(genome, x)
        return made[0] if genome.recurrent else made

    def loss(apply, genome, key):
        return by_example("loss", task.loss, outputs(apply, genome, x), train.y).mean()

    def fitness(apply, genome, key):
        made = outputs(apply, genome, x)
        accuracy = by_example("metric", task.metric, outputs(apply, genome, validation), task.validation.y).mean()
        metrics = {
            "train_accuracy": by_example("metric", task.metric, made, train.y).mean(),
            "accuracy": accuracy,
            "solved": accuracy >= target,
        }
        return -by_example("loss", task.loss, made, train.y).mean(), metrics

    return Problem(task.name, x.shape[1], task.outputs, fitness, loss)
