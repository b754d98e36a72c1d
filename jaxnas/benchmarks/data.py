"""Images a second: from the device's memory, streamed from the host, and through Grain's own loader."""

import importlib.util
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
      `images_per_second` of `batches` and of `training`, each of `device` and `stream` (`median`, `rounds`), of batches
      also of `grain` where it is installed: the same images through `grain.MapDataset`, shuffled, batched and read
      ahead, then prepared and augmented on the device. `of_device` are the parts of the device's that these reach.

    Raises:
      InputError: an option out of range.
    """
    side_by_side.positive(batch=batch, channels=channels, steps=steps, rounds=rounds)
    made = {where: (task or _random)(where == "stream") for where in ("device", "stream")}
    whole = {where: _programs(made[where], batch, channels) for where in made}
    if importlib.util.find_spec("grain") is not None:
        whole["grain"] = {"batches": _grain(made["stream"], batch)}
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
        by_where = {where: rates[what, where] for where in whole if (what, where) in rates}
        figures["images_per_second"][what] = {where: side_by_side.summary(r) for where, r in by_where.items()}
        figures["of_device"][what] = {
            where: side_by_side.ratio(rate, by_where["device"]) for where, rate in by_where.items() if where != "device"
        }
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


def _grain(task: tasks.Task, batch: int) -> Callable:
    """`(key, steps) -> `: batches of a task that streams, by Grain's own loader."""
    import grain

    class Images:
        def __len__(self):
            return task.train.size

        def __getitem__(self, i):
            return jax.tree.map(lambda leaf: leaf[0], task.train.read(np.array([i])).inputs)

    loader = grain.MapDataset.source(Images()).shuffle(seed=0).repeat().batch(batch)
    augmented = jax.jit(lambda key, inputs, total: total + _augmented(task, key, inputs).sum())

    def batches(key, steps):
        total, ahead = 0.0, iter(loader.to_iter_dataset(grain.ReadOptions(num_threads=1, prefetch_buffer_size=4)))
        for t in range(int(steps)):
            total = augmented(jax.random.fold_in(key, t), next(ahead), total)
        return total

    return batches


def _augmented(task: tasks.Task, key: jax.Array, stored: jax.Array) -> jax.Array:
    inputs = task.inputs(stored)
    return inputs if task.augment is None else task.augment(key, inputs)
