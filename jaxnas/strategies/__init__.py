"""What to try next."""

from jaxnas.strategies.bananas import bananas
from jaxnas.strategies.binary_gates import binary_gates
from jaxnas.strategies.darts import darts
from jaxnas.strategies.early_stopping import early_stopping
from jaxnas.strategies.enas import enas
from jaxnas.strategies.exhaustive import exhaustive
from jaxnas.strategies.fair_paths import fair_paths
from jaxnas.strategies.gdas import gdas
from jaxnas.strategies.hyperband import hyperband, successive_halving
from jaxnas.strategies.local_search import local_search
from jaxnas.strategies.mcts import mcts
from jaxnas.strategies.neat import neat
from jaxnas.strategies.nsga2 import nsga2
from jaxnas.strategies.policy import Policy, independent_policy, lstm_policy
from jaxnas.strategies.policy_gradient import ppo, reinforce
from jaxnas.strategies.random_search import random_search
from jaxnas.strategies.regularized_evolution import regularized_evolution

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
