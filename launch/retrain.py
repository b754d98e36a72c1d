"""Retrain what a search found, scaled up or on another task if asked, and random architectures beside it.

    jaxnas retrain --workdir=runs/NAME                                  # the search's own config and result
    jaxnas retrain --workdir=runs/NAME --random=30
    jaxnas retrain --workdir=runs/NAME --random=1 --output=large.json \\
        --config.network.cells=6 --config.network.filters=32 --config.task="{'name': 'npz', 'path': 'cifar10.npz'}"
    jaxnas retrain --config=NAME --architecture='|nor_conv_3x3~0|+…' --workdir=DIR

Anything of the search's config can be changed: `--config.KEY=VALUE`, a whole part by a dictionary. Writes retrain.json,
or `--output`, into the workdir.
"""

from absl import flags

import jaxnas

from . import command


def main() -> None:
    workdir = WORKDIR()
    options = {"workdir": workdir, "output": OUTPUT.value, "random": RANDOM.value}
    jaxnas.retrain(CONFIG(workdir), ARCHITECTURE.value, **options)


if __name__ == "__main__":
    CONFIG = command.define_config(None)
    WORKDIR = command.define_workdir(about="Folder of the search; also takes the output.")
    ARCHITECTURE = flags.DEFINE_string("architecture", "", "Architecture string; by default what the search found.")
    RANDOM = flags.DEFINE_integer("random", 0, "Random architectures to retrain beside it.", lower_bound=0)
    OUTPUT = flags.DEFINE_string("output", "retrain.json", "File for the results, in the workdir.")
    command.run(main)
