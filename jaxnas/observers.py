"""Watching a search: TensorBoard, and a trace of some rounds."""

import contextlib
import pathlib

import jax

from jaxnas import processes
from jaxnas.check import InputError


@contextlib.contextmanager
def watching(workdir: pathlib.Path, *, tensorboard: bool, profile: int):
    """Within, what a search is to call after each round; None where there is nothing to do.

    Args:
      workdir: gets `tensorboard/` and `profile/`.
      tensorboard: write each round's metrics as scalars.
      profile: rounds to trace, after the first, which compiles.

    Raises:
      InputError: TensorBoard is not installed.
    """
    with contextlib.ExitStack() as stack:
        watchers = []
        if tensorboard and processes.is_first():
            watchers.append(stack.enter_context(_scalars(workdir / "tensorboard")))
        if profile and processes.is_first():
            watchers.append(stack.enter_context(_traced(workdir / "profile", profile)))
        yield (lambda metrics: [watch(metrics) for watch in watchers]) if watchers else None


@contextlib.contextmanager
def _scalars(directory: pathlib.Path):
    try:
        from tensorboard.summary import Writer
    except ImportError:
        raise InputError("tensorboard: not installed; pip install tensorboard") from None
    writer = Writer(str(directory))

    def write(metrics: dict) -> None:
        scalars = {f"search/{name}": metrics[name] for name in ("best", "fitness", "evaluations", "invalid")}
        scalars |= {f"seconds/{name}": value for name, value in metrics["seconds"].items()}
        for name, value in scalars.items():
            if value is not None:
                writer.add_scalar(name, value, metrics["round"])
        writer.flush()

    try:
        yield write
    finally:
        writer.close()


@contextlib.contextmanager
def _traced(directory: pathlib.Path, rounds: int):
    seen, tracing = 0, False

    def stop() -> None:
        nonlocal tracing
        if tracing:
            jax.profiler.stop_trace()
            print(f"\na trace of {min(seen - 1, rounds)} rounds is in {directory}")
            tracing = False

    def watch(metrics: dict) -> None:
        nonlocal seen, tracing
        seen += 1
        if seen == 1:
            jax.profiler.start_trace(str(directory))
            tracing = True
        elif seen == rounds + 1:
            stop()

    try:
        yield watch
    finally:
        stop()
