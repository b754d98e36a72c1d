"""What to try next."""

from jaxnas.strategies._bananas import bananas
from jaxnas.strategies._binary_gates import binary_gates
from jaxnas.strategies._darts import darts
from jaxnas.strategies._early_stopping import early_stopping
from jaxnas.strategies._enas import enas
from jaxnas.strategies._exhaustive import exhaustive
from jaxnas.strategies._fair_paths import fair_paths
from jaxnas.strategies._gdas import gdas
from jaxnas.strategies._hyperband import hyperband, successive_halving
from jaxnas.strategies._local_search import local_search
from jaxnas.strategies._mcts import mcts
from jaxnas.strategies._neat import neat
from jaxnas.strategies._nsga2 import nsga2
from jaxnas.strategies._random_search import random_search
from jaxnas.strategies._regularized_evolution import regularized_evolution
from jaxnas.strategies.policy import Policy, independent_policy, lstm_policy
from jaxnas.strategies.policy_gradient import ppo, reinforce

__all__ = [
    "Policy",
    "bananas",
    "binary_gates",
    "darts",
    "early_stopping",
    "enas",
    "exhaustive",
    "fair_paths",
    "gdas",
    "hyperband",
    "independent_policy",
    "local_search",
    "lstm_policy",
    "mcts",
    "neat",
    "nsga2",
    "ppo",
    "random_search",
    "regularized_evolution",
    "reinforce",
    "successive_halving",
]
