"""Programs as a user starts them: in processes of their own, or within this one, which saves a start of ten seconds."""

import contextlib
import io
import json
import os
import pathlib
import runpy
import subprocess
import sys
import tempfile
import warnings
from unittest import mock

import jax
from absl import flags

ROOT = pathlib.Path(__file__).parents[2]


class Started(subprocess.Popen):
    """A process, its output and errors in one text: in a file, as one that fills a pipe would wait for a reader."""

    def __init__(self, arguments, **options):
        with tempfile.NamedTemporaryFile("w", delete=False) as file:
            self._file = pathlib.Path(file.name)
            super().__init__(arguments, cwd=ROOT, stdout=file, stderr=subprocess.STDOUT, text=True, **options)

    def said(self) -> str:
        return self._file.read_text()

    def communicate(self, input=None, timeout=None):
        self.wait(timeout)
        return self.said(), None


def start(arguments, **options) -> Started:
    return Started(arguments, **options)


def run(program: str, *arguments) -> tuple[int, str]:
    """`python -m program arguments` within this process: `(status, what it said)`."""
    said = io.StringIO()
    simplified, defined = jax.config.jax_use_simplified_jaxpr_constants, set(flags.FLAGS)
    devices = {"JAX_NUM_CPU_DEVICES": str(jax.device_count())}  # it would set them, too late
    argv = [program, *map(str, arguments)]
    with contextlib.ExitStack() as stack:
        stack.enter_context(warnings.catch_warnings(action="ignore", category=RuntimeWarning))  # imported before
        stack.enter_context(mock.patch.dict(os.environ, devices))
        stack.enter_context(mock.patch.object(sys, "argv", argv))
        stack.enter_context(contextlib.chdir(ROOT))
        stack.enter_context(contextlib.redirect_stdout(said))
        stack.enter_context(contextlib.redirect_stderr(said))
        try:
            runpy.run_module(program, run_name="__main__", alter_sys=True)
            status = 0
        except SystemExit as end:
            if isinstance(end.code, str):
                said.write(end.code + "\n")
            status = end.code if isinstance(end.code, int) else int(end.code is not None)
        finally:
            for name in set(flags.FLAGS) - defined:
                delattr(flags.FLAGS, name)
            flags.FLAGS.unparse_flags()
            jax.config.update("jax_use_simplified_jaxpr_constants", simplified)
    return status, said.getvalue()


def history(workdir: pathlib.Path) -> list[dict]:
    """What a run evaluated, without how long it took."""
    lines = [json.loads(line) for line in (workdir / "history.jsonl").read_text().splitlines()]
    return [{k: v for k, v in line.items() if k != "seconds"} for line in lines]


def result(workdir: pathlib.Path) -> dict:
    """What a run found, without how long it took."""
    timing = ("wall_seconds", "compile_seconds", "xla_compiles")
    return {k: v for k, v in json.loads((workdir / "result.json").read_text()).items() if k not in timing}
