"""Parents of a search: what a file holds, or what is trained here first and kept for the next time."""

import hashlib
import json
import os
import pathlib
import re
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
from flax import traverse_util

from jaxnas import check, version
from jaxnas.check import InputError
from jaxnas.networks import Transformer
from jaxnas.pretrained._load import load
from jaxnas.pretrained.replacements import parent_of
from jaxnas.tasks import Batch, Task
from jaxnas.training import Parent, Recipe, fits, trainer
from jaxnas.types import Space

EXAMPLES = 64
"""Of the task, by which hidden features are ordered."""


def checkpoint(
    task: Task,
    *,
    path: str | os.PathLike,
    dtype: str = "float32",
    length: int | None = None,
    calibration: int = 0,
) -> Parent:
    """A pretrained decoder.

    Args:
      task: in the model's own tokens, as `text_for_model` makes it.
      path: where it is, see `load`.
      dtype: of parameters, "float32" or "bfloat16".
      length: the longest sequence; by default the model's.
      calibration: training examples by which hidden features of feed-forward networks are ordered, for narrower ones;
        0 leaves them as they are.

    Raises:
      InputError: as `load`; tokens that are not the model's; layers of different kinds.
    """
    check.integer("calibration", calibration, least=0, most=task.train.size)
    made = load(path, dtype=dtype, length=length)
    if task.outputs != made.network.vocabulary:
        raise InputError(
            f"task: {task.name!r} has {task.outputs} tokens, and the vocabulary of {made.name} has "
            f"{made.network.vocabulary}; expected the task text_for_model with model={str(path)!r}."
        )
    if made.decisions:
        raise InputError(f"path: {made.name} has layers of different kinds, {made.network.mixers}; expected one kind.")
    inputs = task.inputs(task.train.take(np.arange(calibration)).inputs) if calibration else None
    return parent_of(made.network, made.variables, inputs, made.name, made.tokenizer)


def trained(
    task: Task,
    *,
    network: Mapping[str, Any],
    steps: int,
    seed: int = 0,
    folder: str | os.PathLike | None = None,
    say: Callable[[str], None] = print,
    **recipe,
) -> Parent:
    """A transformer trained on the task's training split, or what an earlier call with the same arguments trained.

    Args:
      task: of tokens, numbers or images, as the network reads them.
      network: arguments of `networks.Transformer` that leave nothing to decide.
      steps: of training.
      seed: of all randomness.
      folder: where its variables are kept, by what they depend on; by default `jaxnas/parents` in the user's cache.
      say: is told that it is trained, and what it reached.
      **recipe: fields of `training.Recipe`.

    Raises:
      InputError: a network with something left to decide, or that does not fit the task; a recipe out of range.
    """
    check.mapping("network", network)
    check.integer("steps", steps, least=1)
    check.seed("seed", seed)
    made = Transformer(**{"classes": task.outputs, **network})
    if made.named():
        raise InputError(f"network: expected one option of each, but {next(iter(made.named()))} is left to decide.")
    nothing = Space("nothing", lambda key: np.zeros(0), *[None] * 5, 1.0, unpack=lambda genome: {})
    fits(nothing, made, task, how := Recipe.of(**recipe))
    examples = task.train.take(np.arange(min(EXAMPLES, task.train.size)))
    file = _folder(folder) / f"{_identity(task, examples, network, steps, seed, recipe)}.npz"
    variables = _kept(file)
    if variables is None:
        say(f"training the parent for {steps} steps; it is kept in {file}")
        parts = trainer(made, task, how)
        train = jax.jit(lambda key: parts.train(key, {}, steps)[0])
        variables = jax.device_get(train(jax.random.key(seed)))
        loss, value = jax.jit(lambda variables: parts.score(variables, {}, task.validation))(variables)
        say(f"the parent's validation loss is {float(loss):.4g}, its {task.metric.name} {float(value):.4g}")
        _keep(file, variables)
    return parent_of(made, variables, task.inputs(examples.inputs), file.stem)


def _folder(folder: str | os.PathLike | None) -> pathlib.Path:
    if folder is not None:
        return check.local_path("folder", folder)
    cache = os.environ.get("XDG_CACHE_HOME", pathlib.Path.home() / ".cache")
    return pathlib.Path(cache) / "jaxnas" / "parents"


def _identity(
    task: Task, examples: Batch, network: Mapping[str, Any], steps: int, seed: int, recipe: Mapping[str, Any]
) -> str:
    """Of all that the variables depend on: the first examples stand for the task's options."""
    said = {"network": dict(network), "steps": steps, "seed": seed, "recipe": recipe, "version": version.__version__}
    digest = hashlib.sha256(json.dumps(said, sort_keys=True, default=str).encode())
    for leaf in jax.tree.leaves(examples):
        digest.update(np.ascontiguousarray(leaf).tobytes())
    digest.update(str(task.train.size).encode())
    return f"{re.match('[a-z_]*', task.name)[0]}-{digest.hexdigest()[:16]}"


def _kept(file: pathlib.Path) -> dict[str, Any] | None:
    """What is there; None for nothing, or for what another process did not finish."""
    if not file.exists():
        return None
    try:
        with np.load(file, allow_pickle=False) as held:
            return traverse_util.unflatten_dict({tuple(path.split("/")): held[path] for path in held.files})
    except (OSError, ValueError, zipfile.BadZipFile):
        return None


def _keep(file: pathlib.Path, variables: Mapping[str, Any]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    flat = {"/".join(path): np.asarray(leaf) for path, leaf in traverse_util.flatten_dict(variables).items()}
    with tempfile.NamedTemporaryFile(dir=file.parent, suffix=".npz", delete=False) as unfinished:
        np.savez(unfinished, **flat)
    os.replace(unfinished.name, file)
