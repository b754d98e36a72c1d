"""Proxies from the outputs and the activations at initialization, and counts of what there is."""

import zlib

import chex
import jax
import jax.numpy as jnp

from jaxnas.check import InputError
from jaxnas.execution import execution
from jaxnas.proxies._proxy import Passes, proxy
from jaxnas.proxies.layers import last_image, weighed
from jaxnas.proxies.traverse import multiplications, total_over


@proxy("nwot", by_function=False)
def nwot(passes: Passes) -> chex.Array:
    """Log-determinant of the kernel of ReLU codes: how many units switch alike (Mellor et al., 2021, equation 2).

    Codes are the signs at every maximum with 0, however it is written, of every example. -inf where two examples have
    the same codes throughout.
    """
    passes.several("nwot")
    B = passes.size
    found = []

    def of_operation(eqn, values):
        if eqn.primitive.name != "max" or eqn.outvars[0].aval.shape[:1] != (B,):
            return None
        bound = [not jnp.ndim(v) and not isinstance(v, jax.core.Tracer) and float(v) == 0 for v in values]
        if sum(bound) != 1:
            return None
        found.append(eqn)
        codes = (values[bound.index(False)] > 0).reshape(B, -1).astype(jnp.float32)
        on, both = codes.sum(1), codes @ codes.T
        return codes.shape[1] - on[:, None] - on + 2 * both

    kernel = total_over(
        passes.outputs_of, passes.params, passes.x, jnp.zeros((B, B), jnp.float32), of_operation=of_operation
    )
    if not found:
        raise InputError("apply_fn: nwot reads the codes of ReLUs, and the network has none (a maximum with 0).")
    # As multiples of the largest, so that float32 can take it apart.
    scale = kernel.max()
    values = jnp.linalg.eigvalsh(kernel / scale)
    floor = B * jnp.finfo(jnp.float32).eps
    return jnp.where(values > floor, jnp.log(jnp.maximum(values, floor)), -jnp.inf).sum() + B * jnp.log(scale)


@proxy("zen", by_function=False)
def zen(passes: Passes) -> chex.Array:
    """Zen-score: log of how far the last image moves with the input, plus log deviations (Lin et al., 2021, section 3).

    Weights and inputs are Gaussian of unit variance, the input moves by .01 of another draw, and the deviations are
    those of the running variances after both passes, as in the authors' code.

    Raises:
      InputError: the network holds no module that gives an image `[B, H, W, C]`.
    """
    passes.real("zen")
    # By name, so that a network draws the same alone and within a population.
    drawn = lambda name, like: jax.random.normal(
        jax.random.fold_in(passes.key, zlib.crc32(name.encode())), like.shape, like.dtype
    )
    x = drawn("x", passes.x)
    moved = x + 1e-2 * drawn("movement", x)
    params = weighed(passes.params, {path: drawn("/".join(path), w) for path, w in passes.weights.items()})

    def seen(x):
        images = []
        with last_image(images):
            statistics = passes.statistics_of(params, x)
        if not images:
            raise InputError("apply_fn: zen compares images [B, H, W, C], and no module of the network gives one.")
        return images[0].astype(jnp.float32), statistics

    (a, first), (b, second) = seen(x), seen(moved)
    spread = jnp.log(jnp.abs(a - b).sum((1, 2, 3)).mean())
    variances = zip(*(jax.tree_util.tree_leaves_with_path(s) for s in (first, second)), strict=True)
    # From a variance of 1, the second pass takes .9 of what the first left: .9 v1 + v2 - .9 where v = .9 + .1 batch.
    running = [0.9 * v1 + v2 - 0.9 for (path, v1), (_, v2) in variances if path[-1].key == "var"]
    per_layer = [v.mean(-1) for v in running]
    return spread + sum((0.5 * jnp.log(v)).sum() for v in per_layer)


@proxy("epsinas")
def epsinas(passes: Passes) -> chex.Array:
    """How far outputs under two constant weights differ, each scaled to [0, 1], over their mean (Gracheva, 2021).

    All weights are 1e-7, and then 1.
    """
    passes.several("epsinas")

    def scaled(value):
        weights = {path: jnp.full_like(w, value) for path, w in passes.weights.items()}
        outputs = passes.outputs_of(weighed(passes.params, weights), passes.x)
        low, high = outputs.min(), outputs.max()
        return (outputs - low) / (high - low)

    a, b = scaled(1e-7), scaled(1.0)
    return jnp.abs(a - b).mean() / (0.5 * (a.mean() + b.mean()))


@proxy("l2_norm", by_function=False)
def l2_norm(passes: Passes) -> chex.Array:
    """Sum over layers of the weights' norm (Abdelfattah et al., 2021)."""
    weights = lambda path, value: jnp.linalg.norm(value) if path[-1].key == "kernel" else None
    return total_over(passes.outputs_of, passes.params, passes.x, jnp.float32(0), of_parameter=weights)


@proxy("params", by_function=False)
def params(passes: Passes) -> chex.Array:
    """Number of parameters that a forward pass reads."""
    size = lambda path, value: value.size
    return total_over(passes.outputs_of, passes.params, passes.x, jnp.float32(0), of_parameter=size)


@proxy("flops", by_function=False)
def flops(passes: Passes) -> chex.Array:
    """Multiplications of matrix products and convolutions in a forward pass, of one example, whatever the device."""
    count = lambda eqn, values: multiplications(eqn) / passes.size
    with execution(platform="gpu"):  # where a depthwise convolution is one, and not a sum
        return total_over(passes.outputs_of, passes.params, passes.x, jnp.float32(0), of_operation=count)
