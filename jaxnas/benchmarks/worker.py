"""A process that measures piece after piece, and can be ended in the middle of one: a compile does not let itself be
interrupted, and memory that ran out is often not given back.

The two talk in lines of JSON: the device that there is, then an answer to each request. Whoever has a worker does not
touch the devices, of which some serve one process at a time.
"""

import contextlib
import gc
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
import traceback
from typing import IO, Any

import jax

from jaxnas.benchmarks import side_by_side
from jaxnas.benchmarks.figures import ROOT
from jaxnas.benchmarks.pieces import PIECES, commands
from jaxnas.check import InputError
from jaxnas.machine import configure, environment

SERVE = "from jaxnas.benchmarks import worker; worker.serve()"
START = 300
"""Seconds that a process may take to say which device it has."""


class Worker:
    """The process, which starts again after a piece that failed or was ended.

    Attributes:
      about: what `machine.environment` says there.
    """

    def __init__(self):
        """Starts it.

        Raises:
          InputError: it ends before it says which device it has.
        """
        self._process: subprocess.Popen | None = None
        self.about: dict[str, Any] = self._start(START)
        if "error" in self.about:
            raise InputError(f"device: {self.about['error']}; what it said is above.")

    def run(self, request: dict[str, Any], limit: float) -> dict[str, Any]:
        """`{"result": …}` of a piece, or `{"error": …}`, a line, also after `limit` seconds.

        Args:
          request: `piece`, `scale` and `peers`.
          limit: seconds, a start included.
        """
        until = time.monotonic() + limit
        if self._process is None:
            started = self._start(limit)
            if "error" in started:
                return started
        with contextlib.suppress(OSError):  # it has ended, which the answer says
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
        answer = self._answer(until - time.monotonic(), limit)
        if "error" in answer:
            self.stop()
        return answer

    def stop(self) -> None:
        """Ends it, and with it what it started."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            with contextlib.suppress(OSError):
                self._process.stdin.close()
            self._process = None

    def _start(self, limit: float) -> dict[str, Any]:
        # A program of PyTorch's beside it needs memory too.
        fixed = {"XLA_PYTHON_CLIENT_PREALLOCATE": "false", **os.environ}
        path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
        self._process = subprocess.Popen(
            [sys.executable, "-c", SERVE],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
            env={**fixed, "PYTHONPATH": path},
        )
        self._answers: queue.Queue[str] = queue.Queue()
        threading.Thread(target=_lines, args=(self._process.stdout, self._answers), daemon=True).start()
        answer = self._answer(limit, limit)
        if "error" in answer:
            self.stop()
        return answer

    def _answer(self, seconds: float, limit: float) -> dict[str, Any]:
        try:
            line = self._answers.get(timeout=max(0.0, seconds))
        except queue.Empty:
            return {"error": f"not done after {limit:.0f} s, and ended"}
        if line:
            return json.loads(line)
        status = self._process.wait()
        how = signal.Signals(-status).name if status < 0 else f"status {status}"
        return {"error": f"its process ended with {how}"}


def _lines(stream: IO[str], to: queue.Queue[str]) -> None:
    """Hands on the lines, and "" for their end."""
    for line in stream:
        to.put(line)
    to.put("")
    stream.close()


def serve() -> None:
    """What the process does: answers the requests on its standard input; ends with that, in whatever it is."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever else is printed is no answer
    requests: queue.Queue[str] = queue.Queue()
    threading.Thread(target=_watch, args=(requests,), daemon=True).start()
    configure()
    say = lambda answer: print(json.dumps(answer, default=float), file=answers, flush=True)
    say(environment())
    while True:
        answer = answer_to(json.loads(requests.get()))
        say(answer)
        jax.clear_caches()  # programs keep memory of the device
        gc.collect()


def _watch(requests: queue.Queue[str]) -> None:
    for line in sys.stdin:
        requests.put(line)
    os.killpg(os.getpid(), signal.SIGKILL)  # a peer's program too; nobody waits for them any more


def answer_to(request: dict[str, Any]) -> dict[str, Any]:
    """Measures one piece: see `Worker.run`."""
    piece = next(piece for piece in PIECES if piece.name == request["piece"])
    try:
        with side_by_side.compiled_anew():
            return {"result": piece.measure(commands(request["peers"]), **piece.options[request["scale"]])}
    except Exception as error:  # of whatever kind, the other pieces can be measured
        traceback.print_exc()
        first = (str(error).strip() or "no message").splitlines()[0]
        return {"error": f"{type(error).__name__}: {first}"}
