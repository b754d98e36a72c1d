"""An architecture as the operations that it runs: which they are, and how decisions bring them about."""

import itertools
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxnas.check import InputError
from jaxnas.networks.choice import Choice, Options
from jaxnas.networks.ops import Zero
from jaxnas.spaces import needed
from jaxnas.types import Genome, Space


class Operation(NamedTuple):
    """A module as it is called somewhere in a network. Equal ones take the same time, wherever they are.

    Attributes:
      module: unbound, without a name.
      args: positional arguments of the call, arrays as `jax.ShapeDtypeStruct`.
      kwargs: by name, the same.
    """

    module: nn.Module
    args: tuple
    kwargs: Mapping[str, Any]

    @property
    def key(self) -> str:
        """What tells it from others, as text: `ReLUConvBN(features=16, kernel=1) on float32[64,32,32,16], False`.

        Initializers (`kernel_init`) are left out: no time depends on them.
        """
        fields = self.module.__dataclass_fields__
        values = {k: getattr(self.module, k) for k in fields if k not in ("parent", "name") and not k.endswith("_init")}
        said = [f"{k}={_said(v)}" for k, v in values.items() if v is not fields[k].default]
        args = [_said(a) for a in self.args] + [f"{k}={_said(v)}" for k, v in self.kwargs.items()]
        return f"{type(self.module).__name__}({', '.join(said)}) on {', '.join(args)}"


def _said(value) -> str:
    if isinstance(value, (jax.Array, jax.ShapeDtypeStruct)):
        return f"{jnp.dtype(value.dtype).name}[{','.join(map(str, value.shape))}]"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{k}: {_said(v)}" for k, v in value.items()) + "}"
    if isinstance(value, (tuple, list, Options)):
        return f"({', '.join(map(_said, value))})"
    if isinstance(value, partial):
        given = [*map(_said, value.args), *(f"{k}={_said(v)}" for k, v in value.keywords.items())]
        return f"{_said(value.func)}({', '.join(given)})"
    return getattr(value, "__name__", type(value).__name__) if callable(value) else str(value)


Place = tuple[str, ...]
"""A path of names in a network, in which the option of a `Choice` is left out: all its options are in one place."""


class Tracer:
    """Finds the operations of stand-alone networks: the largest modules that hold no `Choice`.

    Nothing is compiled, and a module that was traced once, in whatever network, is not traced again.

    Args:
      network: called with `(decisions, x, train)`.
      x: shape and dtype of a batch.
      examples: decisions of some architectures, from which it learns which modules hold a `Choice` at all.
      sharing: whether what XLA computes once for several readers counts once.
    """

    def __init__(
        self,
        network: nn.Module,
        x: jax.ShapeDtypeStruct,
        examples: Sequence[Mapping[str, int]],
        *,
        sharing: bool = True,
    ):
        self.distinct: dict[str, Operation] = {}
        """key -> operation, of all traced so far."""
        self._network, self._x, self.sharing = network, x, sharing
        self._known: dict[str, _Known] = {}
        self._holders: set[type] = {Choice}
        for decisions in examples:
            self.operations(decisions)
        self._known, self.distinct = {}, {}

    def operations(self, decisions: Mapping[str, int]) -> list[tuple[Place, str]]:
        """Places and keys of what the network runs with these decisions (Python integers), in order.

        With sharing, an operation without variables that reads the same arrays twice is there once.
        """
        stack = [_Call()]
        alive = []  # so that no identity is given twice

        def watch(run, args, kwargs, context):
            module = context.module
            if context.method_name != "__call__" or not module.path:
                return run(*args, **kwargs)
            arrays = [leaf for leaf in jax.tree.leaves((args, kwargs)) if isinstance(leaf, jax.Array)]
            operation = Operation(module, args, kwargs)
            key, call = operation.key, stack[-1]
            reads = (key, *map(id, arrays))
            if reads in call.shared:
                return call.shared[reads]
            known = self._known.get(key)
            if known is None:
                stack.append(_Call(call if isinstance(module, Choice) else None))
                outputs = run(*args, **kwargs)
                known = self._noted(operation, key, stack.pop(), arrays, outputs)
            else:
                outputs = known.again(arrays)
            if known.pure and self.sharing:
                call.shared[reads] = outputs
            alive.append((arrays, outputs))
            call.add(module, known)
            if isinstance(module, Choice):
                call.passes(module.name, arrays[0], [self.distinct[key].module for _, key in known.ran], self)
            return outputs

        def trace(key, x):
            with nn.intercept_methods(watch):
                return self._network.init(key, decisions, x, False)

        jax.eval_shape(trace, jax.random.key(0), self._x)
        return stack[0].ran

    def _noted(self, operation: Operation, key: str, call: "_Call", arrays: list, outputs) -> "_Known":
        module, ran = operation.module, call.ran
        if call.holds_choice:
            self._holders.add(type(module))
        holds_choice = type(module) in self._holders
        if not holds_choice:
            ran = [((), key)]
            if key not in self.distinct:
                shapes = jax.tree.map(_shape, (operation.args, dict(operation.kwargs)))
                self.distinct[key] = Operation(module.clone(parent=None, name=None), *shapes)
        leaves, tree = jax.tree.flatten(outputs)
        at = {id(array): i for i, array in enumerate(arrays)}
        pure = call.pure and not jax.tree.leaves(module.variables)
        known = _Known(ran, holds_choice, pure, tree, [at.get(id(leaf), _shape(leaf)) for leaf in leaves])
        if "<lambda>" not in key:
            self._known[key] = known
        return known


