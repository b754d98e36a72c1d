"""The general space: a genome is one integer for each named decision.

Every other space of discrete choices is this one with its own `canonical`, `index` or string format.
"""

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxnas import check, rng
from jaxnas.check import InputError
from jaxnas.spaces.needed import positions
from jaxnas.types import Space

EXTREMES = {"largest": max, "smallest": min}
"""Strings of a space whose options are all numbers -> the option of each decision."""


def categorical(decisions: Mapping[str, Sequence[Any]], *, name: str = "categorical", **overrides) -> Space:
    """A space of D named decisions, each with its own options.

    Genomes are `[D]` int32 positions in the options. The string format is `decision=option` joined by commas;
    where all options are numbers, "largest" and "smallest" are strings too.

    Args:
      decisions: decision name -> its options, at least two each, all different.
      name: the space's name.
      **overrides: fields of `Space` to replace, for a space with more structure.

    Raises:
      InputError: no decision, a decision with fewer than two options, or with the same option twice.
    """
    check.mapping("decisions", decisions)
    if not decisions:
        raise InputError("decisions: expected at least one decision, got none.")
    for decision, options in decisions.items():
        if len(check.sequence(f"decisions[{decision!r}]", options)) < 2:
            raise InputError(
                f"decisions[{decision!r}]: expected at least two options, got {len(options)} ({list(options)}). "
                "What is fixed belongs in the network, not in the space."
            )
        labels = [str(option) for option in options]
        if len(set(labels)) < len(labels):
            raise InputError(f"decisions[{decision!r}]: expected options that differ, got {list(options)}.")

    names = tuple(decisions)
    options = tuple(tuple(decisions[n]) for n in names)
    counts = np.array([len(o) for o in options], np.int32)
    D, C = len(names), int(counts.max())
    mask = np.arange(C) < counts[:, None]
    size = math.prod(int(c) for c in counts)
    radix = np.append(np.cumprod(counts[:0:-1].astype(object))[::-1], 1)
    small = max(D, C) <= rng.MOST
    enumerable = size <= np.iinfo(np.int32).max

    @positions
    def sample(key):
        return (
            rng.below(rng.uint16_pairs(key, D), counts)
            if small
            else jax.random.randint(key, (D,), 0, counts, jnp.int32)
        )

    @positions
    def mutate(key, genome):
        if small:
            which, change = rng.uint16_pairs(key, 2)
            d = rng.below(which, D)
            n = jnp.asarray(counts)[d]
            step = 1 + rng.below(change, n - 1)
        else:
            which, change = jax.random.split(key)
            d = jax.random.randint(which, (), 0, D, jnp.int32)
            n = jnp.asarray(counts)[d]
            step = jax.random.randint(change, (), 1, n, jnp.int32)
        return jnp.where(jnp.arange(D) == d, (genome + step) % n, genome)

    def crossover(key, a, b):
        return jnp.where(jax.random.bernoulli(key, jnp.float32(0.5), (D,)), a, b)

    def neighbors(genome):
        d, step = np.divmod(np.arange(D * (C - 1), dtype=np.int32), np.int32(C - 1))
        changed = (genome[d] + 1 + step) % counts[d]
        genomes = jnp.where(np.arange(D) == d[:, None], changed[:, None], genome)
        return genomes, jnp.asarray(step < counts[d] - 1)

    def features(genome):
        offsets = np.cumsum(counts, dtype=np.int32) - counts
        return jnp.zeros(counts.sum(), jnp.float32).at[genome + offsets].set(1.0)

    def derive(weights):
        return jnp.argmax(jnp.where(mask, weights, -jnp.inf), -1).astype(jnp.int32)

    def unpack(genome):
        if np.ndim(genome) == 2:
            return {n: genome[d, : counts[d]] for d, n in enumerate(names)}
        if np.shape(genome) != (D,):
            raise InputError(f"space {name!r}: expected a genome [{D}] or weights [{D}, {C}], got {np.shape(genome)}.")
        host = not isinstance(genome, jax.Array)
        return {n: int(genome[d]) if host else genome[d] for d, n in enumerate(names)}

    def to_string(genome):
        return ",".join(f"{n}={o[int(i)]}" for n, o, i in zip(names, options, np.asarray(genome), strict=True))

    numbers = all(isinstance(option, (int, float)) for of in options for option in of)

    def from_string(text):
        if numbers and text in EXTREMES:
            return np.array([of.index(EXTREMES[text](of)) for of in options], np.int32)
        labels = [[str(option) for option in o] for o in options]
        known = (f"{re.escape(n)}=({'|'.join(map(re.escape, o))})" for n, o in zip(names, labels, strict=True))
        match = re.fullmatch(",".join(known), text)
        if match is None:
            given = re.fullmatch(",".join(f"{re.escape(n)}=(.*)" for n in names), text)
            for n, o, label in zip(names, labels, given.groups() if given else (), strict=False):
                check.one_of(f"space {name!r}, decision {n!r}", label, o)
            raise InputError(f"space {name!r}: expected decisions {', '.join(names)} in this order, got {text!r}.")
        return np.array([o.index(label) for o, label in zip(labels, match.groups(), strict=True)], np.int32)

    def index(genome):
        return jnp.sum(genome * radix.astype(np.int32), -1, dtype=jnp.int32)

    def from_index(i):
        return (jnp.asarray(i)[..., None] // radix.astype(np.int32) % counts).astype(jnp.int32)

    return Space(
        name=name,
        decisions=names,
        options=options,
        mask=mask,
        sample=sample,
        mutate=mutate,
        crossover=crossover,
        neighbors=neighbors,
        canonical=lambda genome: genome,
        features=features,
        derive=derive,
        unpack=unpack,
        to_string=to_string,
        from_string=from_string,
        size=size,
        index=index if enumerable else None,
        from_index=from_index if enumerable else None,
    )._replace(**overrides)
