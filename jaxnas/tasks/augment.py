"""Augmentations: `(key, x [B, H, W, C]) -> x`, inside the training program."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from jaxnas import check


def random_shift(pixels: int, *, fill: float = 0.0) -> Callable:
    """Shifts each image by up to `pixels` in both directions; what comes in is `fill`."""
    check.integer("pixels", pixels, least=1)

    def augment(key, x):
        B, H, W, _ = x.shape
        padded = jnp.pad(x, ((0, 0), (pixels, pixels), (pixels, pixels), (0, 0)), constant_values=fill)
        offsets = jax.random.randint(key, (B, 2), 0, 2 * pixels + 1)
        # The views are few and static: choosing among them costs less than a gather with a start for each image.
        for axis, size in ((1, H), (2, W)):
            views = [jax.lax.slice_in_dim(padded, i, i + size, axis=axis) for i in range(2 * pixels + 1)]
            padded = jnp.select([offsets[:, axis - 1, None, None, None] == i for i in range(len(views))], views)
        return padded

    return augment
