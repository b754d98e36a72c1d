"""Make a table out of a published benchmark's files, or of a CSV of your own, for `compare` and `search`.

    jaxnas import_table --from=csv --path=results.csv --decisions=depth,width,pool --output=mine.npz
    jaxnas import_table --from=nats --path=NATS-tss-v1_0-3ffb9-simple --output=nats.npz
    jaxnas import_table --from=nasbench101 --path=nasbench_full.tfrecord --output=nb101.npz
    jaxnas import_table --from=arrays --path=nasbench201_cifar10.npz --output=nb201.npz
    jaxnas import_table --from=nats --path=… --costs_from=HW-NAS-Bench-v1_0.pickle --output=…

Files of others are read as data: a pickle that asks for any type but plain ones is refused, and nothing of it runs.
"""

import pathlib

from absl import flags

from jaxnas import check, tables
from jaxnas.check import InputError
from jaxnas.config.lookup import load_table
from jaxnas.tables import arrays, csv_file, hwnasbench, nasbench101, nats
from jaxnas.tables.joining import with_costs
from jaxnas.tables.summary import summary

from . import command

TAKES = {
    "csv": ("decisions", "metrics", "costs", "minimize"),
    "nats": ("partial", "curves"),
    "nasbench101": ("partial",),
    "arrays": (),
}
"""Format -> the options that it takes."""


def main() -> None:
    output = check.local_path("output", OUTPUT.value)
    if output.suffix != ".npz":
        raise InputError(f"output: expected the name of an .npz file, got {output}.")
    if output.exists() and not OVERWRITE.value:
        raise InputError(f"output: {output} exists; nothing was changed. Give --overwrite to replace it.")
    try:
        table = read()
        if COSTS.value:
            official = pathlib.Path(COSTS.value).suffix in (".pickle", ".pkl")
            table = with_costs(table, (hwnasbench.read if official else load_table)(COSTS.value), COSTS.value)
        output.parent.mkdir(parents=True, exist_ok=True)
        tables.save(table, output)
    except OSError as error:
        raise InputError(str(error)) from error
    print(summary(table))
    print(f"written to {output}")


def read() -> tables.Table:
    which = flags.FLAGS["from"].value
    options = {name: OPTIONS[name].value for name in TAKES[which]}
    for name, flag in OPTIONS.items():
        if flag.value and name not in options:
            wanted = next(other for other in TAKES if name in TAKES[other])
            raise InputError(f"{name}: only for --from={wanted}, not {which}.")
    if which in ("nats", "nasbench101"):
        return (nats if which == "nats" else nasbench101).read(PATH.value, progress=True, **options)
    return (csv_file if which == "csv" else arrays).read(PATH.value, **options)


if __name__ == "__main__":
    flags.DEFINE_enum("from", None, list(TAKES), "Format of what is read.", required=True)
    PATH = flags.DEFINE_string("path", None, "The file or folder to read.", required=True)
    OUTPUT = flags.DEFINE_string("output", None, "The table to write, an .npz.", required=True)
    OVERWRITE = flags.DEFINE_bool("overwrite", False, "Replace an output that exists.")
    COSTS = flags.DEFINE_string("costs_from", None, "HW-NAS-Bench's pickle, or a table, whose cost columns to join.")
    OPTIONS = {
        "partial": flags.DEFINE_bool("partial", False, "nats, nasbench101: accept files that lack architectures."),
        "curves": flags.DEFINE_bool("curves", False, "nats: accuracy by epoch as well."),
        "decisions": flags.DEFINE_list("decisions", [], "csv: decision columns; by default what is no metric."),
        "metrics": flags.DEFINE_list("metrics", [], "csv: metric columns; by default what is no decision."),
        "costs": flags.DEFINE_list("costs", [], "csv: columns that are costs."),
        "minimize": flags.DEFINE_list("minimize", [], "csv: metric columns of which less is better."),
    }
    command.run(main)
