"""Proxies from the Jacobian of the outputs with respect to the inputs, example by example."""

import chex
import jax.numpy as jnp

from jaxnas.check import InputError
from jaxnas.proxies._proxy import Passes, proxy

SMALL = 1e-5


def _correlations(jacobian):
    """`[B, B]` between the rows; 0 where a row is constant."""
    centred = jacobian - jacobian.mean(1, keepdims=True)
    length = jnp.linalg.norm(centred, axis=1, keepdims=True)
    unit = jnp.where(length > 0, centred / jnp.where(length > 0, length, 1), 0)
    return unit @ unit.T


@proxy("jacobian", precise=True)
def jacov(passes: Passes) -> chex.Array:
    """-sum over eigenvalues l of the Jacobians' correlations of log(l + k) + 1 / (l + k), k = 1e-5.

    Mellor et al. (2020, version 1 of "Neural architecture search without training").
    """
    passes.real("jacov")
    passes.several("jacov")
    shifted = jnp.maximum(jnp.linalg.eigvalsh(_correlations(passes.jacobian)), 0) + SMALL
    return jnp.where(jnp.any(passes.jacobian != 0), -(jnp.log(shifted) + 1 / shifted).sum(), -jnp.inf)


@proxy("jacobian", precise=True)
def epe_nas(passes: Passes) -> chex.Array:
    """Sum over classes of |sum of log(|correlation| + k)| within the class, k = 1e-5 (Lopes et al., 2021).

    For integer labels of up to 100 classes, as in the authors' code.
    """
    passes.real("epe_nas")
    passes.several("epe_nas")
    if passes.y is None or passes.y.ndim != 1 or not jnp.issubdtype(passes.y.dtype, jnp.integer):
        raise InputError("batch: epe_nas needs integer labels y [B].")
    logs = jnp.log(jnp.abs(_correlations(passes.jacobian)) + SMALL)
    member = (passes.y[:, None] == passes.y).astype(logs.dtype)
    # Of each example, the sum over all pairs of its class; so each class counts once, whatever its number.
    sums = jnp.abs(member @ (logs * member).sum(1))
    score = (sums / member.sum(1)).sum()
    return jnp.where(jnp.any(passes.jacobian != 0), score, -jnp.inf)
