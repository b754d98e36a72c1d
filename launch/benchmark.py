"""What it costs: figures of one benchmark, printed and kept in `benchmarks/`, with where they are from.

    jaxnas benchmark --what=training                                     # of a population, beside one network at a time
    jaxnas benchmark --what=training --peer='python peer.py'             # beside any program
    jaxnas benchmark --what=supernet --order=finite_difference           # a search step of DARTS
    jaxnas benchmark --what=proxies --proxies=snip --plan=vmap --chunk=8 # zero-cost proxies
    jaxnas benchmark --what=neat --population=10000 --peers= --generations=20
    jaxnas benchmark --what=loop                                         # where evaluation takes next to nothing
    jaxnas benchmark --what=data --task="{'name': 'tfds', 'dataset': 'cifar10'}" --batch=256
    jaxnas benchmark --what=device --minutes=8 --peers=DIR               # all that matters of a GPU, in eight minutes
    jaxnas benchmark --what=device --scale=small --only=neat,grad_norm   # tried on a CPU

`--what=device` writes each figure to `benchmarks/device-KIND.json` as soon as it is there, and the same command goes on
with those that are missing; DIR has the PyTorch programs torch_nb201.py and torch_darts.py. Of the others, only a run
with the same options replaces a file. `--output` names another, `--overwrite` insists. Options are those of the
functions `measure` in `jaxnas.benchmarks`, which say what a peer has to print; `--help` has them too.
"""

import ast
import inspect
import json
import shlex
import sys
import typing
from collections.abc import Sequence
from functools import partial

from absl import flags

from jaxnas import benchmarks, check
from jaxnas.benchmarks import figures
from jaxnas.check import InputError
from jaxnas.config._options import described
from jaxnas.config.registry import make

from . import command

MEASURES = {name: getattr(benchmarks, name).measure for name in benchmarks.__all__}
DEFINE = {
    int: flags.DEFINE_integer,
    int | None: flags.DEFINE_integer,
    float: flags.DEFINE_float,
    Sequence[str]: flags.DEFINE_list,
}
"""The flag of an annotation; of any other, text."""


def main() -> None:
    what = WHAT.value
    check.one_of("what", what, MEASURES)
    takes = {name: parameter.default for name, parameter in inspect.signature(MEASURES[what]).parameters.items()}
    given = {name: flag.value for name, flag in OPTIONS.items() if flag.value is not None}
    for name in given:
        if name not in takes:
            raise InputError(
                f"--{name}: --what={what} does not take it; it takes {', '.join(f'--{option}' for option in takes)}."
            )
    if "task" in given:
        given["task"] = _literal(given["task"])
    started = shlex.join([*command.line().split(), *sys.argv[1:]])
    if what == "device":
        say = partial(print, file=sys.stderr)
        record = benchmarks.device.kept(OUTPUT.value, started, overwrite=OVERWRITE.value, say=say, **given)
        print(json.dumps(record, indent=2))
        return
    file = check.local_path("output", OUTPUT.value or f"benchmarks/{what}.json")
    record = figures.claim(file, what, takes | given, started, overwrite=OVERWRITE.value)
    if "task" in given:
        chosen = given["task"]
        given["task"] = lambda stream: make("task", {**chosen, "stream": stream})
    record["figures"] = MEASURES[what](**given)
    print(json.dumps(record, indent=2))  # whatever becomes of the file
    figures.save(file, record)


def _literal(text: str) -> dict:
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        value = text  # which is no dict
    check.mapping("task", value)
    return value


def define_options() -> dict[str, flags.FlagHolder]:
    """A flag for each option of any benchmark."""
    kinds: dict[str, object] = {}
    abouts: dict[str, list[str]] = {}
    for what, measure in MEASURES.items():
        meanings, hints = described(measure), typing.get_type_hints(measure)
        for name, parameter in inspect.signature(measure).parameters.items():
            default = ",".join(parameter.default) if isinstance(parameter.default, tuple) else parameter.default
            kinds.setdefault(name, hints[name])
            abouts.setdefault(name, []).append(f"--what={what} ({default}): {meanings.get(name, '')}")
    return {n: DEFINE.get(kind, flags.DEFINE_string)(n, None, " ".join(abouts[n])) for n, kind in kinds.items()}


if __name__ == "__main__":  # flags are defined here, so that programs can be imported side by side
    WHAT = flags.DEFINE_string("what", None, f"Which benchmark: {', '.join(MEASURES)}.", required=True)
    OUTPUT = flags.DEFINE_string(
        "output", None, "File of the figures; by default benchmarks/WHAT.json, of a device benchmarks/device-KIND.json."
    )
    OVERWRITE = flags.DEFINE_bool("overwrite", False, "Replace figures of other options.")
    OPTIONS = define_options()
    command.run(main)
