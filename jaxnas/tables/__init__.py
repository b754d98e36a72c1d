"""Benchmarks: what every genome of a space is known to reach, as arrays in one small file; and readers of others'."""

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
