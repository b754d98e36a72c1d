"""Strategies × seeds × budget on a table: anytime curves, regret, hits of the optimum, ranks, significance, speed.

    jaxnas compare                                       # the embedded table, half a minute
    jaxnas compare --config.table=TABLE.npz --config.metric=COLUMN --config.seeds=10000
    jaxnas compare --config.strategies="local_search,regularized_evolution(population_size=20)"
    jaxnas compare --config.strategies="random_search,nsga2(population_size=20)" --config.costs=seconds

`jaxnas options compare` lists what can be set. Writes compare.json and compare.png.
"""

from jaxnas import config

from . import command


def main() -> None:
    workdir = WORKDIR()
    config.run_program("compare", CONFIG(), workdir)


if __name__ == "__main__":
    CONFIG = command.define_config("compare", "compare")
    WORKDIR = command.define_workdir("compare")
    command.run(main)
