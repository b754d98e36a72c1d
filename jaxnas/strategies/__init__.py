"""Search strategies: pure ask/tell functions over an explicit state (`jaxnas.types.Strategy`).

| strategy | paper | needs of the space | reads from feedback |
|---|---|---|---|
| `random_search` | Li and Talwalkar, 2019 | `sample` | fitness |
| `exhaustive` | every genome once | `from_index` | fitness |
| `beam_search` | Gu et al., 2025 (Jet-Nemotron) | categorical | fitness |
| `local_search` | White, Nolen and Savani, 2021 | `neighbors` | fitness |
| `regularized_evolution` | Real, Aggarwal, Huang and Le, 2019 | `mutate` | fitness |
| `nsga2` | Deb, Pratap, Agarwal and Meyarivan, 2002 | `mutate`, `crossover` | fitness, costs |
| `additive` | Bercovich et al., 2024 (Puzzle) | categorical | fitness, costs |
| `neat` | Stanley and Miikkulainen, 2002 | `mutate`, `crossover`, `distance` | fitness |
| `hyperband`, `successive_halving` | Li et al., 2018 | `sample` | fitness at several budgets |
| `hurdles` | So, Liang and Le, 2019 (progressive dynamic hurdles) | `mutate` | fitness at several budgets |
| `bananas` | White, Neiswanger and Savani, 2021 | `mutate`, `features` | fitness |
| `mcts` | Kocsis and Szepesvári, 2006 | categorical | fitness |
| `reinforce`, `ppo` | Williams, 1992; Schulman et al., 2017 | categorical | fitness |
| `enas` | Pham et al., 2018 | categorical | fitness of shared weights |
| `fair_paths` | Chu, Zhang and Xu, 2021 | categorical | fitness of shared weights |
| `sandwich` | Yu and Huang, 2019; Cai et al., 2020 (progressive shrinking) | categorical | nothing |
| `darts` | Liu, Simonyan and Yang, 2019 | categorical | gradient, shared weights |
| `gdas` | Dong and Yang, 2019 | categorical | gradient, shared weights |
| `binary_gates` | Cai, Zhu and Han, 2019 (ProxylessNAS) | categorical | gradient, shared weights |

`early_stopping` (Zela et al., 2020) stops a differentiable strategy when curvature rises; `warm_start` begins one with
given architectures, or with evaluations made before (`trials_of`). `independent_policy` and
`lstm_policy` are the `Policy` of `reinforce`, `ppo` and `enas`. `strategies.knapsack` finds the best options within
one or two budgets. A strategy refuses a space that lacks what it needs, by name, when it is built.
"""

from jaxnas.strategies._additive import additive
from jaxnas.strategies._bananas import bananas
from jaxnas.strategies._beam_search import beam_search
from jaxnas.strategies._binary_gates import binary_gates
from jaxnas.strategies._darts import darts
from jaxnas.strategies._early_stopping import early_stopping
from jaxnas.strategies._enas import enas
from jaxnas.strategies._exhaustive import exhaustive
from jaxnas.strategies._fair_paths import fair_paths
from jaxnas.strategies._gdas import gdas
from jaxnas.strategies._hurdles import hurdles
from jaxnas.strategies._hyperband import hyperband, successive_halving
from jaxnas.strategies._local_search import local_search
from jaxnas.strategies._mcts import mcts
from jaxnas.strategies._neat import neat
from jaxnas.strategies._nsga2 import nsga2
from jaxnas.strategies._random_search import random_search
from jaxnas.strategies._regularized_evolution import regularized_evolution
from jaxnas.strategies._sandwich import sandwich
from jaxnas.strategies._trials import Trials, trials_of
from jaxnas.strategies._warm_start import warm_start
from jaxnas.strategies.policy import Policy, independent_policy, lstm_policy
from jaxnas.strategies.policy_gradient import ppo, reinforce

__all__ = [
    "Policy",
    "Trials",
    "additive",
    "bananas",
    "beam_search",
    "binary_gates",
    "darts",
    "early_stopping",
    "enas",
    "exhaustive",
    "fair_paths",
    "gdas",
    "hurdles",
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
    "sandwich",
    "successive_halving",
    "trials_of",
    "warm_start",
]
