"""Benchmarks: what every genome of a space is known to reach, as arrays in one small file."""

from jaxnas.tables.table import Column, Table, TableError, embedded, load, save

__all__ = ["Column", "Table", "TableError", "embedded", "load", "save"]
