"""What all programs share: the flags `--config` and `--workdir`, and how they end."""

import contextlib
import datetime
import pathlib
import re
import shlex
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import jax
from absl import app, flags
from ml_collections import ConfigDict

from jaxnas import check, configure, processes
from jaxnas.analysis.retraining import searched_config
from jaxnas.analysis.text import relative
from jaxnas.check import InputError
from jaxnas.config.files import change, read
from jaxnas.config.keys import KEYS
from jaxnas.config.registry import arguments_of, entry

_changes: list[tuple[str, str]] = []
"""`--config.KEY=VALUE` as given, in order."""
_takes_config = False


def name(program: str = "") -> str:
    """The program that runs, or another, as the user calls it: `jaxnas search`, or in a checkout `launch.search`."""
    program = program or pathlib.Path(sys.argv[0]).stem
    return f"launch.{program}" if __package__ == "launch" else f"jaxnas {program}"


def line(program: str = "") -> str:
    """The command that starts it, or another program."""
    called = name(program)
    return called if called.startswith("jaxnas ") else f"python -m {called}"


def run(main: Callable[[], Any], *, positional: bool = False, peers: Callable[[], Any] | None = None) -> None:
    """Runs a program whose flags are defined: parses them, prepares JAX, and ends with a sentence where it must.

    Args:
      main: the program; takes what is no flag where it is `positional`.
      positional: whether it does.
      peers: reads how the processes of several find each other, see `define_processes`.
    """

    def begin(argv: list[str]) -> None:
        if len(argv) > 1 and not positional:
            sys.exit(f"{name()}: unexpected arguments {argv[1:]}; options are given as --NAME=VALUE.")
        try:
            configure()
            if peers is not None:
                processes.connect(peers())
        except InputError as error:
            sys.exit(f"{name()}: {error}")
        with _ending():
            main(*([argv[1:]] if positional else []))

    app.run(begin, flags_parser=_parse)


def _parse(argv: list[str]) -> list[str]:
    """Parses flags, but for `--config.KEY=VALUE`, which `define_config` reads."""
    _changes.clear()
    rest, arguments = [], iter(argv)
    for argument in arguments:
        if argument == "--":
            rest += [argument, *arguments]
            break
        found = re.fullmatch(r"--?config\.([^=]+)(?:=(.*))?", argument, re.DOTALL)
        if found is None:
            rest.append(argument)
        else:
            _changes.append((found[1], next(arguments, "") if found[2] is None else found[2]))
    if _changes and not _takes_config:
        sys.exit(f"{name()}: --config.{_changes[0][0]}: this program has no config; of another it goes behind `--`.")
    try:
        return flags.FLAGS(rest)
    except flags.Error as error:
        sys.exit(f"{name()}: {error}")


@contextlib.contextmanager
def _ending() -> Iterator[None]:
    """Within, what is wrong ends the program with a message, and with it those of the other processes."""
    try:
        yield
    except InputError as error:
        processes.end(f"{name()}: {error}")
    except KeyboardInterrupt:
        folder = [f"--workdir={relative(_workdir)}"] if _workdir is not None else []
        given = shlex.join([*_without_workdir(sys.argv[1:]), *folder])
        sys.exit(f"\nInterrupted; what was saved is kept. Resume with:\n  {line()} {given}")
    except Exception as error:
        if jax.process_count() == 1:
            raise
        if isinstance(error, jax.errors.JaxRuntimeError):  # most likely a collective whose other end is gone
            reason = str(error).splitlines()[0]
            processes.end(f"{name()}: lost another process ({reason}); the same command on all resumes.")
        traceback.print_exc()
        processes.end(f"{name()}: process {jax.process_index()} failed ({error!r}).")


def _without_workdir(arguments: Iterable[str]) -> Iterator[str]:
    """All but `--workdir=DIR`, or `--workdir DIR`."""
    arguments = iter(arguments)
    for argument in arguments:
        if argument in ("--workdir", "-workdir"):
            next(arguments, None)
        elif not re.match("--?workdir=", argument):
            yield argument


def define_config(default: str | None, program: str = "") -> Callable[..., dict[str, Any]]:
    """The flag `--config`; what is returned reads it, with `--config.KEY=VALUE` in it.

    Args:
      default: name of the config without the flag; None for that of the search in the workdir, handed to the reader.
      program: whose arguments the config's keys are, of a function of `jaxnas.analysis`; else they are a search's.
    """
    global _takes_config
    _takes_config = True
    about = "A shipped config (darts:small) or a file (mine.py:small); --config.KEY=VALUE changes any argument."
    flag = flags.DEFINE_string("config", default, about)
    known = arguments_of(entry("program", program)) if program else KEYS

    def value(workdir: pathlib.Path | None = None) -> dict[str, Any]:
        config = read(flag.value) if flag.value else ConfigDict(searched_config(workdir))
        for key, text in _changes:
            change(config, key, text, known)
        return config.to_dict()

    value.flag = flag
    return value


_workdir: pathlib.Path | None = None


def define_workdir(prefix: str | Callable[[], str] = "", about: str = "") -> Callable[[], pathlib.Path]:
    """The flag `--workdir`; what is returned reads it, by default `runs/PREFIX-DATE`. Without a prefix required."""
    about = about or f"Folder of the run{'; by default runs/NAME-DATE-TIME' if prefix else ''}."
    flag = flags.DEFINE_string("workdir", None, about, required=not prefix)

    def value() -> pathlib.Path:
        global _workdir
        stem = prefix() if callable(prefix) else prefix
        default = f"runs/{stem}-{datetime.datetime.now():%Y%m%d-%H%M%S}"
        _workdir = check.local_path("workdir", flag.value or default)
        return _workdir

    return value


def define_processes() -> Callable[[], processes.Peers]:
    """Flags of a program that several processes can run together; what is returned reads them."""
    given = (
        flags.DEFINE_bool("multihost", False, "Run with other processes that are started with the same flags."),
        flags.DEFINE_string("coordinator", None, "HOST:PORT of process 0. Cloud TPU, Slurm and MPI say it themselves."),
        flags.DEFINE_integer("process_count", None, "How many processes, with --coordinator.", lower_bound=1),
        flags.DEFINE_integer("process_index", None, "Which of them this is, with --coordinator.", lower_bound=0),
        flags.DEFINE_integer("connect_seconds", 300, "How long to wait for the other processes.", lower_bound=1),
    )
    return lambda: processes.Peers(*(flag.value for flag in given))
