"""One step of DARTS' search: weights and architecture, compile and memory, beside any other program.

    python -m launch.benchmark_supernet                                      # 4 cells of 4 channels, batch 16, 32x32
    python -m launch.benchmark_supernet --channels=16 --cells=8 --batch=64 --order=finite_difference
    python -m launch.benchmark_supernet --peer='python peer.py'        # that prints {"ms_per_search_step_median": …}

Rounds of ours and of the peer alternate, since machines drift; figures are medians over the rounds.
"""

import json
import shlex
import statistics
import subprocess
import time

import jax
import numpy as np
from absl import app, flags

from jaxnas import evaluators, networks, spaces, strategies, tasks
from jaxnas.evaluators.architecture_gradient import ORDERS
from jaxnas.machine import configure, environment
from jaxnas.search import State, step


def main(_: list[str]) -> None:
    configure()
    jax.config.update("jax_compilation_cache_dir", None)  # compiles are part of what is measured
    random = np.random.default_rng(0)
    shape = (_IMAGE.value, _IMAGE.value, 3)
    sizes = {"train": 10 * _BATCH.value, "validation": 10 * _BATCH.value, "test": 1}
    splits = {
        s: (random.normal(size=(n, *shape)).astype("float32"), random.integers(0, 10, n)) for s, n in sizes.items()
    }
    begin = time.perf_counter()
    space = spaces.darts()
    strategy = strategies.darts(space)
    evaluator = evaluators.supernet(
        space,
        networks.Darts(_CHANNELS.value, _CELLS.value),
        tasks.arrays(splits, outputs=10),
        steps=1000,
        order=_ORDER.value,
        batch_size=_BATCH.value,
        learning_rate=0.025,
        nesterov=False,
        weight_decay=3e-4,
        clip_norm=5.0,
    )
    key = jax.random.key(0)
    state = jax.block_until_ready(jax.jit(lambda k: State(strategy.init(k), evaluator.init(k)))(key))
    prepared = time.perf_counter()
    lowered = jax.jit(step(strategy, evaluator), donate_argnums=1).lower(key, state)
    traced = time.perf_counter()
    one = lowered.compile()
    compiled = time.perf_counter()
    for i in range(2):  # the first of all has no weight step
        state, _ = one(jax.random.fold_in(key, i), state)
    jax.block_until_ready(state)

    ours, peer = [], []
    for r in range(_ROUNDS.value):
        took = []
        for i in range(_STEPS.value):
            start = time.perf_counter()
            state, _ = jax.block_until_ready(one(jax.random.fold_in(key, 100 + r * _STEPS.value + i), state))
            took.append((time.perf_counter() - start) * 1e3)
        ours.append(statistics.median(took))
        if _PEER.value:
            said = subprocess.run(shlex.split(_PEER.value), capture_output=True, text=True, check=True).stdout
            peer.append(json.loads(said)["ms_per_search_step_median"])
    memory = one.memory_analysis()
    result = {
        "ms_per_search_step": {"median": statistics.median(ours), "rounds": ours},
        "seconds": {"initialization": prepared - begin, "tracing": traced - prepared, "compile": compiled - traced},
        "megabytes_of_temporaries": memory.temp_size_in_bytes / 1e6,
        "parameters": evaluator.report()["parameters"],
        **{flag.name: flag.value for flag in (_CHANNELS, _CELLS, _BATCH, _IMAGE, _ORDER)},
        **environment(),
    }
    if peer:
        result["peer"] = {"median": statistics.median(peer), "rounds": peer, "command": _PEER.value}
        result["times_faster"] = statistics.median(p / o for p, o in zip(peer, ours, strict=True))
    print(json.dumps(result, indent=2))


if __name__ == "__main__":  # flags are defined here, so that programs can be imported side by side
    _CHANNELS = flags.DEFINE_integer("channels", 4, "Channels of the first cells.")
    _CELLS = flags.DEFINE_integer("cells", 4, "Cells.")
    _BATCH = flags.DEFINE_integer("batch", 16, "Batch size.")
    _IMAGE = flags.DEFINE_integer("image", 32, "Height and width of the images.")
    _ORDER = flags.DEFINE_enum("order", "first", list(ORDERS), "Of the architecture gradient.")
    _STEPS = flags.DEFINE_integer("steps", 5, "Search steps in a round.")
    _ROUNDS = flags.DEFINE_integer("rounds", 3, "Rounds, a peer's run after each.")
    _PEER = flags.DEFINE_string("peer", None, "Command to time beside ours.")
    app.run(main)
