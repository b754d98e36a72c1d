"""Problems: what a network that carries its weights is to do, nothing to train.

| member | what it is |
|---|---|
| `Problem` | sizes of the network, its fitness, and a loss where there is a gradient |
| `xor` | exclusive or |
| `cart_pole` | balancing one pole or two on a cart |
| `supervised` | a task's examples, see `jaxnas.tasks` |
| `balancing`, `episode` | an `Environment`, and what a controller reaches in it |
"""

from jaxnas.problems._problem import Problem, supervised, xor
from jaxnas.problems.control import Environment, balancing, cart_pole, episode

__all__ = ["Environment", "Problem", "balancing", "cart_pole", "episode", "supervised", "xor"]
