"""Tabular benchmarks: what each genome of a space reaches, as arrays in one file, and readers of published ones.

| reader | paper | reads |
|---|---|---|
| `nasbench101.read` | Ying et al., 2019 | the official `.tfrecord` |
| `nats.read` | Dong, Liu, Musial and Gabrys, 2021 | the official `*-simple` folders |
| `hwnasbench.read` | Li et al., 2021 | latency and energy of NAS-Bench-201's cells, from the official pickle |
| `arrays.read` | | an `.npz` of NAS-Bench-201 columns |
| `csv_file.read` | | a user's own CSV, a line for each measured architecture |

Each returns a `Table` of `Column`s, which `save` writes and `load` reads; `is_table` recognizes such a file, `embedded`
finds one that the package carries. Any other file raises `TableError`. `evaluators.table` searches a table.
"""

from jaxnas.tables import arrays, csv_file, hwnasbench, nasbench101, nats
from jaxnas.tables.table import Column, Table, TableError, embedded, is_table, load, save

__all__ = [
    "Column",
    "Table",
    "TableError",
    "arrays",
    "csv_file",
    "embedded",
    "hwnasbench",
    "is_table",
    "load",
    "nasbench101",
    "nats",
    "save",
]
