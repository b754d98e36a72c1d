"""Files of figures: what was measured, with which options, by which command, of which commit, on what and when."""

import datetime
import json
import pathlib
import subprocess
from collections.abc import Mapping
from typing import Any

import jaxnas
from jaxnas.check import InputError
from jaxnas.machine import environment
from jaxnas.workdir import write

ROOT = pathlib.Path(jaxnas.__file__).parents[1]


def claim(
    file: pathlib.Path,
    what: str,
    options: Mapping[str, Any],
    command: str,
    *,
    overwrite: bool = False,
    about: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """What the file is to say of figures that are yet to be measured; makes its folder.

    Args:
      file: must hold nothing, or figures of the same benchmark and options, unless `overwrite`.
      what: the benchmark.
      options: all of them, defaults too (JSON).
      command: that began it.
      overwrite: replace a file whatever it holds.
      about: the machine, as `environment` says it; this process's by default, which takes its devices.

    Raises:
      InputError: the file holds something else, of which the differences are named; or its folder cannot be made.
    """
    options = json.loads(json.dumps(dict(options)))
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        if file.exists() and not overwrite:
            _check_same(file, {"what": what, **options})
    except OSError as error:
        raise _unwritable(file, error) from error
    date = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    about = environment() if about is None else about
    return {"what": what, "command": command, "commit": commit(), "date": date, **about, "options": options}


def earlier(file: pathlib.Path, record: Mapping[str, Any]) -> dict[str, Any]:
    """Figures that a file of the same options has already, none where there is no file.

    Args:
      file: that `claim` was asked for.
      record: what it returned.

    Raises:
      InputError: the figures there are of another commit, version or device, which figures of one file do not mix.
    """
    if not file.exists():
        return {}
    saved = json.loads(file.read_text())
    mixed = ("commit", "versions", "device", "traced_for")
    _refuse(file, "from elsewhere", {n: saved.get(n) for n in mixed}, {n: record.get(n) for n in mixed})
    return saved.get("figures", {})


def save(file: pathlib.Path, record: Mapping[str, Any]) -> None:
    """Writes what `claim` said and the figures, whole or not at all; raises `InputError` where that fails."""
    try:
        write(file, json.dumps(record, indent=2) + "\n")
    except OSError as error:
        raise _unwritable(file, error) from error


def commit(root: pathlib.Path = ROOT) -> dict[str, Any] | None:
    """The checkout's `hash`, and whether its tree was `clean`, figures aside; None where it is no checkout."""
    if not (root / ".git").exists():  # of an installed library, git would find the user's own repository
        return None
    git = lambda *words: subprocess.run(["git", *words], cwd=root, capture_output=True, text=True, check=True).stdout
    try:
        changed = git("status", "--porcelain", "--", ".", ":!benchmarks", ":!docs/results")
        return {"hash": git("rev-parse", "HEAD").strip(), "clean": not changed}
    except (OSError, subprocess.CalledProcessError):
        return None


def _unwritable(file: pathlib.Path, error: OSError) -> InputError:
    return InputError(f"output: {file} cannot be written ({error}).")


def _check_same(file: pathlib.Path, given: dict[str, Any]) -> None:
    try:
        saved = json.loads(file.read_text())
        there = {"what": saved["what"], **saved["options"]}
    except (ValueError, LookupError, TypeError):
        raise InputError(f"output: {file} holds no figures; nothing was run. Give another, or --overwrite.") from None
    _refuse(file, "of other options", there, given)


def _refuse(file: pathlib.Path, which: str, there: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    """Raises `InputError` that names the differences, if any."""
    differences = [
        f"{name}: {there.get(name)!r} there, {given.get(name)!r} given"
        for name in sorted(there.keys() | given.keys())
        if there.get(name) != given.get(name)
    ]
    if differences:
        raise InputError(
            f"output: {file} holds figures {which}; nothing was run.\n  "
            + "\n  ".join(differences)
            + "\nGive another file with --output, or replace it with --overwrite."
        )
