"""An ensemble of small multilayer perceptrons, trained side by side; its spread is the uncertainty."""

import chex
import jax
import jax.numpy as jnp
import optax
from flax import struct

from jaxnas import check
from jaxnas.predictors.predictor import Predictor
from jaxnas.types import in_32_bits

FLOOR = -3.0
"""Targets below are taken for this: networks that failed must not stretch the scale on which the good ones differ."""


@struct.dataclass
class Params:
    """E members: `first` `[F, E * W]`, `layers` `[E, W, W]` (the last `[E, W, 1]`), with biases, and the scale of y."""

    first: tuple[chex.Array, chex.Array]
    layers: tuple[tuple[chex.Array, chex.Array], ...]
    center: chex.Array
    scale: chex.Array


def mlp_ensemble(
    *,
    members: int = 5,
    width: int = 20,
    hidden: int = 2,
    steps: int = 150,
    batch_size: int = 64,
    learning_rate: float = 0.01,
) -> Predictor:
    """The ensemble of BANANAS (White, Neiswanger and Savani, 2021, section 4), smaller and faster to train.

    Members differ in their start. Targets are centered at their median and scaled by the distance from there to the
    90 % quantile, so that predictions do not depend on the unit of fitness; the paper weighs errors by the distance to
    a known upper bound instead.

    Args:
      members: E, networks.
      width: W, of each hidden layer.
      hidden: hidden layers.
      steps: of Adam, from scratch in each fit, with a learning rate that falls to 0 along a cosine.
      batch_size: rows in a step, drawn with replacement.
      learning_rate: of the first step.

    Raises:
      InputError: a size out of its range.
    """
    sizes = {"members": members, "width": width, "hidden": hidden, "steps": steps, "batch_size": batch_size}
    for name, size in sizes.items():
        check.integer(name, size, least=2 if name == "members" else 1)
    check.real("learning_rate", learning_rate, least=0)
    E, W = members, width
    optimizer = optax.adam(optax.cosine_decay_schedule(learning_rate, steps))
    update = in_32_bits(optimizer.update)

    def init(key, inputs, y, mask):
        keys = jax.random.split(key, hidden + 1)
        normal = lambda k, *shape: jax.random.normal(k, shape, jnp.float32) * jnp.sqrt(jnp.float32(2 / shape[-2]))
        known = jnp.where(mask, y, jnp.nan)
        center = jnp.nan_to_num(in_32_bits(jnp.nanmedian)(known))
        spread = jnp.nan_to_num(in_32_bits(jnp.nanquantile)(known, 0.9)) - center
        outputs = [W] * (hidden - 1) + [1]
        return Params(
            first=(normal(keys[0], inputs, E * W), jnp.zeros(E * W, jnp.float32)),
            layers=tuple(
                (normal(k, E, W, n), jnp.zeros((E, 1, n), jnp.float32)) for k, n in zip(keys[1:], outputs, strict=False)
            ),
            center=center,
            scale=jnp.where(spread > 0, spread, 1),
        )

    def deeper(params, h):
        """`[E, N]` from the first layer's outputs `[E, N, W]`."""
        for weight, bias in params.layers:
            h = jax.nn.relu(h) @ weight + bias
        return h[..., 0]

    def fit(key, x, y, mask):
        x, y = jnp.asarray(x, jnp.float32), jnp.asarray(y, jnp.float32)
        N, F = x.shape
        init_key, batch_key = jax.random.split(key)
        params = init(init_key, F, y, mask)
        target = jnp.where(mask, jnp.clip((y - params.center) / params.scale, FLOOR, None), 0)
        order = jnp.argsort(~mask)  # rows that count, first
        count = mask.sum(dtype=jnp.int32)

        def loss(weights, rows):
            params_ = params.replace(first=weights[0], layers=weights[1])
            # One matrix product for all members: they share the rows of a batch, and weigh them differently.
            h = (x[rows] @ params_.first[0] + params_.first[1]).reshape(-1, E, W).transpose(1, 0, 2)
            return jnp.mean((deeper(params_, h) - target[rows]) ** 2)

        def step(t, carry):
            weights, state = carry
            u = jax.random.uniform(jax.random.fold_in(batch_key, t), (min(batch_size, N),), jnp.float32)
            rows = order[jnp.minimum((u * count).astype(jnp.int32), jnp.maximum(count - 1, 0))]
            updates, state = update(jax.grad(loss)(weights, rows), state)
            return optax.apply_updates(weights, updates), state

        weights = (params.first, params.layers)
        weights, _ = jax.lax.fori_loop(0, steps, step, (weights, optimizer.init(weights)))
        return params.replace(first=weights[0], layers=weights[1])

    def predict(params, x):
        h = (jnp.asarray(x, jnp.float32) @ params.first[0] + params.first[1]).reshape(-1, E, W).transpose(1, 0, 2)
        y = deeper(params, h) * params.scale + params.center
        return y.mean(0), y.std(0)

    return Predictor(fit, predict)
