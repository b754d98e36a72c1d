"""What can be set in a config: name, type, default and meaning of every argument of every part.

    jaxnas options                     # the names of all parts
    jaxnas options training darts      # all arguments of the parts of these names
    jaxnas options recalibrate         # the parts that have an argument of this name
    jaxnas options config              # the keys of a search's config
    jaxnas options --kind=strategy package.module:factory

In Python, `jaxnas.options("darts")`.
"""

from absl import flags

import jaxnas

from . import command


def main(names: list[str]) -> None:
    if not names:
        for part in jaxnas.options(kind=KIND.value):
            print(f"{part.kind:15} {part.name:24} {part.summary[:80]}")
    for name in names:
        for part in jaxnas.options(name, KIND.value):
            print(f"{part}\n")


if __name__ == "__main__":
    KIND = flags.DEFINE_string("kind", "", "Kind of part: space, network, task, strategy, evaluator, …")
    command.run(main, positional=True)
