"""Sizes, which follow from what is decided: parameters, and what a transformer remembers of a sequence."""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from jaxnas import check
from jaxnas.check import InputError
from jaxnas.costs.cost import Cost
from jaxnas.costs.enumeration import all_operations
from jaxnas.costs.model import costs_of
from jaxnas.costs.tables import CostTerm
from jaxnas.networks import Transformer
from jaxnas.tasks.task import Task
from jaxnas.types import Space

CACHE, PARAMETERS = "cache_kb", "parameters_k"
"""Names of costs."""
STATE = ("mixer", "heads", "groups", "head_size")
"""What of a transformer's layer its state depends on."""


def cache_size(
    space: Space, network: nn.Module | None, task: Task | None, *, length: int = 1024, dtype: str = "float32"
) -> Cost:
    """Kilobytes that a sequence's keys, values and states take while it is decoded, exactly.

    Args:
      space: `spaces.transformer`.
      network: `networks.Transformer`, of tokens.
      task: is not asked.
      length: tokens of the sequence.
      dtype: of keys, values and what else is kept of single tokens, "float32" or "bfloat16", as decoding with
        parameters of that type keeps them; a recurrence's matrix is always of 32 bits.

    Raises:
      InputError: another network.
    """
    check.one_of("config.cost.dtype", dtype, ("float32", "bfloat16"))
    model = costs_of(space, _states(space, of_tokens("cache_size", network, length), length, jnp.dtype(dtype)))
    return Cost((CACHE,), model.cost, model.expected_cost)


def _states(space: Space, network: Transformer, length: int, dtype: jnp.dtype) -> list[CostTerm]:
    """Kilobytes of each layer's state, by the decisions that it depends on."""

    def of(decisions: Mapping[str, int], i: int) -> float:
        there = network.stand_alone_mixers(decisions).get(i)
        if there is None:
            return 0.0
        shapes = jax.eval_shape(lambda: there[1].state(1, length, dtype))
        return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(shapes)) / 1e3

    of_layer = lambda i: {"depth", *(f"layer_{i}_{factor}" for factor in STATE)}
    return [_term(space, of_layer(i), functools.partial(of, i=i)) for i in range(network.layers)]


def parameter_count(space: Space, network: nn.Module | None, task: Task | None) -> Cost:
    """Thousands of parameters of the stand-alone network of a pruned genome, exactly.

    Args:
      space: categorical.
      network: any; its largest modules that hold no `Choice` are found by tracing, see `all_operations`.
      task: whose inputs it takes; not asked where a `Transformer` reads tokens.

    Raises:
      InputError: no network, or no task where one is needed; what `all_operations` refuses: decisions of which too many
        matter together somewhere, say.
    """
    of_tokens = isinstance(network, Transformer) and network.vocabulary
    if network is None or (task is None and not of_tokens):
        raise InputError("config.cost: parameter_count is that of a network on a task, the config has none.")
    inputs = jax.ShapeDtypeStruct((1, 1), jnp.int32) if of_tokens else task.blank()
    find = _parameters if isinstance(network, Transformer) else _parameters_of_modules
    model = costs_of(space, find(space, network, inputs))
    return Cost((PARAMETERS,), model.cost, model.expected_cost)


def _parameters_of_modules(space: Space, network: nn.Module, inputs: Any) -> list[CostTerm]:
    """The sum over modules, found by tracing."""
    shapes = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), inputs)
    there = all_operations(space, network, shapes, modules=True)
    of = lambda operation: jax.tree.leaves(operation.variables().get("params", {}))
    sizes = np.array([sum(leaf.size for leaf in of(operation)) / 1e3 for operation in there.distinct.values()])
    genome = np.asarray(space.pruned(jnp.zeros(len(space.decisions), jnp.int32)))
    own = lambda key, x: network.init(key, space.unpack(genome), x, False)
    made = jax.eval_shape(own, jax.random.key(0), shapes).get("params", {})
    whole, counted = sum(leaf.size for leaf in jax.tree.leaves(made)), round(1e3 * (there.counts([genome]) @ sizes)[0])
    if whole != counted:
        raise InputError(
            f"config.cost: {whole - counted} of the {whole} parameters of {type(network).__name__} lie in modules that "
            "hold a Choice, or in itself; parameter_count counts those of the modules within."
        )
    return [CostTerm(term.decisions, term.counts @ sizes) for term in there.terms]


def _parameters(space: Space, network: Transformer, inputs: Any) -> list[CostTerm]:
    """Of each layer, by all that is decided of it, and of the rest."""
    named = network.named()

    @functools.cache
    def inside(*decided: tuple[str, int]) -> dict[str, int]:
        """Layer -> parameters, and "" -> those of the rest, of what is decided alike in all layers."""
        decisions = dict.fromkeys(named, 0)
        decisions |= {name: option for name in named for end, option in decided if _factor(name) == end}
        params = jax.eval_shape(lambda x: network.init(jax.random.key(0), decisions, x, False), inputs)["params"]
        sizes = {name: sum(leaf.size for leaf in jax.tree.leaves(of)) / 1e3 for name, of in params.items()}
        layers = {name: sizes.pop(name) for name in list(sizes) if name.startswith("layer_")}
        return {**layers, "": sum(sizes.values())}

    def term(names: set[str], where: str) -> CostTerm:
        of = lambda decisions: inside(*((_factor(name), decisions[name]) for name in named if name in names))
        return _term(space, names, lambda decisions: of(decisions).get(where, 0.0))

    of_layer = lambda i: {name for name in named if name in ("width", "depth") or name.startswith(f"layer_{i}_")}
    return [term({"width"}, ""), *(term(of_layer(i), f"layer_{i}") for i in range(network.layers))]


def _factor(decision: str) -> str:
    """ "mixer" of "layer_3_mixer"."""
    return decision.split("_", 2)[2] if decision.startswith("layer_") else decision


def _term(space: Space, names: set[str], of: Callable[[Mapping[str, int]], float]) -> CostTerm:
    """`of` the decisions with these names, in each case of what the space decides of them."""
    zeros = np.zeros(len(space.decisions), np.int32)
    start, mine = space.unpack(zeros), []
    for d in range(len(zeros)):
        changed = space.unpack(np.where(np.arange(len(zeros)) == d, 1, zeros))
        if any(changed[name] != start[name] for name in names & set(start)):
            mine.append(d)
    values = np.zeros(space.choices[mine])
    for case in np.ndindex(*values.shape):
        genome = zeros.copy()
        genome[mine] = case
        values[case] = of(space.unpack(genome))
    return CostTerm(tuple(mine), values)


def of_tokens(name: str, network: nn.Module | None, length: int) -> Transformer:
    """The network; raises `InputError` unless it is a transformer of tokens."""
    check.integer("config.cost.length", length, least=1)
    if not isinstance(network, Transformer) or not network.vocabulary:
        kind = type(network).__name__
        raise InputError(f"config.cost: {name} is that of a Transformer of tokens, the network is a {kind}.")
    return network
