"""What it costs: figures of one benchmark, printed and kept in `benchmarks/`, with where they are from.

    python -m launch.benchmark --what=training                    # of a population, beside one network at a time
    python -m launch.benchmark --what=training --peer='python peer.py'                      # beside any program
    python -m launch.benchmark --what=supernet --order=finite_difference                    # a search step of DARTS
    python -m launch.benchmark --what=proxies --proxies=snip --plan=vmap --chunk=8          # zero-cost proxies
    python -m launch.benchmark --what=neat --population=10000 --peers= --generations=20     # generations of NEAT
    python -m launch.benchmark --what=loop                        # the loop, where evaluation takes next to nothing
    python -m launch.benchmark --what=data --task="{'name': 'tfds', 'dataset': 'cifar10', 'shift': 4}" --batch=256

Only a run with the same options replaces a file; `--output` names another, `--overwrite` insists. Options are those of
the functions `measure` in `jaxnas.benchmarks`, which say what a peer has to print; `--help` has them too.
"""

import ast
import inspect
import json
import re
import shlex
import sys
import typing
from collections.abc import Callable, Sequence

from absl import app, flags

from jaxnas import benchmarks, check
from jaxnas.benchmarks import figures
from jaxnas.check import InputError
from jaxnas.machine import configure
from launch.wiring import make

MEASURES = {name: getattr(benchmarks, name).measure for name in benchmarks.__all__}
DEFINE = {
    int: flags.DEFINE_integer,
    int | None: flags.DEFINE_integer,
    Sequence[str]: flags.DEFINE_list,
}
"""The flag of an annotation; of any other, text."""


def main(argv: list[str]) -> None:
    if len(argv) > 1:
        raise app.UsageError(f"unexpected arguments {argv[1:]}; options are given as --KEY=VALUE.")
    configure()
    try:
        check.one_of("what", _WHAT.value, MEASURES)
        given = {name: flag.value for name, flag in _OPTIONS.items() if flag.value is not None}
        run(_WHAT.value, given, _OUTPUT.value, _OVERWRITE.value)
    except InputError as error:
        sys.exit(f"launch.benchmark: {error}")


def run(what: str, given: dict, output: str | None = None, overwrite: bool = False) -> None:
    """Measures, prints and writes."""
    takes = inspect.signature(MEASURES[what]).parameters
    for name in given:
        if name not in takes:
            others = ", ".join(f"--{option}" for option in takes)
            raise InputError(f"--{name}: --what={what} does not take it; it takes {others}.")
    if "task" in given:
        given = {**given, "task": _literal("task", given["task"])}
    options = {**{name: parameter.default for name, parameter in takes.items()}, **given}
    file = check.local_path("output", output or f"benchmarks/{what}.json")
    command = shlex.join(["python", "-m", "launch.benchmark", *sys.argv[1:]])
    record = figures.claim(file, what, options, command, overwrite=overwrite)
    record["figures"] = MEASURES[what](**_built(given))
    print(json.dumps(record, indent=2))  # whatever becomes of the file
    figures.save(file, record)


def _literal(name: str, text: str) -> dict:
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        value = text  # which is no dict
    check.mapping(name, value)
    return value


def _built(given: dict) -> dict:
    """The options with the task that a dict names."""
    if "task" not in given:
        return given
    return {**given, "task": lambda stream: make("task", {**given["task"], "stream": stream})}


def define_options() -> dict[str, flags.FlagHolder]:
    """A flag for each option of any benchmark."""
    taken = {}
    for what, measure in MEASURES.items():
        for name, annotation in typing.get_type_hints(measure).items():
            if name != "return":
                taken.setdefault(name, {})[what] = annotation
    return {name: _define(name, annotations) for name, annotations in taken.items()}


def _define(name: str, annotations: dict[str, object]) -> flags.FlagHolder:
    (define,) = {DEFINE.get(annotation, flags.DEFINE_string) for annotation in annotations.values()}
    abouts = []
    for what in annotations:
        default = inspect.signature(MEASURES[what]).parameters[name].default
        shown = ",".join(default) if isinstance(default, tuple) else default
        by_default = "" if default is None else f" (by default {shown})"
        abouts.append(f"--what={what}{by_default}: {_about(MEASURES[what], name)}")
    return define(name, None, " ".join(abouts))


def _about(measure: Callable, name: str) -> str:
    """What the docstring says of an argument."""
    found = re.search(rf"^ {{2}}{name}: (.*(?:\n {{4}}.*)*)", inspect.getdoc(measure), re.MULTILINE)
    return " ".join(found[1].split())


if __name__ == "__main__":  # flags are defined here, so that programs can be imported side by side
    _WHAT = flags.DEFINE_string("what", None, f"Which benchmark: {', '.join(MEASURES)}.")
    _OUTPUT = flags.DEFINE_string("output", None, "File of the figures; by default benchmarks/WHAT.json.")
    _OVERWRITE = flags.DEFINE_bool("overwrite", False, "Replace figures of other options.")
    _OPTIONS = define_options()
    app.run(main)
