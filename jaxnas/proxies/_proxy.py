"""What zero-cost proxies are made of: one network at initialization, one batch, and the passes that they share."""

import contextlib
from collections.abc import Callable
from functools import cached_property
from typing import Any

import chex
import jax
import jax.numpy as jnp

from jaxnas.check import InputError
from jaxnas.proxies.layers import kernels, masked, stacks, weighed
from jaxnas.tasks.batch import Batch, weighted_mean
from jaxnas.tasks.losses import cross_entropy


class Passes:
    """Forward and backward passes through one network, made when first asked for and then shared.

    Attributes:
      apply_fn: `(params, x) -> outputs [B, K]` in training mode (the batch's own statistics normalize), or
        `(outputs, updated collections)` as Flax gives them where collections are mutable.
      params: Flax's tree of parameters. The weights are those leaves that are named `kernel`: neither biases nor the
        scales of normalizations, as in the papers.
      x, y, weight: inputs and targets, pytrees of `[B, ...]`, and what counts, see `tasks.Batch`; `y` may be None for
        proxies that need none.
      key: for what a proxy draws.
      loss_fn: `(outputs, y) -> [B, ...]`, see `tasks.Task`.
      masks: ones `[B, features]` for each layer, which its outputs are multiplied by (see `layers.masked`), where some
        proxy of the network needs their gradient; else nothing, for that takes half as long again.
    """

    def __init__(
        self, apply_fn: Callable, params: Any, batch: Batch, key: chex.PRNGKey, loss: Callable, masks: bool = False
    ):
        self.apply_fn, self.params, self.key, self.loss_fn = apply_fn, params, key, loss
        self.x, self.y, self.weight = Batch(*batch)
        self.size = jax.tree.leaves(self.x)[0].shape[0]
        self.weights = kernels(params)
        if not self.weights:
            raise InputError("params: no leaf is named 'kernel', so the network has no weights to judge.")
        self.masks = self.ones(self.size, of_features=True) if masks else {}

    @cached_property
    def stacks(self) -> dict:
        """How many layers each of the weights holds, that a loop runs over; 0 where it is of one."""
        return stacks(self.outputs_of, self.params, self.x)

    def ones(self, size: int, *, of_features: bool = False) -> dict:
        """A mask `[size, features]`, or `[size, 1]`, for each layer; of stacked ones, stacked too."""
        shape = lambda path, w: (*([self.stacks[path]] * (self.stacks[path] > 0)), size, w.shape[-1] ** of_features)
        return {path: jnp.ones(shape(path, w), w.dtype) for path, w in self.weights.items()}

    def outputs_of(self, params: Any, x: chex.Array) -> chex.Array:
        """`[B, K]`."""
        return self._applied(params, x)[0]

    def statistics_of(self, params: Any, x: chex.Array) -> dict[str, Any]:
        """The updated collections, empty where `apply_fn` gives none."""
        return self._applied(params, x)[1]

    def _applied(self, params, x):
        given = self.apply_fn(params, x)
        outputs, updated = given if isinstance(given, tuple) else (given, {})
        return jax.tree.map(lambda leaf: leaf.astype(jnp.float32), outputs), updated

    def several(self, name: str) -> None:
        """Raises `InputError` unless the batch has at least two examples."""
        if self.size < 2:
            raise InputError(f"batch: {name} compares examples and needs at least 2 of them, got {self.size}.")

    def real(self, name: str) -> None:
        """Raises `InputError` unless an input is one array of real numbers, and so are the outputs."""
        for what, tree in {"inputs": self.x, "outputs": jax.eval_shape(self.outputs_of, self.params, self.x)}.items():
            dtype = getattr(tree, "dtype", None)
            if dtype is None or not jnp.issubdtype(dtype, jnp.floating):
                raise InputError(
                    f"proxy {name!r} follows real numbers from the inputs to the outputs, which token ids and several "
                    f"arrays are not; the {what} are {dtype or 'several arrays'}."
                )

    def loss(self, outputs: chex.Array) -> chex.Array:
        """Mean over the batch."""
        if self.y is None:
            raise InputError("batch: expected labels y, which this proxy needs, got None.")
        return weighted_mean(self.loss_fn(outputs, self.y), self.weight)

    @cached_property
    def _forward(self):
        """Outputs, and the pullback to `(weights, masks, x)`."""

        def run(weights, masks, x):
            with masked():
                return self.outputs_of(weighed(self.params, weights, masks), x)

        return jax.vjp(run, self.weights, self.masks, self.x)

    @cached_property
    def gradient(self) -> tuple[dict, dict]:
        """Of the loss, with respect to weights and masks."""
        outputs, pullback = self._forward
        with masked():  # conditionals trace their branches again for the gradient
            return pullback(jax.grad(self.loss)(outputs))[:2]

    @cached_property
    def jacobian(self) -> chex.Array:
        """`[B, n]`, of the sum of an example's outputs with respect to its inputs."""
        outputs, pullback = self._forward
        with masked():
            return pullback(jnp.ones_like(outputs))[2].reshape(self.size, -1)


class Proxy:
    """A pure function `(apply_fn, params, batch, key, loss) -> score`, a scalar, the higher the better in theory.

    See `Passes` for its arguments. Signs are the papers'.

    Attributes:
      name: its name in programs.
      group: proxies of one group share their passes.
      masks: whether it needs the gradient with respect to masks.
      by_function: whether the score depends on nothing but the function that a network computes, so that networks of
        one canonical form may share it; else operations count that lead nowhere.
      precise: whether its ranks change with products of bfloat16, which a TPU makes of float32: then products are asked
        for in full (see `jaxnas.benchmarks.precision`).
    """

    def __init__(
        self, of: Callable[[Passes], chex.Array], group: str, by_function: bool, masks: bool, precise: bool = False
    ):
        self.of, self.group, self.by_function, self.masks, self.precise = of, group, by_function, masks, precise
        self.name, self.__doc__ = of.__name__, of.__doc__

    def __call__(
        self, apply_fn: Callable, params: Any, batch: Batch, key: chex.PRNGKey, loss: Callable = cross_entropy
    ) -> chex.Array:
        with products(self.precise):
            return self.of(Passes(apply_fn, params, batch, key, loss, self.masks))

    def __repr__(self) -> str:
        return f"<proxy {self.name}>"


def products(precise: bool) -> contextlib.AbstractContextManager:
    """Within, products of float32 are float32 on every platform, where they are to be `precise`."""
    return jax.default_matmul_precision("highest") if precise else contextlib.nullcontext()


def proxy(
    group: str, *, by_function: bool = True, masks: bool = False, precise: bool = False
) -> Callable[[Callable[[Passes], chex.Array]], Proxy]:
    """Makes a function of `Passes` a proxy."""
    return lambda of: Proxy(of, group, by_function, masks, precise)
