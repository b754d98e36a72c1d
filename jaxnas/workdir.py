"""What a run leaves behind: config, history and checkpoints, consistent after a kill at any moment."""

import base64
import contextlib
import json
import os
import pathlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxnas import check, processes
from jaxnas.check import InputError
from jaxnas.checkpoint import checkpoints
from jaxnas.loop.history import History
from jaxnas.loop.history_file import FAREWELL, HistoryFile, packed, unpacked
from jaxnas.types import Space


class Workdir:
    """The files of one run, or none at all where `path` is None.

    Of several processes the first has them, and what it reads all know (see `jaxnas.processes`).

    Attributes:
      history: every recorded evaluation up to now.
      note: what was saved beside the arrays of the last checkpoint, or None for a new run.
    """

    def __init__(self, path: str | os.PathLike | None, space: Space, config: dict, settings: dict | None = None):
        """Opens or creates the run, of which `config` and `settings` are as in `claim`.

        Raises:
          InputError: the directory holds a run of another config, or cannot be written.
          CheckpointError: its files are damaged.
        """
        self.path = None if path is None else check.local_path("workdir", path).absolute()
        self.history = History(space)
        self.note: dict | None = None
        self._has_files = self.path is not None and processes.is_first()
        if self.path is not None:
            self.note, told = processes.from_first(lambda: self._open(config, settings))
            if not self._has_files:
                self.history = History(space, unpacked(base64.b64decode(told)))

    def _open(self, config: dict, settings: dict | None) -> tuple[dict | None, str]:
        claim(self.path, config, settings)
        with writing(self.path):
            self._checkpoints = checkpoints(self.path / "checkpoints")
            step = self._checkpoints.latest()
            note = None if step is None else self._checkpoints.note(step)
            self._file = HistoryFile(self.path, self.history, note["history"] if note else 0)
            self._metrics = (self.path / "metrics.jsonl").open("a")
        blocks = self.history.since(0) if jax.process_count() > 1 else []  # for the others
        return note, base64.b64encode(packed(blocks)).decode()

    def append(self, rows: np.ndarray) -> None:
        """Records evaluations, rows as `rows.rows_of` makes them."""
        self.history.append(rows)
        if self._has_files and len(rows):
            self._file.append(rows)

    def measure(self, metrics: list[dict[str, Any]]) -> None:
        """Appends lines to `metrics.jsonl`, which only ever grows: rounds done again after a kill are there twice."""
        if self._has_files:
            with writing(self.path):
                self._metrics.writelines(json.dumps(line) + "\n" for line in metrics)
                self._metrics.flush()
                self._file.follow()

    def catch_up(self) -> bool:
        """Writes some lines of the history that are behind; whether more are."""
        if not self._has_files:
            return False
        with writing(self.path):
            return self._file.catch_up()

    def save(self, step: int, state: Any, history: int, **note) -> None:
        """Saves a checkpoint after `step` rounds, of which the history has `history` evaluations.

        Its files are written in the background; `close` waits for them.
        """
        if not self._has_files or self._checkpoints.latest() == step:
            return
        with writing(self.path):
            self._file.save(history)
            self._checkpoints.save(step, state, {"round": step, "history": history, **note})

    def restore(self, like: Any) -> Any:
        """The saved state, with the structure of `like`."""
        state = processes.arrays_from_first(lambda: self._checkpoints.restore(self.note["round"], like), like)
        return jax.tree.map(jnp.asarray, state)

    def flush(self) -> None:
        """Waits until what was saved is on the disk, and lets lines of the history catch up for a moment."""
        if self._has_files:
            with writing(self.path):
                self._checkpoints.wait()
                self._file.finish(FAREWELL)

    def finish(self) -> None:
        """Completes the files of a search that has ended."""
        if self._has_files:
            with writing(self.path):
                self._checkpoints.wait()
                self._file.finish()

    def close(self) -> None:
        """Waits until what was saved is on the disk."""
        if self._has_files:
            with writing(self.path):
                self._checkpoints.wait()
            self._file.close()
            with contextlib.suppress(OSError):
                self._metrics.close()


def claim(path: pathlib.Path, config: dict, settings: dict | None = None) -> None:
    """Makes the directory that of a run of `config` (JSON), or finds that it is.

    `config.json` also keeps `settings` (JSON), which do not make it another run: those of the last call.

    Raises:
      InputError: it holds a run of another config, or cannot be written.
    """
    config, settings = json.loads(json.dumps(config)), json.loads(json.dumps(settings or {}))
    file = path / "config.json"
    with writing(path):
        path.mkdir(parents=True, exist_ok=True)
        saved = read_config(file) if file.exists() else None
        if saved is not None:
            same = lambda whole: {key: value for key, value in whole.items() if key not in settings}
            differences = list(_differences(same(saved), same(config)))
            if differences:
                raise InputError(
                    f"workdir: {path} holds a run of another config; nothing was changed.\n  "
                    + "\n  ".join(differences)
                    + "\nGive another workdir, or the same config to resume."
                )
        whole = config | {key: value for key, value in settings.items() if value is not None}
        if saved != whole:
            write(file, json.dumps(whole, indent=2))


def read_config(file: pathlib.Path) -> dict:
    """What a `config.json` holds; raises `InputError` where that is no JSON object."""
    try:
        saved = json.loads(file.read_text())
    except ValueError as error:  # not JSON, or not text
        raise InputError(f"workdir: {file} is not valid JSON ({error}); nothing was changed.") from None
    if not isinstance(saved, dict):
        raise InputError(f"workdir: {file} is no config of a run; nothing was changed.")
    return saved


@contextlib.contextmanager
def writing(path: pathlib.Path):
    """Within, a failure to write to the workdir is an `InputError` that says how to go on."""
    try:
        yield
    except OSError as error:
        raise InputError(
            f"workdir: {path} cannot be written ({error}). What was saved before is intact; with the cause removed, "
            "the same command resumes."
        ) from error


def write(file: pathlib.Path, text: str) -> None:
    """Writes a file whole or not at all."""
    partial = file.with_name(file.name + ".partial")
    partial.write_text(text)
    partial.replace(file)


def _differences(saved: Any, given: Any, path: str = ""):
    if isinstance(saved, dict) and isinstance(given, dict):
        for key in sorted(saved.keys() | given.keys()):
            yield from _differences(saved.get(key), given.get(key), f"{path}.{key}" if path else key)
    elif saved != given:
        yield f"{path}: {saved!r} there, {given!r} given"
