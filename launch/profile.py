"""Measure a space's operations on this device: a latency table, and how far to trust what it predicts.

    jaxnas profile                                                # NAS-Bench-201
    jaxnas profile --config=profile:mobilenet --config.batch=1 --workdir=DIR
    jaxnas profile --target=v5e:1x1                               # of a device that is not here, by its compiler

Writes latency_table.json (for `config.cost.path`), result.json and latency.png into the workdir. Networks that
calibrated nothing are measured beside what the table predicts, what the sum of operations alone would, and FLOPs. With
a target (v5e:1x1, h100; see `jaxnas plan`) nothing runs: times are the compiler's estimates, for the cost
`estimated_latency`.
"""

import os
import sys

if any(argument.lstrip("-").startswith("target") for argument in sys.argv[1:]):
    os.environ.setdefault("JAX_PLATFORMS", "cpu")  # before JAX, which would look for devices whose compilers are there

from absl import flags

from jaxnas import config, planning

from . import command


def main() -> None:
    if TARGET.value:
        result = planning.profile(CONFIG(), TARGET.value, WORKDIR())
    else:
        result = config.run_program("profile", CONFIG(), WORKDIR())
    if not result["valid"]:
        sys.exit(f"{command.name()}: {result['why_invalid']}")


if __name__ == "__main__":
    CONFIG = command.define_config("profile", "profile")
    TARGET = flags.DEFINE_string("target", "", "A device that is not here, whose compiler estimates: v5e:1x1, h100.")
    WORKDIR = command.define_workdir("profile")
    command.run(main)
