"""Checkpoints through Orbax, strict about structure: what is restored is what was saved, or a clear error."""

import hashlib
import json
import pathlib
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxnas.check import InputError


class CheckpointError(InputError):
    """A checkpoint that is damaged, or of another run."""


class Checkpoints(NamedTuple):
    """Saves and restores `(state, note)`: a pytree of arrays, and a small JSON dict.

    Attributes:
      save: `(step, state, note)`; atomic, keeps the last two. Files are written in the background.
      wait: `()`, until all is written.
      latest: `() -> step or None`.
      note: `step -> note`.
      restore: `(step, like) -> state` with the structure of `like`, NumPy arrays; raises `CheckpointError`.
    """

    save: Any
    wait: Any
    latest: Any
    note: Any
    restore: Any


def checkpoints(directory: str | pathlib.Path) -> Checkpoints:
    """Checkpoints of one run under `directory`, one folder for each step."""
    import orbax.checkpoint as ocp  # slow to import, and a search without a workdir does not need it

    directory = pathlib.Path(directory).absolute()
    directory.mkdir(parents=True, exist_ok=True)
    alone = ocp.options.MultiprocessingOptions()
    if jax.process_count() > 1:  # this one has the files and asks nobody
        index = jax.process_index()
        alone = ocp.options.MultiprocessingOptions(primary_host=index, active_processes={index})
    manager = ocp.CheckpointManager(
        directory,
        options=ocp.CheckpointManagerOptions(max_to_keep=2, create=False, multiprocessing_options=alone),
        item_names=("arrays", "note"),
    )

    def save(step: int, state: Any, note: dict) -> None:
        arrays = _flat(state)
        stored = {name: a for name, a in arrays.items() if a.size}  # Orbax saves no empty arrays
        note = {"note": note, "arrays": _layout(arrays), "sha256": _digest(arrays)}
        manager.save(step, args=ocp.args.Composite(arrays=ocp.args.StandardSave(stored), note=ocp.args.JsonSave(note)))

    def read(step: int, item: str, args) -> Any:
        try:
            return manager.restore(step, args=ocp.args.Composite(**{item: args}))[item]
        except Exception as error:  # Orbax and tensorstore raise whatever the file system or decoder does
            raise damaged(step, error) from error

    def damaged(step: int, why: object) -> CheckpointError:
        older = [s for s in manager.all_steps() if s < step]
        advice = f"resume from round {max(older)}" if older else "start again"
        return CheckpointError(
            f"checkpoint {directory / str(step)} is damaged: {str(why).splitlines()[0][:200]}\n"
            f"Nothing was changed. Delete that directory to {advice}."
        )

    def note(step: int) -> dict:
        return read(step, "note", ocp.args.JsonRestore())["note"]

    def restore(step: int, like: Any) -> Any:
        template = _flat(like)
        saved, expected = read(step, "note", ocp.args.JsonRestore()), _layout(template)
        for path in sorted(saved["arrays"].keys() | expected.keys()):
            if saved["arrays"].get(path) != expected.get(path):
                raise CheckpointError(
                    f"checkpoint {directory / str(step)} is of another run: {path} is "
                    f"{saved['arrays'].get(path, 'absent')} there, expected {expected.get(path, 'nothing')}."
                )
        arrays = {name: a for name, a in template.items() if not a.size}
        stored = {name: a for name, a in template.items() if a.size}
        arrays |= read(step, "arrays", ocp.args.StandardRestore(stored)) if stored else {}
        if _digest(arrays) != saved["sha256"]:
            raise damaged(step, "its arrays do not match their checksum.")
        leaves, treedef = jax.tree_util.tree_flatten_with_path(like)
        return jax.tree.unflatten(treedef, [arrays[_name(path)] for path, _ in leaves])

    return Checkpoints(save, manager.wait_until_finished, manager.latest_step, note, restore)


def _name(path) -> str:
    return jax.tree_util.keystr(path)


def _flat(tree: Any) -> dict[str, np.ndarray]:
    arrays = {}
    for path, leaf in jax.tree_util.tree_flatten_with_path(tree)[0]:
        if jax.dtypes.issubdtype(getattr(leaf, "dtype", np.float32), jax.dtypes.prng_key):
            raise InputError(f"state{_name(path)}: typed keys cannot be saved; keep jax.random.key_data of it.")
        arrays[_name(path)] = np.asarray(leaf)
    return arrays


def _layout(arrays: dict[str, np.ndarray]) -> dict[str, str]:
    return {name: f"{a.dtype}{json.dumps(a.shape)}" for name, a in arrays.items()}


def _digest(arrays: dict[str, np.ndarray]) -> str:
    digest = hashlib.sha256()
    for name in sorted(arrays):
        digest.update(name.encode() + np.ascontiguousarray(arrays[name]).tobytes())
    return digest.hexdigest()
