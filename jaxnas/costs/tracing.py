"""The operations of one stand-alone network, found by tracing it: the largest modules that hold no `Choice`."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax
from jax import lax

from jaxnas.costs.operations import Operation, Place
from jaxnas.networks.choice import Choice
from jaxnas.networks.ops import Zero


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
        self.network, self._x, self.sharing = network, x, sharing
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
                return self.network.init(key, decisions, x, False)

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
