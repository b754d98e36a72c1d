"""Variables of a network without its initialization, whose program takes as long to compile as a pass."""

import jax
import numpy as np


def of_shapes(shapes, initial: bool = False):
    """Variables of these shapes (see `jax.eval_shape`): kernels that keep the variance, and scales, biases and
    statistics near the 1 and 0 that they begin with, or `initial` just that."""
    rng = np.random.default_rng(0)

    def value(path, leaf):
        name = path[-1].key
        if name == "kernel":
            values = rng.normal(size=leaf.shape) / np.sqrt(np.prod(leaf.shape[-4:-1]))
        else:
            values = rng.uniform(-0.3, 0.3, leaf.shape) * (not initial) + (name in ("scale", "var"))
        return np.asarray(values, leaf.dtype)

    return jax.tree_util.tree_map_with_path(value, shapes)
