"""How sharply a loss bends, without its Hessian as a matrix."""

from collections.abc import Callable

import chex
import jax
import jax.numpy as jnp


def largest_eigenvalue(
    loss: Callable,
    x: chex.Array,
    key: chex.PRNGKey,
    *,
    iterations: int = 10,
    mean: Callable = lambda product: product,
) -> chex.Array:
    """The largest eigenvalue of the Hessian of `loss` at `x`, from below, by Lanczos' iteration.

    Each iteration is one product of the Hessian with a vector, the gradient of a gradient. All vectors are kept and
    made orthogonal, so as many iterations as `x` has elements are exact. Fewer are the better the further the largest
    stands out.

    Args:
      loss: `x -> scalar`, twice differentiable in reverse mode.
      x: of any shape.
      key: of the random start.
      iterations: K.
      mean: of each product, over devices whose losses differ and whose mean is meant.
    """
    n = x.size
    K = min(iterations, n)
    slope = jax.grad(lambda flat: loss(flat.reshape(x.shape)))

    def product(v):
        return mean(jax.grad(lambda flat: jnp.vdot(slope(flat), v))(x.reshape(-1)))

    def body(carry, k):
        basis, v = carry
        basis = basis.at[k].set(v)
        w = product(v)
        coefficients = basis @ w
        w -= coefficients @ basis
        w -= (basis @ w) @ basis  # once is not enough in float32
        length = jnp.linalg.norm(w)
        # Where nothing new is left, what follows are zeros, which add eigenvalues of 0 and no more.
        v = jnp.where(length > 1e-6 * jnp.linalg.norm(coefficients), w / jnp.maximum(length, 1e-30), 0)
        return (basis, v), coefficients

    start = jax.random.normal(key, (n,), x.dtype)
    carry = jnp.zeros((K, n), x.dtype), start / jnp.linalg.norm(start)
    projected = jax.lax.scan(body, carry, jnp.arange(K, dtype=jnp.int32))[1]  # row k: H v_k along v_0 ... v_k
    lower = jnp.tril(projected)
    return jnp.linalg.eigvalsh(lower + jnp.tril(projected, -1).T)[-1]
