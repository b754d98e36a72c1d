"""What to try next."""

from jaxnas.strategies.exhaustive import exhaustive
from jaxnas.strategies.local_search import local_search
from jaxnas.strategies.random_search import random_search
from jaxnas.strategies.regularized_evolution import regularized_evolution

__all__ = ["exhaustive", "local_search", "random_search", "regularized_evolution"]
