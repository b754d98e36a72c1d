"""Train one network: pure functions of key, decisions and number of steps."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.flatten_util import ravel_pytree

from jaxnas import check
from jaxnas.check import InputError
from jaxnas.networks.initializers import initialize
from jaxnas.tasks.augment import chain, cutout
from jaxnas.tasks.task import Split, Task, by_example, cross_entropy, single


class Recipe(NamedTuple):
    """SGD with momentum and a cosine schedule; by default the recipe of NAS-Bench-201.

    The last three are NASNet's. An option that the network has nothing for is refused (see `training.fits`).

    Attributes:
      batch_size: examples in a step.
      learning_rate: at the first step.
      final_learning_rate: after the last; the rate falls to it along half a cosine.
      momentum: of SGD.
      nesterov: whether it is Nesterov's.
      weight_decay: added to the gradient of every parameter, as PyTorch's SGD does.
      clip_norm: the gradient is scaled down to this norm where it is longer, before the decay; 0 for never.
      label_smoothing: in [0, 1), for cross-entropy.
      cutout: side in pixels of the square cut out of each training image (DeVries and Taylor, 2017); 0 for none.
      drop_path: probability in [0, 1) of dropping a path at the last step, growing linearly from 0 at the first:
        ScheduledDropPath. The network reads the variable `schedule/drop_path` and has an RNG `drop_path`.
      auxiliary: weight of the loss of the logits that the network sows into its collection "auxiliary"; 0 for none.
    """

    batch_size: int = 64
    learning_rate: float = 0.1
    final_learning_rate: float = 0.0
    momentum: float = 0.9
    nesterov: bool = True
    weight_decay: float = 5e-4
    clip_norm: float = 0.0
    label_smoothing: float = 0.0
    cutout: int = 0
    drop_path: float = 0.0
    auxiliary: float = 0.0

    @classmethod
    def of(cls, **fields) -> "Recipe":
        """The recipe with these fields; raises `InputError` for a field that does not exist or is out of range."""
        for field in fields:
            check.one_of("recipe", field, cls._fields)
        # NumPy's numbers have a type, which would be that of all they are multiplied with.
        numbers = {name: value.item() if isinstance(value, np.generic) else value for name, value in fields.items()}
        recipe = cls(**numbers)
        recipe.check()
        return recipe

    def check(self) -> None:
        """Raises `InputError` naming a field out of its range."""
        check.integer("batch_size", self.batch_size, least=1)
        check.integer("cutout", self.cutout, least=0)
        positive = ("learning_rate", "final_learning_rate", "weight_decay", "clip_norm", "auxiliary")
        for field, most in {**dict.fromkeys(positive, 1e6), "momentum": 1, "label_smoothing": 1}.items():
            check.real(field, getattr(self, field), least=0, most=most)
        check.real("drop_path", self.drop_path, least=0, most=0.999)

    def rate(self, progress: chex.Numeric) -> chex.Array:
        """The learning rate when `progress` of the training, in [0, 1], is done."""
        fall = 0.5 * (1 + jnp.cos(jnp.pi * jnp.float32(progress)))
        return self.final_learning_rate + (self.learning_rate - self.final_learning_rate) * fall

    def optimizer(self) -> optax.GradientTransformation:
        """From gradients to what is subtracted from the parameters, once multiplied by the rate."""
        clip = [optax.clip_by_global_norm(self.clip_norm)] if self.clip_norm else []
        decay, momentum = optax.add_decayed_weights(self.weight_decay), optax.trace(self.momentum, self.nesterov)
        return optax.chain(*clip, decay, momentum)


class Trainer(NamedTuple):
    """Training and scoring of one network.

    Attributes:
      init: `(key, decisions) -> variables`.
      per_epoch: batches in an epoch.
      order: `(key, epoch) -> [N]`, the order of the training examples.
      batch: `(key, order, t) -> Split`, the batch of step t out of its epoch's order, prepared and augmented.
      loss: `(variables, decisions, batch, progress, key) -> (loss, state)` in training: of a batch when `progress` of
        the steps, in [0, 1), are done; `state` is `variables` without parameters, updated.
      train: `(key, decisions, steps) -> (variables, loss)`, the last batch's loss; `steps` may be traced.
      score: `(variables, decisions, Split) -> (loss, metric)`, means over the split, whose examples are as stored; of
        losses and metrics of several numbers for an example, see `tasks.task.by_example`.
    """

    init: Callable
    per_epoch: int
    order: Callable
    batch: Callable
    loss: Callable
    train: Callable
    score: Callable


def trainer(network: nn.Module, task: Task, recipe: Recipe) -> Trainer:
    """Builds training on `task.train`, which is closed over.

    Raises:
      InputError: a recipe out of range, label smoothing with a loss of the user's own, or an augmentation for inputs of
        another rank.
    """
    recipe.check()
    criterion = task.loss
    if recipe.label_smoothing:
        if criterion is not cross_entropy:
            raise InputError("label_smoothing: only for the default cross-entropy loss; smooth in your own loss.")
        criterion = partial(cross_entropy, label_smoothing=recipe.label_smoothing)
    augment = task.augment
    if recipe.cutout:
        cut = cutout(recipe.cutout)
        augment = cut if augment is None else chain(augment, cut)
    N = task.train.size
    B = min(recipe.batch_size, N)
    per_epoch = N // B
    optimizer = recipe.optimizer()
    if augment is not None:
        jax.eval_shape(augment, jax.random.key(0), task.batch_of(B))  # what it refuses is refused now

    def init(key, decisions):
        variables = initialize(network, key, decisions, task.blank(), bool(recipe.auxiliary))
        variables.pop("auxiliary", None)
        return variables

    def order(key, epoch):
        return jax.random.permutation(jax.random.fold_in(key, epoch), jnp.arange(N, dtype=jnp.int32))

    def batch(key, order, t):
        chosen, upcoming = (jax.lax.dynamic_slice_in_dim(order, i % per_epoch * B, B) for i in (t, t + 1))
        x, y = task.train.take(chosen, upcoming)
        x = task.inputs(x)
        return Split(x if augment is None else single(augment(jax.random.fold_in(key, t), x)), y)

    def loss(variables, decisions, batch, progress, key):
        extra, rngs, mutable = {}, {}, [c for c in variables if c != "params"]
        if recipe.drop_path:
            extra["schedule"] = {"drop_path": recipe.drop_path * progress}
            rngs["drop_path"] = key
        if recipe.auxiliary:
            mutable.append("auxiliary")
        outputs, state = network.apply({**variables, **extra}, decisions, batch.x, True, mutable=mutable, rngs=rngs)
        state = dict(state)
        heads = jax.tree.leaves(state.pop("auxiliary", ()))
        mean = lambda made: by_example("loss", criterion, made, batch.y).mean()
        total = mean(outputs) + recipe.auxiliary * sum(mean(head) for head in heads)
        return total.astype(loss_dtype(variables["params"])), state

    def train(key, decisions, steps):
        init_key, order_key, augment_key, drop_key = (*jax.random.split(key, 3), jax.random.fold_in(key, 3))
        variables = init(init_key, decisions)
        # One vector: the optimizer is then one kernel over all parameters instead of several for each array.
        params, tree = ravel_pytree(variables.pop("params"))

        def objective(params, state, t, examples):
            variables = {"params": tree(params), **state}
            return loss(variables, decisions, examples, progress(t), jax.random.fold_in(drop_key, t))

        def progress(t):
            return jnp.float32(t) / jnp.float32(steps)

        def update(t, order, carry):
            params, state, opt, _ = carry
            examples = batch(augment_key, order, t)
            (value, state), gradient = jax.value_and_grad(objective, has_aux=True)(params, state, t, examples)
            updates, opt = optimizer.update(gradient, opt, params)
            return params - recipe.rate(progress(t)) * updates, state, opt, value

        def epoch(e, carry):
            examples = order(order_key, e)
            first = e * per_epoch
            last = jnp.minimum(first + per_epoch, steps)
            return jax.lax.fori_loop(first, last, lambda t, c: update(t, examples, c), carry)

        carry = (params, variables, optimizer.init(params), jnp.full((), jnp.nan, loss_dtype(params)))
        params, state, _, value = jax.lax.fori_loop(0, -(-steps // per_epoch), epoch, carry)
        return {"params": tree(params), **state}, value

    def score(variables, decisions, split: Split):
        n = split.x.shape[0]
        chunks = -(-n // 256)
        size = -(-n // chunks)
        pad = lambda a: jnp.concatenate([a, jnp.repeat(a[:1], chunks * size - n, 0)])
        parts = jax.tree.map(lambda a: pad(a).reshape(chunks, size, *a.shape[1:]), split)

        def part(xy):
            outputs = network.apply(variables, decisions, task.inputs(xy.x), False)
            return by_example("loss", task.loss, outputs, xy.y), by_example("metric", task.metric, outputs, xy.y)

        counts = (np.arange(chunks * size) < n).reshape(chunks, size)
        # Chunk by chunk: one sum of very many loses digits.
        return tuple(jnp.where(counts, v, 0).sum(1).sum() / n for v in jax.lax.map(part, parts))

    return Trainer(init, per_epoch, order, batch, loss, train, score)


def loss_dtype(params: Any) -> jnp.dtype:
    """Of the loss: that of the parameters, but float32 at least."""
    return jnp.result_type(jnp.float32, *jax.tree.leaves(params))
