"""Searches over configs and seeds, one after another or several at a time, and what they found side by side."""

import json
import pathlib
import shlex
import statistics
import subprocess
import time
from collections.abc import Iterator, Sequence

from jaxnas.check import InputError
from jaxnas.config.files import locate
from jaxnas.workdir import write

METRICS = ("fitness", "metric", "test_accuracy", "evaluations", "wall_seconds")
"""Of each search's result.json; of `metric` its value."""


def sweep(
    command: Sequence[str],
    configs: Sequence[str],
    seeds: int,
    workdir: pathlib.Path,
    options: Sequence[str],
    *,
    parallel: int = 1,
    dry_run: bool = False,
) -> int:
    """Runs searches over configs and seeds, each a process, and returns how many failed.

    Args:
      command: that starts a search.
      configs: names or files of configs.
      seeds: seeds 0, 1, … of each.
      workdir: each has a folder CONFIG/SEED in it; what is finished there stays as it is, the others resume.
      options: flags for every search.
      parallel: searches at a time.
      dry_run: only print the commands.

    Raises:
      InputError: a config that is none, or is there twice.
    """
    waiting = list(searches(command, configs, seeds, workdir, options))
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


def searches(
    command: Sequence[str], configs: Sequence[str], seeds: int, workdir: pathlib.Path, options: Sequence[str]
) -> Iterator[tuple[pathlib.Path, list[str]]]:
    """`(directory, command)` of each search.

    Raises:
      InputError: a config is no file, or is there twice.
    """
    names = [_name(config) for config in configs]
    for config, name in zip(configs, names, strict=True):
        locate(config)
        if names.count(name) > 1:
            raise InputError(f"configs: {config} is there twice.")
    for config, name in zip(configs, names, strict=True):
        for seed in range(seeds):
            directory = workdir / name / str(seed)
            search = [*command, f"--config={config}", f"--workdir={directory}"]
            yield directory, [*search, f"--config.seed={seed}", *options]


def summarized(configs: Sequence[str], seeds: int, workdir: pathlib.Path) -> dict[str, dict]:
    """Config -> metric -> mean, standard deviation and values, of the seeds that finished; and their architectures."""
    summary = {}
    for config in configs:
        files = [workdir / _name(config) / str(seed) / "result.json" for seed in range(seeds)]
        results = [json.loads(file.read_text()) for file in files if _complete(file)]
        summary[config] = {"finished": len(results), "architectures": [r["architecture"] for r in results]}
        for metric in METRICS:
            values = [value for r in results if (value := _value(r, metric)) is not None]
            if values:
                spread = statistics.stdev(values) if len(values) > 1 else None
                summary[config][metric] = {"mean": statistics.fmean(values), "std": spread, "values": values}
    return summary


def _value(result: dict, metric: str) -> float | None:
    found = result.get(metric)
    return found.get("value") if isinstance(found, dict) else found


def _name(config: str) -> str:
    path, _, options = config.partition(":")
    return "-".join([pathlib.Path(path).stem, *(part for part in options.split(",") if part)])


def _table(summary: dict[str, dict]) -> str:
    wide = max(len(config) for config in summary)
    shown = [metric for metric in METRICS if any(metric in row for row in summary.values())]
    lines = [f"{'':{wide}}{'seeds':>7}" + "".join(f"{metric:>24}" for metric in shown)]
    for config, row in summary.items():
        cells = []
        for metric in shown:
            found = row.get(metric)
            spread = f" ± {found['std']:.4g}" if found and found["std"] is not None else ""
            cells.append(f"{found['mean']:.4g}{spread}" if found else "-")
        lines.append(f"{config:{wide}}{row['finished']:>7}" + "".join(f"{cell:>24}" for cell in cells))
    return "\n".join(lines)
