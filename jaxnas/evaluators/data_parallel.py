"""One network on several devices, each of which has a share of every batch."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jax.sharding import Mesh, PartitionSpec

from jaxnas import check
from jaxnas.execution import execution, platform_of
from jaxnas.population import of_all_processes

AXIS = "data"


class DataParallel(NamedTuple):
    """What a function does that runs on all of the devices at once, each with the same arguments.

    Attributes:
      devices: how many.
      run: makes a function of whole arguments, which all devices have, such a function.
      share: `tree [B, ...] -> tree [B / devices, ...]`, this device's.
      mean: `tree -> tree`, over the devices, in one all-reduce.
      each: `(fn, args [P, ...]) -> outputs [P, ...]`, as `lax.map`, but each device does its share of the P.
    """

    devices: int
    run: Callable
    share: Callable
    mean: Callable
    each: Callable


def data_parallel(devices: Sequence[Any] | None) -> DataParallel:
    """Over the devices, along a mesh of one axis, "data"; None is for one device, whichever JAX takes.

    What runs is traced for the devices' platform, else for the one that is said (`jaxnas.execution`).

    Raises:
      InputError: devices of some processes only.
    """
    same = lambda tree: tree
    if devices is None:
        return DataParallel(1, run=same, share=same, mean=same, each=jax.lax.map)
    traced = execution(platform=platform_of(check.sequence("devices", devices, of=jax.Device)))
    if len(devices) == 1:
        return DataParallel(1, run=traced, share=same, mean=same, each=jax.lax.map)
    n = len(devices)
    of_all_processes(devices)
    mesh = Mesh(np.array(devices), (AXIS,))

    def run(fn):
        specs = {"in_specs": PartitionSpec(), "out_specs": PartitionSpec(), "check_vma": False}
        return traced(jax.shard_map(fn, mesh=mesh, **specs))

    def share(tree):
        def part(leaf):
            size = leaf.shape[0] // n
            return jax.lax.dynamic_slice_in_dim(leaf, jax.lax.axis_index(AXIS) * size, size)

        return jax.tree.map(part, tree)

    def mean(tree):
        flat, unravel = ravel_pytree(tree)
        return unravel(jax.lax.pmean(flat, AXIS))

    def each(fn, args):
        P = jax.tree.leaves(args)[0].shape[0]
        pad = lambda leaf: jnp.concatenate([leaf, jnp.repeat(leaf[-1:], -P % n, 0)])
        outputs = jax.lax.map(fn, share(jax.tree.map(pad, args)))
        return jax.tree.map(lambda leaf: jax.lax.all_gather(leaf, AXIS, tiled=True)[:P], outputs)

    return DataParallel(n, run, share, mean, each)
