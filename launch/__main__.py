"""`jaxnas NAME …`: the programs by name, the same as `python -m launch.NAME …` in a checkout."""

import ast
import os
import pathlib
import runpy
import sys

from . import LATE, SETTINGS

HERE = pathlib.Path(__file__).parent
PROGRAMS = (
    *("search", "retrain", "compare", "score", "analyse", "profile", "tabulate", "import_table", "prepare"),
    *("plan", "sweep", "benchmark", "options"),
)


def main() -> None:
    """Runs the program that the first argument names."""
    name = sys.argv[1] if len(sys.argv) > 1 else "--help"
    if name in ("--help", "-h", "help"):
        print("usage: jaxnas PROGRAM [--FLAG=VALUE …]; jaxnas PROGRAM --help for its flags\n")
        for program in PROGRAMS:
            print(f"  {program:14}{_title(program)}")
        return
    if name not in PROGRAMS:
        sys.exit(f"jaxnas: no program {name!r}; there are {', '.join(PROGRAMS)}.")
    del sys.argv[1]
    if LATE and __package__ == "jaxnas.launch":
        os.environ.update(SETTINGS)
        os.execv(sys.executable, [sys.executable, "-m", f"{__package__}.{name}", *sys.argv[1:]])
    runpy.run_module(f"{__package__}.{name}", run_name="__main__", alter_sys=True)


def _title(program: str) -> str:
    return ast.get_docstring(ast.parse((HERE / f"{program}.py").read_text())).splitlines()[0]


if __name__ == "__main__":
    main()
