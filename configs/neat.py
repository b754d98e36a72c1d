"""NEAT (Stanley and Miikkulainen, 2002): networks that grow, with their weights, in species.

    jaxnas search --config=neat                  # exclusive or, as in the paper's section 4.1
    jaxnas search --config=neat:double_pole      # :single_pole, :double_pole_without_velocities
    jaxnas search --config=neat:digits --config.fine_tune.steps=10

A generation of 150 as in the paper, 1,000 for double poles without velocities; coefficients and rates are the defaults
of `spaces.graph` and `strategies.neat`. With `fine_tune.steps` each child descends on the task's loss at birth, and its
own children inherit what it learned (`fine_tune.inherited=False`: only its fitness is of that).
"""

from ml_collections import ConfigDict

from jaxnas import check

PROBLEMS = {
    "xor": {"name": "xor"},
    "single_pole": {"name": "cart_pole", "poles": 1, "random": True, "steps": 1000},
    "double_pole": {"name": "cart_pole", "poles": 2},
    "double_pole_without_velocities": {"name": "cart_pole", "poles": 2, "velocities": False},
}
TASKS = {"digits": {"name": "digits", "augment": False}}
PAPER = {
    "seed": 0,
    "rounds": 60,
    "rounds_per_call": 64,
    "space": {"name": "graph", "hidden": 16, "connections": 64},
    "network": {"name": "graph", "activation": "sigmoid", "output": "sigmoid"},
    "strategy": {"name": "neat", "proposals": 150, "threshold": 3.0, "target_species": 10},
    "evaluator": {"name": "direct"},
}


def get_config(task: str = "xor") -> ConfigDict:
    check.one_of("task or problem (after the colon)", task, (*PROBLEMS, *TASKS))
    given = {"task": TASKS[task]} if task in TASKS else {"problem": PROBLEMS[task]}
    config = ConfigDict({**PAPER, **given})
    if task == "single_pole":
        config.rounds = 20
    if task == "double_pole_without_velocities":
        # Section 4.1: weights tell more apart, and species are as many as a larger population has room for.
        config.space.update(recurrent=True, weight_coefficient=3.0)
        config.strategy.update(proposals=1000, threshold=4.0, target_species=30, max_species=64)
    if task == "digits":  # 65 weights add up in each output
        config.rounds = 200
        config.network.output = "identity"
        config.space.update(weight_range=0.1, weight_step=0.05)
        config.evaluator.update(examples=500, target=0.9)
    return config
