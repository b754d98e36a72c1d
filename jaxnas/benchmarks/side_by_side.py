"""What is timed, and beside what: the same random images, rounds that alternate since machines drift, their medians."""

import contextlib
import json
import shlex
import shutil
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jax.experimental.compilation_cache import compilation_cache
from tqdm import tqdm

from jaxnas import check, tasks
from jaxnas.check import InputError
from jaxnas.types import Space


def positive(**options: int) -> None:
    """Raises `InputError` for an option that is no integer of at least 1."""
    for name, value in options.items():
        check.integer(name, value, least=1)


def random_images(random: np.random.Generator, image: int, **sizes: int) -> tasks.Task:
    """A task of 10 classes and `image` x `image` pixels in 3 channels, all random; `sizes` are those of its splits."""
    splits = {
        split: (random.normal(size=(n, image, image, 3)).astype("float32"), random.integers(0, 10, n))
        for split, n in sizes.items()
    }
    return tasks.arrays(splits, outputs=10)


def random_architectures(random: np.random.Generator, space: Space, architectures: int, rounds: int) -> np.ndarray:
    """`[rounds, P]` indices of distinct genomes, as many as go evenly into the rounds.

    Raises:
      InputError: fewer architectures than rounds, or more than the space has.
    """
    check.integer("architectures", architectures, least=rounds, most=space.size, because="one a round, all distinct")
    P = architectures // rounds
    return random.permutation(space.size)[: rounds * P].reshape(rounds, P)


@contextlib.contextmanager
def compiled_anew() -> Iterator[None]:
    """Within, no program is read from JAX's compilation cache: compiles are part of what is measured."""
    option = "jax_enable_compilation_cache"
    before = getattr(jax.config, option)
    try:
        jax.config.update(option, False)
        compilation_cache.reset_cache()  # whether there is one is asked once
        yield
    finally:
        jax.config.update(option, before)
        compilation_cache.reset_cache()


def timed(fn: Callable, *args) -> tuple[float, Any]:
    """Seconds until what `fn` returns is there, and what it returns."""
    begin = time.perf_counter()
    out = jax.block_until_ready(fn(*args))
    return time.perf_counter() - begin, out


def alternate(rounds: int, runs: Mapping[str, Callable[[int], Any]]) -> dict[str, list]:
    """name -> `[rounds]`, what each of `runs` returns for the round's number; each has its turn in every round."""
    returned = {name: [] for name in runs}
    for i in tqdm(range(rounds), desc="rounds", leave=False, disable=None):  # none where nobody looks on
        for name, run in runs.items():
            returned[name].append(run(i))
    return returned


def peer_program(command: str) -> Callable[..., Any]:
    """`(*keys) -> value`, which runs another program and reads, out of the JSON it prints, what is under the keys.

    Raises:
      InputError: no such program; and, when it is run, one that fails or prints something else.
    """
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise InputError(f"peer: {command!r} is no command ({error}).") from None
    if not words or shutil.which(words[0]) is None:
        raise InputError(f"peer: expected a command, found no program {words[0] if words else ''!r}.")

    def run(*keys: str) -> Any:
        done = subprocess.run(words, capture_output=True, text=True)
        if done.returncode:
            last = done.stderr.strip().splitlines()[-1:] or ["it says nothing"]
            raise InputError(f"peer: {command!r} ended with status {done.returncode}: {last[0]}")
        try:
            value = json.loads(done.stdout)
            for key in keys:
                value = value[key]
        except (ValueError, LookupError, TypeError):
            wanted = " of ".join(map(repr, reversed(keys)))
            raise InputError(
                f"peer: expected JSON with {wanted}; {command!r} printed {done.stdout[-300:]!r}."
            ) from None
        return value

    return run


def summary(rounds: Sequence[float]) -> dict[str, Any]:
    """Their median, and they themselves."""
    return {"median": statistics.median(rounds), "rounds": list(rounds)}


def ratio(several: Sequence[float], others: Sequence[float]) -> float:
    """The median over the rounds of the one divided by the other."""
    return statistics.median(a / b for a, b in zip(several, others, strict=True))


def compared(unit: str, ours: Sequence[float], peer: Sequence[float] = ()) -> dict[str, Any]:
    """Our summary under the name `unit`; with a peer's rounds, theirs under `peer`, and `times_faster`."""
    figures = {unit: summary(ours)}
    if peer:
        figures |= {"peer": {unit: summary(peer)}, "times_faster": ratio(peer, ours)}
    return figures


def with_compile(ours: float, seconds: float, peer: float | None = None) -> dict[str, float]:
    """Milliseconds an architecture with the seconds before the first spread over 1,000, and that beside a peer's."""
    each = ours + seconds  # seconds over a thousand are milliseconds each
    figures = {"ms_per_architecture_with_compile_over_1000": each}
    return figures if peer is None else {**figures, "times_faster_with_compile_over_1000": peer / each}
