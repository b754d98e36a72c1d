"""Growing graphs (NEAT: Stanley and Miikkulainen, 2002): genomes of varying size that carry their weights.

A genome is padded arrays, so that graphs of any topology are one type: nodes and connections that do not exist yet have
identity 0. Nothing is ever taken out and what is new is appended, so what exists is a prefix, except that the I x O
initial connections fill the first places.

Identity is by structure: a hidden node is known by the connection it split, and a connection by the two nodes it joins,
both as hashes. So the same mutation is the same gene in any genome, generation or process, with no counter to share.
The paper numbers them in order of appearance; what only the order tells, excess genes from disjoint ones, is not told
apart here (all its experiments weight the two alike).
"""

import re

import chex
import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from jaxnas import check, draw
from jaxnas.check import InputError
from jaxnas.lanes import members_last
from jaxnas.spaces.needed import Missing
from jaxnas.types import Space

TRIES = 16
"""Pairs of nodes drawn for a new connection until one is free; the paper's authors try 20."""
SPLITS = 4
"""How often one genome may split the same connection: after a split it is disabled, and may be enabled again."""
MISSING = np.float32(np.inf)
"""Weight of a connection that is not there."""
ROWS = 8
"""Connections that are compared at a time."""
SMALL = 20
"""Genomes of fewer genes are compared by their number of differences, not by the fraction (section 3.3)."""


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


