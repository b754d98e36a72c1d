"""Training throughput of a population of NAS-Bench-201's networks."""

import statistics

import jax
import jax.numpy as jnp
import numpy as np

from jaxnas import check, evaluators, networks, spaces, strategies
from jaxnas import training as recipes
from jaxnas.benchmarks import side_by_side
from jaxnas.benchmarks.side_by_side import timed
from jaxnas.population import CompileMeter

STEPS_ALONE = 200
"""Training steps of a network that is compiled and trained by itself."""


def measure(
    *,
    image: int = 8,
    channels: int = 8,
    cells: int = 1,
    batch: int = 64,
    steps: int = 50,
    architectures: int = 200,
    rounds: int = 5,
    plan: str = "auto",
    single: int = 4,
    peer: str | None = None,
) -> dict:
    """Training of a population, beside one compiled network at a time, and beside any other program.

    Milliseconds are wall time divided by training steps and architectures, so that two cores at work count as the time
    they take together.

    Args:
      image: height and width of the random images.
      channels: channels of the first stage.
      cells: cells in each stage.
      batch: batch size.
      steps: training steps of each architecture.
      architectures: distinct architectures, over all rounds.
      rounds: rounds to split them into, a peer's run after each.
      plan: execution plan of the population (see `jaxnas.population`).
      single: architectures to compile and train one at a time besides; 0 for none.
      peer: command to time beside ours, which prints `{"ms_per_architecture": {"train": …}}`, of `steps` steps.

    Returns:
      `ms_per_step` of an architecture (`median`, `rounds`), `seconds_before_first_step` (`total`, and `xla_compile` of
      it), milliseconds an architecture with these over 1,000, the execution `plan`; `peer` and how many times faster
      than it; `one_at_a_time`.

    Raises:
      InputError: an option out of range, a peer that fails.
    """
    side_by_side.positive(image=image, channels=channels, cells=cells, batch=batch, steps=steps, rounds=rounds)
    check.integer("single", single, least=0)
    theirs = None if peer is None else side_by_side.peer_program(peer)
    random = np.random.default_rng(0)
    space, network = spaces.nasbench201(), networks.NasBench201(channels, cells, 10)
    task = side_by_side.random_images(random, image, train=10 * batch, validation=batch, test=1)
    indices = side_by_side.random_architectures(random, space, architectures, rounds)
    P = indices.shape[1]
    strategy = strategies.random_search(space, proposals=P, budget=steps)
    evaluator = evaluators.training(space, network, task, batch_size=batch, plan=plan)
    evaluate = jax.jit(evaluator.evaluate) if evaluator.jittable else evaluator.evaluate
    key = jax.random.key(0)
    proposal, _ = jax.jit(strategy.ask)(key, strategy.init(key))

    def ours(i: int) -> float:
        return timed(evaluate, key, (), proposal.replace(genome=space.from_index(indices[i])))[0] / P / steps * 1e3

    with side_by_side.compiled_anew():
        meter = CompileMeter()
        idle = proposal.replace(active=jnp.zeros(P, bool))  # compiles and trains nothing
        first, compiled = timed(evaluate, key, (), idle)[0], meter.seconds
        runs = {"ours": ours}
        if theirs is not None:
            runs["peer"] = lambda i: theirs("ms_per_architecture", "train") / steps
        took = side_by_side.alternate(rounds, runs)
        figures = side_by_side.compared("ms_per_step", took["ours"], took.get("peer", ()))
        steady = figures["ms_per_step"]["median"]
        per_peer = statistics.median(took["peer"]) * steps if theirs is not None else None
        figures |= side_by_side.with_compile(steady * steps, first, per_peer)
        figures["seconds_before_first_step"] = {"total": first, "xla_compile": compiled}
        figures["plan"] = evaluator.report()
        if single:
            recipe = recipes.Recipe(batch_size=batch)
            parts = recipes.trainer(network, task, recipe)
            figures["one_at_a_time"] = _one_at_a_time(space, parts, indices.ravel()[:single], steady)
    return figures


def _one_at_a_time(space, parts: recipes.Trainer, indices: np.ndarray, steady: float) -> dict:
    """Each network static, jitted and trained by itself; `steady` is the population's ms a step."""
    compiles, steps = [], []
    for index in indices:
        genome = np.asarray(space.from_index(index))
        run = jax.jit(lambda key, n, genome=genome: parts.train(key, space.unpack(genome), n)[1])
        compiles.append(timed(run, jax.random.key(0), 0)[0])
        steps.append(timed(run, jax.random.key(0), STEPS_ALONE)[0] / STEPS_ALONE * 1e3)
    # Two static trainings at a time would at best halve the wall time of a step on two devices.
    alone = statistics.median(steps) / jax.device_count()
    compile_seconds, gain = statistics.median(compiles), steady - alone
    return {
        "architectures": len(indices),
        "compile_seconds": compile_seconds,
        "ms_per_step": statistics.median(steps),
        "ms_per_step_if_all_devices_were_kept_busy": alone,
        "steps_where_a_compile_each_breaks_even": compile_seconds * 1e3 / gain if gain > 0 else None,
    }
