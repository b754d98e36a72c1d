"""How much a network computes at a time, by which a plan is picked."""

import functools

import flax.linen as nn
import jax

from jaxnas.population import Work
from jaxnas.proxies.traverse import mean_multiplications
from jaxnas.tasks.task import Task
from jaxnas.types import Space


def work(space: Space, network: nn.Module, task: Task, batch: int) -> Work:
    """Of a batch; multiplications are those of all options' mean, and traced where they are asked for."""

    @functools.cache
    def multiplications() -> float:
        key, x = jax.random.key(0), task.batch_of(batch)
        decisions = lambda: space.unpack(space.sample(key))
        variables = jax.eval_shape(lambda x: network.init(key, decisions(), x, False), x)
        return mean_multiplications(jax.make_jaxpr(lambda v, x: network.apply(v, decisions(), x, False))(variables, x))

    return Work(task.positions(batch), multiplications)
