"""NEAT (Stanley and Miikkulainen, 2002): networks that grow, with their weights, in species.

    python -m launch.search --config=configs/neat.py                  # exclusive or, as in the paper's section 4.1
    python -m launch.search --config=configs/neat.py:double_pole      # :single_pole, :double_pole_without_velocities
    python -m launch.search --config=configs/neat.py:digits --config.fine_tune.steps=10

A generation of 150 as in the paper, 1,000 for double poles without velocities; coefficients and rates are the defaults
of `spaces.graph` and `strategies.neat`. With `fine_tune.steps` each child descends on the task's loss at birth, and its
own children inherit what it learned (`fine_tune.inherited=False`: only its fitness is of that).
"""

from ml_collections import ConfigDict

from jaxnas import check

TASKS = {
    "xor": {"name": "xor"},
    "single_pole": {"name": "cart_pole", "poles": 1, "random": True, "steps": 1000},
    "double_pole": {"name": "cart_pole", "poles": 2},
    "double_pole_without_velocities": {"name": "cart_pole", "poles": 2, "velocities": False},
    "digits": {"name": "digits", "augment": False},
}


def get_config(task: str = "xor") -> ConfigDict:
    check.one_of("task (after the colon)", task, TASKS)
    memory = task == "double_pole_without_velocities"
    config = ConfigDict()
    config.seed = 0
    config.rounds = {"xor": 60, "single_pole": 20, "digits": 200}.get(task, 60)
    config.space = {"name": "graph", "hidden": 16, "connections": 64, "recurrent": memory}
    config.task = TASKS[task]
    config.network = {"name": "graph", "activation": "sigmoid", "output": "identity" if task == "digits" else "sigmoid"}
    config.strategy = {"name": "neat", "proposals": 1000 if memory else 150, "threshold": 3.0, "target_species": 10}
    if memory:  # section 4.1: weights tell more apart, and species are as many as a larger population has room for
        config.space.weight_coefficient = 3.0
        config.strategy.update(threshold=4.0, target_species=30, max_species=64)
    config.evaluator = {"name": "direct"}
    if task == "digits":  # 65 weights add up in each output
        config.space.update(weight_range=0.1, weight_step=0.05)
        config.evaluator.update(examples=500, target=0.9)
    # Gradient descent on each child at birth; 0 steps for none, as the paper.
    config.fine_tune = {"steps": 0, "learning_rate": 0.1, "inherited": True}
    return config.lock()
