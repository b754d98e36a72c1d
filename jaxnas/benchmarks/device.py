"""What the device can do, in bounded time: the other benchmarks at telling sizes, one piece after another.

    jaxnas benchmark --what=device --minutes=8 --peers=DIR
    jaxnas benchmark --what=device --scale=small            # tried on a CPU: minutes, and figures that say nothing

measures on whatever device JAX has, most telling first: training of a population at digits size, all of NAS-Bench-201
by `synflow`, a search on a table with 100,000 seeds, `grad_norm`, a search step of DARTS, NEAT with 100,000 members,
training at full size, a latency table with held-out networks, DARTS of second order, the other proxies.

Each figure is in `benchmarks/device-KIND.json` (`device-nvidia-h200.json`) as soon as it is there, with its seconds. A
piece that fails, out of memory say, has its error instead; one that takes twice as long as expected is ended, unless
there is time for it; one that would not fit into the time left is skipped. The same command resumes, with other
`--minutes` and `--only` too: what has its figure is not measured again, and what failed is tried last. Figures of
another commit, version, device or scale are refused: `--output=FILE` names another file, `--overwrite` begins again.

DIR has PyTorch's programs, torch_nb201.py and torch_darts.py, which are started with `--device=cuda` and the sizes of
the piece. Instead of a folder, commands that start them will do, with another Python say:
`--peers='/opt/torch/bin/python torch_nb201.py,/opt/torch/bin/python torch_darts.py'`. Where one is absent or fails, the
figure says why. JAX then does not take the device's memory beforehand, unless `XLA_PYTHON_CLIENT_PREALLOCATE` says so.
"""

import pathlib
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from jaxnas import check
from jaxnas.benchmarks import figures
from jaxnas.benchmarks.pieces import PIECES, SCALES, Piece, commands
from jaxnas.benchmarks.worker import Worker

PATIENCE = 2
"""A piece may take so many times the seconds that were expected, or longer where that leaves all others theirs."""


def measure(
    *, minutes: float = 8.0, scale: str = "full", peers: Sequence[str] = (), only: Sequence[str] = ()
) -> dict[str, dict]:
    """Pieces of the other benchmarks, as many as the time allows, in a process of their own; see `PIECES`.

    Args:
      minutes: in which all is done; a piece that is expected to take longer than what is left is skipped.
      scale: full, of a GPU's size, or small, to try it on a CPU.
      peers: folders with the programs torch_nb201.py and torch_darts.py, or commands that start them, to time beside
        ours: they take `--device`, `--what` and sizes, and print `{"ms_per_architecture": {"train": …}}`, of a proxy by
        its name, and `{"ms_per_search_step_median": …}`.
      only: pieces by name; all by default.

    Returns:
      By piece `seconds` it took and `result`, what its benchmark returns with `peer` and `times_faster`, or the reason
      why a peer is `absent`; or else its `error`, a line, or `skipped`, why.

    Raises:
      InputError: an option out of range, an unknown piece, a peer that is none, no device.
    """
    deadline, chosen = _checked(minutes, scale, peers, only)
    worker = Worker()
    try:
        return dict(in_turn(chosen, scale, {}, deadline, _asks(worker, scale, peers)))
    finally:
        worker.stop()


def kept(
    output: str | pathlib.Path | None,
    command: str,
    *,
    overwrite: bool = False,
    say: Callable[[str], None] = print,
    minutes: float = 8.0,
    scale: str = "full",
    peers: Sequence[str] = (),
    only: Sequence[str] = (),
) -> dict[str, Any]:
    """As `measure`, into a file of figures after each piece; goes on with those that the file has.

    Args:
      output: the file; `benchmarks/device-KIND.json` by default.
      command: that began it.
      overwrite: measure all again, whatever the file holds.
      say: is told of each piece.
      minutes, scale, peers, only: as in `measure`.

    Returns:
      What the file holds.

    Raises:
      InputError: as `measure`; a file of other options, another commit, version or device, or that cannot be written.
    """
    deadline, chosen = _checked(minutes, scale, peers, only)
    worker = Worker()
    try:
        file = check.local_path("output", output or f"benchmarks/device-{slug(worker.about['device']['kind'])}.json")
        options = {"scale": scale, "peers": list(peers)}  # the others change no figure
        record = figures.claim(file, "device", options, command, overwrite=overwrite, about=worker.about)
        found = {} if overwrite else figures.earlier(file, record)
        record["figures"] = found
        for name, figure in in_turn(chosen, scale, found, deadline, _asks(worker, scale, peers)):
            found[name] = figure
            figures.save(file, record)
            say(f"{name}: {_said(figure)}")
        return record
    finally:
        worker.stop()


def in_turn(
    pieces: Sequence[Piece],
    scale: str,
    found: Mapping[str, dict],
    deadline: float,
    run: Callable[[str, float], dict],
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[tuple[str, dict]]:
    """`(name, figure)` of each piece, as it comes.

    Args:
      pieces: which, in order; those that failed before come last.
      scale: says how long each is expected to take.
      found: figures by piece; those with a `result` are not measured again.
      deadline: in seconds of the clock.
      run: `(name, limit in seconds) -> {"result": …} or {"error": …}`.
      clock: seconds.
    """
    missing = [piece for piece in pieces if "result" not in found.get(piece.name, {})]
    missing.sort(key=lambda piece: "error" in found.get(piece.name, {}))
    for i, piece in enumerate(missing):
        expected, began = piece.seconds[scale], clock()
        left, others = deadline - began, sum(later.seconds[scale] for later in missing[i + 1 :])
        if expected > left:
            reason = f"expected to take {expected:.0f} s, and {max(0.0, left):.0f} s were left"
            yield piece.name, {**found.get(piece.name, {}), "skipped": reason}
            continue
        answer = run(piece.name, min(left, max(PATIENCE * expected, left - others)))
        yield piece.name, {"seconds": clock() - began, **answer}


def slug(kind: str) -> str:
    """A device's kind as part of a file's name: "NVIDIA H200" is nvidia-h200."""
    return re.sub("[^a-z0-9]+", "-", kind.lower()).strip("-")


def _checked(minutes: float, scale: str, peers: Sequence[str], only: Sequence[str]) -> tuple[float, list[Piece]]:
    """When it must be done, and the pieces."""
    check.real("minutes", minutes, least=0)
    check.one_of("scale", scale, SCALES)
    for name in check.sequence("only", only):
        check.one_of("only", name, [piece.name for piece in PIECES])
    commands(check.sequence("peers", peers, of=str))
    return time.monotonic() + 60 * minutes, [piece for piece in PIECES if not only or piece.name in only]


def _asks(worker: Worker, scale: str, peers: Sequence[str]) -> Callable[[str, float], dict]:
    return lambda name, limit: worker.run({"piece": name, "scale": scale, "peers": list(peers)}, limit)


def _said(figure: dict) -> str:
    if "skipped" in figure:
        return f"skipped, {figure['skipped']}"
    faster = figure.get("result", {}).get("times_faster")
    beside = "" if faster is None else f", {faster:.3g} times faster than its peer"
    return f"{figure['seconds']:.1f} s{beside or (': ' + figure['error'] if 'error' in figure else '')}"
