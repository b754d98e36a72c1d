"""Training throughput of a population, beside one compiled network at a time, and beside any other program.

    python -m launch.benchmark                              # digits size: 8x8 images, 8 channels, 1 cell, batch 64
    python -m launch.benchmark --peer='python peer.py'      # that prints {"ms_per_architecture": {"train": …}}

Rounds of ours and of the peer alternate, since machines drift; figures are medians over the rounds. Milliseconds are
wall time divided by training steps and architectures, so that two cores at work count as the time they take together.
"""

import json
import shlex
import statistics
import subprocess
import time

import jax
import jax.numpy as jnp
import numpy as np
from absl import app, flags

from jaxnas import evaluators, networks, spaces, strategies, tasks
from jaxnas.machine import configure, environment
from jaxnas.population import PLANS, CompileMeter


def main(_: list[str]) -> None:
    configure()
    jax.config.update("jax_compilation_cache_dir", None)  # compiles are part of what is measured
    space = spaces.nasbench201()
    network = networks.NasBench201(_CHANNELS.value, _CELLS.value, 10)
    random = np.random.default_rng(0)
    shape = (_IMAGE.value, _IMAGE.value, 3)
    sizes = {"train": 10 * _BATCH.value, "validation": _BATCH.value, "test": 1}
    splits = {
        s: (random.normal(size=(n, *shape)).astype("float32"), random.integers(0, 10, n)) for s, n in sizes.items()
    }
    task = tasks.arrays(splits, outputs=10)

    P = _ARCHITECTURES.value // _ROUNDS.value
    strategy = strategies.random_search(space, proposals=P, budget=_STEPS.value)
    evaluator = evaluators.training(space, network, task, batch_size=_BATCH.value, plan=_PLAN.value)
    evaluate = jax.jit(evaluator.evaluate) if evaluator.jittable else evaluator.evaluate
    key = jax.random.key(0)
    proposal, _ = jax.jit(strategy.ask)(key, strategy.init(key))
    rows = random.permutation(space.size)[: _ROUNDS.value * P].reshape(_ROUNDS.value, P)

    meter, begin = CompileMeter(), time.perf_counter()
    idle = proposal.replace(active=jnp.zeros(P, bool))  # compiles and trains nothing
    jax.block_until_ready(evaluate(key, (), idle))
    first, compiled = time.perf_counter() - begin, meter.seconds

    ours, peer = [], []
    for round_rows in rows:
        begin = time.perf_counter()
        jax.block_until_ready(evaluate(key, (), proposal.replace(genome=space.from_index(round_rows))))
        ours.append((time.perf_counter() - begin) / P / _STEPS.value * 1e3)
        if _PEER.value:
            said = subprocess.run(shlex.split(_PEER.value), capture_output=True, text=True, check=True).stdout
            peer.append(json.loads(said)["ms_per_architecture"]["train"] / _STEPS.value)
    steady = statistics.median(ours)
    result = {
        "ms_per_step": {"median": steady, "rounds": ours},
        "seconds_before_first_step": {"total": first, "xla_compile": compiled},
        "ms_per_architecture_with_compile_over_1000": steady * _STEPS.value + first,  # seconds over 1,000 = ms each
        "plan": evaluator.report(),
        **environment(),
    }
    if peer:
        median = statistics.median(peer)
        with_compile = median * _STEPS.value / result["ms_per_architecture_with_compile_over_1000"]
        result["peer"] = {"ms_per_step": {"median": median, "rounds": peer}, "command": _PEER.value}
        result["times_faster"] = {
            "steady": statistics.median(p / o for p, o in zip(peer, ours, strict=True)),
            "with_compile_over_1000": with_compile,
        }
    if _SINGLE.value:
        result["one_at_a_time"] = _single(space, network, task, rows.ravel()[: _SINGLE.value], steady)
    print(json.dumps(result, indent=2))


def _single(space, network, task, rows, steady: float) -> dict:
    """Each network static, jitted and trained by itself."""
    parts = evaluators.trainer(network, task, evaluators.Recipe(batch_size=_BATCH.value))
    compiles, steps = [], []
    for row in rows:
        genome = np.asarray(space.from_index(row))
        run = jax.jit(lambda key, n, genome=genome: parts.train(key, space.unpack(genome), n)[1])
        begin = time.perf_counter()
        jax.block_until_ready(run(jax.random.key(0), 0))
        compiles.append(time.perf_counter() - begin)
        begin = time.perf_counter()
        jax.block_until_ready(run(jax.random.key(0), 200))
        steps.append((time.perf_counter() - begin) / 200 * 1e3)
    # Two static trainings at a time would at best halve the wall time of a step on two devices.
    alone = statistics.median(steps) / jax.device_count()
    compile_ms = statistics.median(compiles) * 1e3
    gain = steady - alone
    return {
        "architectures": len(rows),
        "compile_seconds": compile_ms / 1e3,
        "ms_per_step": statistics.median(steps),
        "ms_per_step_if_all_devices_were_kept_busy": alone,
        "steps_where_a_compile_each_breaks_even": compile_ms / gain if gain > 0 else None,
    }


if __name__ == "__main__":  # flags are defined here, so that programs can be imported side by side
    _IMAGE = flags.DEFINE_integer("image", 8, "Height and width of the images.")
    _CHANNELS = flags.DEFINE_integer("channels", 8, "Channels of the first stage.")
    _CELLS = flags.DEFINE_integer("cells", 1, "Cells in each stage.")
    _BATCH = flags.DEFINE_integer("batch", 64, "Batch size.")
    _STEPS = flags.DEFINE_integer("steps", 50, "Training steps of each architecture.")
    _ARCHITECTURES = flags.DEFINE_integer("architectures", 200, "Distinct architectures, over all rounds.")
    _ROUNDS = flags.DEFINE_integer("rounds", 5, "Rounds to split them into, a peer's run after each.")
    _PLAN = flags.DEFINE_enum("plan", "auto", PLANS, "Execution plan of the population.")
    _SINGLE = flags.DEFINE_integer("single", 4, "Architectures to compile and train one at a time; 0 for none.")
    _PEER = flags.DEFINE_string("peer", None, "Command to time beside ours.")
    app.run(main)
