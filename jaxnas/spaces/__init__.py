"""Search spaces: genomes, and pure functions that sample, change, compare and name them (`jaxnas.types.Space`).

| space | paper | genome | size |
|---|---|---|---|
| `categorical` | any named decisions, the base of those below | `[D]` int32 | product of the options |
| `nasbench101` | Ying et al., 2019 | edges and vertices of one cell | 423,624 distinct cells |
| `nasbench201` | Dong and Yang, 2020 | operations of six edges | 15,625 |
| `nasnet` | Zoph, Vasudevan, Shlens and Le, 2018 | a normal and a reduction cell of blocks | by the number of blocks |
| `darts` | Liu, Simonyan and Yang, 2019 | a normal and a reduction cell of four nodes | by the operations |
| `layers` | | an operation for each of a sequence of layers | by the options |
| `mobilenet` | Sandler et al., 2018; Tan et al., 2019 | kernel, expansion, depth and width of stages | by the options |
| `transformer` | | mixer, heads, feed-forward network and norm of layers, width and depth of all | by the options |
| `encoder_decoder` | | a transformer that encodes and one that decodes, attending to it | by the options |
| `evolved_transformer` | So, Liang and Le, 2019 | a cell of an encoder and one of a decoder, of blocks | 7.3e115 |
| `graph` | Stanley and Miikkulainen, 2002 (NEAT) | a `Graph`, with its weights | unbounded search space |

`path_encoding` is a feature of NAS-Bench-201's cells (White, Neiswanger and Savani, 2021); `skip_connections` counts
them, by cell. `transformer_cell` and `evolved_cell` are published architectures of `evolved_transformer`, and
`why_illegal` says what is wrong with a genome. All but `graph` are categorical; what needs that says so by name.
"""

from jaxnas.spaces._categorical import categorical
from jaxnas.spaces._darts import darts
from jaxnas.spaces._encoder_decoder import encoder_decoder
from jaxnas.spaces._evolved_cells import evolved_cell, transformer_cell
from jaxnas.spaces._evolved_transformer import evolved_transformer, why_illegal
from jaxnas.spaces._graph import graph
from jaxnas.spaces._graph_genome import Graph
from jaxnas.spaces._layers import layers
from jaxnas.spaces._mobilenet import mobilenet
from jaxnas.spaces._nasbench101 import nasbench101
from jaxnas.spaces._nasbench201 import nasbench201, path_encoding
from jaxnas.spaces._nasnet import nasnet
from jaxnas.spaces._transformer import transformer
from jaxnas.spaces.skips import skip_connections

__all__ = [
    "Graph",
    "categorical",
    "darts",
    "encoder_decoder",
    "evolved_cell",
    "evolved_transformer",
    "graph",
    "layers",
    "mobilenet",
    "nasbench101",
    "nasbench201",
    "nasnet",
    "path_encoding",
    "skip_connections",
    "transformer",
    "transformer_cell",
    "why_illegal",
]
