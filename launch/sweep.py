"""Searches over configs and seeds, one after another or several at a time, and what they found side by side.

    jaxnas sweep --configs=darts:small,gdas:small --seeds=3
    jaxnas sweep --configs=quickstart --seeds=10 --workdir=DIR --parallel=2 -- --config.rounds=6

What follows `--` is given to every search. Each has a folder CONFIG/SEED in the workdir; run again, a sweep goes on
where it stands: finished searches stay as they are, others resume. Writes sweep.json.
"""

import signal
import sys

from absl import flags

from jaxnas.analysis.sweeping import sweep

from . import command


def main(options: list[str]) -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    search = [sys.executable, "-m", f"{__package__}.search"]
    how = {"parallel": PARALLEL.value, "dry_run": DRY_RUN.value}
    sys.exit(1 if sweep(search, CONFIGS.value, SEEDS.value, WORKDIR(), options, **how) else 0)


if __name__ == "__main__":
    CONFIGS = flags.DEFINE_list("configs", None, "Configs, by name or file, separated by commas.", required=True)
    SEEDS = flags.DEFINE_integer("seeds", 3, "Seeds 0, 1, … of each.", lower_bound=1)
    WORKDIR = command.define_workdir("sweep")
    PARALLEL = flags.DEFINE_integer("parallel", 1, "Searches at a time.", lower_bound=1)
    DRY_RUN = flags.DEFINE_bool("dry_run", False, "Print what would be executed, and execute nothing.")
    command.run(main, positional=True)
