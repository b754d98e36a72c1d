"""Losses `(outputs, targets) -> [B, ...]`, of each example or each position, to be minimized."""

import chex
import jax
import jax.numpy as jnp
import optax


def cross_entropy(outputs: chex.Array, y: chex.Array, label_smoothing: float = 0.0) -> chex.Array:
    """`[...]` softmax cross-entropy of logits `[..., classes]` with whole labels `[...]`, in nats."""
    _alike("cross_entropy", outputs.shape[:-1], y.shape, f"logits {outputs.shape}")
    dtype = jnp.promote_types(outputs.dtype, jnp.float32)
    targets = optax.smooth_labels(jax.nn.one_hot(y, outputs.shape[-1], dtype=dtype), label_smoothing)
    return optax.softmax_cross_entropy(outputs.astype(dtype), targets)


def sigmoid_cross_entropy(outputs: chex.Array, y: chex.Array) -> chex.Array:
    """`[..., L]` cross-entropy of L logits with as many labels of 0 or 1, each by itself, in nats."""
    _alike("sigmoid_cross_entropy", outputs.shape, y.shape, f"logits {outputs.shape}")
    dtype = jnp.promote_types(outputs.dtype, jnp.float32)
    return optax.sigmoid_binary_cross_entropy(outputs.astype(dtype), y.astype(dtype))


def squared_error(outputs: chex.Array, y: chex.Array) -> chex.Array:
    """`[...]` squared difference."""
    _alike("squared_error", outputs.shape, y.shape, f"outputs {outputs.shape}")
    return jnp.square(outputs.astype(jnp.promote_types(outputs.dtype, jnp.float32)) - y)


UNITS = {cross_entropy: "nats", sigmoid_cross_entropy: "nats"}
"""Of the means of losses that have one."""


def _alike(name: str, expected: tuple[int, ...], got: tuple[int, ...], of: str) -> None:
    if expected != got:  # a TypeError: whoever checks losses says where they come from
        raise TypeError(f"{name} of {of} needs targets {expected}, got {got}")
