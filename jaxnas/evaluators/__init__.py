"""Evaluators map a `Proposal` to `Feedback`: how good each of its members is.

An `Evaluator` (see `jaxnas.types`) is pure functions over an explicit state. A strategy is refused an evaluator that
does not give what it needs, or that needs what its proposals do not carry. What stands after a semicolon is
given where the factory is asked for it. Objectives are in `jaxnas.costs`,
recipes of training in `jaxnas.training`.

| evaluator | what it does | needs | gives |
|---|---|---|---|
| `training` | trains each candidate from scratch, a population in one program | budget | fitness, budget |
| `supernet` | trains weights that all candidates share | | fitness, gradient, shared; curvature |
| `table` | looks up what was measured of each candidate | | fitness; budget, cost |
| `zero_cost` | scores each candidate at initialization, by `jaxnas.proxies` | | fitness |
| `direct` | calls a function of the user's, traced or plain Python | | fitness |
| `cached` | wraps one: answers a canonical genome from memory | its evaluator's | its evaluator's |
| `with_cost` | wraps one: adds costs of an architecture | its evaluator's | its evaluator's, cost |
| `scalarized` | wraps one: fitness becomes an objective of fitness and a cost | its evaluator's | its evaluator's |

Beside them:

| name | what it does |
|---|---|
| `train_alone` | the same of one genome, whose variables are kept |
| `retrain` | the final training of chosen genomes on train and validation data; scores on the test data |
| `parameters` | counts the trainable parameters of a stand-alone network |
| `attainable` | refuses limits on costs that no genome meets, where the evaluator knows all of them |
| `largest_eigenvalue` | of the Hessian of a loss, by Lanczos' iteration |
"""

from jaxnas.evaluators._cached import cached
from jaxnas.evaluators._direct import direct
from jaxnas.evaluators._retrain import parameters, retrain, train_alone
from jaxnas.evaluators._scalarized import attainable, scalarized
from jaxnas.evaluators._supernet import supernet
from jaxnas.evaluators._table import table
from jaxnas.evaluators._training import training
from jaxnas.evaluators._with_cost import with_cost
from jaxnas.evaluators._zero_cost import zero_cost
from jaxnas.evaluators.curvature import largest_eigenvalue

__all__ = [
    "attainable",
    "cached",
    "direct",
    "largest_eigenvalue",
    "parameters",
    "retrain",
    "scalarized",
    "supernet",
    "table",
    "train_alone",
    "training",
    "with_cost",
    "zero_cost",
]
