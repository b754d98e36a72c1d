"""Layers of a Flax network from outside: any module with a parameter `kernel` of its own."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import flax.linen as nn
import jax
import numpy as np
from flax import traverse_util

from jaxnas.check import InputError
from jaxnas.networks.norm import BatchNorm

NORMS = (BatchNorm, nn.BatchNorm, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm, nn.InstanceNorm)
MASK = "output_mask"


def kernels(params: Mapping) -> dict:
    """The weights: `{path of the layer: kernel}`."""
    flat = traverse_util.flatten_dict(dict(params))
    return {path[:-1]: leaf for path, leaf in flat.items() if path[-1] == "kernel"}


def stacks(outputs_of: Callable, params: Mapping, x: Any) -> dict:
    """How many layers each kernel of `params` holds, `{path: number}`, where a loop runs over them; 0 of one alone."""
    own = {}

    def interceptor(call, args, kwargs, context):
        if context.method_name == "__call__" and context.module.has_variable("params", "kernel"):
            own[context.module.path] = context.module.get_variable("params", "kernel").ndim
        return call(*args, **kwargs)

    with nn.intercept_methods(interceptor):
        jax.eval_shape(outputs_of, params, x)
    alone = lambda path, kernel: own.get(path, kernel.ndim - (kernel.ndim in (3, 5)))
    return {path: len(kernel) if kernel.ndim > alone(path, kernel) else 0 for path, kernel in kernels(params).items()}


def weighed(params: Mapping, weights: Mapping, masks: Mapping | None = None) -> dict:
    """`params` with other `weights`, and with masks as further parameters for `masked` to find.

    That way they go wherever the layer's parameters go, into the branches of conditionals and the rows of loops.
    """
    flat = traverse_util.flatten_dict(dict(params))
    flat |= {(*path, "kernel"): leaf for path, leaf in weights.items()}
    flat |= {(*path, MASK): leaf for path, leaf in (masks or {}).items()}
    return traverse_util.unflatten_dict(flat)


@contextmanager
def masked() -> Iterator[None]:
    """Within, the outputs of layers are multiplied by their masks.

    So the gradient with respect to a mask `[B, features]` is the sum over pixels of activation times gradient.
    """

    def interceptor(call, args, kwargs, context):
        y = call(*args, **kwargs)
        if context.method_name != "__call__" or not context.module.has_variable("params", MASK):
            return y
        mask = context.module.get_variable("params", MASK)
        if y.shape == context.module.get_variable("params", "kernel").shape:
            layer = "/".join(context.module.path)
            raise InputError(f"proxy of channels: expected layers that give activations, {layer} gives its kernel.")
        several = np.ndim(getattr(context.module, "features", 0)) and len(context.module.features) > 1
        if several and mask.shape[-1] > 1:
            layer = "/".join(context.module.path)
            raise InputError(f"proxy of channels: expected layers of one axis of features, {layer} gives {y.shape}.")
        return y * mask.reshape(*mask.shape[:1], *[1] * (y.ndim - 2), *mask.shape[1:]).astype(y.dtype)

    with nn.intercept_methods(interceptor):
        yield


@contextmanager
def norms_bypassed() -> Iterator[None]:
    """Within, normalizations hand on their input."""

    def interceptor(call, args, kwargs, context):
        if context.method_name == "__call__" and isinstance(context.module, NORMS):
            return args[0]
        return call(*args, **kwargs)

    with nn.intercept_methods(interceptor):
        yield


@contextmanager
def last_image(images: list) -> Iterator[None]:
    """Within, `images[0]` is the last `[B, H, W, C]` that a module gave which the network itself holds."""

    def interceptor(call, args, kwargs, context):
        y = call(*args, **kwargs)
        if context.method_name == "__call__" and len(context.module.path) == 1 and getattr(y, "ndim", 0) == 4:
            images[:] = [y]
        return y

    with nn.intercept_methods(interceptor):
        yield
