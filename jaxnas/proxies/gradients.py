"""Proxies from the gradient at initialization, on one batch."""

import chex
import jax
import jax.numpy as jnp
from flax import traverse_util

from jaxnas.proxies._proxy import Passes, proxy
from jaxnas.proxies.layers import masked, norms_bypassed, weighed

TINY = 1e-30


def _sum(fn, *trees):
    return sum(jax.tree.leaves(jax.tree.map(fn, *trees)))


def _norm(stacked, weight):
    """Of each layer's weights, summed where they are stacked."""
    layers = weight.reshape(max(stacked, 1), -1)
    # Where it is 0, so is its gradient.
    square = (layers**2).sum(1)
    return jnp.where(square > 0, jnp.sqrt(jnp.where(square > 0, square, 1)), 0).sum()


@proxy("gradient")
def grad_norm(passes: Passes) -> chex.Array:
    """Sum over layers of the gradient's norm (Abdelfattah et al., 2021, section 3.1)."""
    return _sum(_norm, passes.stacks, passes.gradient[0])


@proxy("gradient")
def snip(passes: Passes) -> chex.Array:
    """Sum of |weight x gradient| (Lee, Ajanthan and Torr, 2019; Abdelfattah et al., 2021, equation 1)."""
    return _sum(lambda w, g: jnp.abs(w * g).sum(), passes.weights, passes.gradient[0])


@proxy("gradient")
def plain(passes: Passes) -> chex.Array:
    """Sum of weight x gradient, sign and all (Mozer and Smolensky, 1989)."""
    return _sum(lambda w, g: (w * g).sum(), passes.weights, passes.gradient[0])


@proxy("gradient", masks=True)
def fisher(passes: Passes) -> chex.Array:
    """Sum over channels of (sum over pixels of activation x gradient)^2 / 2, the batch's mean (Turner et al., 2020).

    Each channel counts for each of the weights that make it, as in the code of Abdelfattah et al. (2021), whose sums
    are over weights throughout.
    """
    B = passes.size
    # In units of the loss's sum over the batch the squares do not underflow.
    makes = {path: w.size // (w.shape[-1] * max(passes.stacks[path], 1)) for path, w in passes.weights.items()}
    of_layer = lambda n, g: n * ((B * g) ** 2).sum()
    return _sum(of_layer, makes, passes.gradient[1]) / (2.0 * B**3)


@proxy("grasp")
def grasp(passes: Passes) -> chex.Array:
    """-sum of weight x (Hessian x gradient) (Wang, Zhang and Grosse, 2020; Abdelfattah et al., 2021, equation 1)."""

    def loss(weights):
        return passes.loss(passes.outputs_of(weighed(passes.params, weights), passes.x))

    gradient = jax.grad(loss)
    fixed = jax.tree.map(jax.lax.stop_gradient, gradient(passes.weights))
    inner = lambda weights: _sum(lambda a, b: (a * b).sum(), gradient(weights), fixed)
    return -_sum(lambda w, hg: (w * hg).sum(), passes.weights, jax.grad(inner)(passes.weights))


@proxy("synflow")
def synflow(passes: Passes) -> chex.Array:
    """Log of the sum of |weight x gradient| of the outputs' sum, at |weights|, norms bypassed, for an input of ones.

    Tanaka et al. (2020, equation 2), with the logarithm that the field takes of it. Then all that flows is positive
    and of the first degree in the input, so the sum over a layer's weights is what flows through it: output times
    gradient, and no gradient of weights is needed. Flows of full-size networks overflow float32 (10^38). So the input
    is 10^-30 times ones, the backward pass starts from what takes the whole flow to 1, and the logarithm has both put
    back: exact for flows of 10^-8 to 10^68, and networks whose nonlinearities are ReLU and its like. -inf where
    nothing reaches the output. Biases add a constant to the output, and are left out.
    """
    passes.real("synflow")
    flat = traverse_util.flatten_dict(passes.params)
    flat = {path: jnp.zeros_like(leaf) if path[-1] == "bias" else jnp.abs(leaf) for path, leaf in flat.items()}
    params = traverse_util.unflatten_dict(flat)
    masks = passes.ones(1)
    x = jnp.full((1, *passes.x.shape[1:]), TINY, jnp.float32)

    with norms_bypassed(), masked():
        out, pullback = jax.vjp(lambda masks: passes.outputs_of(weighed(params, {}, masks), x).sum(), masks)
        (through,) = pullback(1 / jnp.where(out > 0, out, 1))
    return jnp.where(out > 0, jnp.log(_sum(jnp.sum, through)) + jnp.log(out) - jnp.log(TINY), -jnp.inf)
