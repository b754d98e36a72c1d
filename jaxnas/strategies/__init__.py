"""What to try next."""

from jaxnas.strategies.bananas import bananas
from jaxnas.strategies.exhaustive import exhaustive
from jaxnas.strategies.hyperband import hyperband, successive_halving
from jaxnas.strategies.local_search import local_search
from jaxnas.strategies.mcts import mcts
from jaxnas.strategies.random_search import random_search
from jaxnas.strategies.regularized_evolution import regularized_evolution

__all__ = [
    "bananas",
    "exhaustive",
    "hyperband",
    "local_search",
    "mcts",
    "random_search",
    "regularized_evolution",
    "successive_halving",
]
