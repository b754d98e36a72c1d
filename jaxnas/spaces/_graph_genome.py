"""The genome of a growing graph: padded arrays, whose genes are known by their structure.

Graphs of any topology are one type: nodes and connections that do not exist yet have identity 0. Nothing is ever
removed and what is new is appended, so what exists is a prefix, except that the I x O initial connections fill the
first places.

A hidden node is identified by the connection it split, and a connection by the two nodes it joins, both as hashes. So
the same mutation is the same gene in any genome, generation or process, with no counter to share. Stanley and
Miikkulainen (2002) number genes in order of appearance; what only the order tells, excess genes from disjoint ones, is
not told apart here (all their experiments weight the two alike).
"""

from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

SPLITS = 4
"""How often one genome may split the same connection: after a split it is disabled, and may be enabled again."""
END = 2**30
"""Position of the outputs; whole numbers, so that a node is at the same place however it was computed."""


@struct.dataclass
class Graph:
    """A network: H places for hidden nodes, E for connections. Nodes are numbered inputs, bias, outputs, hidden.

    Attributes:
      node: `[H]` uint32, identity of each hidden node, 0 where there is none yet.
      position: `[H]` int32, where the node is between the inputs at 0 and the outputs at `END`.
      split: `[H, 2]` int32, numbers of the two nodes whose connection it split.
      innovation: `[E]` uint32, identity of each connection, 0 where there is none yet.
      source: `[E]` int32, number of the node it leaves.
      target: `[E]` int32, number of the node it enters.
      weight: `[E]` float32.
      enabled: `[E]` bool, False where it is inherited but not used.
      overflow: int32, structural mutations in this genome's lineage dropped because its fixed capacity was full.
      inputs: number of inputs, the bias (always 1) among them as the last.
      outputs: number of outputs.
      recurrent: whether connections may go backwards, to be used one step later.
    """

    node: chex.Array
    position: chex.Array
    split: chex.Array
    innovation: chex.Array
    source: chex.Array
    target: chex.Array
    weight: chex.Array
    enabled: chex.Array
    overflow: chex.Array
    inputs: int = struct.field(pytree_node=False)
    outputs: int = struct.field(pytree_node=False)
    recurrent: bool = struct.field(pytree_node=False)

    @property
    def hidden(self) -> chex.Array:
        """Number of hidden nodes that exist."""
        return (self.node != 0).sum(-1, dtype=jnp.int32)

    @property
    def connections(self) -> chex.Array:
        """Number of connections that exist, enabled or not."""
        return (self.innovation != 0).sum(-1, dtype=jnp.int32)

    @property
    def positions(self) -> chex.Array:
        """`[inputs + outputs + H]` positions of all nodes by number."""
        ends = np.repeat(np.int32([0, END]), [self.inputs, self.outputs])
        return jnp.concatenate([ends, self.position])


class Sizes(NamedTuple):
    """What is the same for all graphs of a space.

    Attributes:
      inputs: number of inputs, with the bias.
      outputs: number of outputs.
      hidden: H, places for hidden nodes.
      connections: E, places for connections, the initial ones among them.
      recurrent: whether connections may go backwards.
    """

    inputs: int
    outputs: int
    hidden: int
    connections: int
    recurrent: bool

    @property
    def initial(self) -> tuple[np.ndarray, np.ndarray]:
        """`[I * O]` sources and targets of the initial connections: each input with each output."""
        source = np.repeat(np.arange(self.inputs, dtype=np.int32), self.outputs)
        return source, np.tile(self.inputs + np.arange(self.outputs, dtype=np.int32), self.inputs)


def initial_graph(key: chex.PRNGKey, sizes: Sizes, weight_range: float) -> Graph:
    """No hidden node, and each input connected with each output by a uniform weight in ±`weight_range`."""
    source, target = sizes.initial
    ends = end_identities(sizes.inputs, sizes.outputs)
    room = sizes.connections - len(source)
    padded = lambda values, dtype: jnp.asarray(np.concatenate([np.asarray(values, dtype), np.zeros(room, dtype)]))
    weight = jax.random.uniform(key, (len(source),), jnp.float32, -weight_range, weight_range)
    return Graph(
        node=jnp.zeros(sizes.hidden, jnp.uint32),
        position=jnp.zeros(sizes.hidden, jnp.int32),
        split=jnp.zeros((sizes.hidden, 2), jnp.int32),
        innovation=padded(identity(ends[source], ends[target]), jnp.uint32),
        source=padded(source, jnp.int32),
        target=padded(target, jnp.int32),
        weight=jnp.concatenate([weight, jnp.zeros(room, jnp.float32)]),
        enabled=padded(np.ones(len(source)), bool),
        overflow=jnp.int32(0),
        inputs=sizes.inputs,
        outputs=sizes.outputs,
        recurrent=sizes.recurrent,
    )


def end_identities(inputs: int, outputs: int) -> np.ndarray:
    """`[inputs + outputs]` uint32 identities of the inputs and outputs."""
    return np.arange(1, 1 + inputs + outputs, dtype=np.uint32)


def identity(a: chex.Array, b: chex.Array) -> chex.Array:
    """uint32 hash of an ordered pair of uint32 (multiplications of MurmurHash3's), never 0."""
    np_ = jnp if isinstance(a, jax.Array) or isinstance(b, jax.Array) else np
    with np.errstate(over="ignore"):
        a, b = np_.asarray(a, np.uint32), np_.asarray(b, np.uint32)
        h = (a * np.uint32(0xCC9E2D51)) ^ (b * np.uint32(0x1B873593) + np.uint32(0xE6546B64))
        for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35), (16, 0x27D4EB2F), (15, 1)):
            h = (h ^ (h >> np.uint32(shift))) * np.uint32(factor)
    return np_.maximum(h, np.uint32(1))


def split_identities(innovation: chex.Array) -> chex.Array:
    """`[SPLITS]` identities of the nodes that may split a connection; above those of inputs and outputs."""
    return identity(innovation, np.arange(SPLITS, dtype=np.uint32)) | np.uint32(2**31)


def position_between(low: chex.Array, high: chex.Array, node: chex.Array) -> chex.Array:
    """A position from a quarter to three quarters of the way, by the identity of the node that is put there."""
    part = 64 + (node >> 8 & 0x7F).astype(np.int32)  # of 256
    way = high - low
    return low + (way >> 8) * part + ((way & 0xFF) * part >> 8)
