"""Weights that all architectures of a space share, and how they are trained."""

from collections.abc import Callable
from typing import Any, NamedTuple

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from flax import struct

from jaxnas.evaluators.data_parallel import DataParallel
from jaxnas.networks.choice import Gated
from jaxnas.population import ACTIVE
from jaxnas.tasks.task import Task
from jaxnas.training import Distillation, Recipe, Trainer, trainer
from jaxnas.training.packing import packing_of
from jaxnas.training.start import Initialize
from jaxnas.types import Space


@struct.dataclass
class SupernetState:
    """Parameters as `training.packing` keeps them, batch statistics and optimizer after `steps` weight steps.

    `num_arch_grads` counts the architecture gradients that were given, each on the next validation batch.
    """

    params: Any
    frozen: Any
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
      batch: `state -> Batch`, the training batch of the next weight step, this device's share of it.
      validation_batch: `state -> Batch`, the validation batch of the next gradient, likewise.
      recalibration_batch: `(state, i) -> Batch`, the i-th of the training batches that no weight step follows, whole on
        every device.
      mean: of losses, statistics and gradients, over the devices that share a batch.
      loss: `(params, state, decisions, Batch) -> (loss, stats)` in training; the batch's own statistics normalize.
      apply_gradients: `(state, gradient) -> (params, optimizer)` after a weight step along the gradient.
      train_step: `(state, decisions, whole) -> (state, loss)`, one weight step; unless it is of the `whole` network,
        parameters whose gradient is exactly 0 are left as they were.
      joint_step: `(state, genomes [P, ...], active [P], in_place) -> (state, losses [P])`, one weight step along the
        mean gradient of the active members on the same batch; all but the first learn the share `in_place` of their
        loss from its logits.
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
    joint_step: Callable
    variables: Callable
    trainer: Trainer


def shared_weights(
    space: Space,
    network: nn.Module,
    task: Task,
    recipe: Recipe,
    steps: int,
    parallel: DataParallel,
    initialize: Initialize,
    distillation: Distillation | None = None,
) -> SharedWeights:
    """Weights trained on `task.train`, the learning rate falling along `steps`, and validated on `task.validation`."""
    training = trainer(network, task, recipe, initialize, distillation)
    validating = trainer(network, task._replace(train=task.validation), recipe)
    optimizer = recipe.make_optimizer(steps)
    fresh = lambda key: training.init(key, space.unpack(space.sample(key)))
    packing = packing_of(jax.eval_shape(fresh, jax.random.key(0))["params"], recipe)

    def init(key):
        variables = fresh(key)
        params, frozen = packing.split(variables.pop("params"))
        count = jnp.int32(0)
        return SupernetState(params, frozen, variables, optimizer.init(params), count, count, jax.random.key_data(key))

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

    def loss(params, state, choices, examples, distillation=distillation):
        drop_key = jax.random.fold_in(key_for(state, 2), state.steps)
        variables = {"params": packing.join(params, state.frozen), **state.stats}
        done = recipe.progress(state.steps, steps)
        return training.loss(variables, choices, examples, done, drop_key, parallel.mean, recipe, distillation)

    def apply_gradients(state, gradient):
        updates, after = optimizer.update(gradient, state.optimizer, state.params)
        return optax.apply_updates(state.params, updates), after

    def stepped(state, stats, gradient, whole: bool):
        params, after = apply_gradients(state, gradient)
        if not whole:
            keep = lambda new, old, slope: jnp.where(slope != 0, new, old)
            params = jax.tree.map(keep, params, state.params, gradient)
            after = _of_parameters(keep, after, state.optimizer, gradient)
        return state.replace(params=params, stats=stats, optimizer=after, steps=state.steps + 1)

    def train_step(state, choices, whole: bool):
        of = jax.value_and_grad(loss, has_aux=True)
        (value, stats), gradient = parallel.mean(of(state.params, state, choices, batch(state)))
        return stepped(state, stats, gradient, whole), value

    def joint_step(state, genomes, active, in_place: float):
        examples = batch(state)
        P = len(active)
        first = jnp.arange(P) == jnp.argmax(active)
        logits = None
        if in_place:
            largest = jax.tree.map(lambda leaf: leaf[jnp.argmax(active)], genomes)
            logits = training.outputs(variables(state), space.unpack(largest), examples)

        def member(total, at):
            genome, is_first, there = at
            own = distillation
            if in_place:
                own = Distillation(lambda inputs: (logits, {}), weight=jnp.where(is_first, 0.0, in_place))

            def of(genome):
                objective = lambda params: loss(params, state, space.unpack(genome), examples, own)
                (value, stats), gradient = jax.value_and_grad(objective, has_aux=True)(state.params)
                return value, (stats, gradient)

            nothing = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), jax.eval_shape(of, genome))
            with jax.named_scope(ACTIVE):
                value, made = jax.lax.cond(there, of, lambda _: nothing, genome)
            return jax.tree.map(jnp.add, total, made), value

        blank = jax.tree.map(jnp.zeros_like, (state.stats, state.params))
        total, values = jax.lax.scan(member, blank, (genomes, first, active))
        (stats, gradient), values = parallel.mean((jax.tree.map(lambda leaf: leaf / active.sum(), total), values))
        return stepped(state, stats, gradient, False), values

    def variables(state):
        return {"params": packing.join(state.params, state.frozen), **state.stats}

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
        joint_step=joint_step,
        variables=variables,
        trainer=training,
    )


def _of_parameters(fn: Callable, after: Any, before: Any, gradient: Any) -> Any:
    """`fn(after, before, gradient)` of what the optimizer keeps of each parameter; the rest as after."""
    like = jax.tree.structure(gradient)
    is_like = lambda node: jax.tree.structure(node) == like
    of_one = lambda new, old: jax.tree.map(fn, new, old, gradient) if is_like(new) else new
    return jax.tree.map(of_one, after, before, is_leaf=is_like)
