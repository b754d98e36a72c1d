"""Train one network: pure functions of key, decisions and number of steps."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import struct

from jaxnas.check import InputError
from jaxnas.networks import initializers
from jaxnas.tasks.augment import chain, cutout
from jaxnas.tasks.batch import Batch, weighted_mean, weighted_sum
from jaxnas.tasks.losses import cross_entropy
from jaxnas.tasks.task import Task, single
from jaxnas.training.distillation import INTERMEDIATES, Distillation
from jaxnas.training.packing import Packing, packing_of
from jaxnas.training.recipe import NUMBERS, Recipe, on, smoothed
from jaxnas.training.start import Initialize, started

CHUNK = 256
"""Examples that are scored at a time."""
STEPS, EPOCHS = "steps", "epochs"
"""Scopes of its loops, by which a compiled program's text is read (`jaxnas.planning`)."""
Numbers = Mapping[str, chex.Numeric]
"""Fields of the recipe, of `recipe.NUMBERS`, that differ from it in one training; traced."""


@struct.dataclass
class TrainState:
    """A training after `step` steps: what the next one needs.

    `params` are those that are trained, as `Packing` keeps them, and `average` their moving average (`()` without);
    `frozen` those that are not; `stats` the other collections; `loss` that of the last batch.
    """

    params: Any
    average: Any
    frozen: Any
    stats: Any
    optimizer: Any
    step: chex.Array
    loss: chex.Array


class Trainer(NamedTuple):
    """Training and scoring of one network.

    Attributes:
      init: `(key, decisions) -> variables`.
      packing: of its parameters, given the decisions: `decisions -> Packing`.
      per_epoch: batches in an epoch.
      order: `(key, epoch) -> [N]`, the order of the training examples.
      batch: `(key, order, t) -> Batch`, the batch of step t out of its epoch's order, prepared and augmented.
      loss: `(variables, decisions, batch, progress, key, over_devices, recipe, distillation) -> (loss, state)` in
        training: of a batch when `progress` of the steps, in [0, 1], are done; `state` is `variables` without
        parameters, updated; `over_devices` is the mean over devices that share the batch; the last two are those of the
        trainer by default.
      outputs: `(variables, decisions, batch) -> outputs`, as in training, where no paths are dropped.
      begin: `(key, decisions) -> TrainState`.
      advance: `(key, decisions, TrainState, until, steps, numbers, packing) -> TrainState`, the steps up to `until` of
        a training of `steps`, both may be traced; `numbers` are those of the recipe that are this training's own;
        without a packing it is worked out again, which traces the network.
      variables: `(decisions, TrainState, packing) -> variables`, what is scored.
      train: `(key, decisions, steps, numbers) -> (variables, loss)`, the last batch's loss.
      score: `(variables, decisions, Batch) -> (loss, metric)`, the mean loss and the metric over all examples, as they
        are stored.
    """

    init: Callable
    packing: Callable
    per_epoch: int
    order: Callable
    batch: Callable
    loss: Callable
    outputs: Callable
    begin: Callable
    advance: Callable
    variables: Callable
    train: Callable
    score: Callable


