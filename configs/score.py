"""Zero-cost proxies of random NAS-Bench-201 cells on the embedded digits, beside the table that comes with the library.

python -m launch.score
python -m launch.score --config.proxies=synflow,nwot --config.subset=all
"""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    config = ConfigDict()
    config.seed = 0
    config.space = {"name": "nasbench201"}
    config.network = {"name": "nasbench201", "channels": 8, "cells": 1}
    config.task = {"name": "digits"}
    # Names separated by commas, or "all".
    config.proxies = "all"
    # So many architectures at random, or "all" of the space.
    config.subset = "1000"
    # Training examples, drawn once, as they are (not augmented).
    config.batch_size = 64
    # Architectures of one canonical form share those scores that depend on the function computed alone.
    config.deduplicate = True
    # Architectures in one call of a program.
    config.members = 64
    config.plan = "auto"  # "map" or "vmap", see jaxnas.population
    config.chunk = 0  # with "vmap", side by side on a device; 0 for as many as fit into its memory
    # What scores are correlated with: columns of a file (see launch.import_table) or of an embedded table, separated by
    # commas; the first is plotted. No path, no correlations.
    config.table = {"path": "nasbench201_digits", "metrics": "test_accuracy,test_loss"}
    return config.lock()
