"""The least that a training step must move and compute, whatever the program.

Of each operation that a stand-alone network runs (`jaxnas.costs`, the largest modules without a `Choice`), with inputs
of x bytes, outputs of y bytes and p bytes of parameters, at their dtype:

    bytes = 2 x + y            forward: x is read, y written; backward: x is read again,
            + y + x            the gradient of y is read, that of x written
            + 6 p              read twice, the gradient written, momentum read and written, the parameter written
    FLOPs = 3 · those of the forward pass

A step takes at least max(bytes / bandwidth, FLOPs / rate), the mean over random architectures.
"""

from collections.abc import Sequence
from typing import NamedTuple

import flax.linen as nn
import jax
import numpy as np

from jaxnas.costs.operations import Operation
from jaxnas.costs.tracing import Pass, Tracer
from jaxnas.planning.targets import Chip
from jaxnas.proxies.traverse import multiplications
from jaxnas.types import Space

ARCHITECTURES = 16
"""Random ones that the mean is over."""


class Bound(NamedTuple):
    """Of one step of one network, the mean over architectures."""

    bytes: float
    flops: float

    def seconds(self, chip: Chip) -> float:
        """The least on one device."""
        return max(self.bytes / chip.bandwidth, self.flops / chip.flops)


def step_bound(space: Space, network: nn.Module, x: jax.ShapeDtypeStruct, genomes: Sequence | None = None) -> Bound:
    """Of training a network of the space on batches like `x`; `genomes` are 16 random ones by default."""
    if genomes is None:
        genomes = [space.sample(jax.random.key(i)) for i in range(ARCHITECTURES)]
    alone = lambda genome: space.unpack(np.asarray(space.pruned(genome)))
    decisions = [alone(genome) for genome in genomes]
    tracer = Tracer(network, x, decisions)
    ran = [[key for _, key in tracer.operations(each)] for each in decisions]
    costs = {key: _cost(operation) for key, operation in tracer.distinct.items()}
    return Bound(*np.mean([np.sum([costs[key] for key in keys], axis=0) for keys in ran], axis=0).tolist())


def _cost(operation: Operation) -> tuple[float, float]:
    if isinstance(operation.module, Pass):
        return 0.0, 0.0
    arrays = [leaf for leaf in jax.tree.leaves(operation.args) if isinstance(leaf, jax.ShapeDtypeStruct)]
    at = [k for k, leaf in enumerate(operation.args) if not isinstance(leaf, jax.ShapeDtypeStruct)]
    given = lambda *args: [operation.args[k] if k in at else args[k] for k in range(len(operation.args))]
    blank = [None if k in at else leaf for k, leaf in enumerate(operation.args)]

    def init(key, *args):
        return operation.module.init(key, *given(*args), **operation.kwargs)

    def forward(variables, *args):
        return operation.module.apply(variables, *given(*args), **operation.kwargs)

    variables = jax.eval_shape(init, jax.random.key(0), *blank)
    outputs = jax.eval_shape(forward, variables, *blank)
    nbytes = lambda tree: sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))
    x, y, p = nbytes(arrays), nbytes(outputs), nbytes(variables.get("params", {}))
    return 3.0 * x + 2.0 * y + 6.0 * p, 3.0 * flops_of(jax.make_jaxpr(forward)(variables, *blank).jaxpr)


def flops_of(jaxpr) -> float:
    """Of a jaxpr's products and convolutions, 2 for each multiplication."""
    total = 0.0
    for eqn in jaxpr.eqns:
        total += 2.0 * multiplications(eqn)
        times = eqn.params["length"] if eqn.primitive.name == "scan" else 1
        for inner in jax.tree.leaves(tuple(eqn.params.values()), is_leaf=lambda leaf: hasattr(leaf, "eqns")):
            inner = getattr(inner, "jaxpr", inner)
            if hasattr(inner, "eqns"):
                total += times * flops_of(inner)
    return total
