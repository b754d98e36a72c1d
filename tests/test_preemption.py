"""SIGTERM while a search compiles, evaluates and saves: out within seconds, and what was complete is kept."""

import json
import re
import signal
import subprocess
import sys
import threading
import time

import pytest

from jaxnas import preemption
from tests.support.programs import ROOT

LEFT = 128 + signal.SIGTERM
SLOW = """
import sys, time
import jax, jax.numpy as jnp, numpy as np
import jaxnas
from jaxnas import evaluators, spaces, strategies
import jaxnas.checkpoint, jaxnas.workdir

workdir, where = sys.argv[1:]
space = spaces.categorical({"a": [1, 2, 3], "b": [1, 2, 3]})
ROUNDS = 8

def slow(key, genome):
    '''The last round says that it began, and takes a minute unless it is another that is to be slow.'''
    def compiling(x):  # XLA works for minutes on what it could fold
        print("slow", flush=True)
        for i in range(400):
            x = jnp.sin(x) @ (x + i)
        return x.sum()
    def running(x):
        jax.debug.callback(lambda: print("slow", flush=True))
        return jax.lax.fori_loop(0, 10**9, lambda i, x: jnp.sin(x @ x), x).sum()
    x = jnp.ones((300, 300))
    if where != "resumed" and slow.calls >= 8:
        if where == "compile": jax.jit(compiling)(x).block_until_ready()
        if where == "evaluation": jax.jit(running)(x).block_until_ready()
    slow.calls += 1
    return float(genome.sum())
slow.calls = 0

if where == "checkpoint":
    digest = jaxnas.checkpoint._digest
    def slowly(arrays):
        if slow.calls >= 8:
            print("slow", flush=True)
            time.sleep(3)
        return digest(arrays)
    jaxnas.checkpoint._digest = slowly

strategy = strategies.regularized_evolution(space, population_size=4, tournament_size=2, proposals=2)
evaluator = evaluators.direct(slow, jittable=False)
options = {"seed": 0, "workdir": workdir, "checkpoint_seconds": 0 if where == "checkpoint" else 1000, "progress": False}
print(len(jaxnas.search(space, strategy, evaluator, rounds=ROUNDS, **options).history))
"""


RETRAINED = """
from ml_collections import ConfigDict

def get_config():
    return ConfigDict({
        "seed": 0, "rounds": 1,
        "space": {"name": "nasbench201"},
        "task": {"name": "digits"},
        "network": {"name": "nasbench201", "channels": 4, "cells": 1},
        "strategy": {"name": "random_search", "proposals": 2, "budget": 1},
        "evaluator": {"name": "training"},
        "retrain": {"steps": 2500, "seeds": 1},
    })
"""


def run(workdir, where):
    arguments = [sys.executable, "-c", SLOW, str(workdir), where]
    return subprocess.Popen(arguments, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def genomes(workdir):
    return [json.loads(line)["genome"] for line in (workdir / "history.jsonl").read_text().splitlines()]


@pytest.mark.parametrize(
    "where", ["compile", *(pytest.param(where, marks=pytest.mark.slow) for where in ("evaluation", "checkpoint"))]
)
def test_sigterm_leaves_within_seconds_and_loses_nothing(where, tmp_path):
    process = run(tmp_path / "run", where)
    while process.stdout.readline().strip() != "slow":
        assert process.poll() is None, process.stderr.read()
    time.sleep(0.3)
    begin = time.monotonic()
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=60)
    assert time.monotonic() - begin < 10
    assert process.returncode == LEFT and "SIGTERM: saved after round" in said
    saved = int(said.split("saved after round ")[1].split(";")[0])
    assert saved >= 4 and (tmp_path / "run" / "checkpoints" / str(saved)).is_dir()
    again, whole = run(tmp_path / "run", "resumed"), run(tmp_path / "whole", "resumed")
    assert [p.communicate()[0].strip() for p in (again, whole)] == ["16", "16"]
    assert genomes(tmp_path / "run") == genomes(tmp_path / "whole")


@pytest.mark.slow
def test_sigterm_while_it_retrains(tmp_path):
    config = tmp_path / "config.py"
    config.write_text(RETRAINED)
    run = lambda name: subprocess.Popen(
        [sys.executable, "-m", "launch.search", f"--config={config}", f"--workdir={tmp_path / name}"],
        **{"cwd": ROOT, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True},
    )
    process = run("run")
    while " steps: " not in process.stderr.readline():
        assert process.poll() is None, process.stderr.read()
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=60)
    assert process.returncode == LEFT and "SIGTERM: saved after " in said
    saved = int(re.search(r"saved after 0 trainings and ([\d,]+) steps;", said)[1].replace(",", ""))
    assert 0 < saved < 2500 and list(tmp_path.glob("run/retraining/result/*/*"))
    again, whole = run("run"), run("whole")
    assert [p.wait(timeout=300) for p in (again, whole)] == [0, 0]
    found, expected = (json.loads((tmp_path / name / "result.json").read_text()) for name in ("run", "whole"))
    timed = lambda row: {name: value for name, value in row.items() if name != "seconds"}
    assert timed(found["retrained"]["found"]) == timed(expected["retrained"]["found"])
    assert not (tmp_path / "run" / "retraining").exists()


def test_a_program_that_handles_sigterm_itself_goes_on_to():
    seen = []
    previous = signal.signal(signal.SIGTERM, lambda *_: seen.append("own"))
    try:
        with preemption.saving(lambda: pytest.fail("not asked")):
            signal.raise_signal(signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, previous)
    assert seen == ["own"]


def test_afterwards_everything_is_as_before():
    before, threads = signal.getsignal(signal.SIGTERM), threading.active_count()
    with preemption.saving(lambda: ""):
        assert signal.getsignal(signal.SIGTERM) is not before
    assert signal.getsignal(signal.SIGTERM) is before and threading.active_count() == threads
