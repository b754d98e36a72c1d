"""Images a second, from the device's memory and streamed from the host."""

from collections.abc import Callable

import jax
import numpy as np

from jaxnas import networks, spaces, tasks, training
from jaxnas.benchmarks import side_by_side
from jaxnas.benchmarks.side_by_side import timed

RESIDUAL = "|nor_conv_3x3~0|+|none~0|nor_conv_3x3~1|+|skip_connect~0|none~1|none~2|"


def measure(
    *,
    task: Callable[[bool], tasks.Task] | None = None,
    batch: int = 128,
    channels: int = 16,
    steps: int = 40,
    rounds: int = 5,
) -> dict:
    """Batches alone, prepared and augmented, and training on them: of one residual cell of NAS-Bench-201.

    Args:
      task: of images, by whether they stream (a flag names it by a dict of its name and arguments); 20,000 random ones
        of 32x32 pixels unless given.
      batch: batch size.
      channels: channels of the network.
      steps: batches in a round.
      rounds: rounds, in which the two alternate.

    Returns:
      `images_per_second` of `batches` and of `training`, each of `device` and `stream` (`median`, `rounds`), and
      `of_device`, the part of the device's that streaming reaches.

    Raises:
      InputError: an option out of range.
    """
    side_by_side.positive(batch=batch, channels=channels, steps=steps, rounds=rounds)
    whole = {where: _programs((task or _random)(where == "stream"), batch, channels) for where in ("device", "stream")}
    key = jax.random.key(0)
    runs = {
        (what, where): lambda i, run=run: steps * batch / timed(run, key, steps)[0]
        for where, programs in whole.items()
        for what, run in programs.items()
    }
    for run in runs.values():
        run(0)  # compiles
    rates = side_by_side.alternate(rounds, runs)
    figures = {"images_per_second": {}, "of_device": {}}
    for what in ("batches", "training"):
        by_where = {where: rates[what, where] for where in whole}
        figures["images_per_second"][what] = {where: side_by_side.summary(r) for where, r in by_where.items()}
        figures["of_device"][what] = side_by_side.ratio(by_where["stream"], by_where["device"])
    return figures


def _random(stream: bool) -> tasks.Task:
    random = np.random.default_rng(0)
    splits = [(random.integers(0, 256, (n, 32, 32, 3), np.uint8), random.integers(0, 10, n)) for n in (20_000, 100)]
    return tasks.classification("random", *splits, where="random images", stream=stream)


def _programs(task: tasks.Task, batch: int, channels: int) -> dict[str, Callable]:
    """what -> `(key, steps) -> `, one program each."""
    space = spaces.nasbench201()
    decisions = space.unpack(np.asarray(space.from_string(RESIDUAL)))
    network = networks.NasBench201(channels, 1, task.outputs)
    parts = training.trainer(network, task, training.Recipe(batch_size=batch))

    def batches(key, steps):
        order = parts.order(key, 0)
        return jax.lax.fori_loop(0, steps, lambda t, total: total + parts.batch(key, order, t).inputs.sum(), 0.0)

    return {"batches": jax.jit(batches), "training": jax.jit(lambda key, steps: parts.train(key, decisions, steps)[1])}
