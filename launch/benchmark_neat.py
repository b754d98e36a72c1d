"""Generations of NEAT a second, beside neat-python and TensorNEAT where they are installed.

    pip install neat-python                                  # and TensorNEAT, from its repository
    python -m launch.benchmark_neat                          # populations of 1,000 on XOR and on one pole
    python -m launch.benchmark_neat --population=10000 --peers= --generations=20

Blocks of generations of ours and of the peers alternate, since machines drift; each goes on with its own population,
and figures are medians over the blocks, in milliseconds a generation, without compiles. A block of ours is one program,
as in `search_scan`. All balance the same pole, from random starts and for 500 steps at most, and score exclusive or on
the same four examples; rates of mutation are each one's own.
"""

import json
import math
import random
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from absl import app, flags

from jaxnas import check, evaluators, networks, spaces, strategies, tasks
from jaxnas.machine import configure, environment
from jaxnas.search import State, step

STEPS = 500
PROBLEMS = {"xor": tasks.xor, "pole": lambda: tasks.cart_pole(1, random=True, steps=STEPS)}
HIDDEN, CONNECTIONS = 16, 64
"""Room for what grows, where it is limited."""


def ours(problem: tasks.Problem, population: int, seed: int) -> Callable[[int], float]:
    space = spaces.graph(problem.inputs, problem.outputs, hidden=HIDDEN, connections=CONNECTIONS)
    strategy = strategies.neat(space, proposals=population)
    evaluator = evaluators.direct(problem.fitness, network=networks.GraphNetwork())
    one, key = step(strategy, evaluator), jax.random.key(seed)

    @partial(jax.jit, static_argnums=2)
    def run(state, t, count):
        def body(state, t):
            state, record = one(jax.random.fold_in(key, t), state)
            return state, record.feedback.fitness.mean()

        return jax.lax.scan(body, state, t + jnp.arange(count))

    state, t = State(strategy.init(key), ()), 0

    def generations(count):
        nonlocal state, t
        state, fitness = run(state, t, count)
        t += count
        return float(fitness[-1])

    return generations


def neat_python(problem: tasks.Problem, population: int, seed: int) -> Callable[[int], float]:
    import neat

    with tempfile.NamedTemporaryFile("w", suffix=".ini") as file:
        file.write(_neat_python_config(problem, population))
        file.flush()
        kinds = neat.DefaultGenome, neat.DefaultReproduction, neat.DefaultSpeciesSet, neat.DefaultStagnation
        config = neat.Config(*kinds, file.name)
    random.seed(seed)
    people = neat.Population(config)
    score = _xor if problem.name == "xor" else _balanced
    last = 0.0

    def evaluate(genomes, config):
        nonlocal last
        for _, genome in genomes:
            genome.fitness = score(neat.nn.FeedForwardNetwork.create(genome, config).activate)
        last = statistics.fmean(genome.fitness for _, genome in genomes)

    def generations(count):
        people.run(evaluate, count)
        return last

    return generations


def _xor(activate) -> float:
    return (4 - sum(abs((a != b) - activate((a, b))[0]) for a in (0.0, 1.0) for b in (0.0, 1.0))) ** 2


def _balanced(activate) -> float:
    """As `tasks.balancing(1, random=True)`, in plain Python."""
    x, v, angle, turn = (random.uniform(-0.05, 0.05) for _ in range(4))
    for t in range(STEPS):
        force = 20 * min(max(activate((x / 4.8, v / 2, angle / 0.52, turn / 2))[0], 0.0), 1.0) - 10
        sine, cosine = math.sin(angle), math.cos(angle)
        pushed = (force + 0.05 * turn**2 * sine) / 1.1
        faster = (9.8 * sine - cosine * pushed) / (0.5 * (4 / 3 - 0.1 * cosine**2 / 1.1))
        along = pushed - 0.05 * faster * cosine / 1.1
        x, v, angle, turn = x + 0.02 * v, v + 0.02 * along, angle + 0.02 * turn, turn + 0.02 * faster
        if abs(x) > 2.4 or abs(angle) > math.radians(12):
            return float(t)
    return float(STEPS)


