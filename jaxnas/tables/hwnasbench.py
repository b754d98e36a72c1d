"""HW-NAS-Bench (Li et al., 2021): latency and energy of NAS-Bench-201's cells on six devices, from the official pickle.

The file is a dict by space, then by dataset: lists by architecture, among them `config` with each one's `arch_str`.
"""

import math
import numbers
import pathlib
from typing import Any

import numpy as np

from jaxnas import check
from jaxnas.spaces import nasbench201
from jaxnas.tables import pickles
from jaxnas.tables.table import Column, Table, TableError, validate


def read(path: str | pathlib.Path) -> Table:
    """Reads the cost columns `hw_DEVICE_QUANTITY_DATASET`, in milliseconds and millijoules; -1 is unsupported.

    Raises:
      TableError: damaged, unknown or repeated architectures, lists of other lengths, what is no number, or a negative
        one, by path.
    """
    path, space = check.local_path("path", path), nasbench201()
    content = pickles.read(path)
    if not isinstance(content, dict) or not isinstance(content.get("nasbench201"), dict):
        raise TableError(f"{path}: expected a dict with 'nasbench201'.")
    columns = {}
    for dataset, lists in content["nasbench201"].items():
        if not isinstance(dataset, str) or not isinstance(lists, dict) or not all(isinstance(n, str) for n in lists):
            raise TableError(f"{path}, {dataset!r:.60}: expected a dict of named lists, got {type(lists).__name__}.")
        where = f"{path}, {dataset}"
        index = np.asarray(space.index(np.stack(_genomes(where, space, lists.get("config")))))
        if len(set(index.tolist())) < len(index):
            again = int(np.flatnonzero(np.bincount(index, minlength=space.size) > 1)[0])
            raise TableError(f"{where}: architecture {again} is there twice.")
        for name, costs in lists.items():
            if name == "config":
                continue
            values = np.full(space.size, np.nan, np.float32)
            values[index] = _costs(f"{where}, {name}", costs, len(index))
            label = f"hw_{name}_{dataset.lower()}"
            columns[label] = Column(values.reshape(-1, 1, 1), f"{name} on {dataset}", "cost", higher_is_better=False)
    rows = np.arange(space.size, dtype=np.int32)
    return validate(Table("hwnasbench", {"name": "nasbench201"}, rows, columns), path)


def _genomes(where: str, space: Any, configs: Any) -> list[np.ndarray]:
    if not isinstance(configs, list) or not configs:
        raise TableError(f"{where}: no architecture of each row (no list `config`).")
    genomes = []
    for row, config in enumerate(configs):
        string = config.get("arch_str") if isinstance(config, dict) else None
        if not isinstance(string, str):
            raise TableError(f"{where}: no architecture of each row (row {row} has no `arch_str`).")
        try:
            genomes.append(space.from_string(string))
        except ValueError as error:
            raise TableError(f"{where}: row {row}: {error}") from None
    return genomes


def _costs(where: str, costs: Any, count: int) -> np.ndarray:
    """The list as `[count]` float32, NaN for what is unsupported or unknown."""
    if not isinstance(costs, (list, tuple)):
        raise TableError(f"{where}: expected a list of numbers, got {type(costs).__name__}.")
    if len(costs) != count:
        raise TableError(f"{where}: expected {count} numbers, got {len(costs)}.")
    for row, cost in enumerate(costs):
        if not isinstance(cost, numbers.Real) or isinstance(cost, bool):
            raise TableError(f"{where}: row {row}: expected a number, got {type(cost).__name__}.")
        if (cost < 0 and cost != -1) or cost > float(np.finfo(np.float32).max):
            raise TableError(f"{where}: row {row}: expected a cost, or -1 for unsupported, got {cost!r:.60}.")
    return np.array([math.nan if cost == -1 else cost for cost in costs], np.float32)
