"""Whether a network, a space, a task and a recipe go together, before anything runs."""

from collections.abc import Mapping
from typing import Any

import flax
import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxnas.check import InputError
from jaxnas.networks.choice import declared
from jaxnas.spaces import needed
from jaxnas.tasks.task import Task
from jaxnas.training.packing import packing_of
from jaxnas.training.recipe import Recipe
from jaxnas.training.start import Initialize
from jaxnas.training.trainer import trainer
from jaxnas.types import Space


def fits(space: Space, network: nn.Module, task: Task, recipe: Recipe, initialize: Initialize = None) -> None:
    """Raises `InputError` unless the network takes these decisions, inputs and recipe, and its outputs can be judged.

    Loss and metric have to make numbers of them, for any size of batch.
    """
    name = type(network).__name__
    needed.functions(f"network {name}", space, "unpack")
    x = task.batch_of(2)

    def forward(key, x):
        decisions = space.unpack(space.sample(key))
        with declared(_options(space, decisions)):
            outputs, variables = network.init_with_output(key, decisions, x, bool(recipe.auxiliary))
        if recipe.drop_path:
            schedule = {"drop_path": jnp.float32(0)}
            try:  # without the RNG, which a network that drops paths must miss
                network.apply({**variables, "schedule": schedule}, decisions, x, True, mutable=list(variables))
            except flax.errors.InvalidRngError:
                pass
            else:
                raise InputError("it has no paths to drop (recipe drop_path)")
        if recipe.auxiliary and not variables.get("auxiliary"):
            raise InputError("it sows no logits into the collection 'auxiliary' (recipe auxiliary)")
        return outputs, variables["params"]

    try:
        outputs, params = jax.eval_shape(forward, jax.random.key(0), x)
    except Exception as error:
        said = f"nothing is called {error}" if isinstance(error, KeyError) else error
        raise InputError(
            f"network: {name} does not run on inputs {_shapes(x)} of task {task.name!r} with decisions "
            f"{', '.join(space.decisions)}: {said}"
        ) from error
    packing_of(params, recipe)
    if initialize is not None:
        begun = trainer(network, task, recipe, initialize).init
        jax.eval_shape(lambda key: begun(key, space.unpack(space.sample(key))), jax.random.key(0))
    shape = getattr(outputs, "shape", None)
    if task.outputs is not None and shape is not None and (shape[:1], shape[-1:]) != ((2,), (task.outputs,)):
        raise InputError(
            f"network: {name} gives outputs {shape} for 2 inputs, but task {task.name!r} needs "
            f"(2, ..., {task.outputs})."
        )
    task.judges(outputs)


def _options(space: Space, decisions: Any) -> list[tuple[str, Any, int]]:
    if not isinstance(decisions, Mapping):
        return []
    counts = dict(zip(space.decisions, space.choices.tolist(), strict=False))
    return [(name, decision, counts[name]) for name, decision in decisions.items() if name in counts]


def _shapes(tree: Any) -> str:
    return str(jax.tree.map(lambda leaf: leaf.shape, tree))
