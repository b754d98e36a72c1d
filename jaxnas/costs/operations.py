"""An architecture as the operations that it runs: what they are, and how often each runs by the decisions."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from jaxnas.networks.choice import Options
from jaxnas.types import Genome


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

    def arguments(self) -> tuple[list[jax.ShapeDtypeStruct], Callable]:
        """Its arrays, and `arrays -> (args, kwargs)`."""
        is_array = lambda leaf: isinstance(leaf, jax.ShapeDtypeStruct)
        leaves, tree = jax.tree.flatten((self.args, dict(self.kwargs)), is_leaf=is_array)

        def called(given):
            given = iter(given)
            return jax.tree.unflatten(tree, [next(given) if is_array(leaf) else leaf for leaf in leaves])

        return [leaf for leaf in leaves if is_array(leaf)], called

    def variables(self) -> Any:
        """Shapes of its variables."""
        arrays, called = self.arguments()

        def init(key, given):
            args, kwargs = called(given)
            return self.module.init(key, *args, **kwargs)

        return jax.eval_shape(init, jax.random.key(0), arrays)


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
