"""GDAS (Dong and Yang, 2019): the supernet of `configs/darts.py`, one sampled path at a time.

python -m launch.search --config=configs/gdas.py:small
python -m launch.search --config=configs/gdas.py --config.task.path=cifar10.npz
"""

from ml_collections import ConfigDict

from configs import darts


def get_config(scale: str = "paper") -> ConfigDict:
    config = darts.get_config(scale).unlock()
    config.strategy = {
        "name": "gdas",
        "learning_rate": config.strategy.learning_rate,
        "weight_decay": config.strategy.weight_decay,
        "rounds": config.get_ref("rounds"),
        "temperature": 10.0,
        "final_temperature": 0.1,
    }
    return config.lock()
