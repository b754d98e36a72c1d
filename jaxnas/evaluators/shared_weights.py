"""Weights that all architectures of a space share, and how they are trained."""

from collections.abc import Callable
from typing import Any, NamedTuple

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jax.flatten_util import ravel_pytree

from jaxnas.evaluators._trainer import Recipe, Trainer, trainer
from jaxnas.evaluators.data_parallel import DataParallel
from jaxnas.networks.choice import Gated
from jaxnas.tasks.task import Task
from jaxnas.types import Space


@struct.dataclass
class SupernetState:
    """`params` `[N]`, batch statistics and optimizer after `steps` weight steps.

    `num_arch_grads` counts the architecture gradients that were given, each on the next validation batch.
    """

    params: chex.Array
    stats: Any
    optimizer: Any
    steps: chex.Array
    num_arch_grads: chex.Array
    key: chex.Array


class SharedWeights(NamedTuple):
    """Pure functions over `SupernetState`.

    Attributes:
      init: `key -> state`.
      decisions: `(genome, weights [D, C] or None, gates [D, C] or None) -> {decision: choice}`.
      batch: `state -> Split`, the training batch of the next weight step, this device's share of it.
      validation_batch: `state -> Split`, the validation batch of the next gradient, likewise.
      recalibration_batch: `(state, i) -> Split`, the i-th of the training batches that no weight step follows, whole on
        every device.
      mean: of losses, statistics and gradients, over the devices that share a batch.
      loss: `(params [N], state, decisions, Split) -> (loss, stats)` in training; the batch's own statistics normalize.
      apply_gradients: `(state, gradient [N]) -> (params, optimizer)` after a weight step along the gradient.
      train_step: `(state, decisions, whole) -> (state, loss)`, one weight step; unless it is of the `whole` network,
        parameters whose gradient is exactly 0 are left as they were.
      variables: `state -> variables` for `network.apply`.
      trainer: of `task.train`, whose `init` and `score` serve one architecture alone.
    """

    init: Callable
    decisions: Callable
    batch: Callable
    validation_batch: Callable
    recalibration_batch: Callable
    mean: Callable
    loss: Callable
    apply_gradients: Callable
    train_step: Callable
    variables: Callable
    trainer: Trainer


def shared_weights(
    space: Space, network: nn.Module, task: Task, recipe: Recipe, steps: int, parallel: DataParallel
) -> SharedWeights:
    """Weights trained on `task.train`, the learning rate falling along `steps`, and validated on `task.validation`."""
    training = trainer(network, task, recipe)
    validating = trainer(network, task._replace(train=task.validation), recipe)
    optimizer = recipe.optimizer()

    def fresh(key):
        return training.init(key, space.unpack(space.sample(key)))

    shapes = jax.eval_shape(fresh, jax.random.key(0))["params"]
    tree = ravel_pytree(jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), shapes))[1]

    def init(key):
        variables = fresh(key)
        params = ravel_pytree(variables.pop("params"))[0]
        count = jnp.int32(0)
        return SupernetState(params, variables, optimizer.init(params), count, count, jax.random.key_data(key))

    def decisions(genome, weights, gates):
        if weights is None:
            return space.unpack(genome)
        mixed = space.unpack(weights)
        return mixed if gates is None else {n: Gated(mixed[n], g) for n, g in space.unpack(gates).items()}

    def key_for(state, purpose: int):
        return jax.random.fold_in(jax.random.wrap_key_data(state.key), purpose)

    def drawn(part, state, purpose: int, t):
        order_key, augment_key = jax.random.split(key_for(state, purpose))
        return part.batch(augment_key, part.order(order_key, t // part.per_epoch), t)

    def batch(state):
        return parallel.share(drawn(training, state, 0, state.steps))

    def progress(state):
        return jnp.minimum(jnp.float32(state.steps) / jnp.float32(steps), 1)

    def loss(params, state, choices, examples):
        drop_key = jax.random.fold_in(key_for(state, 2), state.steps)
        return training.loss({"params": tree(params), **state.stats}, choices, examples, progress(state), drop_key)

    def apply_gradients(state, gradient):
        updates, after = optimizer.update(gradient, state.optimizer, state.params)
        return state.params - recipe.rate(progress(state)) * updates, after

    def train_step(state, choices, whole: bool):
        of = jax.value_and_grad(loss, has_aux=True)
        (value, stats), gradient = parallel.mean(of(state.params, state, choices, batch(state)))
        params, after = apply_gradients(state, gradient)
        if not whole:
            touched = gradient != 0
            keep = lambda new, old: jnp.where(touched, new, old) if jnp.shape(new) == touched.shape else new
            params, after = jax.tree.map(keep, (params, after), (state.params, state.optimizer))
        return state.replace(params=params, stats=stats, optimizer=after, steps=state.steps + 1), value

    return SharedWeights(
        init=init,
        decisions=decisions,
        batch=batch,
        validation_batch=lambda state: parallel.share(drawn(validating, state, 1, state.num_arch_grads)),
        recalibration_batch=lambda state, i: drawn(training, state, 3, i),
        mean=parallel.mean,
        loss=loss,
        apply_gradients=apply_gradients,
        train_step=train_step,
        variables=lambda state: {"params": tree(state.params), **state.stats},
        trainer=training,
    )
