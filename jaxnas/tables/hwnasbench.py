"""HW-NAS-Bench (Li et al., 2021): latency and energy of NAS-Bench-201's cells on six devices, from the official pickle.

The file is a dict by space, then by dataset: lists by architecture, among them `config` with each one's `arch_str`.
"""

import pathlib

import numpy as np

from jaxnas.spaces import nasbench201
from jaxnas.tables import pickles
from jaxnas.tables.table import Column, Table, TableError


def read(path: str | pathlib.Path) -> Table:
    """Reads the cost columns `hw_DEVICE_QUANTITY_DATASET`, in milliseconds and millijoules; -1 is unsupported.

    Raises:
      TableError: damaged, unknown or repeated architectures, lists of other lengths, by path.
    """
    path, space = pathlib.Path(path), nasbench201()
    content = pickles.read(path)
    if not isinstance(content, dict) or not isinstance(content.get("nasbench201"), dict):
        raise TableError(f"{path}: expected a dict with 'nasbench201'.")
    columns = {}
    for dataset, lists in content["nasbench201"].items():
        try:
            genomes = [space.from_string(config["arch_str"]) for config in lists["config"]]
        except (KeyError, TypeError, ValueError) as error:
            raise TableError(f"{path}, {dataset}: no architecture of each row ({error}).") from None
        index = np.asarray(space.index(np.stack(genomes)))
        if len(set(index.tolist())) < len(index):
            again = int(np.flatnonzero(np.bincount(index, minlength=space.size) > 1)[0])
            raise TableError(f"{path}, {dataset}: architecture {again} is there twice.")
        for name, numbers in lists.items():
            if name == "config":
                continue
            if len(numbers) != len(index):
                raise TableError(f"{path}, {dataset}, {name}: expected {len(index)} numbers, got {len(numbers)}.")
            values = np.full(space.size, np.nan, np.float32)
            values[index] = np.asarray(numbers, np.float32)
            values[values == -1] = np.nan
            label = f"hw_{name}_{dataset.lower()}"
            columns[label] = Column(values.reshape(-1, 1, 1), f"{name} on {dataset}", "cost", higher_is_better=False)
    return Table("hwnasbench", {"name": "nasbench201"}, np.arange(space.size, dtype=np.int32), columns)
