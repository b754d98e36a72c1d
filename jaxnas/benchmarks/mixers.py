"""Time and memory of a transformer's mixers over the length of the sequence."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxnas import check
from jaxnas.benchmarks import side_by_side
from jaxnas.networks import Transformer

MIXERS = ("attention", "window", "delta", "ssm")


def measure(
    *,
    shortest: int = 256,
    longest: int = 8192,
    mixers: Sequence[str] = MIXERS,
    width: int = 128,
    heads: int = 4,
    window: int = 64,
    rounds: int = 3,
) -> dict[str, Any]:
    """A gradient of one layer on one sequence of numbers, by mixer and length.

    Args:
      shortest: positions, and twice as many again and again,
      longest: up to so many.
      mixers: "attention", "window", "delta", "ssm".
      width: features; each head has `width // heads`.
      heads: of each mixer.
      window: positions that "window" sees.
      rounds: all mixers once in each.

    Returns:
      Of each mixer `ms` (length -> `median`, `rounds`), `megabytes` of temporaries (length -> number), and `grows`: by
      which power of the length both do over the last two doublings, `{"ms": …, "megabytes": …}`.

    Raises:
      InputError: an unknown mixer, or a number out of its range.
    """
    side_by_side.positive(shortest=shortest, width=width, heads=heads, window=window, rounds=rounds)
    check.integer("longest", longest, least=4 * shortest, because="lengths are doubled twice at least")
    lengths = [shortest << i for i in range((longest // shortest).bit_length())]
    for mixer in mixers:
        check.one_of("mixers", mixer, MIXERS)
    of = lambda mixer: Transformer(
        1, (mixer,), (heads,), (heads,), (width // heads,), widths=(width,), ratios=(1,), vocabulary=0, window=window
    )
    compiled = {(mixer, length): _gradient(of(mixer), length, width) for mixer in mixers for length in lengths}
    runs = {each: lambda i, run=run: 1e3 * side_by_side.timed(run)[0] for each, (run, _) in compiled.items()}
    took = side_by_side.alternate(rounds, runs)
    figures = {}
    for mixer in mixers:
        ms = {length: side_by_side.summary(took[mixer, length]) for length in lengths}
        megabytes = {length: compiled[mixer, length][1] for length in lengths}
        grows = {"ms": _power([ms[n]["median"] for n in lengths]), "megabytes": _power([*megabytes.values()])}
        figures[mixer] = {"ms": ms, "megabytes": megabytes, "grows": grows}
    return figures


def _power(values: Sequence[float]) -> float:
    """By which power of the length they grow, over the last two times that it is doubled."""
    return float(np.log2(values[-1] / values[-3]) / 2)


def _gradient(network: Transformer, length: int, width: int) -> tuple[Callable[[], Any], float]:
    """What computes it, and megabytes of its temporary arrays."""
    x = jax.random.normal(jax.random.key(0), (1, length, width), jnp.float32)
    variables = jax.jit(network.init, static_argnums=3)(jax.random.key(0), {}, x, False)
    loss = lambda variables, x: jnp.square(network.apply(variables, {}, x, True)).mean()
    program = jax.jit(jax.grad(loss)).lower(variables, x).compile()
    jax.block_until_ready(program(variables, x))
    return lambda: program(variables, x), program.memory_analysis().temp_size_in_bytes / 1e6