def graph(
    inputs: int,
    outputs: int,
    *,
    hidden: int = 16,
    connections: int = 64,
    recurrent: bool = False,
    weight_rate: float = 0.8,
    replace_rate: float = 0.2,
    weight_range: float = 3.0,
    weight_step: float = 2.5,
    weight_limit: float = 8.0,
    add_node_rate: float = 0.03,
    add_connection_rate: float = 0.3,
    toggle_rate: float = 0.05,
    disable_rate: float = 0.75,
    disjoint_coefficient: float = 1.0,
    weight_coefficient: float = 0.4,
) -> Space:
    """Graphs from `inputs` and a bias to `outputs`; at first each input is connected with each output.

    `mutate` and `crossover` are those of the paper, section 3; rates are its section 4.1 where it says them. In
    `crossover(key, a, b)` genes are aligned by identity, `a` is the fitter parent and gives what only one of them has,
    so a child has the topology of `a`. `distance` is its equation 1. Memory is linear in the connections.

    In a feed-forward graph connections go from smaller to larger positions. A node's position is drawn from its
    identity, somewhere between the nodes that it was put between: two hidden nodes can be connected in one
    direction only, and no graph has a cycle.

    The string format is nodes and connections in order of birth: `h0=i1>o0; i0>o0:0.5, i1>o0:-1.25!, bias>o0:…`, where
    `!` marks what is disabled. It gives weights exactly.

    Args:
      inputs: number of inputs, without the bias.
      outputs: number of outputs.
      hidden: room for hidden nodes.
      connections: room for connections beside the initial ones. A mutation that finds no room is counted in `overflow`.
      recurrent: whether connections may go backwards, or from a node to itself.
      weight_rate: probability that a child's weights are mutated.
      replace_rate: of those, the fraction of weights drawn anew, in `[-weight_range, weight_range]`; the others are
        changed by up to `weight_step`. None leaves `[-weight_limit, weight_limit]`.
      add_node_rate: probability that a connection is split by a new node.
      add_connection_rate: probability that two nodes are joined.
      toggle_rate: probability that a connection is enabled or disabled.
      disable_rate: probability that a connection disabled in a parent is in the child.
      disjoint_coefficient: c1 = c2 of the distance, for genes that one of the two does not have.
      weight_coefficient: c3, for the mean difference of the weights of shared genes.

    Raises:
      InputError: a number out of its range.
    """
    check.integer("inputs", inputs, least=1)
    check.integer("outputs", outputs, least=1)
    check.integer("hidden", hidden, least=0, most=4096)
    check.integer("connections", connections, least=0)
    rates = {
        "weight_rate": weight_rate,
        "replace_rate": replace_rate,
        "add_node_rate": add_node_rate,
        "add_connection_rate": add_connection_rate,
        "toggle_rate": toggle_rate,
        "disable_rate": disable_rate,
    }
    for name, rate in rates.items():
        check.real(name, rate, least=0, most=1)
    amounts = {
        "weight_range": weight_range,
        "weight_step": weight_step,
        "weight_limit": weight_limit,
        "disjoint_coefficient": disjoint_coefficient,
        "weight_coefficient": weight_coefficient,
    }
    for name, amount in amounts.items():
        check.real(name, amount, least=0)

    I, O, H = inputs + 1, outputs, hidden  # noqa: E741
    E, first = I * O + connections, I * O
    fixed = np.arange(1, 1 + I + O, dtype=np.uint32)  # identities of inputs and outputs
    start = np.repeat(np.arange(I, dtype=np.int32), O), np.tile(I + np.arange(O, dtype=np.int32), I)
    seeds = np.asarray(_identity(fixed[start[0]], fixed[start[1]]))
    name = f"{'recurrent ' if recurrent else ''}graph"

    def padded(values, dtype):
        return jnp.asarray(np.concatenate([np.asarray(values, dtype), np.zeros(connections, dtype)]))

    def sample(key):
        weight = jax.random.uniform(key, (first,), jnp.float32, -weight_range, weight_range)
        return Graph(
            node=jnp.zeros(H, jnp.uint32),
            position=jnp.zeros(H, jnp.int32),
            split=jnp.zeros((H, 2), jnp.int32),
            innovation=padded(seeds, jnp.uint32),
            source=padded(start[0], jnp.int32),
            target=padded(start[1], jnp.int32),
            weight=jnp.concatenate([weight, jnp.zeros(connections, jnp.float32)]),
            enabled=padded(np.ones(first), bool),
            overflow=jnp.int32(0),
            inputs=I,
            outputs=O,
            recurrent=recurrent,
        )

    def mutate(key, genome):
        # What grows keeps its weights: they would be moved before anybody saw what the new part is good for.
        words = jax.random.bits(key, (4,), jnp.uint32)
        lucky = lambda word, rate: word < np.uint32(rate * (2**32 - 1))
        splits, joins = lucky(words[0], add_node_rate), lucky(words[1], add_connection_rate)
        moves = lucky(words[2], weight_rate) & ~splits & ~joins
        keys = jax.vmap(lambda i: jax.random.fold_in(key, i))(jnp.arange(1, 4))
        weight = jnp.where(moves, moved(keys[0], genome), genome.weight)
        halves = draw.halves(keys[2], 2)
        genome = toggled(halves[0], genome.replace(weight=weight), lucky(words[3], toggle_rate))
        genome = joined(keys[1], genome, joins)
        return divided(halves[1], genome, splits)

    def moved(key, genome):
        words = jax.random.bits(key, (E,), jnp.uint32)
        by = (words >> 8).astype(jnp.float32) * np.float32(2**-23) - 1  # [-1, 1)
        anew = (words & 0xFF) < round(replace_rate * 2**8)
        weight = jnp.where(anew, weight_range * by, genome.weight + weight_step * by)
        return jnp.where(genome.innovation != 0, jnp.clip(weight, -weight_limit, weight_limit), 0.0)

    def joined(key, genome, wanted):
        nodes, count = I + O + genome.hidden, genome.connections
        halves = draw.halves(key, 2 * TRIES + 2)
        source = draw.below(halves[:TRIES], nodes)
        target = I + draw.below(halves[TRIES : 2 * TRIES], nodes - I)
        free = ~known(genome, source, target)
        if not recurrent:
            positions = genome.positions
            free &= positions[source] < positions[target]
        found, i = wanted & free.any(), jnp.argmax(free)
        weight = weight_range * (halves[-1].astype(jnp.float32) / 2**15 - 1)
        return genome.replace(
            **_put(genome, jnp.where(found, count, E), source[i], target[i], weight, identities(genome)),
            overflow=genome.overflow + (found & (count == E)),
        )

    @members_last
    def known(genome, source, target):
        def look(e, found):
            return found | ((genome.source[e] == source) & (genome.target[e] == target))

        return jax.lax.fori_loop(0, (genome.innovation != 0).sum(0, dtype=jnp.int32).max(), look, source < 0)

    def toggled(half, genome, wanted):
        i = draw.below(half, genome.connections)
        return genome.replace(enabled=genome.enabled ^ (wanted & (jnp.arange(E) == i)))

    def divided(half, genome, wanted):
        hidden, count = genome.hidden, genome.connections
        among = genome.enabled & (genome.innovation != 0)
        old = nth(among, count, draw.below(half, among.sum(dtype=jnp.int32)))
        source, target, weight = genome.source[old], genome.target[old], genome.weight[old]
        names = _splits(genome.innovation[old])
        fresh = ~(genome.node[:, None] == names).any(0)
        identity = names[jnp.argmax(fresh)]
        positions = genome.positions
        low, high = positions[source], positions[target]
        position = _between(low, high, identity)
        between = recurrent | ((low < position) & (position < high))  # not where there is nothing in between
        wanted &= among.any()
        room = fresh.any() & between & (hidden < H) & (count + 2 <= E)
        does = wanted & room
        here, at = does & (jnp.arange(H) == hidden), jnp.where(does, count + jnp.arange(2), E)
        genome = genome.replace(
            node=jnp.where(here, identity, genome.node),
            position=jnp.where(here, position, genome.position),
            split=jnp.where(here[:, None], jnp.stack([source, target]), genome.split),
            enabled=genome.enabled & ~(does & (jnp.arange(E) == old)),
            overflow=genome.overflow + (wanted & ~room),
        )
        new, known = I + O + hidden, identities(genome)  # the paper: weight 1 into the node, the old weight out of it
        genome = genome.replace(**_put(genome, at[0], source, new, 1.0, known))
        return genome.replace(**_put(genome, at[1], new, target, weight, known))

    @members_last
    def nth(among, count, n):
        def look(e, carry):
            before, found = carry
            return before + among[e], jnp.where(among[e] & (before == n), e, found)

        zero = jnp.zeros_like(n)
        return jax.lax.fori_loop(0, count.max(), look, (zero, zero))[1]

    def identities(genome):
        return jnp.concatenate([fixed, genome.node])

    def crossover(key, a, b):
        weight, enabled = aligned(a, b)
        words = jax.random.bits(key, (E,), jnp.uint8)
        other = (weight != MISSING) & (words & 1 == 1)
        stays = ~(a.enabled & enabled) & ((words >> 1) < np.uint8(round(disable_rate * 127)))
        return a.replace(weight=jnp.where(other, weight, a.weight), enabled=(a.innovation != 0) & ~stays)

    def matched(a, b):
        """For each connection of `a`, its weight in `b`, or MISSING, and whether it is enabled there."""
        # The initial ones are in the same places. The others are compared as far as there are any: a few of `a` at a
        # time with one of `b` after another.
        mine, theirs = a.innovation[first:], b.innovation[first:]
        rows, L = min(ROWS, connections), max(mine.shape[-1], theirs.shape[-1])

        def some(i, found):
            at = jnp.minimum(i * rows, connections - rows)
            own = jax.lax.dynamic_slice_in_dim(mine, at, rows)

            def look(j, part):
                here = (own == theirs[j]) & (theirs[j] != 0)
                weight, enabled = part
                return jnp.where(here, b.weight[first + j], weight), enabled & (b.enabled[first + j] | ~here)

            part = jnp.full((rows, L), MISSING), jnp.ones((rows, L), bool)
            part = jax.lax.fori_loop(0, (theirs != 0).sum(0, dtype=jnp.int32).max(), look, part)
            return tuple(jax.lax.dynamic_update_slice_in_dim(*pair, at, 0) for pair in zip(found, part, strict=True))

        grown = jnp.full((connections, L), MISSING), jnp.ones((connections, L), bool)
        if connections:
            grown = jax.lax.fori_loop(0, -(-(mine != 0).sum(0, dtype=jnp.int32).max() // rows), some, grown)
        initial = b.weight[:first], b.enabled[:first]
        every = lambda x, y: jnp.concatenate([jnp.broadcast_to(x, (first, L)), y])
        return tuple(map(every, initial, grown))

    def apart(a, b):
        weight, _ = matched(a, b)
        shared = weight != MISSING
        count, mine, theirs = (
            there.sum(0, dtype=jnp.float32) for there in (shared, a.innovation != 0, b.innovation != 0)
        )
        largest = jnp.maximum(mine, theirs)
        size = jnp.where(largest < SMALL, 1, largest)
        weights = jnp.where(shared, jnp.abs(a.weight - weight), 0.0).sum(0) / count
        return disjoint_coefficient * (mine + theirs - 2 * count) / size + weight_coefficient * weights

    aligned, distance = members_last(matched), members_last(apart)

    def label(number):
        if number < I:
            return "bias" if number == I - 1 else f"i{number}"
        return f"o{number - I}" if number < I + O else f"h{number - I - O}"

    labels = [label(number) for number in range(I + O + H)]

    def to_string(genome):
        host = jax.tree.map(np.asarray, genome)
        nodes = [f"h{h}={labels[u]}>{labels[v]}" for h, (u, v) in enumerate(host.split[: host.hidden].tolist())]
        exist = host.innovation != 0
        source, target, enabled = (leaf[exist].tolist() for leaf in (host.source, host.target, host.enabled))
        genes = zip(source, target, host.weight[exist], enabled, strict=True)
        edges = [f"{labels[u]}>{labels[v]}:{w!s}{'' if on else '!'}" for u, v, w, on in genes]
        return f"{' '.join(nodes)}; {' '.join(edges)}"

    def from_string(text):
        bad = lambda what: InputError(f"space {name!r}: {what}, in {text[:200]!r}.")
        parts = text.split(";")
        if len(parts) != 2:
            raise bad(f"expected nodes; connections, got {len(parts)} parts")
        numbers = {label(n): n for n in range(I + O)}
        splits, edges, known = [], [], set()
        for i, token in enumerate(parts[0].split()):
            match = re.fullmatch(rf"h{i}=(\w+)>(\w+)", token)
            if match is None or not set(match.groups()) <= set(numbers):
                raise bad(f"expected h{i}=NODE>NODE of earlier nodes, got {token!r}")
            splits.append((numbers[match[1]], numbers[match[2]]))
            numbers[f"h{i}"] = I + O + i
        for token in parts[1].split():
            match = re.fullmatch(r"(\w+)>(\w+):([^!]+)(!?)", token)
            ends = match.group(1, 2) if match else ()
            if match is None or not set(ends) <= set(numbers) or ends in known or not _is_number(match[3]):
                raise bad(f"expected NODE>NODE:WEIGHT of nodes that exist, each pair once, got {token!r}")
            known.add(ends)
            edges.append((numbers[ends[0]], numbers[ends[1]], np.float32(match[3]), not match[4]))
        if [edge[:2] for edge in edges[:first]] != list(zip(*map(np.ndarray.tolist, start), strict=True)):
            raise bad(f"expected at first the {first} connections of inputs and outputs, in order")
        if len(splits) > H or len(edges) > E:
            raise bad(f"expected at most {H} hidden nodes and {E} connections, got {len(splits)} and {len(edges)}")
        return built(splits, edges, bad)

    def built(splits, edges, bad):
        ids = list(fixed)
        positions = [np.int32(0)] * I + [np.int32(END)] * O
        for u, v in splits:
            names = _splits(_identity(ids[u], ids[v]))
            fresh = [n for n in names if n not in ids]
            if not fresh:
                raise bad(f"expected at most {SPLITS} splits of a connection, got more of {label(u)}>{label(v)}")
            ids.append(np.uint32(fresh[0]))
            positions.append(_between(positions[u], positions[v], ids[-1]))
        into = [f"{label(u)}>{label(v)}" for u, v, *_ in edges if v < I]
        if into:
            raise bad(f"expected no connection into an input, got {', '.join(into)}")
        backwards = [f"{label(u)}>{label(v)}" for u, v, *_ in edges if not recurrent and positions[u] >= positions[v]]
        if backwards:
            raise bad(f"expected connections that go forward, got {', '.join(backwards)}")
        pad = lambda values, size, dtype: np.concatenate([np.array(values, dtype), np.zeros(size - len(values), dtype)])
        source, target, weight, enabled = zip(*edges, strict=True)
        ids = np.array(ids, np.uint32)
        split = np.zeros((H, 2), np.int32)
        split[: len(splits)] = np.array(splits, np.int32).reshape(-1, 2)
        return Graph(
            node=pad(ids[I + O :], H, np.uint32),
            position=pad(positions[I + O :], H, np.int32),
            split=split,
            innovation=pad(np.asarray(_identity(ids[list(source)], ids[list(target)])), E, np.uint32),
            source=pad(source, E, np.int32),
            target=pad(target, E, np.int32),
            weight=pad(weight, E, np.float32),
            enabled=pad(enabled, E, bool),
            overflow=np.int32(0),
            inputs=I,
            outputs=O,
            recurrent=recurrent,
        )

    def without(what):
        return Missing(
            f"space {name!r}: has no {what}, its genomes are no list of decisions. Strategies that sample, mutate and "
            "cross genomes work on it: neat, regularized_evolution, random_search, nsga2, hyperband."
        )

    return Space(
        name=name,
        decisions=(),
        options=(),
        mask=np.zeros((0, 0), bool),
        sample=sample,
        mutate=mutate,
        crossover=crossover,
        neighbors=without("neighbors"),
        canonical=lambda genome: genome,
        features=without("features"),
        derive=without("relaxed choice"),
        unpack=without("decisions"),
        to_string=to_string,
        from_string=from_string,
        size=float("inf"),
        distance=distance,
        overflow=lambda genome: genome.overflow,
    )


def _put(genome: Graph, at, source, target, weight, identities) -> dict[str, chex.Array]:
    """The connection's fields with one more at place `at`; as they are where that is past the end."""
    values = {
        "innovation": _identity(identities[source], identities[target]),
        "source": source,
        "target": target,
        "weight": jnp.float32(weight),
        "enabled": jnp.bool_(True),
    }
    return {n: jnp.where(jnp.arange(len(genome.weight)) == at, v, getattr(genome, n)) for n, v in values.items()}


def _identity(a: chex.Array, b: chex.Array) -> chex.Array:
    """uint32 hash of an ordered pair of uint32 (multiplications of MurmurHash3's), never 0."""
    np_ = jnp if isinstance(a, jax.Array) or isinstance(b, jax.Array) else np
    with np.errstate(over="ignore"):
        a, b = np_.asarray(a, np.uint32), np_.asarray(b, np.uint32)
        h = (a * np.uint32(0xCC9E2D51)) ^ (b * np.uint32(0x1B873593) + np.uint32(0xE6546B64))
        for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35), (16, 0x27D4EB2F), (15, 1)):
            h = (h ^ (h >> np.uint32(shift))) * np.uint32(factor)
    return np_.maximum(h, np.uint32(1))


def _splits(innovation: chex.Array) -> chex.Array:
    """`[SPLITS]` identities of the nodes that may split a connection; above those of inputs and outputs."""
    return _identity(innovation, np.arange(SPLITS, dtype=np.uint32)) | np.uint32(2**31)


def _between(low: chex.Array, high: chex.Array, identity: chex.Array) -> chex.Array:
    """A position from a quarter to three quarters of the way, by the identity of who is put there."""
    part = 64 + (identity >> 8 & 0x7F).astype(np.int32)  # of 256
    way = high - low
    return low + (way >> 8) * part + ((way & 0xFF) * part >> 8)


def _is_number(text: str) -> bool:
    try:
        return bool(np.isfinite(np.float32(text)))
    except ValueError:
        return False
