"""Examples: what a network is given, what it should make of it, and what counts."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import chex
import jax
import jax.numpy as jnp


class Dataset(Protocol):
    """N examples, wherever they are, of which batches can be taken inside a program."""

    @property
    def size(self) -> int:
        """N."""

    @property
    def spec(self) -> "Batch":
        """Shapes and types of one example, `jax.ShapeDtypeStruct` without the leading axis."""

    def take(self, rows: chex.Array, upcoming: chex.Array | None = None) -> "Batch":
        """The examples `rows` `[B]`, traced or not; `upcoming` are those that will be asked for next."""


class Batch(NamedTuple):
    """Examples as arrays: a batch of them, or a whole dataset on the device.

    Attributes:
      inputs: pytree of `[N, ...]`, as they are stored.
      targets: pytree of `[N, ...]`.
      weight: `[N]`, or `[N, T]` where the loss is of each of T positions: how much each counts, 0 for padding. None
        where all count alike.
    """

    inputs: Any
    targets: Any
    weight: chex.Array | None = None

    @property
    def size(self) -> int:
        """N."""
        return jax.tree.leaves(self.inputs)[0].shape[0]

    @property
    def spec(self) -> "Batch":
        """Shapes and types of one example."""
        return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape[1:], leaf.dtype), self)

    def take(self, rows: chex.Array, upcoming: chex.Array | None = None) -> "Batch":
        """The examples `rows` `[B]`; which are asked for next makes no difference here."""
        return jax.tree.map(lambda leaf: leaf[rows], self)

    def weights(self) -> chex.Array:
        """What each counts: ones `[N]` where all count alike."""
        return jnp.ones(self.size, jnp.float32) if self.weight is None else self.weight

    def joined(self, other: "Batch") -> "Batch":
        """These examples and, after them, those of another batch."""
        first, second = self, other
        if (first.weight is None) != (second.weight is None):
            like = first.weight if second.weight is None else second.weight
            every = lambda batch: batch._replace(weight=jnp.ones((batch.size, *like.shape[1:]), like.dtype))
            first, second = (batch if batch.weight is not None else every(batch) for batch in (first, second))
        return jax.tree.map(lambda *parts: jnp.concatenate(parts), first, second)


@dataclasses.dataclass(frozen=True)  # no tuple, which JAX would take for a pytree
class Generated:
    """N examples that are made where they are asked for, inside the program, and take no memory.

    Attributes:
      example: `row -> Batch` of one example, without the leading axis, of a traced int32 in [0, N): pure, the same
        example for the same row. `jax.random.fold_in(key, row)` is its randomness.
      size: N.
    """

    example: Callable[[chex.Array], Batch]
    size: int

    @property
    def spec(self) -> Batch:
        """Shapes and types of one example."""
        return jax.eval_shape(self.example, jax.ShapeDtypeStruct((), jnp.int32))

    def take(self, rows: chex.Array, upcoming: chex.Array | None = None) -> Batch:
        """The examples `rows` `[B]`, traced or not; which are asked for next makes no difference here."""
        return _made(self.example, jnp.asarray(rows, jnp.int32))

    def joined(self, other: Batch) -> "Generated":
        """These examples and, after them, those of a batch."""
        n, weighs = self.size, self.spec.weight is not None or other.weight is not None

        def example(row):
            # Both are worked out and one is kept, as rows of a batch differ.
            own, held = self.example(row), jax.tree.map(lambda leaf: leaf[jnp.maximum(row - n, 0)], other)
            if weighs:
                own, held = _weighed(own, held), _weighed(held, own)
            return jax.tree.map(lambda a, b: jnp.where(row < n, a, b), own, held)

        return Generated(example, n + other.size)


@functools.partial(jax.jit, static_argnums=0)  # also where it is asked from outside of programs
def _made(example: Callable[[chex.Array], Batch], rows: chex.Array) -> Batch:
    return jax.vmap(example)(rows)


def _weighed(example: Batch, other: Batch) -> Batch:
    """The example with a weight, of 1 if it has none, shaped as the other's."""
    return example if example.weight is not None else example._replace(weight=jnp.ones_like(other.weight))


def weighted_sum(values: chex.Array, weight: chex.Array) -> tuple[chex.Array, chex.Array]:
    """`(sum of weight x value, sum of weight)`: of `values` `[B, ...]`, the mean over axes that `weight` has not."""
    values = mean_beyond(values, weight.ndim)
    return jnp.where(weight != 0, weight * values, 0).sum(), weight.sum()


def along(weight: chex.Array, ndim: int) -> chex.Array:
    """The weight with axes of size 1 after its own, so that it multiplies what has `ndim` axes."""
    return weight.reshape(*weight.shape, *[1] * (ndim - weight.ndim))


def mean_beyond(values: chex.Array, ndim: int) -> chex.Array:
    """The mean over the axes after the first `ndim`, in float32 at least."""
    values = jnp.asarray(values)
    values = values.astype(jnp.promote_types(values.dtype, jnp.float32))
    return values.mean(tuple(range(ndim, values.ndim)))


def weighted_mean(
    values: chex.Array,
    weight: chex.Array | None,
    over_devices: Callable[[chex.Array], chex.Array] = lambda count: count,
) -> chex.Array:
    """Mean of `values` `[B, ...]` by `weight` (None: all alike); 0 where nothing counts.

    Args:
      values: of each example, or each position.
      weight: `[B]` or `[B, T]`.
      over_devices: the mean over devices that share the batch, so that the mean of what each of them gives is that of
        the whole batch.
    """
    if weight is None:
        return mean_beyond(values, 1).mean()
    total, count = weighted_sum(values, weight)
    count = over_devices(count)
    return total / jnp.where(count > 0, count, 1)