def trainer(
    network: nn.Module,
    task: Task,
    recipe: Recipe,
    initialize: Initialize = None,
    distillation: Distillation | None = None,
) -> Trainer:
    """Builds training on `task.train`, which is closed over; `initialize` is what it begins with (see `started`),
    `distillation` what it learns from besides.

    Raises:
      InputError: a recipe out of range, label smoothing with a loss of the user's own, or an augmentation for inputs of
        another rank.
    """
    recipe.check()
    if recipe.label_smoothing and task.loss is not cross_entropy:
        raise InputError("label_smoothing: only for the default cross-entropy loss; smooth in your own loss.")
    if distillation is not None:
        distillation.check()
    augment = task.augment
    if recipe.cutout:
        cut = cutout(recipe.cutout)
        augment = cut if augment is None else chain(augment, cut)
    N = task.train.size
    B = min(recipe.batch_size, N)
    if B % recipe.accumulate:
        raise InputError(f"accumulate: the {B} examples there are are not {recipe.accumulate} equal parts.")
    per_epoch = N // B
    if augment is not None:
        jax.eval_shape(augment, jax.random.key(0), task.batch_of(B))  # what it refuses is refused now

    def init(key, decisions):
        variables = initializers.initialize(network, key, decisions, task.blank(), bool(recipe.auxiliary))
        variables.pop("auxiliary", None)
        return dict(started(initialize, key, decisions, variables))

    def packing(decisions) -> Packing:
        # Closed over, as what is decided before tracing is to stay so.
        shapes = jax.eval_shape(lambda key: init(key, decisions), jax.random.key(0))
        return packing_of(shapes["params"], recipe)

    def order(key, epoch):
        return jax.random.permutation(jax.random.fold_in(key, epoch), jnp.arange(N, dtype=jnp.int32))

    def batch(key, order, t):
        chosen, upcoming = (jax.lax.dynamic_slice_in_dim(order, i % per_epoch * B, B) for i in (t, t + 1))
        taken = task.train.take(chosen, upcoming)
        x = task.inputs(taken.inputs)
        return taken._replace(inputs=x if augment is None else single(augment(jax.random.fold_in(key, t), x)))

    def outputs(variables, decisions, batch):
        mutable = [c for c in variables if c != "params"]
        return network.apply(variables, decisions, batch.inputs, True, mutable=mutable)[0]

    def loss(
        variables,
        decisions,
        batch,
        progress,
        key,
        over_devices=lambda count: count,
        recipe=recipe,
        distillation=distillation,
    ):
        criterion = smoothed(task.loss, recipe.label_smoothing)
        extra, rngs, mutable = {}, {}, [c for c in variables if c != "params"]
        if on(recipe.drop_path):
            extra["schedule"] = {"drop_path": recipe.drop_path * progress}
            rngs["drop_path"] = key
        if on(recipe.auxiliary):
            mutable.append("auxiliary")
        if distillation is not None and distillation.features:
            mutable.append(INTERMEDIATES)
        given = {**variables, **extra}
        outputs, state = network.apply(given, decisions, batch.inputs, True, mutable=mutable, rngs=rngs)
        state = dict(state)
        heads = jax.tree.leaves(state.pop("auxiliary", ()))
        mean = lambda made: weighted_mean(criterion(made, batch.targets), batch.weight, over_devices)
        made = state.pop(INTERMEDIATES, {})
        total = mean(outputs)
        if distillation is not None:
            total = distillation.loss(total, outputs, made, batch.inputs, batch.weight, over_devices)
        total = total + recipe.auxiliary * sum(mean(head) for head in heads)
        return total.astype(loss_dtype(variables["params"])), state

    def begin(key, decisions):
        return begun(key, decisions)[0]

    def begun(key, decisions) -> tuple[TrainState, Packing]:
        variables = init(jax.random.split(key, 3)[0], decisions)
        pack = packing_of(variables["params"], recipe)
        params, frozen = pack.split(variables.pop("params"))
        state = TrainState(
            params=params,
            average=params if recipe.ema else (),
            frozen=frozen,
            stats=variables,
            optimizer=recipe.make_optimizer(1).init(params),
            step=jnp.int32(0),
            loss=jnp.full((), jnp.nan, loss_dtype((params, frozen))),
        )
        return state, pack

    def advance(key, decisions, state, until, steps, numbers=None, pack=None):
        pack = pack or packing(decisions)
        own = recipe._replace(**_known(numbers or {}, recipe))
        _, order_key, augment_key, drop_key = (*jax.random.split(key, 3), jax.random.fold_in(key, 3))
        optimizer = own.make_optimizer(steps)

        def objective(params, stats, t, examples, over_devices):
            variables = {"params": pack.join(params, state.frozen), **stats}
            drop = jax.random.fold_in(drop_key, t)
            return loss(variables, decisions, examples, own.progress(t, steps), drop, over_devices, own)

        of = jax.value_and_grad(objective, has_aux=True)

        def gradient(params, stats, t, examples):
            k = recipe.accumulate
            if k == 1:
                return of(params, stats, t, examples, lambda count: count)
            parts = jax.tree.map(lambda leaf: leaf.reshape(k, len(leaf) // k, *leaf.shape[1:]), examples)
            whole = examples.weights().sum() / k  # so that the mean of the parts' losses is the batch's

            def part(carry, examples):
                stats, total = carry
                (value, stats), gradient = of(params, stats, t, examples, lambda _: whole)
                return (stats, jax.tree.map(lambda a, b: a + b / k, total, (value, gradient))), None

            blank = jax.tree.map(jnp.zeros_like, (state.loss, params))
            (stats, (value, gradient)), _ = jax.lax.scan(part, (stats, blank), parts)
            return (value, stats), gradient

        def update(t, order, carry):
            params, average, stats, opt, _ = carry
            (value, stats), slope = gradient(params, stats, t, batch(augment_key, order, t))
            updates, opt = optimizer.update(slope, opt, params)
            params = optax.apply_updates(params, updates)
            if recipe.ema:
                average = jax.tree.map(lambda a, p: own.ema * a + (1 - own.ema) * p, average, params)
            return params, average, stats, opt, value

        def epoch(e, carry):
            examples = order(order_key, e)
            first = jnp.maximum(e * per_epoch, state.step)
            last = jnp.minimum((e + 1) * per_epoch, until)
            with jax.named_scope(STEPS):
                return jax.lax.fori_loop(first, last, lambda t, c: update(t, examples, c), carry)

        carry = (state.params, state.average, state.stats, state.optimizer, state.loss)
        with jax.named_scope(EPOCHS):
            carry = jax.lax.fori_loop(state.step // per_epoch, -(-until // per_epoch), epoch, carry)
        return TrainState(*carry[:2], state.frozen, *carry[2:4], jnp.maximum(until, state.step), carry[4])

    def variables(decisions, state, pack=None):
        params = state.average if recipe.ema else state.params
        return {"params": (pack or packing(decisions)).join(params, state.frozen), **state.stats}

    def train(key, decisions, steps, numbers=None):
        state, pack = begun(key, decisions)
        state = advance(key, decisions, state, steps, steps, numbers, pack)
        return variables(decisions, state, pack), state.loss

    def score(variables, decisions, split: Batch):
        n = split.size
        chunks = -(-n // CHUNK)
        size = -(-n // chunks)
        pad = lambda a: jnp.concatenate([a, jnp.repeat(a[:1], chunks * size - n, 0)])
        parts = jax.tree.map(
            lambda a: pad(a).reshape(chunks, size, *a.shape[1:]), split._replace(weight=split.weights())
        )
        there = (np.arange(chunks * size) < n).reshape(chunks, size)
        weight = jnp.where(there.reshape(there.shape + (1,) * (parts.weight.ndim - 2)), parts.weight, 0)

        def part(batch):
            outputs = network.apply(variables, decisions, task.inputs(batch.inputs), False)
            loss = weighted_sum(task.loss(outputs, batch.targets), batch.weight)
            return loss, task.metric.sums(outputs, batch.targets, batch.weight)

        # Chunk by chunk: one sum of very many loses digits.
        sums = jax.lax.map(part, parts._replace(weight=weight))
        (total, count), sums = jax.tree.map(lambda leaf: leaf.sum(0), sums)
        return total / count, jnp.asarray(task.metric.value(sums))

    return Trainer(init, packing, per_epoch, order, batch, loss, outputs, begin, advance, variables, train, score)


def _known(numbers: Numbers, recipe: Recipe) -> Numbers:
    for name in numbers:
        if name not in NUMBERS:
            raise InputError(f"hyperparameters: expected {', '.join(NUMBERS)}, which may be traced, got {name!r}.")
        if name in ("clip_norm", "weight_decay") and not getattr(recipe, name):
            raise InputError(f"hyperparameters: {name} is 0 in the recipe, for never; give a number there too.")
    return numbers


def loss_dtype(params: Any) -> jnp.dtype:
    """Of the loss: that of the parameters, but float32 at least."""
    return jnp.result_type(jnp.float32, *jax.tree.leaves(params))
