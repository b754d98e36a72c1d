"""Early stopping of differentiable search, before it collapses (Zela et al., 2020)."""

from typing import Any

import chex
import jax
import jax.numpy as jnp
from flax import struct

from jaxnas import check
from jaxnas.check import InputError
from jaxnas.types import Strategy, narrow, take


@struct.dataclass
class EarlyStoppingState:
    """`raw` `[W]` and `smooth` `[W + 1]`: the last curvatures and their means over W, latest last, with `genomes`.

    `measured` counts them all.
    """

    inner: Any
    measured: chex.Array
    raw: chex.Array
    smooth: chex.Array
    genomes: Any
    stopped: chex.Array


def early_stopping(strategy: Strategy, *, window: int = 5, ratio: float = 0.75, start: int = 5) -> Strategy:
    """DARTS-ES: ends a search once the validation loss's curvature in the logits grows too fast.

    The curvature that the evaluator measures now and then is averaged over the last `window` measurements. Where the
    average of `window` measurements ago is less than `ratio` of the present one, nothing is asked for any more, and
    what was recommended then is recommended for good.

    Args:
      strategy: differentiable; its evaluator measures curvature (`supernet(curvature=…)`).
      window: W, measurements.
      ratio: in (0, 1).
      start: measurements that are let pass first: from initialization on curvature grows in any case. By default what
        10 of 50 epochs are in the authors' code, measured in every other.

    Raises:
      InputError: a number out of its range, or a strategy of gates: curvature is that of a whole mixture.
    """
    if "weights" not in strategy.gives or "gates" in strategy.gives:
        raise InputError(f"strategy: expected one that asks for whole mixtures, got {strategy.name!r}.")
    check.integer("window", window, least=1)
    check.integer("start", start, least=0)
    check.real("ratio", ratio, least=0, most=1)

    def init(key):
        inner = strategy.init(key)
        genome = strategy.recommend(inner)
        genomes = jax.tree.map(lambda leaf: jnp.repeat(leaf[None], window + 1, 0), genome)
        blank = jnp.full(window, jnp.nan, jnp.float32), jnp.full(window + 1, jnp.nan, jnp.float32)
        return EarlyStoppingState(inner, jnp.int32(0), *blank, genomes, jnp.array(False))

    def ask(key, state):
        proposal, inner = strategy.ask(key, state.inner)
        return proposal.replace(active=proposal.active & ~state.stopped), state.replace(inner=inner)

    def tell(key, state, proposal, feedback):
        feedback = narrow(feedback)
        inner = strategy.tell(key, state.inner, proposal, feedback)
        measured = jnp.where(proposal.active & feedback.valid, feedback.curvature, jnp.nan)
        new = jnp.nanmean(measured)
        push = lambda ring, last: jnp.concatenate([ring[1:], last[None]])
        raw = push(state.raw, new)
        genomes = jax.tree.map(push, state.genomes, strategy.recommend(inner))
        pushed = state.replace(raw=raw, smooth=push(state.smooth, jnp.nanmean(raw)), genomes=genomes)
        here = jnp.isfinite(new) & ~state.stopped & (state.measured >= start)
        state = jax.tree.map(lambda a, b: jnp.where(here, a, b), pushed, state).replace(inner=inner)
        state = state.replace(measured=state.measured + jnp.isfinite(new))
        return state.replace(stopped=state.stopped | (state.smooth[0] < ratio * state.smooth[-1]))

    def recommend(state):
        best = strategy.recommend(state.inner)
        return jax.tree.map(lambda then, now: jnp.where(state.stopped, then, now), take(state.genomes, 0), best)

    name = f"early_stopping({strategy.name})"
    needs = strategy.needs | {"curvature"}
    return Strategy(name, init, ask, tell, recommend, needs=needs, gives=strategy.gives)
