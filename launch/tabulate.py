"""Train every distinct architecture of a space, and write what they reach as a table.

    jaxnas tabulate --workdir=DIR                            # the table that comes with the library
    jaxnas tabulate --config=mine.py --workdir=DIR           # any enumerable space, any task

The same command resumes what DIR holds. DIR gets history, checkpoints/ and, at the end, NAME.npz for `jaxnas compare`,
with its provenance and noise (rank correlation between seeds) beside it as NAME.json.
"""

from jaxnas import config

from . import command


def main() -> None:
    workdir = WORKDIR()
    config.run_program("tabulate", CONFIG(), workdir)


if __name__ == "__main__":
    CONFIG = command.define_config("tabulate_digits", "tabulate")
    WORKDIR = command.define_workdir()
    command.run(main)
