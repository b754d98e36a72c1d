"""NATS-Bench (Dong, Liu, Musial and Gabrys, 2021): the official `*-simple` folders of both search spaces.

A folder has `meta.pickle.pbz2` and a pickle for each architecture: for each length of training ("12", "200"), for each
dataset and seed, accuracy, loss and time by epoch.
"""

import pathlib
from typing import Any

import numpy as np
from tqdm import tqdm

from jaxnas import check
from jaxnas.spaces import categorical, nasbench201
from jaxnas.tables import pickles
from jaxnas.tables.table import Column, Table, TableError

DATASETS = {
    "cifar10-valid": ("cifar10-train25k", {"x-valid": "valid25k", "ori-test": "test10k"}),
    "cifar10": ("cifar10-train50k", {"ori-test": "test10k"}),
    "cifar100": ("cifar100-train50k", {"x-valid": "valid5k", "x-test": "test5k", "ori-test": "test10k"}),
    "ImageNet16-120": ("imagenet16-120-train152k", {"x-valid": "valid3k", "x-test": "test3k", "ori-test": "test6k"}),
}
"""Dataset of the files -> its name here, which says on how many images networks were trained, and its splits.

CIFAR-10 comes twice: trained on one half of the training images and validated on the other, and trained on all of
them. CIFAR-100 and ImageNet16-120 split the original test images into validation and test; `ori-test` is both.
"""
SIZES = tuple(range(8, 65, 8))
MISSING_SHOWN = 5


def read(folder: str | pathlib.Path, *, partial: bool = False, curves: bool = False, progress: bool = False) -> Table:
    """Reads a folder.

    Columns, for each dataset D: `D.SPLIT.accuracy` in percent and `D.SPLIT.loss`, at the end of each whole training
    (budgets are its lengths in epochs, each with a schedule of its own); `D.seconds`, training and one pass over the
    first split, which is what NATS-Bench's simulated time adds up, and `D.train_seconds` without that pass; costs
    `D.parameters` and `D.flops`, both in millions.

    Args:
      folder: a `NATS-tss-…-simple` or `NATS-sss-…-simple` folder.
      partial: accept a folder that lacks architectures; they stay unmeasured.
      curves: also `D.SPLIT.accuracy.curveN`, by epoch, for each length N whose files have them.
      progress: whether to show a progress bar.

    Raises:
      TableError: damaged, missing, foreign or contradictory files, by path.
    """
    folder = check.local_path("folder", folder)
    names = pickles.read(folder / "meta.pickle.pbz2")
    names = names.get("meta_archs") if isinstance(names, dict) else None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise TableError(f"{folder / 'meta.pickle.pbz2'}: expected a dict with the list `meta_archs`.")
    topology = bool(names) and names[0].startswith("|")
    config, strings = _topology() if topology else _size()
    if len(names) != len(strings):
        raise TableError(f"{folder / 'meta.pickle.pbz2'}: expected {len(strings)} architectures, got {len(names)}.")
    for row, (name, string) in enumerate(zip(names, strings, strict=True)):
        if name != string:
            raise TableError(f"{folder / 'meta.pickle.pbz2'}: row {row} is {name!r}, expected {string!r}.")

    paths = [folder / f"{row:06d}.pickle.pbz2" for row in range(len(names))]
    present = [row for row, path in enumerate(paths) if path.is_file()]
    missing = sorted(set(range(len(names))) - set(present))
    if missing and not (partial and present):
        shown = ", ".join(str(row) for row in missing[:MISSING_SHOWN])
        raise TableError(
            f"{folder}: {len(missing)} of {len(names)} architectures are missing, the first: {shown}. "
            "Accept that as a partial table (--partial), or download the whole folder."
        )
    numbers: dict[str, dict[tuple[int, int, int], float]] = {}
    about: dict[str, tuple[str, str]] = {}
    for place, row in enumerate(tqdm(present, disable=not progress, unit=" architectures")):
        content = pickles.read(paths[row])
        try:
            _collect(content, names[row], place, curves, numbers, about)
        except TableError as error:
            raise TableError(f"{paths[row]}: {error}") from None
        except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
            raise TableError(f"{paths[row]}: not as published: {type(error).__name__} {error}.") from None

    rows = np.full(len(names), -1, np.int32)
    rows[present] = np.arange(len(present))
    columns = {}
    for name, entries in sorted(numbers.items()):
        budgets, seeds = (sorted({key[i] for key in entries}) for i in (2, 1))
        values = np.full((len(present), len(seeds), len(budgets)), np.nan, np.float32)
        for (place, seed, budget), number in entries.items():
            values[place, seeds.index(seed), budgets.index(budget)] = number
        words, kind = about[name]
        seconds = f"{name.split('.')[0]}.seconds" if kind == "metric" and "curve" not in name else None
        columns[name] = Column(
            values, words, kind, tuple(budgets), tuple(seeds), seconds, kind == "metric" and ".loss" not in name
        )
    which = "topology" if topology else "size"
    source = {"benchmark": f"NATS-Bench, {which} search space", "paper": "Dong et al., 2021", "licence": "MIT"}
    return Table(f"nats-{which}", config, rows, columns, "epochs", {**source, "folder": folder.name})


