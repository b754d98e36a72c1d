"""One step of DARTS' search: weights and architecture."""

import statistics
import time

import jax
import numpy as np

from jaxnas import check, evaluators, networks, spaces, strategies
from jaxnas.benchmarks import side_by_side
from jaxnas.benchmarks.side_by_side import timed
from jaxnas.search import State, step


def measure(
    *,
    channels: int = 4,
    cells: int = 4,
    batch: int = 16,
    image: int = 32,
    order: str = "first",
    steps: int = 5,
    rounds: int = 3,
    autotune: int | None = None,
    peer: str | None = None,
) -> dict:
    """A search step on the relaxed DARTS supernet, its compile and memory, beside any other program.

    Args:
      channels: channels of the first cells.
      cells: cells of the network.
      batch: batch size, of weights and of architecture.
      image: height and width of the random images.
      order: of the architecture gradient: first, second or finite_difference.
      steps: search steps in a round.
      rounds: rounds of so many steps, a peer's run after each.
      autotune: XLA's level of tuning a GPU's kernels while it compiles, 0 for none; its own default unless given.
      peer: command to time beside ours, which prints `{"ms_per_search_step_median": …}`.

    Returns:
      `ms_per_search_step` (`median`, and in `rounds` the median of each), `seconds` of `initialization`, `tracing` and
      `compile`, `megabytes_of_temporaries`, `parameters`; `peer` and how many times faster than it.

    Raises:
      InputError: an option out of range, a peer that fails.
    """
    side_by_side.positive(channels=channels, cells=cells, batch=batch, image=image, steps=steps, rounds=rounds)
    if autotune is not None:
        check.integer("autotune", autotune, least=0)
    theirs = None if peer is None else side_by_side.peer_program(peer)
    random = np.random.default_rng(0)
    task = side_by_side.random_images(random, image, train=10 * batch, validation=10 * batch, test=1)
    key = jax.random.key(0)
    with side_by_side.compiled_anew():
        began = time.perf_counter()
        space = spaces.darts()
        strategy = strategies.darts(space)
        evaluator = evaluators.supernet(
            space,
            networks.Darts(channels, cells),
            task,
            steps=1000,
            order=order,
            batch_size=batch,
            learning_rate=0.025,
            nesterov=False,
            weight_decay=3e-4,
            clip_norm=5.0,
        )
        state = jax.block_until_ready(jax.jit(lambda k: State(strategy.init(k), evaluator.init(k)))(key))
        initialized = time.perf_counter()
        lowered = jax.jit(step(strategy, evaluator), donate_argnums=1).lower(key, state)
        traced = time.perf_counter()
        one = lowered.compile({} if autotune is None else {"xla_gpu_autotune_level": autotune})
        compiled = time.perf_counter()

    for i in range(2):  # the first of all has no weight step
        state, _ = one(jax.random.fold_in(key, i), state)
    jax.block_until_ready(state)

    def ours(r: int) -> float:
        nonlocal state
        took = []
        for i in range(steps):
            seconds, (state, _) = timed(one, jax.random.fold_in(key, 100 + r * steps + i), state)
            took.append(seconds * 1e3)
        return statistics.median(took)

    runs = {"ours": ours}
    if theirs is not None:
        runs["peer"] = lambda r: theirs("ms_per_search_step_median")
    took = side_by_side.alternate(rounds, runs)
    return {
        **side_by_side.compared("ms_per_search_step", took["ours"], took.get("peer", ())),
        "seconds": {
            "initialization": initialized - began,
            "tracing": traced - initialized,
            "compile": compiled - traced,
        },
        "megabytes_of_temporaries": one.memory_analysis().temp_size_in_bytes / 1e6,
        "parameters": evaluator.report()["parameters"],
    }
