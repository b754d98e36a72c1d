"""Images a second from the device's memory and streamed from the host: batches alone, and training on them.

    python -m launch.benchmark_data                                             # 20,000 random images of 32x32 pixels
    python -m launch.benchmark_data --task="{'name': 'tfds', 'dataset': 'cifar10', 'crop_padding': 4}" --batch=256

Rounds of the two alternate, since machines drift; figures are medians over the rounds. Batches are prepared and
augmented; training is that of one residual cell of NAS-Bench-201.
"""

import ast
import json
import statistics
import time

import jax
import numpy as np
from absl import app, flags

from jaxnas import evaluators, networks, spaces, tasks
from jaxnas.machine import configure, environment
from launch.wiring import make

RESIDUAL = "|nor_conv_3x3~0|+|none~0|nor_conv_3x3~1|+|skip_connect~0|none~1|none~2|"


def main(_: list[str]) -> None:
    configure()
    programs = {where: _programs(_task(stream)) for where, stream in (("device", False), ("stream", True))}
    rates = {what: {where: [] for where in programs} for what in programs["device"]}
    for _ in range(_ROUNDS.value + 1):  # the first compiles
        for what in rates:
            for where, by_what in programs.items():
                begin = time.perf_counter()
                jax.block_until_ready(by_what[what](jax.random.key(0), _STEPS.value))
                rates[what][where].append(_STEPS.value * _BATCH.value / (time.perf_counter() - begin))
    result = {"images_per_second": {}, "of_device": {}}
    for what, by_where in rates.items():
        result["images_per_second"][what] = {w: statistics.median(r[1:]) for w, r in by_where.items()}
        pairs = zip(by_where["stream"][1:], by_where["device"][1:], strict=True)
        result["of_device"][what] = statistics.median(stream / device for stream, device in pairs)
    print(json.dumps({**result, "batch": _BATCH.value, "task": _TASK.value, **environment()}, indent=2))


def _task(stream: bool) -> tasks.Task:
    if _TASK.value:
        return make("task", {**ast.literal_eval(_TASK.value), "stream": stream})
    random = np.random.default_rng(0)
    splits = [(random.integers(0, 256, (n, 32, 32, 3), np.uint8), random.integers(0, 10, n)) for n in (20_000, 100)]
    return tasks.classification("random", *splits, where="random images", stream=stream)


def _programs(task: tasks.Task) -> dict:
    """what -> `(key, steps) -> `, one program each."""
    space = spaces.nasbench201()
    decisions = space.unpack(np.asarray(space.from_string(RESIDUAL)))
    network = networks.NasBench201(_CHANNELS.value, 1, task.outputs)
    parts = evaluators.trainer(network, task, evaluators.Recipe(batch_size=_BATCH.value))

    def batches(key, steps):
        order = parts.order(key, 0)
        return jax.lax.fori_loop(0, steps, lambda t, total: total + parts.batch(key, order, t).x.sum(), 0.0)

    return {"batches": jax.jit(batches), "training": jax.jit(lambda key, steps: parts.train(key, decisions, steps)[1])}


if __name__ == "__main__":  # flags are defined here, so that programs can be imported side by side
    _TASK = flags.DEFINE_string("task", None, "A dict with a task's name and arguments, of images.")
    _BATCH = flags.DEFINE_integer("batch", 128, "Batch size.")
    _CHANNELS = flags.DEFINE_integer("channels", 16, "Channels of the network.")
    _STEPS = flags.DEFINE_integer("steps", 40, "Batches in a round.")
    _ROUNDS = flags.DEFINE_integer("rounds", 5, "Rounds.")
    app.run(main)
