"""Which axis of each parameter of a `Transformer` is divided between devices: tensor parallelism (Shoeybi et al.,
2019)."""

import math
from typing import Any

import jax
import numpy as np
from flax import traverse_util
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from jaxnas.check import InputError

AXIS = "model"
"""Of the mesh."""
DIVIDED = {
    ("embedding", "embedding", 2): 0,
    ("head", "kernel", 2): 1,
    ("query", "kernel", 3): 1,
    ("query", "bias", 2): 0,
    ("key", "kernel", 3): 1,
    ("key", "bias", 2): 0,
    ("value", "kernel", 3): 1,
    ("value", "bias", 2): 0,
    ("output", "kernel", 3): 0,
    ("gate", "kernel", 3): 1,
    ("gate", "kernel", 2): 1,
    ("up", "kernel", 2): 1,
    ("down", "kernel", 2): 0,
    ("state", "key", 4): 2,
    ("state", "value", 4): 2,
    ("state", "matrix", 4): 1,
    ("recent", "query", 4): 2,
    ("recent", "key", 4): 2,
    ("recent", "value", 4): 2,
}
"""Module, parameter or part of a `Decoder`'s state, number of axes -> the axis of the vocabulary, of heads, of groups
of keys and values, or of hidden features."""
NEEDED = {
    **{"query": "heads", "output": "heads", "key": "groups of keys and values", "value": "groups of keys and values"},
    **{"gate": "hidden features or heads", "up": "hidden features", "down": "hidden features"},
}
"""Module of a layer -> what of it devices have to divide, for layers to be divided between them."""


def partition_spec(path: str, shape: tuple[int, ...], devices: int) -> PartitionSpec:
    """How a parameter is divided between so many devices; not at all where the axis does not divide into them.

    Args:
      path: in the network, joined by "/", as `layer_0/mixer/attention/query/kernel`.
      shape: the parameter's.
    """
    axis = DIVIDED.get((*path.split("/")[-2:], len(shape)))
    if axis is None or shape[axis] % devices:
        return PartitionSpec()
    return PartitionSpec(*[None] * axis, AXIS)


def shardings(variables: Any, mesh: Mesh) -> Any:
    """`NamedSharding`s in the place of a network's variables, of a `Decoder`'s state, or of their shapes as
    `jax.eval_shape` makes them.

    Raises:
      InputError: a mesh without an axis "model".
    """
    devices, mesh = model_devices(mesh), _automatic(mesh)
    flat = traverse_util.flatten_dict(variables, sep="/")
    found = {path: NamedSharding(mesh, partition_spec(path, x.shape, devices)) for path, x in flat.items()}
    return traverse_util.unflatten_dict(found, sep="/")


def check_divides(where: str, variables: Any, devices: int) -> None:
    """Raises `InputError` unless so many devices divide the heads, the groups of keys and values and the hidden
    features of every layer; a vocabulary that they do not divide is whole on each.

    Args:
      where: for the message.
      variables: with the collection "params", or their shapes.
    """
    sizes = {}
    for path, x in traverse_util.flatten_dict(variables["params"], sep="/").items():
        module = path.split("/")[-2:][0]
        axis = DIVIDED.get((*path.split("/")[-2:], len(x.shape)))
        if axis is not None and module in NEEDED:
            sizes[path] = x.shape[axis], NEEDED[module]
    for path, (size, what) in sizes.items():
        if size % devices:
            most = math.gcd(*(size for size, _ in sizes.values()))
            able = ", ".join(str(n) for n in range(1, most + 1) if most % n == 0)
            raise InputError(f"{where}: {devices} devices do not divide the {size} {what} of {path}; {able} would.")


def model_devices(mesh: Mesh) -> int:
    """How many devices the mesh's axis "model" has."""
    if not isinstance(mesh, Mesh) or AXIS not in mesh.shape:
        axes = list(mesh.shape) if isinstance(mesh, Mesh) else mesh
        raise InputError(f"mesh: expected a jax.sharding.Mesh with an axis {AXIS!r}, got {axes!r}.")
    return mesh.shape[AXIS]


def placed(path: str, x: np.ndarray, mesh: Mesh | None) -> jax.Array:
    """The array on its devices; each is handed its own part alone."""
    if mesh is None:
        return jax.device_put(x)
    sharding = NamedSharding(_automatic(mesh), partition_spec(path, x.shape, model_devices(mesh)))
    return jax.make_array_from_callback(x.shape, sharding, lambda index: np.ascontiguousarray(x[index]))


def _automatic(mesh: Mesh) -> Mesh:
    """Of the same devices, where XLA divides what is computed: with the explicit axes that `jax.make_mesh` makes by
    default, each operation of the network would have to say how."""
    return Mesh(mesh.devices, mesh.axis_names)
