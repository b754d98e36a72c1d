"""What is done with searches and tables: comparing, scoring, retraining, correlating.

| function | what it does |
|---|---|
| `retrain` | the final training of what a search found, beside random architectures |
| `compare` | strategies × seeds × evaluations on a table |
| `score` | zero-cost proxies of many architectures |
| `profile` | a latency table of this device, and how far to trust it; of absent ones see `planning.profile` |
| `tabulate` | every distinct architecture of a space trained into a table |
| `correlate` | rank correlation of a search's fitness with training alone, or with a table |
| `collapse` | how often a differentiable search ends in skip connections |
"""

from jaxnas.analysis._collapse import collapse
from jaxnas.analysis.comparison import compare
from jaxnas.analysis.correlation import correlate
from jaxnas.analysis.profiling import profile
from jaxnas.analysis.retraining import retrain
from jaxnas.analysis.scoring import score
from jaxnas.analysis.tabulation import tabulate
from jaxnas.config.registry import register

__all__ = ["collapse", "compare", "correlate", "profile", "retrain", "score", "tabulate"]

for _program in (compare, score, tabulate):
    register("program", _program.__name__, _program, takes=("workdir", "say"))
register("program", "profile", profile, takes=("workdir", "say", "meter"))
