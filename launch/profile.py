"""Measure a space's operations on this device: a latency table, and how far to trust what it predicts.

    jaxnas profile                                                # NAS-Bench-201
    jaxnas profile --config=profile:mobilenet --config.batch=1 --workdir=DIR

Writes latency_table.json (for `config.cost.path`), result.json and latency.png into the workdir. Networks that
calibrated nothing are measured beside what the table predicts, what the sum of operations alone would, and FLOPs.
"""

import sys

from jaxnas import config

from . import command


def main() -> None:
    result = config.run_program("profile", CONFIG(), WORKDIR())
    if not result["valid"]:
        sys.exit(f"{command.name()}: {result['why_invalid']}")


if __name__ == "__main__":
    CONFIG = command.define_config("profile", "profile")
    WORKDIR = command.define_workdir("profile")
    command.run(main)
