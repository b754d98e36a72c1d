"""Look closer at a search: does its fitness rank as training does, how often does it collapse?

    jaxnas analyse --what=correlate --workdir=runs/NAME --architectures=30
    jaxnas analyse --what=correlate --workdir=runs/NAME --architectures=200 --table=TABLE.npz --metric=COLUMN
    jaxnas analyse --what=collapse --config=darts:small --seeds=8

`correlate` draws random architectures and scores them as the finished search in the workdir does; the truth beside it
is the test metric of each, retrained as `config.retrain` says, or a column of a table. It writes correlate.json and
correlate.png. `collapse` runs a differentiable search with many seeds as one program, and writes collapse.json and
collapse.png.
"""

from absl import flags

from jaxnas import analysis, check
from jaxnas.check import InputError

from . import command

TAKES = {"correlate": ("architectures", "table", "metric"), "collapse": ("seeds", "chunk")}


def main() -> None:
    what = WHAT.value
    check.one_of("what", what, TAKES)
    workdir = WORKDIR()
    given = {name: flag.value for name, flag in OPTIONS.items() if flag.value is not None}
    for name in given:
        if name not in TAKES[what]:
            raise InputError(f"{name}: not for --what={what}, which takes {', '.join(TAKES[what])}.")
    if what == "correlate":
        analysis.correlate(workdir, CONFIG(workdir), **given)
    else:
        if not CONFIG.flag.value:
            raise InputError("config: expected the config of a differentiable search, darts:small say.")
        analysis.collapse(CONFIG(), workdir, **given)


if __name__ == "__main__":
    WHAT = flags.DEFINE_string("what", None, f"Which question: {', '.join(TAKES)}.", required=True)
    CONFIG = command.define_config(None)
    WORKDIR = command.define_workdir(lambda: WHAT.value, "correlate: the finished search; else where results go.")
    OPTIONS = {
        "architectures": flags.DEFINE_integer("architectures", None, "correlate: random architectures to score; 30."),
        "table": flags.DEFINE_string("table", None, "correlate: a table with the truth, instead of retraining."),
        "metric": flags.DEFINE_string("metric", None, "correlate: its column."),
        "seeds": flags.DEFINE_integer("seeds", None, "collapse: searches; 8.", lower_bound=1),
        "chunk": flags.DEFINE_integer("chunk", None, "collapse: searches side by side on a device; all, on a CPU one."),
    }
    command.run(main)
