"""Searches over configs and seeds, one after another or several at a time, and what they found side by side.

    python -m launch.sweep --configs=configs/darts.py:small,configs/gdas.py:small --seeds=3
    python -m launch.sweep --configs=configs/quickstart.py --seeds=10 --workdir=DIR --parallel=2 -- --config.rounds=6

What follows `--` is given to every search. Each has a folder CONFIG/SEED in the workdir; run again, a sweep goes on
where it stands: finished searches stay as they are, others resume. Writes sweep.json.
"""

import datetime
import json
import pathlib
import shlex
import signal
import statistics
import subprocess
import sys
import time

from absl import app, flags

from jaxnas import check
from jaxnas.check import InputError
from jaxnas.workdir import write
from launch.wiring import workdir_of

METRICS = ("fitness", "test_accuracy", "evaluations", "wall_seconds")
"""Of each search's result.json."""


def main(argv: list[str]) -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    workdir = workdir_of("launch.sweep", _WORKDIR.value, f"sweep-{datetime.datetime.now():%Y%m%d-%H%M%S}")
    try:
        failed = run(_CONFIGS.value, _SEEDS.value, workdir, argv[1:], parallel=_PARALLEL.value, dry_run=_DRY_RUN.value)
    except InputError as error:
        sys.exit(f"launch.sweep: {error}")
    except KeyboardInterrupt:
        sys.exit("\nInterrupted; nothing is lost. The same command goes on.")
    sys.exit(1 if failed else 0)


def run(
    configs: list[str],
    seeds: int,
    workdir: pathlib.Path,
    options: list[str],
    *,
    parallel: int = 1,
    dry_run: bool = False,
) -> int:
    """Runs all searches and returns how many failed; with `dry_run` only prints their commands."""
    waiting = list(searches(configs, seeds, workdir, options))
    if dry_run:
        for _, command in waiting:
            print(shlex.join(command))
        return 0
    running: dict[pathlib.Path, subprocess.Popen] = {}
    failed, begin = 0, time.monotonic()
    try:
        while waiting or running:
            while waiting and len(running) < parallel:
                directory, command = waiting.pop(0)
                if _complete(directory / "result.json"):
                    print(f"{directory}: finished before")
                    continue
                directory.mkdir(parents=True, exist_ok=True)
                with (directory / "log.txt").open("a") as log:
                    running[directory] = subprocess.Popen(command, stdout=log, stderr=log)
            for directory, process in list(running.items()):
                if process.poll() is None:
                    continue
                del running[directory]
                failed += process.returncode != 0
                said = "finished" if process.returncode == 0 else f"FAILED, see {directory / 'log.txt'}"
                print(f"{directory}: {said} ({time.monotonic() - begin:.0f} s, {len(waiting)} to go)", flush=True)
            time.sleep(0.2)
    finally:  # SIGTERM has them save and leave
        for process in running.values():
            process.terminate()
        for process in running.values():
            process.wait()
    summary = summarized(configs, seeds, workdir)
    write(workdir / "sweep.json", json.dumps(summary, indent=2))
    print(_table(summary))
    return failed


def _complete(file: pathlib.Path) -> bool:
    """Whether the search, and what comes after it, is done."""
    return file.exists() and json.loads(file.read_text()).get("complete", False)


def searches(configs: list[str], seeds: int, workdir: pathlib.Path, options: list[str]):
    """`(directory, command)` of each search.

    Raises:
      InputError: a config is no file, or is there twice.
    """
    names = [_name(config) for config in configs]
    for config, name in zip(configs, names, strict=True):
        if not pathlib.Path(config.split(":")[0]).is_file():
            known = sorted(str(p) for p in pathlib.Path("configs").glob("*.py") if p.name != "__init__.py")
            check.one_of("configs", config.split(":")[0], known)
        if names.count(name) > 1:
            raise InputError(f"configs: {config} is there twice.")
    for config, name in zip(configs, names, strict=True):
        for seed in range(seeds):
            directory = workdir / name / str(seed)
            search = [sys.executable, "-m", "launch.search", f"--config={config}", f"--workdir={directory}"]
            yield directory, [*search, f"--config.seed={seed}", *options]


def summarized(configs: list[str], seeds: int, workdir: pathlib.Path) -> dict[str, dict]:
    """Config -> metric -> mean, standard deviation and values, of the seeds that finished; and their architectures."""
    summary = {}
    for config in configs:
        files = [workdir / _name(config) / str(seed) / "result.json" for seed in range(seeds)]
        results = [json.loads(file.read_text()) for file in files if file.exists()]
        summary[config] = {"finished": len(results), "architectures": [r["architecture"] for r in results]}
        for metric in METRICS:
            values = [r[metric] for r in results if r.get(metric) is not None]
            if values:
                spread = statistics.stdev(values) if len(values) > 1 else None
                summary[config][metric] = {"mean": statistics.fmean(values), "std": spread, "values": values}
    return summary


def _name(config: str) -> str:
    path, _, options = config.partition(":")
    return "-".join([pathlib.Path(path).stem, *(part for part in options.split(",") if part)])


def _table(summary: dict[str, dict]) -> str:
    wide = max(len(config) for config in summary)
    lines = [f"{'':{wide}}{'seeds':>7}" + "".join(f"{metric:>24}" for metric in METRICS)]
    for config, row in summary.items():
        cells = []
        for metric in METRICS:
            found = row.get(metric)
            spread = f" ± {found['std']:.4g}" if found and found["std"] is not None else ""
            cells.append(f"{found['mean']:.4g}{spread}" if found else "-")
        lines.append(f"{config:{wide}}{row['finished']:>7}" + "".join(f"{cell:>24}" for cell in cells))
    return "\n".join(lines)


if __name__ == "__main__":  # flags are defined here, so that programs can be imported side by side
    _CONFIGS = flags.DEFINE_list("configs", None, "Config files, separated by commas.", required=True)
    _SEEDS = flags.DEFINE_integer("seeds", 3, "Seeds 0, 1, … of each.", lower_bound=1)
    _WORKDIR = flags.DEFINE_string("workdir", None, "Where the searches are kept; by default runs/sweep-DATE-TIME.")
    _PARALLEL = flags.DEFINE_integer("parallel", 1, "Searches at a time.", lower_bound=1)
    _DRY_RUN = flags.DEFINE_bool("dry_run", False, "Print what would be executed, and execute nothing.")
    app.run(main)