class Pass(nn.Module):
    """A pass over an image that is the input of choices, for all its readers together, or for those of one class."""

    reader: str = "any"

    @nn.compact
    def __call__(self, x):
        return x + 1  # to time it


class _Call:
    """What runs within a module, while it is traced. A `Choice` shares with the module around it."""

    def __init__(self, around: "_Call | None" = None):
        self.ran: list[tuple[Place, str]] = []
        self.holds_choice, self.pure = False, True
        self.shared: dict[tuple, Any] = {} if around is None else around.shared
        self.passed: set[tuple[int, str]] = set() if around is None else around.passed

    def passes(self, place: str, x: jax.Array, readers: Sequence[nn.Module], tracer: Tracer) -> None:
        """Notes the passes over `x` that are made for the first time, or by each where nothing is shared."""
        names = {type(reader).__name__ for reader in readers if not isinstance(reader, Zero)}
        for name in sorted(names) + ["any"] * bool(names):
            if (id(x), name) not in self.passed:
                self.passed |= {(id(x), name)} if tracer.sharing else set()
                made = Operation(Pass(name), (_shape(x),), {})
                tracer.distinct.setdefault(made.key, made)
                self.ran.append(((place, "input"), made.key))

    def add(self, module: nn.Module, known: "_Known") -> None:
        # Within a choice the option's name is left out.
        name = () if isinstance(module.parent, Choice) else (module.name,)
        self.ran += [((*name, *place), key) for place, key in known.ran]
        self.holds_choice |= known.holds_choice
        self.pure &= known.pure


class _Known(NamedTuple):
    """What is known of a call: what it runs, and its outputs, each the position of an input or a shape."""

    ran: list[tuple[Place, str]]
    holds_choice: bool
    pure: bool
    tree: Any
    outputs: list

    def again(self, arrays: list):
        leaves = [arrays[o] if isinstance(o, int) else lax.broadcast(o.dtype.type(0), o.shape) for o in self.outputs]
        return jax.tree.unflatten(self.tree, leaves)


def _shape(leaf):
    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype) if isinstance(leaf, jax.Array) else leaf


class Term(NamedTuple):
    """What runs by some decisions together.

    Attributes:
      decisions: their positions.
      counts: `[options of the first, of the second, ..., O]`, how often each of the O operations runs.
    """

    decisions: tuple[int, ...]
    counts: np.ndarray


class Operations(NamedTuple):
    """Of all architectures of a space.

    Attributes:
      distinct: key -> operation; O of them.
      terms: their sum is what an architecture runs.
    """

    distinct: dict[str, Operation]
    terms: tuple[Term, ...]

    @property
    def classes(self) -> list[str]:
        """Of the O operations' modules; of a pass, by its reader."""
        modules = [operation.module for operation in self.distinct.values()]
        return [f"{type(m).__name__} {getattr(m, 'reader', '')}".strip() for m in modules]

    def counts(self, genomes: Sequence[Genome]) -> np.ndarray:
        """`[N, O]` how often each operation runs in `genomes` `[N, D]`."""
        genomes = np.asarray(genomes)
        zeros = np.zeros((len(genomes), len(self.distinct)))
        return sum((term.counts[tuple(genomes[:, d] for d in term.decisions)] for term in self.terms), zeros)


MOST = 20_000
"""Cases of what decisions may do together, over all places."""
BASES = 24
ATTEMPTS = 8


def all_operations(space: Space, network: nn.Module, x: jax.ShapeDtypeStruct, *, seed: int = 0) -> Operations:
    """The operations of every architecture of a space, in its pruned form, found by tracing.

    What a place depends on shows when one decision is changed in a random genome. Then all cases of those decisions are
    gone through, of different places at once, and what was learnt is checked on other random genomes. Where sharing
    makes too many decisions depend on each other, each reader of an array counts as if it were the only one.

    Args:
      space: categorical.
      network: called with the decisions that `space.unpack` gives.
      x: shape and dtype of a batch.
      seed: of the random genomes.

    Raises:
      InputError: a space that is not categorical, a place that depends on too many decisions together, or on more than
        could be found.
    """
    needed.categorical("all_operations", space)
    try:
        return _all_operations(_Probe(space, network, x, seed, sharing=True))
    except TooManyCasesError:
        return _all_operations(_Probe(space, network, x, seed, sharing=False))


class TooManyCasesError(InputError):
    """Decisions that cannot be gone through together."""


def _all_operations(probe: "_Probe") -> Operations:
    bases, depends = probe.bases, {}
    for _ in range(ATTEMPTS):
        for base in bases:
            probe.learn(depends, base)
        terms = probe.terms(depends)
        found = Operations(probe.distinct(), terms)
        tests = [probe.draw() for _ in range(2 * BASES)]
        bases = [genome for genome in tests if not probe.agrees(found, genome)]
        if not bases:
            return found
    raise InputError(
        f"network: {probe.space.to_string(bases[0])} runs other operations than changes of single decisions let "
        "expect; what runs at a place may depend on a few decisions only."
    )


class _Probe:
    """Genomes and what they run."""

    def __init__(self, space: Space, network: nn.Module, x: jax.ShapeDtypeStruct, seed: int, *, sharing: bool):
        self.space = space
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
                found[place] = (*found.get(place, ()), key)
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

    def learn(self, depends: dict[Place, set[int]], base: np.ndarray) -> None:
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
