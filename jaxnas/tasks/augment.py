"""Augmentations: `(key, x [B, H, W, C]) -> x`, inside the training program."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from jaxnas import check
from jaxnas.check import InputError


def random_shift(pixels: int, *, fill: float = 0.0) -> Callable:
    """Shifts each image by up to `pixels` in both directions; what comes in is `fill`."""
    check.integer("pixels", pixels, least=1)

    def augment(key, x):
        B, H, W, _ = _images("random_shift", x)
        padded = jnp.pad(x, ((0, 0), (pixels, pixels), (pixels, pixels), (0, 0)), constant_values=fill)
        offsets = jax.random.randint(key, (B, 2), 0, 2 * pixels + 1, jnp.int32)
        # The views are few and static: choosing among them costs less than a gather with a start for each image.
        for axis, size in ((1, H), (2, W)):
            views = [jax.lax.slice_in_dim(padded, i, i + size, axis=axis) for i in range(2 * pixels + 1)]
            padded = jnp.select([offsets[:, axis - 1, None, None, None] == i for i in range(len(views))], views)
        return padded

    return augment


def cutout(pixels: int) -> Callable:
    """Zeroes a square of `pixels` x `pixels` in each image, anywhere in it (DeVries and Taylor, 2017).

    Its center is uniform over the image, so part of the square may lie outside.
    """
    check.integer("pixels", pixels, least=1)

    def augment(key, x):
        B, H, W, _ = _images("cutout", x)
        center = jnp.floor(jax.random.uniform(key, (B, 2), jnp.float32) * np.float32([H, W]))
        rows, columns = (
            (n >= c - pixels // 2) & (n < c - pixels // 2 + pixels)
            for n, c in ((jnp.arange(H), center[:, :1]), (jnp.arange(W), center[:, 1:]))
        )
        return jnp.where((rows[:, :, None] & columns[:, None])[..., None], 0, x)

    return augment


def random_flip() -> Callable:
    """Mirrors each image left to right with probability 1/2."""

    def augment(key, x):
        B = _images("random_flip", x)[0]
        return jnp.where(jax.random.bernoulli(key, jnp.float32(0.5), (B, 1, 1, 1)), x[:, :, ::-1], x)

    return augment


def chain(*augments: Callable) -> Callable:
    """One augmentation after another, each with a key of its own."""

    def augment(key, x):
        for i, one in enumerate(augments):
            x = one(jax.random.fold_in(key, i), x)
        return x

    return augment


def _images(name: str, x) -> tuple[int, int, int, int]:
    if x.ndim != 4:
        raise InputError(f"augment: {name} is for images [B, H, W, C], got inputs of {x.shape}.")
    return x.shape
