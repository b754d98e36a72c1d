"""Stand-alone networks compiled to infer, not to train and not within a loop: on the CPU, other programs are faster."""

import contextlib
import contextvars

import jax
from jax import lax
from jax.experimental.xla_metadata import set_xla_metadata

_INFERS = jax.make_user_context(False)  # part of the key of JAX's caches of traces
_KEPT: contextvars.ContextVar[dict] = contextvars.ContextVar("kept")


@contextlib.contextmanager
def for_inference():
    """What is traced within infers, outside of any loop.

        with networks.for_inference():
            compiled = jax.jit(lambda v, x: network.apply(v, decisions, x, False)).lower(variables, x).compile()

    On the CPU convolutions are then XLA's own, and what several operations read is computed once.
    """
    token = _KEPT.set({})
    try:
        with _INFERS(True):
            yield
    finally:
        _KEPT.reset(token)


def infers() -> bool:
    """Whether within `for_inference`, on the CPU."""
    return _INFERS.value and jax.default_backend() == "cpu"


def materialized(tree):
    """`tree`, whose arrays are computed once and kept where the network infers; elsewhere as XLA likes."""
    if not infers():
        return tree
    return jax.tree.map(lambda leaf: _keep(leaf) if isinstance(leaf, jax.core.Tracer) and leaf.ndim else leaf, tree)


def _keep(x):
    kept = _KEPT.get()  # by identity, with the array itself, so that the identity stays its own
    if id(x) not in kept:
        kept[id(x)] = (x, barrier(x))
        kept[id(kept[id(x)][1])] = (kept[id(x)][1],) * 2
    return kept[id(x)][1]


def barrier(tree):
    """`lax.optimization_barrier` that holds on the CPU too.

    XLA:CPU removes those before it fuses an array into each of its readers, which compute it anew, and with it what it
    was fused from: sums of sums, along a chain of residual connections, once more at each. It does not look into a
    call that is not to be inlined.
    """
    with set_xla_metadata(inlineable="false"):
        return _call(tree)


_call = jax.jit(lax.optimization_barrier, inline=False)
