"""All kernels of a network in one draw.

Drawn one by one, each compiles a generator and a distribution of its own: much of the program that trains a small
network.
"""

import contextvars
import functools
import hashlib
import math
from collections.abc import Callable
from typing import Any

import flax
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.random import threefry_2x32

_together = contextvars.ContextVar("_together", default=False)


@functools.cache  # one function, so that layers with it are equal
def lecun_normal(batch_axis: tuple[int, ...] | int = ()) -> Callable:
    """`flax.linen.initializers.lecun_normal`, which `initialize` draws together with the network's others."""
    alone = nn.initializers.lecun_normal(batch_axis=batch_axis)
    batch = (batch_axis,) if isinstance(batch_axis, int) else batch_axis

    def initializer(key, shape, dtype=jnp.float32):
        if not _together.get():
            return alone(key, shape, dtype)
        fan_in = math.prod(shape[:-1]) // math.prod(shape[axis] for axis in batch)
        return _Undrawn(jnp.zeros(shape, dtype), 1 / math.sqrt(max(fan_in, 1)))

    return initializer


@functools.cache
def normal(deviation: float) -> Callable:
    """Normal values of a fixed standard deviation, whatever the width, drawn together as those of `lecun_normal`."""
    alone = nn.initializers.truncated_normal(deviation / 0.87962566103423978)

    def initializer(key, shape, dtype=jnp.float32):
        return _Undrawn(jnp.zeros(shape, dtype), deviation) if _together.get() else alone(key, shape, dtype)

    return initializer


def initialize(network: nn.Module, key: jax.Array, *args: Any) -> dict:
    """`network.init(key, *args)`, with one draw for all parameters of this module's initializers.

    Each value depends on the key, its parameter's path and its place in it alone, so that a network has the same with
    more or fewer parameters beside. Parameters with initializers of others, and those of an NNX module, are as
    `network.init` draws them.
    """
    if type(network).__module__.startswith("flax.nnx"):  # the bridge has values alone
        return network.init(key, *args)
    token = _together.set(True)
    try:
        variables = network.init(key, *args)
    finally:
        _together.reset(token)
    is_undrawn = lambda leaf: isinstance(leaf, _Undrawn)
    leaves, tree = jax.tree_util.tree_flatten_with_path(variables, is_leaf=is_undrawn)
    undrawn = {jax.tree_util.keystr(path): leaf.value.size for path, leaf in leaves if is_undrawn(leaf)}
    if not undrawn:
        return variables
    drawn = iter(jnp.split(_normal(key, undrawn), np.cumsum([*undrawn.values()])[:-1]))

    def value(leaf):
        if not is_undrawn(leaf):
            return leaf
        return (next(drawn).reshape(leaf.value.shape) * leaf.deviation).astype(leaf.value.dtype)

    return jax.tree.unflatten(tree, [value(leaf) for _, leaf in leaves])


@flax.struct.dataclass
class _Undrawn(nn.meta.AxisMetadata):
    """In place of a parameter whose values are drawn later, with this standard deviation."""

    value: jax.Array
    deviation: float = flax.struct.field(pytree_node=False)

    def unbox(self):
        return self.value

    def replace_boxed(self, val):
        return self.replace(value=val)

    def add_axis(self, index, params):
        return self

    def remove_axis(self, index, params):
        return self


def _normal(key, sizes: dict[str, int]) -> jax.Array:
    """Normal values within two standard deviations, scaled to a deviation of 1; concatenated, `sizes` by name."""
    hashed = np.frombuffer(b"".join(hashlib.blake2b(name.encode(), digest_size=8).digest() for name in sizes), "<u4")
    starts = np.cumsum([0, *sizes.values()]).astype(np.uint32)
    first, second = jnp.asarray(hashed.reshape(-1, 2) - np.stack([0 * starts[:-1], starts[:-1]], 1)).T
    which = jnp.concatenate([jnp.full(size, i, jnp.int32) for i, size in enumerate(sizes.values())])
    counters = [first[which], second[which] + jnp.arange(starts[-1], dtype=jnp.uint32)]
    bits = threefry_2x32(jax.random.bits(key, (2,), jnp.uint32), jnp.concatenate(counters))[: starts[-1]]
    uniform = (bits >> 9).astype(jnp.float32) * np.float32(2**-22) + np.float32(2**-23 - 1)  # within ± 1, never at it
    bound = np.float32(math.erf(math.sqrt(2)))
    return jax.lax.erf_inv(uniform * bound) * np.float32(math.sqrt(2) / 0.87962566103423978)
