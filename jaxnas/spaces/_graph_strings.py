"""Growing graphs as text: `h0=i1>o0; i0>o0:0.5 i1>o0:-1.25! bias>o0:…`, nodes and connections in order of birth (host).

`!` marks what is disabled. Weights are exact; how many mutations found no room is not in it.
"""

import re
from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np

from jaxnas.check import InputError
from jaxnas.spaces._graph_genome import (
    END,
    SPLITS,
    Graph,
    Sizes,
    end_identities,
    identity,
    position_between,
    split_identities,
)

Refusal = Callable[[str], InputError]


def to_string(genome: Graph) -> str:
    """The graph as text."""
    labels = _labels(genome.inputs, genome.outputs, len(genome.node))
    hidden, connections = np.count_nonzero(genome.node), np.count_nonzero(genome.innovation)
    nodes = [f"h{h}={labels[u]}>{labels[v]}" for h, (u, v) in enumerate(np.asarray(genome.split)[:hidden].tolist())]
    listed = lambda leaf: np.asarray(leaf)[:connections].tolist()
    weights = map(str, np.asarray(genome.weight)[:connections])
    genes = zip(listed(genome.source), listed(genome.target), weights, listed(genome.enabled), strict=True)
    edges = [f"{labels[u]}>{labels[v]}:{w}{'' if on else '!'}" for u, v, w, on in genes]
    return f"{' '.join(nodes)}; {' '.join(edges)}"


@lru_cache(maxsize=16)
def _labels(inputs: int, outputs: int, hidden: int) -> list[str]:
    return [_label(number, inputs, outputs) for number in range(inputs + outputs + hidden)]


def _label(number: int, inputs: int, outputs: int) -> str:
    if number < inputs:
        return "bias" if number == inputs - 1 else f"i{number}"
    return f"o{number - inputs}" if number < inputs + outputs else f"h{number - inputs - outputs}"


def from_string(text: str, sizes: Sizes, name: str) -> Graph:
    """The graph that `to_string` wrote, as NumPy arrays.

    Raises:
      InputError: not of this format, or no graph of those sizes; `name` is the space's.
    """
    refusal = lambda what: InputError(f"space {name!r}: {what}, in {text[:200]!r}.")
    parts = text.split(";")
    if len(parts) != 2:
        raise refusal(f"expected nodes; connections, got {len(parts)} parts")
    numbers = {_label(n, *sizes[:2]): n for n in range(sizes.inputs + sizes.outputs)}
    splits = _read_nodes(parts[0].split(), numbers, refusal)
    edges = _read_connections(parts[1].split(), numbers, refusal)
    initial = list(zip(*map(np.ndarray.tolist, sizes.initial), strict=True))
    if [edge[:2] for edge in edges[: len(initial)]] != initial:
        raise refusal(f"expected at first the {len(initial)} connections of inputs and outputs, in order")
    H, E = sizes.hidden, sizes.connections
    if len(splits) > H or len(edges) > E:
        raise refusal(f"expected at most {H} hidden nodes and {E} connections, got {len(splits)} and {len(edges)}")
    return _graph_of(splits, edges, sizes, refusal)


def _read_nodes(tokens: Sequence[str], numbers: dict[str, int], refusal: Refusal) -> list[tuple[int, int]]:
    """Which nodes' connection each hidden node split; adds the hidden nodes to `numbers`."""
    splits, ends = [], len(numbers)
    for i, token in enumerate(tokens):
        match = re.fullmatch(rf"h{i}=(\w+)>(\w+)", token)
        if match is None or not set(match.groups()) <= set(numbers):
            raise refusal(f"expected h{i}=NODE>NODE of earlier nodes, got {token!r}")
        splits.append((numbers[match[1]], numbers[match[2]]))
        numbers[f"h{i}"] = ends + i
    return splits


def _read_connections(
    tokens: Sequence[str], numbers: dict[str, int], refusal: Refusal
) -> list[tuple[int, int, np.float32, bool]]:
    """(source, target, weight, enabled) of each connection."""
    edges, known = [], set()
    for token in tokens:
        match = re.fullmatch(r"(\w+)>(\w+):([^!]+)(!?)", token)
        ends = match.group(1, 2) if match else ()
        if match is None or not set(ends) <= set(numbers) or ends in known or not _is_number(match[3]):
            raise refusal(f"expected NODE>NODE:WEIGHT of nodes that exist, each pair once, got {token!r}")
        known.add(ends)
        edges.append((numbers[ends[0]], numbers[ends[1]], np.float32(match[3]), not match[4]))
    return edges


def _is_number(text: str) -> bool:
    try:
        return bool(np.isfinite(np.float32(text)))
    except ValueError:
        return False


def _graph_of(splits: Sequence, edges: Sequence, sizes: Sizes, refusal: Refusal) -> Graph:
    """The arrays, once identities and positions of the hidden nodes are known."""
    I, O, H, E, recurrent = sizes  # noqa: E741
    ids, positions = _nodes(splits, sizes, refusal)
    label = lambda number: _label(number, I, O)
    into = [f"{label(u)}>{label(v)}" for u, v, *_ in edges if v < I]
    if into:
        raise refusal(f"expected no connection into an input, got {', '.join(into)}")
    backwards = [f"{label(u)}>{label(v)}" for u, v, *_ in edges if not recurrent and positions[u] >= positions[v]]
    if backwards:
        raise refusal(f"expected connections that go forward, got {', '.join(backwards)}")
    pad = lambda values, size, dtype: np.concatenate([np.array(values, dtype), np.zeros(size - len(values), dtype)])
    source, target, weight, enabled = zip(*edges, strict=True)
    split = np.zeros((H, 2), np.int32)
    split[: len(splits)] = np.array(splits, np.int32).reshape(-1, 2)
    return Graph(
        node=pad(ids[I + O :], H, np.uint32),
        position=pad(positions[I + O :], H, np.int32),
        split=split,
        innovation=pad(np.asarray(identity(ids[list(source)], ids[list(target)])), E, np.uint32),
        source=pad(source, E, np.int32),
        target=pad(target, E, np.int32),
        weight=pad(weight, E, np.float32),
        enabled=pad(enabled, E, bool),
        overflow=np.int32(0),
        inputs=I,
        outputs=O,
        recurrent=recurrent,
    )


def _nodes(splits: Sequence, sizes: Sizes, refusal: Refusal) -> tuple[np.ndarray, list[np.int32]]:
    """Identities and positions of all nodes by number."""
    I, O = sizes.inputs, sizes.outputs  # noqa: E741
    ids = list(end_identities(I, O))
    positions = [np.int32(0)] * I + [np.int32(END)] * O
    for u, v in splits:
        names = split_identities(identity(ids[u], ids[v]))
        fresh = [n for n in names if n not in ids]
        if not fresh:
            pair = f"{_label(u, I, O)}>{_label(v, I, O)}"
            raise refusal(f"expected at most {SPLITS} splits of a connection, got more of {pair}")
        ids.append(np.uint32(fresh[0]))
        positions.append(position_between(positions[u], positions[v], ids[-1]))
    return np.array(ids, np.uint32), positions
