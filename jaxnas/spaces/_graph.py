"""Growing graphs (NEAT: Stanley and Miikkulainen, 2002): genomes of varying size that carry their weights."""

from functools import partial

from jaxnas import check
from jaxnas.spaces._graph_crossover import crossover, distance_with
from jaxnas.spaces._graph_genome import Sizes, initial_graph
from jaxnas.spaces._graph_mutation import Rates, mutate
from jaxnas.spaces._graph_strings import from_string, to_string
from jaxnas.types import Space


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
    identity, somewhere between the two nodes whose connection it split: two hidden nodes can be connected in one
    direction only, and no graph has a cycle.

    The string format is nodes and connections in order of birth: `h0=i1>o0; i0>o0:0.5 i1>o0:-1.25! bias>o0:…`, where
    `!` marks what is disabled. It gives weights exactly.

    Args:
      inputs: number of inputs, without the bias.
      outputs: number of outputs.
      hidden: room for hidden nodes.
      connections: room for connections beside the initial ones. A mutation that finds no room is counted in `overflow`.
      recurrent: whether connections may go backwards, or from a node to itself.
      weight_rate: probability that a child's weights are mutated.
      replace_rate: of those, the fraction of weights drawn again; the others are changed.
      weight_range: new weights are in `[-weight_range, weight_range]`.
      weight_step: by how much a weight is changed at most.
      weight_limit: no weight leaves `[-weight_limit, weight_limit]`.
      add_node_rate: probability that a connection is split by a new node.
      add_connection_rate: probability that two nodes are connected.
      toggle_rate: probability that a connection is enabled or disabled.
      disable_rate: probability that a connection disabled in a parent is in the child.
      disjoint_coefficient: c1 = c2 of the distance, for genes that one of the two does not have.
      weight_coefficient: c3, for the mean difference of the weights of shared genes.

    Raises:
      InputError: a number out of its range.
    """
    _check_sizes(inputs, outputs, hidden, connections)
    rates = Rates(
        weight=weight_rate,
        replace=replace_rate,
        add_node=add_node_rate,
        add_connection=add_connection_rate,
        toggle=toggle_rate,
        weight_range=weight_range,
        weight_step=weight_step,
        weight_limit=weight_limit,
    )
    for name, value in rates._asdict().items():
        amount = name.startswith("weight_")
        check.real(name if amount else f"{name}_rate", value, least=0, most=float("inf") if amount else 1)
    check.real("disable_rate", disable_rate, least=0, most=1)
    check.real("disjoint_coefficient", disjoint_coefficient, least=0)
    check.real("weight_coefficient", weight_coefficient, least=0)
    name = f"{'recurrent ' if recurrent else ''}graph"
    sizes = Sizes(inputs + 1, outputs, hidden, (inputs + 1) * outputs + connections, recurrent)
    return Space(
        name=name,
        sample=lambda key: initial_graph(key, sizes, weight_range),
        mutate=lambda key, genome: mutate(key, genome, rates),
        crossover=lambda key, a, b: crossover(key, a, b, disable_rate),
        canonical=lambda genome: genome,
        to_string=to_string,
        from_string=partial(from_string, sizes=sizes, name=name),
        size=float("inf"),
        distance=distance_with(disjoint_coefficient, weight_coefficient),
        overflow=lambda genome: genome.overflow,
    )


def _check_sizes(inputs: int, outputs: int, hidden: int, connections: int) -> None:
    check.integer("inputs", inputs, least=1)
    check.integer("outputs", outputs, least=1)
    check.integer("hidden", hidden, least=0, most=4096)
    check.integer("connections", connections, least=0)