def _neat_python_config(problem: tasks.Problem, population: int) -> str:
    """The rates of its own example of exclusive or; sizes are the problem's."""
    node = {"activation": "sigmoid", "aggregation": "sum"}
    choices = "\n".join(f"{n}_default={v}\n{n}_mutate_rate=0\n{n}_options={v}" for n, v in node.items())
    numbers = "\n".join(
        f"{n}_init_mean={mean}\n{n}_init_stdev={spread}\n{n}_init_type=gaussian\n{n}_max_value=30\n{n}_min_value=-30\n"
        f"{n}_mutate_power={power}\n{n}_mutate_rate={rate}\n{n}_replace_rate={replace}"
        for n, mean, spread, power, rate, replace in (
            ("bias", 0, 1, 0.5, 0.7, 0.1),
            ("response", 1, 0, 0, 0, 0),
            ("weight", 0, 1, 0.5, 0.8, 0.1),
        )
    )
    return f"""
[NEAT]
fitness_criterion=max
fitness_threshold=1e9
no_fitness_termination=True
pop_size={population}
reset_on_extinction=True
[DefaultGenome]
{choices}
{numbers}
compatibility_disjoint_coefficient=1.0
compatibility_weight_coefficient=0.5
conn_add_prob=0.5
conn_delete_prob=0.5
enabled_default=True
enabled_mutate_rate=0.01
enabled_rate_to_true_add=0
enabled_rate_to_false_add=0
feed_forward=True
initial_connection=full_direct
node_add_prob=0.2
node_delete_prob=0.2
num_hidden=0
num_inputs={problem.inputs}
num_outputs={problem.outputs}
single_structural_mutation=false
structural_mutation_surer=default
[DefaultSpeciesSet]
compatibility_threshold=3.0
[DefaultStagnation]
species_fitness_func=max
max_stagnation=20
species_elitism=2
[DefaultReproduction]
elitism=2
survival_threshold=0.2
min_species_size=2
"""


def tensorneat(problem: tasks.Problem, population: int, seed: int) -> Callable[[int], float]:
    from tensorneat.algorithm.neat import NEAT
    from tensorneat.common import ACT, AGG
    from tensorneat.genome import BiasNode, DefaultGenome
    from tensorneat.pipeline import Pipeline
    from tensorneat.problem import XOR
    from tensorneat.problem.rl.rl_jit import RLEnv

    class Pole(RLEnv):
        world = tasks.balancing(1, random=True)
        input_shape, output_shape = (problem.inputs,), (problem.outputs,)

        def env_reset(self, key):
            state = self.world.reset(key)
            return self.world.observe(state), state

        def env_step(self, key, state, action):
            state = self.world.step(state, action)
            return self.world.observe(state), state, 1.0, self.world.failed(state), {}

    genome = DefaultGenome(
        num_inputs=problem.inputs,
        num_outputs=problem.outputs,
        max_nodes=problem.inputs + problem.outputs + HIDDEN,
        max_conns=problem.inputs * problem.outputs + CONNECTIONS,
        node_gene=BiasNode(activation_options=ACT.sigmoid, aggregation_options=AGG.sum),
    )
    algorithm = NEAT(genome=genome, pop_size=population, species_size=32, survival_threshold=0.2)
    world = XOR() if problem.name == "xor" else Pole(max_step=STEPS)
    pipeline = Pipeline(algorithm, world, seed=seed)
    state, run = pipeline.setup(), jax.jit(pipeline.step)

    def generations(count):
        nonlocal state
        for _ in range(count):
            state, _, fitness = run(state)
        return float(np.mean(np.asarray(fitness)[np.isfinite(fitness)]))

    return generations


PEERS = {"neat-python": neat_python, "tensorneat": tensorneat}


def main(_: list[str]) -> None:
    configure()
    warnings.simplefilter("ignore")
    peers = [name for name in _PEERS.value if name]
    for name in peers:
        check.one_of("peers", name, PEERS)
    result = {"population": _POPULATION.value, "problems": {}, **environment()}
    for name in _PROBLEMS.value:
        check.one_of("problems", name, PROBLEMS)
        problem, runs = PROBLEMS[name](), {}
        for title, make in {"ours": ours, **{peer: PEERS[peer] for peer in peers}}.items():
            try:
                runs[title] = make(problem, _POPULATION.value, 0)
            except ImportError as error:
                print(f"{title}: not installed ({error})")
        row = {title: {"ms": [], "mean_fitness": []} for title in runs}
        count = max(1, _GENERATIONS.value // _BLOCKS.value)
        for title, generations in runs.items():
            begin = time.perf_counter()
            generations(count)
            row[title]["first_block_seconds"] = time.perf_counter() - begin
        for _ in range(_BLOCKS.value):
            for title, generations in runs.items():
                begin = time.perf_counter()
                row[title]["mean_fitness"].append(generations(count))
                row[title]["ms"].append(1e3 * (time.perf_counter() - begin) / count)
        for title, figures in row.items():
            figures["ms"] = statistics.median(figures["ms"])
            times = figures["ms"] / row["ours"]["ms"]
            figures["times_as_long_as_ours"] = times
            print(f"{name:5} {title:12} {figures['ms']:9.2f} ms a generation, {times:7.1f} times as long as ours")
        result["problems"][name] = row
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    _POPULATION = flags.DEFINE_integer("population", 1000, "Members of a generation.", lower_bound=2)
    _GENERATIONS = flags.DEFINE_integer("generations", 60, "Generations timed, after a block of others.", lower_bound=1)
    _BLOCKS = flags.DEFINE_integer("blocks", 6, "In so many turns.", lower_bound=1)
    _PROBLEMS = flags.DEFINE_list("problems", list(PROBLEMS), "Which problems.")
    _PEERS = flags.DEFINE_list("peers", list(PEERS), "Which peers.")
    app.run(main)
