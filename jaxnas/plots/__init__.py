"""Pictures of what a search found, as PNG files. Matplotlib is imported when the first is drawn.

| function | shows |
|---|---|
| `architecture` | one architecture: cells, edges, growing graphs, or a table of decisions |
| `anytime` | best fitness so far against evaluations |
| `shared_weights` | losses, skip connections and curvature of a search on shared weights |
| `curvatures` | the largest eigenvalue of many searches, collapsed or not |
| `species` | species and fitness over generations |
| `front` | fitness against costs: what was evaluated, the front found, the true one |
| `hypervolume` | the front's hypervolume against evaluations |
| `recommendation` | the fronts of a search and of random search, a reference and the network to build |
| `latency` | predicted against measured latency |
| `scatter`, `proxies`, `correlations` | how well numbers rank one another |
| `comparison` | strategies over many seeds |
"""

from jaxnas.plots._architecture import architecture
from jaxnas.plots._comparison import comparison
from jaxnas.plots._correlation import correlations, proxies, scatter
from jaxnas.plots._curves import anytime, curvatures, shared_weights
from jaxnas.plots._fronts import front, hypervolume
from jaxnas.plots._latency import latency
from jaxnas.plots._recommendation import recommendation
from jaxnas.plots._species import species

__all__ = [
    "anytime",
    "architecture",
    "comparison",
    "correlations",
    "curvatures",
    "front",
    "hypervolume",
    "latency",
    "proxies",
    "recommendation",
    "scatter",
    "shared_weights",
    "species",
]
