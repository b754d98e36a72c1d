"""Train one network from scratch: a pure function of key, decisions and number of steps."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from jax.flatten_util import ravel_pytree

from jaxnas import check
from jaxnas.tasks.augment import chain, cutout
from jaxnas.tasks.task import Split, Task, cross_entropy


class Recipe(NamedTuple):
    """SGD with Nesterov momentum and a cosine schedule; by default the recipe of NAS-Bench-201.

    The last three are NASNet's. An option that the network has nothing for is refused (see `training.fits`).

    Attributes:
      batch_size: examples in a step.
      learning_rate: at the first step; falls to 0 after the last along half a cosine.
      momentum: of Nesterov.
      weight_decay: added to the gradient of every parameter, as PyTorch's SGD does.
      label_smoothing: in [0, 1), for cross-entropy.
      cutout: side in pixels of the square cut out of each training image (DeVries and Taylor, 2017); 0 for none.
      drop_path: probability in [0, 1) of dropping a path at the last step, growing linearly from 0 at the first:
        ScheduledDropPath. The network reads the variable `schedule/drop_path` and has an RNG `drop_path`.
      auxiliary: weight of the loss of the logits that the network sows into its collection "auxiliary"; 0 for none.
    """

    batch_size: int = 64
    learning_rate: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 5e-4
    label_smoothing: float = 0.0
    cutout: int = 0
    drop_path: float = 0.0
    auxiliary: float = 0.0

    @classmethod
    def of(cls, **fields) -> "Recipe":
        """The recipe with these fields; raises `ValueError` naming the nearest for a field that does not exist."""
        for field in fields:
            check.one_of("recipe", field, cls._fields)
        return cls(**fields)

    def check(self) -> None:
        """Raises `ValueError` naming a field out of its range."""
        check.integer("batch_size", self.batch_size, least=1)
        check.integer("cutout", self.cutout, least=0)
        ranges = {"learning_rate": 1e6, "momentum": 1, "weight_decay": 1e6, "label_smoothing": 1, "auxiliary": 1e6}
        for field, most in ranges.items():
            check.real(field, getattr(self, field), least=0, most=most)
        check.real("drop_path", self.drop_path, least=0, most=0.999)


class Trainer(NamedTuple):
    """Training and scoring of one network.

    Attributes:
      train: `(key, decisions, steps) -> (variables, loss)`, the last batch's loss; `steps` may be traced.
      score: `(variables, decisions, Split) -> (loss, metric)`, means over the split.
    """

    train: Callable
    score: Callable


def trainer(network: nn.Module, task: Task, recipe: Recipe) -> Trainer:
    """Builds training on `task.train`; the data is closed over and stays on the device.

    Raises:
      ValueError: a recipe out of range, or label smoothing with a loss of the user's own.
    """
    recipe.check()
    loss = task.loss
    if recipe.label_smoothing:
        if loss is not cross_entropy:
            raise ValueError("label_smoothing: only for the default cross-entropy loss; smooth in your own loss.")
        loss = partial(cross_entropy, label_smoothing=recipe.label_smoothing)
    augment = task.augment
    if recipe.cutout:
        cut = cutout(recipe.cutout)
        augment = cut if augment is None else chain(augment, cut)
    N = task.train.x.shape[0]
    B = min(recipe.batch_size, N)
    per_epoch = N // B
    optimizer = optax.chain(optax.add_decayed_weights(recipe.weight_decay), optax.trace(recipe.momentum, nesterov=True))

    def train(key, decisions, steps):
        init_key, order_key, augment_key, drop_key = (*jax.random.split(key, 3), jax.random.fold_in(key, 3))
        variables = network.init(init_key, decisions, task.train.x[:1], bool(recipe.auxiliary))
        variables.pop("auxiliary", None)
        # One vector: the optimizer is then one kernel over all parameters instead of several for each array.
        params, tree = ravel_pytree(variables.pop("params"))

        def objective(params, state, t, x, y):
            extra, rngs, mutable = {}, {}, list(state)
            if recipe.drop_path:
                extra["schedule"] = {"drop_path": recipe.drop_path * t / steps}
                rngs["drop_path"] = jax.random.fold_in(drop_key, t)
            if recipe.auxiliary:
                mutable.append("auxiliary")
            variables = {"params": tree(params), **state, **extra}
            outputs, state = network.apply(variables, decisions, x, True, mutable=mutable, rngs=rngs)
            state = dict(state)
            heads = jax.tree.leaves(state.pop("auxiliary", ()))
            return loss(outputs, y).mean() + recipe.auxiliary * sum(loss(h, y).mean() for h in heads), state

        def update(t, order, carry):
            params, state, opt, _ = carry
            batch = jax.lax.dynamic_slice_in_dim(order, t % per_epoch * B, B)
            x, y = task.train.x[batch], task.train.y[batch]
            if augment is not None:
                x = augment(jax.random.fold_in(augment_key, t), x)
            (value, state), gradient = jax.value_and_grad(objective, has_aux=True)(params, state, t, x, y)
            updates, opt = optimizer.update(gradient, opt, params)
            rate = recipe.learning_rate * 0.5 * (1 + jnp.cos(jnp.pi * t / steps))
            return params - rate * updates, state, opt, value

        def epoch(e, carry):
            order = jax.random.permutation(jax.random.fold_in(order_key, e), N)
            first = e * per_epoch
            last = jnp.minimum(first + per_epoch, steps)
            return jax.lax.fori_loop(first, last, lambda t, c: update(t, order, c), carry)

        carry = (params, variables, optimizer.init(params), jnp.float32(jnp.nan))
        params, state, _, value = jax.lax.fori_loop(0, -(-steps // per_epoch), epoch, carry)
        return {"params": tree(params), **state}, value

    def score(variables, decisions, split: Split):
        n = split.x.shape[0]
        chunks = -(-n // 256)
        size = -(-n // chunks)
        pad = lambda a: jnp.concatenate([a, jnp.repeat(a[:1], chunks * size - n, 0)])
        parts = jax.tree.map(lambda a: pad(a).reshape(chunks, size, *a.shape[1:]), split)

        def part(xy):
            outputs = network.apply(variables, decisions, xy.x, False)
            return task.loss(outputs, xy.y), task.metric(outputs, xy.y)

        return tuple(v.reshape(-1)[:n].mean() for v in jax.lax.map(part, parts))

    return Trainer(train, score)
