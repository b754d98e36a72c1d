"""What may be built: pure data and functions over genomes."""

from jaxnas.spaces.categorical import categorical
from jaxnas.spaces.darts import darts
from jaxnas.spaces.graph import Graph, graph
from jaxnas.spaces.mobilenet import mobilenet
from jaxnas.spaces.nasbench101 import nasbench101
from jaxnas.spaces.nasbench201 import nasbench201, path_encoding
from jaxnas.spaces.nasnet import nasnet
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
