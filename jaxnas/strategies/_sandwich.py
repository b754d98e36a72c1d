"""The largest and the smallest path beside random ones, to train weights that all of them share."""

import fnmatch
from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from jaxnas import check
from jaxnas.check import InputError
from jaxnas.spaces import needed
from jaxnas.strategies._random_search import RandomSearchState
from jaxnas.strategies.best import black_box, unknown
from jaxnas.types import Space, Strategy, propose


def sandwich(
    space: Space, *, between: int = 2, shrink: Mapping[str, Sequence[int]] | None = None, budget: int = 1
) -> Strategy:
    """Proposes the largest path, `between` random ones and the smallest: the sandwich rule (Yu and Huang, 2019).

    It trains an elastic supernet, whose evaluator takes one step of all (`together`), and whose other paths may learn
    from the largest, the first member (`in_place`). Options that are numbers are ordered by size; of others, the first
    that is listed counts as the largest, the last as the smallest.

    With `shrink`, smaller options come in one after another: progressive shrinking (Cai et al., 2020). A decision that
    a pattern matches has its largest option alone in the beginning; from the first round given on also the next in
    size, and so on; from the last round given on all of them. Of equal paths all but the first are inactive: the
    largest alone is trained as by itself. Recommends the largest.

    Args:
      space: a plain product of its options.
      between: random paths in each ask, beside the largest and the smallest; 0 leaves these two alone.
      shrink: pattern of decisions (`*_kernel`) -> rounds, increasing. What no pattern matches has all its options from
        the beginning.
      budget: weight steps on each ask.

    Raises:
      InputError: a number out of its range, a pattern that matches nothing, a space that is not categorical, or that
        restricts combinations of options.
    """
    mask = needed.categorical("strategy 'sandwich'", space)
    needed.free_combinations("strategy 'sandwich'", space, "random_search(budget=…)")
    check.integer("between", between, least=0)
    check.integer("budget", budget, least=1)
    size = np.array([_sizes(options, mask.shape[1]) for options in space.options], np.int32)  # 0 for the largest
    opens = _rounds(space.decisions, size, {} if shrink is None else shrink)
    D, P = len(mask), between + 2
    largest = jnp.asarray(size.argmin(1), jnp.int32)

    def init(key):
        return RandomSearchState(jnp.int32(0), unknown(space, key))

    def ask(key, state):
        there = jnp.asarray(mask & (size < mask.shape[1])) & (jnp.asarray(opens) <= state.asked // P)
        logits = jnp.where(there, jnp.float32(0), -jnp.inf)
        drawn = jax.random.categorical(key, logits, shape=(between, D)).astype(jnp.int32)
        smallest = jnp.argmax(jnp.where(there, size, -1), 1).astype(jnp.int32)
        genomes = jnp.concatenate([largest[None], drawn, smallest[None]])
        same = (genomes[:, None] == genomes).all(-1)
        proposal = propose(genomes, state.asked, budget=budget, active=same.argmax(1) == jnp.arange(P))
        return proposal, state.replace(asked=state.asked + P)

    def tell(key, state, proposal, feedback):
        return state.replace(best=state.best.update(proposal, feedback))

    one = black_box("sandwich", init, ask, tell, budget=budget)
    return one._replace(recommend=lambda state: largest, needs=one.needs | {"shared"})


def _sizes(options: Sequence, width: int) -> list[int]:
    """Of each option, padded to `width`, how many are larger."""
    numbers = all(isinstance(option, (int, float)) for option in options)
    order = sorted(range(len(options)), key=lambda i: -options[i]) if numbers else range(len(options))
    return [*np.argsort(order).tolist(), *[width] * (width - len(options))]


def _rounds(decisions: Sequence[str], size: np.ndarray, shrink: Mapping[str, Sequence[int]]) -> np.ndarray:
    """`[D, C]` the round from which on an option is drawn."""
    check.mapping("shrink", shrink)
    opens = np.zeros(size.shape, np.int32)
    for pattern, rounds in shrink.items():
        rounds = check.increasing(f"shrink, {pattern}", rounds, least=0)
        if not rounds:
            raise InputError(f"shrink, {pattern}: expected a round at least, got none.")
        rows = [d for d, name in enumerate(decisions) if fnmatch.fnmatchcase(name, pattern)]
        if not rows:
            raise InputError(f"shrink: no decision matches {pattern!r}; there are {', '.join(decisions)}.")
        steps = np.concatenate([[0], rounds])
        opens[rows] = steps[np.minimum(size[rows], len(rounds))]
    return opens
