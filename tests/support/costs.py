"""Where the suite's seconds go, by file and by kind.

    python -m pytest --costs=DIR && python -m tests.support.costs DIR

Each process of pytest writes a file into DIR; the second command adds them up, in Markdown.
"""

import collections
import json
import os
import pathlib
import subprocess
import sys
import time

KINDS = ("wall", "cpu", "trace", "lower", "compile", "process")
"""Seconds of a file's tests and fixtures: all; of this process's CPUs; JAX's tracing and lowering, and XLA's compiles
(reads of the compilation cache included); and of the processes that tests start, from start to end."""
EVENTS = {
    "/jax/core/compile/jaxpr_trace_duration": "trace",
    "/jax/core/compile/jaxpr_to_mlir_module_duration": "lower",
    "/jax/core/compile/backend_compile_duration": "compile",
}


class Costs:
    """A plugin of pytest that counts."""

    def __init__(self, directory: str):
        import jax

        self._directory = pathlib.Path(directory)
        self._directory.mkdir(parents=True, exist_ok=True)
        self._seconds = collections.Counter()
        self._files: dict[str, collections.Counter] = collections.defaultdict(collections.Counter)
        self._before = (time.perf_counter(), time.process_time(), collections.Counter())
        jax.monitoring.register_event_duration_secs_listener(self._on_event)
        self._watch_processes()

    def _on_event(self, event: str, seconds: float, **_) -> None:
        if event in EVENTS:
            self._seconds[EVENTS[event]] += seconds
            self._seconds["compiles"] += EVENTS[event] == "compile"

    def _watch_processes(self) -> None:
        start, poll, began, seconds = subprocess.Popen.__init__, subprocess.Popen._handle_exitstatus, {}, self._seconds

        def init(process, *args, **options):
            began[id(process)] = time.perf_counter()
            start(process, *args, **options)

        def ended(process, *args, **options):
            if id(process) in began:
                seconds["process"] += time.perf_counter() - began.pop(id(process))
                seconds["processes"] += 1
            return poll(process, *args, **options)

        subprocess.Popen.__init__, subprocess.Popen._handle_exitstatus = init, ended

    def pytest_runtest_setup(self, item) -> None:
        self._before = (time.perf_counter(), time.process_time(), self._seconds.copy())

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        wall, cpu, seconds = self._before
        file = self._files[nodeid.split("::")[0]]
        file.update(wall=time.perf_counter() - wall, cpu=time.process_time() - cpu, cases=1)
        file.update({kind: self._seconds[kind] - seconds[kind] for kind in self._seconds})

    def pytest_sessionfinish(self) -> None:
        (self._directory / f"{os.getpid()}.json").write_text(json.dumps(self._files))


def table(directory: str) -> str:
    """A row for each file, the longest first, and their sum."""
    files: dict[str, collections.Counter] = collections.defaultdict(collections.Counter)
    for path in pathlib.Path(directory).glob("*.json"):
        for name, counted in json.loads(path.read_text()).items():
            files[name].update(counted)
    total = sum(files.values(), collections.Counter())
    lines = [f"| file | cases | {' | '.join(KINDS)} | compiles | processes |", "|---" * (len(KINDS) + 4) + "|"]
    for name, row in [("all", total), *sorted(files.items(), key=lambda item: -item[1]["wall"])]:
        seconds = " | ".join(f"{row[kind]:.0f}" for kind in KINDS)
        lines.append(
            f"| {name.removeprefix('tests/')} | {row['cases']} | {seconds} | {row['compiles']} | {row['processes']} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    print(table(sys.argv[1]))
