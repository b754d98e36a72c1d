"""GDAS (Dong and Yang, 2019): the supernet of `configs/darts.py`, one sampled path at a time.

    python -m launch.search --config=configs/gdas.py:small
    python -m launch.search --config=configs/gdas.py --config.task.path=cifar10.npz

`:small` took 51 s on two CPU cores (AMD EPYC), the baseline's program cached by `darts`; found, retrained: 96.39 % of
test images, loss 0.1132:

    Genotype(normal=[('sep_conv_3x3', 0), ('skip_connect', 1), ('sep_conv_3x3', 0), ('sep_conv_5x5', 2),
    ('avg_pool_3x3', 0), ('max_pool_3x3', 1), ('max_pool_3x3', 0), ('max_pool_3x3', 1)], normal_concat=range(2, 6),
    reduce=[('avg_pool_3x3', 0), ('avg_pool_3x3', 1), ('max_pool_3x3', 0), ('max_pool_3x3', 1), ('max_pool_3x3', 0),
    ('max_pool_3x3', 1), ('avg_pool_3x3', 0), ('max_pool_3x3', 1)], reduce_concat=range(2, 6))
"""

from ml_collections import ConfigDict

from configs import darts


def get_config(scale: str = "paper") -> ConfigDict:
    config = darts.get_config(scale).unlock()
    config.strategy = {
        "name": "gdas",
        "learning_rate": config.strategy.learning_rate,
        "weight_decay": config.strategy.weight_decay,
        "cost_weight": 0.0,
        "rounds": config.get_ref("rounds"),
        "temperature": 10.0,
        "final_temperature": 0.1,
    }
    return config.lock()
