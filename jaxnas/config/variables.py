"""The variables that a finished search left behind, for another training to begin with."""

import os
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from jaxnas import check
from jaxnas.check import InputError
from jaxnas.checkpoint import checkpoints
from jaxnas.config.wiring import Parts, build
from jaxnas.references import is_reference
from jaxnas.search import State
from jaxnas.workdir import read_config


def variables_of(workdir: str | os.PathLike) -> dict[str, Any]:
    """The shared weights of a search, `{"params": …}`, as of its last checkpoint.

    Args:
      workdir: of a search by an evaluator whose weights are shared ("supernet").

    Raises:
      InputError: there is no such search, its parts were handed to it, or it shares no weights; see `checkpoint` too.
    """
    parts, state = restored(workdir)
    if parts.evaluator.variables is None:
        raise InputError(f"workdir: evaluator {parts.evaluator.name!r} of that search shares no weights ({workdir}).")
    return parts.evaluator.variables(state.evaluator)


def restored(workdir: str | os.PathLike) -> tuple[Parts, State]:
    """The parts of a search, and its state as of its last checkpoint.

    Args:
      workdir: of a search.

    Raises:
      InputError: there is no such search, or its parts were handed to it; see `checkpoint` too.
    """
    folder = check.local_path("workdir", workdir)
    if not (folder / "config.json").is_file():
        raise InputError(f"workdir: no config.json in {folder}; expected the folder of a search.")
    config = read_config(folder / "config.json")
    if config.get("parts"):
        raise InputError(
            f"workdir: parts of the search in {folder} were handed to it, so that it cannot be built again."
        )
    parts = build(config, workdir=folder, prepare=False)
    kept = checkpoints(folder / "checkpoints")
    if kept.latest() is None:
        raise InputError(f"workdir: the search in {folder} has no checkpoint yet.")
    key = jax.random.key(0)
    shapes = jax.eval_shape(lambda key: State(parts.strategy.init(key), parts.evaluator.init(key)), key)
    like = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
    return parts, jax.tree.map(jnp.asarray, kept.restore(kept.latest(), like))


def loaded(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments, with the variables of a run in the place of its folder as `initialize`."""
    given = arguments.get("initialize")
    if not isinstance(given, str) or is_reference(given):
        return dict(arguments)
    return {**arguments, "initialize": variables_of(given)}
