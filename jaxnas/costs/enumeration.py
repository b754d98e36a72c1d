"""The operations of every architecture of a space, without tracing every architecture."""

import itertools
import math
from collections import Counter

import flax.linen as nn
import jax
import numpy as np

from jaxnas.check import InputError
from jaxnas.costs.operations import Operation, Operations, Place, Term
from jaxnas.costs.tracing import Tracer
from jaxnas.spaces import needed
from jaxnas.types import Space

MOST = 20_000
"""Cases of what decisions may do together, over all places."""
BASES = 24
"""Random genomes whose single decisions are changed at first."""
ATTEMPTS = 8
"""Rounds of checking what was found on other genomes."""


def all_operations(
    space: Space, network: nn.Module, x: jax.ShapeDtypeStruct, *, modules: bool = False, seed: int = 0
) -> Operations:
    """The operations of every architecture of a space, in its pruned form, found by tracing.

    What a place depends on shows when one decision is changed in a random genome. Then all cases of those decisions are
    gone through, of different places at once, and what was found is checked on other random genomes. Where sharing
    makes too many decisions depend on each other, each reader of an array counts as if it were the only one.

    Args:
      space: categorical.
      network: called with the decisions that `space.unpack` gives.
      x: shape and dtype of a batch.
      modules: whether to count what is there, each module once, in place of what runs: once for each call.
      seed: of the random genomes.

    Raises:
      InputError: a space that is not categorical, combinations of options that the network does not have, a place
        that depends on too many decisions together, or on more than could be found.
    """
    needed.categorical("all_operations", space)
    try:
        return _all_operations(_Probe(space, network, x, seed, modules=modules, sharing=not modules))
    except TooManyCasesError:
        return _all_operations(_Probe(space, network, x, seed, modules=modules, sharing=False))
    except InputError:
        raise
    except Exception as error:
        if space.allowed is None:
            raise
        raise InputError(
            f"all_operations combines any options, but space {space.name!r} restricts combinations of options, and its "
            "network computes no others; take a cost that is fitted to whole networks (by='networks')."
        ) from error


class TooManyCasesError(InputError):
    """Decisions that cannot be gone through together."""


def _all_operations(probe: "_Probe") -> Operations:
    bases, depends = probe.bases, {}
    for _ in range(ATTEMPTS):
        for base in bases:
            probe.find_dependencies(depends, base)
        terms = probe.terms(depends)
        found = Operations(probe.distinct(), terms)
        tests = [probe.draw() for _ in range(2 * BASES)]
        bases = [genome for genome in tests if not probe.agrees(found, genome)]
        if not found.distinct:
            kind = type(probe.tracer.network).__name__
            raise InputError(
                f"network: {kind} holds no modules that could be told apart; take a cost that is fitted to whole "
                "networks (by='networks')."
            )
        if not bases:
            return found
    raise InputError(
        f"network: {probe.space.to_string(bases[0])} runs other operations than changes of single decisions let "
        "expect; what runs at a place may depend on a few decisions only."
    )


class _Probe:
    """Genomes and what they run."""

    def __init__(
        self, space: Space, network: nn.Module, x: jax.ShapeDtypeStruct, seed: int, *, modules: bool, sharing: bool
    ):
        self.space, self.modules = space, modules
        self.counts = np.asarray(space.mask).sum(1).astype(np.int32)
        self._rng = np.random.default_rng(seed)
        self._pruned = jax.jit(space.pruned)
        self._ran: dict[bytes, dict[Place, tuple[str, ...]]] = {}
        self.bases = [np.zeros_like(self.counts), self.counts - 1, *(self.draw() for _ in range(BASES))]
        examples = [space.unpack(np.asarray(self._pruned(base))) for base in self.bases]
        self.tracer = Tracer(network, x, examples, sharing=sharing)

    def draw(self) -> np.ndarray:
        return self._rng.integers(self.counts).astype(np.int32)

    def ran(self, genome: np.ndarray) -> dict[Place, tuple[str, ...]]:
        """Place -> keys of what runs there."""
        pruned = np.asarray(self._pruned(genome))
        code = pruned.tobytes()
        if code not in self._ran:
            found: dict[Place, tuple[str, ...]] = {}
            for place, key in self.tracer.operations(self.space.unpack(pruned)):
                before = found.get(place, ())
                found[place] = before if self.modules and key in before else (*before, key)
            self._ran[code] = found
        return self._ran[code]

    def agrees(self, found: Operations, genome: np.ndarray) -> bool:
        ran = Counter(key for keys in self.ran(genome).values() for key in keys)
        counted = dict(zip(found.distinct, found.counts(genome[None])[0].astype(int).tolist(), strict=True))
        return ran == Counter({key: n for key, n in counted.items() if n})

    def distinct(self) -> dict[str, Operation]:
        """Those that run somewhere not within another."""
        keys = dict.fromkeys(key for ran in self._ran.values() for keys in ran.values() for key in keys)
        return {key: self.tracer.distinct[key] for key in keys}

    def find_dependencies(self, depends: dict[Place, set[int]], base: np.ndarray) -> None:
        """Adds to what places depend on, by changes of single decisions of `base`."""
        before = self.ran(base)
        for d in range(len(base)):
            changed = base.copy()
            changed[d] = (base[d] + self._rng.integers(1, self.counts[d])) % self.counts[d]
            after = self.ran(changed)
            for place in {**before, **after}:
                found = depends.setdefault(place, set())
                if before.get(place) != after.get(place):
                    found.add(d)

    def terms(self, depends: dict[Place, set[int]]) -> tuple[Term, ...]:
        """What runs in every case of the decisions that matter together somewhere."""
        places: dict[tuple[int, ...], list[Place]] = {}
        largest = sorted(depends.values(), key=len, reverse=True)
        for place, decisions in depends.items():  # with those that have these among theirs
            together = next(others for others in largest if decisions <= others)
            places.setdefault(tuple(sorted(together)), []).append(place)
        shapes = {decisions: self.counts[list(decisions)].tolist() for decisions in places}
        cases = {decisions: math.prod(shape) for decisions, shape in shapes.items()}
        if sum(cases.values()) > MOST:
            most = max(cases, key=cases.get)
            names = ", ".join(self.space.decisions[d] for d in most)
            raise TooManyCasesError(
                f"network: {sum(cases.values()):,} cases to go through, of at most {MOST:,}; what runs at "
                f"{'/'.join(places[most][0])}, say, depends on {names} together. Put a module around parts of it that "
                "depend on fewer."
            )
        left = {decisions: dict.fromkeys(np.ndindex(*shape)) for decisions, shape in shapes.items()}
        found: dict[tuple[int, ...], dict] = {decisions: {} for decisions in places}
        while any(left.values()):  # a genome that is a new case of as many as it can be
            genome, given = self.draw(), set()
            for decisions, cases in left.items():
                for case in itertools.islice(cases, 100):
                    if all(genome[d] == option for d, option in zip(decisions, case, strict=True) if d in given):
                        genome[list(decisions)] = case
                        given |= set(decisions)
                        break
            ran = self.ran(genome)
            for decisions, there in places.items():
                case = tuple(genome[list(decisions)].tolist())
                if left[decisions].pop(case, True) is None:
                    found[decisions][case] = [key for place in there for key in ran.get(place, ())]
        at = {key: i for i, key in enumerate(self.distinct())}
        terms = []
        for decisions, cases in found.items():
            counts = np.zeros((*self.counts[list(decisions)], len(at)), np.int16)
            for case, keys in cases.items():
                for key in keys:
                    counts[(*case, at[key])] += 1
            terms.append(Term(decisions, counts))
        return tuple(terms)
