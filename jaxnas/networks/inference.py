"""Stand-alone networks compiled to infer, not to train and not within a loop: on the CPU, other programs are faster.

with execution(inference=True):
    compiled = jax.jit(lambda v, x: network.apply(v, decisions, x, False)).lower(variables, x).compile()
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.experimental.xla_metadata import set_xla_metadata

from jaxnas.execution import current, shared


def infers() -> bool:
    """Whether networks are traced to infer on the CPU."""
    said = current()
    return said.inference and said.platform == "cpu"


def materialized(tree: Any) -> Any:
    """`tree`, whose arrays are computed once and kept where the network infers; elsewhere as XLA likes."""
    if not infers():
        return tree
    is_array = lambda leaf: isinstance(leaf, jax.core.Tracer) and leaf.ndim
    return jax.tree.map(lambda leaf: shared(leaf, barrier) if is_array(leaf) else leaf, tree)


def barrier(tree: Any) -> Any:
    """`lax.optimization_barrier` that holds on the CPU too.

    XLA:CPU removes those before it fuses an array into each of its readers, which compute it again, and with it what it
    was fused from: sums of sums, along a chain of residual connections, once more at each. It does not look into a
    call that is not to be inlined.
    """
    with set_xla_metadata(inlineable="false"):
        return _call(tree)


_call = jax.jit(lax.optimization_barrier, inline=False)


@jax.custom_vjp
def computed_once(x: jax.Array) -> jax.Array:
    """`x`, and its gradient, each computed once for all that reads it, where the CPU's compiler would do so for each
    reader, within matrix products over and over."""
    return barrier(x) if current().platform == "cpu" else x


computed_once.defvjp(lambda x: (computed_once(x), None), lambda _, g: (computed_once(g),))


def differentiated_once(fun: Callable) -> Callable:
    """An elementwise function whose slope is computed beside its value, and kept for the gradient."""

    @jax.custom_vjp
    def run(x):
        return fun(x)

    def forward(x):
        pair = jax.jvp(fun, (x,), (jnp.ones_like(x),))
        return barrier(pair) if current().platform == "cpu" else pair

    run.defvjp(forward, lambda slope, g: (g * slope,))
    return run