def _topology() -> tuple[dict, list[str]]:
    space = nasbench201()
    return {"name": "nasbench201"}, [space.to_string(g) for g in np.asarray(space.from_index(np.arange(space.size)))]


def _size() -> tuple[dict, list[str]]:
    decisions = {f"stage{i}": list(SIZES) for i in range(1, 6)}
    space = categorical(decisions)
    genomes = np.asarray(space.from_index(np.arange(space.size)))
    return {"name": "categorical", "decisions": decisions}, [":".join(str(SIZES[o]) for o in g) for g in genomes]


def _collect(content: Any, name: str, place: int, curves: bool, numbers: dict, about: dict) -> None:
    """Adds one architecture's figures to `numbers[column][place, seed, budget]`."""

    def put(column, seed, budget, value, words, kind="metric"):
        numbers.setdefault(column, {})[place, int(seed), budget] = float(value)
        about[column] = (words, kind)

    for length, group in content.items():
        if group["arch_str"] != name:
            raise TableError(f"holds {group['arch_str']!r}, expected {name!r}.")
        for (dataset, seed), run in group["all_results"].items():
            if dataset not in DATASETS:
                raise TableError(f"unknown dataset {dataset!r}.")
            prefix, splits = DATASETS[dataset]
            epochs, last = int(length), int(length) - 1
            if run["epochs"] != epochs or int(seed) != int(run["seed"]):
                raise TableError(f"{dataset}, seed {seed}: epochs or seed differ from where they are filed.")
            for split, label in splits.items():
                words = f"{dataset}, {split}: trained as {prefix}, seen on {label}, after a whole training of N epochs"
                accuracy, loss = run["eval_acc1es"][f"{split}@{last}"], run["eval_losses"][f"{split}@{last}"]
                if not np.isfinite(accuracy) or not 0 <= accuracy <= 100:
                    raise TableError(f"{dataset}, seed {seed}, {split}: accuracy {accuracy}.")
                put(f"{prefix}.{label}.accuracy", seed, epochs, accuracy, f"accuracy in percent; {words}")
                put(f"{prefix}.{label}.loss", seed, epochs, loss, f"cross-entropy in nats; {words}")
                known = [e for e in range(epochs) if f"{split}@{e}" in run["eval_acc1es"]]
                if curves and len(known) == epochs > 1:
                    column = f"{prefix}.{label}.accuracy.curve{epochs}"
                    for e in known:
                        value = run["eval_acc1es"][f"{split}@{e}"]
                        put(column, seed, e + 1, value, f"accuracy in percent; by epoch of one training of {epochs}")
            train = sum(run["train_times"].values())
            check = run["eval_times"][f"{next(iter(splits))}@{last}"]
            words = f"training of {prefix} for N epochs, in seconds on the authors' GPU"
            put(f"{prefix}.train_seconds", seed, epochs, train, words, "seconds")
            put(f"{prefix}.seconds", seed, epochs, train + check, f"{words}, and one pass over the split", "seconds")
            put(f"{prefix}.parameters", 0, 0, run["params"], "parameters in millions", "cost")
            put(f"{prefix}.flops", 0, 0, run["flop"], "multiply-adds in millions, by the authors' formula", "cost")
