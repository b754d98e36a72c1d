"""Zero-cost proxies of many architectures: their scores, what these cost, and whether they rank as a table does.

    jaxnas score                                            # random cells of NAS-Bench-201, no download
    jaxnas score --config.proxies=synflow,nwot --config.subset=all --workdir=DIR

The same command resumes what DIR holds; `--config.table` may change from one call to the next. `jaxnas options score`
lists what can be set. Writes scores.npz (as it goes), result.json, scores.png and correlations.png.
"""

from jaxnas import config

from . import command


def main() -> None:
    workdir = WORKDIR()
    config.run_program("score", CONFIG(), workdir)


if __name__ == "__main__":
    CONFIG = command.define_config("score", "score")
    WORKDIR = command.define_workdir("score")
    command.run(main)
