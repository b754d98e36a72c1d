"""Other implementations of NEAT, each of which `begin(problem, population, seed)` sets going.

What they return is `number of generations -> mean fitness of the last`; `ImportError` where one is not installed:

    pip install neat-python                                  # and TensorNEAT, from its repository
"""

import math
import random
import statistics
import tempfile
from collections.abc import Callable

import jax
import numpy as np

from jaxnas import problems

STEPS = 500
"""How long a pole is to be balanced."""
HIDDEN, CONNECTIONS = 16, 64
"""Room for what grows, where it is limited."""


def neat_python(problem: problems.Problem, population: int, seed: int) -> Callable[[int], float]:
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
    """As `problems.balancing(1, random=True)`, in plain Python."""
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


def _neat_python_config(problem: problems.Problem, population: int) -> str:
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


def tensorneat(problem: problems.Problem, population: int, seed: int) -> Callable[[int], float]:
    from tensorneat.algorithm.neat import NEAT
    from tensorneat.common import ACT, AGG
    from tensorneat.genome import BiasNode, DefaultGenome
    from tensorneat.pipeline import Pipeline
    from tensorneat.problem import XOR
    from tensorneat.problem.rl.rl_jit import RLEnv

    class Pole(RLEnv):
        world = problems.balancing(1, random=True)
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
