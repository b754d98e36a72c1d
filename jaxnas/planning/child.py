"""A process of its own, in which programs are compiled for one target.

A plugin that compiles for absent devices changes nothing in the process that asks. What it says are lines of JSON; an
error is `{"error": sentence}`.
"""

import json
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import IO, Any

import jax

from jaxnas import machine
from jaxnas.check import InputError
from jaxnas.planning.targets import Target, targets


def answers(module: str, request: Mapping[str, Any], target: Target) -> Iterator[dict[str, Any]]:
    """What `python -m module` says to a request, line by line, in the environment of a target.

    Raises:
      InputError: what the process refuses, or what it last said where it ends otherwise.
    """
    pipe = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    command, given = [sys.executable, "-m", module], {**os.environ, **target.environment()}
    with subprocess.Popen(command, env=given, text=True, **pipe) as process:
        process.stdin.write(json.dumps({**request, "target": target.name}))
        process.stdin.close()
        errors: list[str] = []
        reader = _in_background(process.stderr, errors)
        for line in process.stdout:
            answer = json.loads(line)
            if set(answer) == {"error"}:
                raise InputError(f"target {target.name}: {answer['error']}")
            yield answer
        process.wait()
        reader.join()
    if process.returncode:
        last = next((line for line in reversed("".join(errors).splitlines()) if line.strip()), "no message")
        raise InputError(f"target {target.name}: its compiler ended with status {process.returncode}: {last[:400]}")


def _in_background(stream: IO[str], kept: list[str]) -> threading.Thread:
    """Reads a stream to its end beside the rest, so that whoever writes to it never waits."""
    thread = threading.Thread(target=lambda: kept.extend(stream), daemon=True)
    thread.start()
    return thread


def serve(work: Callable[[Mapping[str, Any], Target], None]) -> None:
    """Reads the request of `answers`, and does the work, which says what it has to `say`."""
    logging.getLogger("jax").setLevel(logging.ERROR)
    machine.configure()
    jax.config.update("jax_enable_compilation_cache", False)  # what is read from it took no seconds
    request = json.load(sys.stdin)
    (target,) = targets(request["target"])
    try:
        work(request, target)
    except InputError as error:
        say({"error": str(error)})


def say(what: Mapping[str, Any]) -> None:
    """A line to the process that asked."""
    print(json.dumps(what), flush=True)
