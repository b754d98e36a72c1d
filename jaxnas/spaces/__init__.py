"""What may be built: pure data and functions over genomes."""

from jaxnas.spaces._categorical import categorical
from jaxnas.spaces._darts import darts
from jaxnas.spaces._graph import graph
from jaxnas.spaces._graph_genome import Graph
from jaxnas.spaces._mobilenet import mobilenet
from jaxnas.spaces._nasbench101 import nasbench101
from jaxnas.spaces._nasbench201 import nasbench201, path_encoding
from jaxnas.spaces._nasnet import nasnet
from jaxnas.spaces.skips import skip_connections

__all__ = [
    "Graph",
    "categorical",
    "darts",
    "graph",
    "mobilenet",
    "nasbench101",
    "nasbench201",
    "nasnet",
    "path_encoding",
    "skip_connections",
]
