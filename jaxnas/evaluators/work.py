"""What is known of a network before it runs: its variables, and how much it computes, by which a plan is picked."""

import functools
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax

from jaxnas.population import Work
from jaxnas.proxies.traverse import mean_multiplications
from jaxnas.tasks.task import Task
from jaxnas.types import Space


def variables_of(network: nn.Module, task: Task, decisions: Callable[[], Any], batch: int = 1) -> Any:
    """Shapes and types of a network's variables; decisions are made where it is traced."""
    init = lambda x: network.init(jax.random.key(0), decisions(), x, False)
    return jax.eval_shape(init, task.batch_of(batch))


def work(space: Space, network: nn.Module, task: Task, batch: int) -> Work:
    """Of a batch; multiplications are those of all options' mean, and traced where they are asked for."""

    @functools.cache
    def multiplications() -> float:
        key, x = jax.random.key(0), task.batch_of(batch)
        decisions = lambda: space.unpack(space.sample(key))
        variables = variables_of(network, task, decisions, batch)
        return mean_multiplications(jax.make_jaxpr(lambda v, x: network.apply(v, decisions(), x, False))(variables, x))

    return Work(task.positions(batch), multiplications)
