"""GDAS (Dong and Yang, 2019): the supernet of `darts`, one sampled path at a time.

jaxnas search --config=gdas:small
jaxnas search --config=gdas --config.task.path=cifar10.npz
"""

from ml_collections import ConfigDict

from jaxnas.config import at_scale

from . import darts

ANNEALED = {"name": "gdas", "weight_decay": 1e-3, "temperature": 10.0, "final_temperature": 0.1}
PAPER = {**darts.PAPER, "strategy": {**ANNEALED, "learning_rate": 3e-4}}
SMALL = {**darts.SMALL, "strategy": {**ANNEALED, "learning_rate": 0.01}}


def get_config(scale: str = "paper") -> ConfigDict:
    config = at_scale(scale, PAPER, SMALL)
    config.strategy.rounds = config.get_ref("rounds")  # the temperature falls over the whole search
    return config
