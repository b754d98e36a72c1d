"""HW-NAS-Bench (Li et al., 2021): accuracy and published device latencies at once, by NSGA-II on a table.

    jaxnas search --config=hwnasbench:small        # the table that comes with the library
    jaxnas import_table --from=nats --path=NATS-tss-v1_0-3ffb9-simple \\
        --costs_from=HW-NAS-Bench-v1_0.pickle --output=hw.npz
    jaxnas search --config=hwnasbench --config.evaluator.path=hw.npz

`--config.evaluator.costs=hw_raspi4_latency_cifar10,hw_fpga_energy_cifar10` are other devices, or several;
`--config.strategy.limits="{'hw_edgegpu_latency_cifar10': 4.0}"` what none may exceed. For a strategy that reads fitness
alone, the cost goes into it by MnasNet's reward, or a penalty, or a constraint:

    --config.strategy="{'name': 'regularized_evolution', 'population_size': 50, 'tournament_size': 10}" \\
    --config.rounds=500 \\
    --config.objective="{'name': 'weighted_product', 'cost': 'hw_edgegpu_latency_cifar10', 'target': 4.0}"

`:small` takes the seconds of a training on the digits for a cost (measured, with noise): that table has no device's.
"""

from ml_collections import ConfigDict

from jaxnas.config import at_scale

PAPER = {
    "seed": 0,
    "rounds": 25,  # 500 evaluations
    "space": {"name": "nasbench201"},
    "strategy": {"name": "nsga2", "population_size": 20, "proposals": 20},
    "evaluator": {
        "name": "table",
        "path": "hw.npz",
        "fitness": "cifar10-train25k.valid25k.accuracy",
        "costs": "hw_edgegpu_latency_cifar10",
    },
}
TABLE = {"name": "table", "path": "nasbench201_digits", "fitness": "validation_accuracy", "costs": "seconds"}
SMALL = {**PAPER, "evaluator": TABLE}


def get_config(scale: str = "paper") -> ConfigDict:
    return at_scale(scale, PAPER, SMALL)
