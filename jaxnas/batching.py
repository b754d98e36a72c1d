"""Small work on many members at once: each operation on all of them, with the members along the last axis.

`jax.vmap` puts members first, and leaves a processor's vector units the few numbers of one member at a time.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp


def vmap_last_axis(fn: Callable) -> Callable:
    """`fn` on leaves `[..., L]`, as a function of one member that `jax.vmap` runs on all L of them side by side.

    Leaves that members have in common come as `[..., 1]`; every leaf of what `fn` returns has all L. Members that vmap
    is given along the last axis (`in_axes=-1`) are not moved. Not differentiable.
    """

    @jax.custom_batching.custom_vmap
    def one(*args):
        result = fn(*jax.tree.map(lambda leaf: jnp.asarray(leaf)[..., None], args))
        return jax.tree.map(lambda leaf: leaf[..., 0], result)

    @one.def_vmap
    def _(size, batched, *args):
        place = lambda b, leaf: jnp.moveaxis(leaf, 0, -1) if b else jnp.asarray(leaf)[..., None]
        result = jax.tree.map(lambda leaf: jnp.moveaxis(leaf, -1, 0), fn(*jax.tree.map(place, tuple(batched), args)))
        return result, jax.tree.map(lambda _: True, result)

    return one
