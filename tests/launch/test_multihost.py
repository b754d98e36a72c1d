"""One search by two processes of two devices each, on this machine: what they find, and how they end."""

import contextlib
import json
import os
import signal
import socket
import sys
import time

import jax
import numpy as np
import pytest

from jaxnas import build
from jaxnas.types import scored
from tests.support import tiny_training
from tests.support.programs import history, result, run, start

CONFIG = "--config=tests/support/tiny_training.py"
ENOUGH = 100
"""Seconds within which processes that lost each other have ended."""


def searching(workdir, *more, config=CONFIG, program=("-m", "launch.search")):
    environment = {**os.environ, "JAX_NUM_CPU_DEVICES": "2"}
    environment.pop("XLA_FLAGS", None)
    arguments = [sys.executable, *program, config, f"--workdir={workdir}"]
    return start([*arguments, "--checkpoint_seconds=0", *more], env=environment)


def pair(workdir, *more, second=(), **options):
    """Both processes; the second has a workdir of its own, which it must leave alone."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    shared = ("--multihost", f"--coordinator=localhost:{port}", "--process_count=2", *more)
    other = workdir.with_name(workdir.name + "-other")
    return [
        searching(workdir, *shared, "--process_index=0", **options),
        searching(other, *shared, "--process_index=1", *second, **options),
    ]


def ended(processes, seconds=ENOUGH):
    """`[(status, output)]`, once all have ended."""
    try:
        return [(p.communicate(timeout=seconds)[0], p.returncode)[::-1] for p in processes]
    finally:
        for process in processes:
            with contextlib.suppress(OSError):
                process.kill()


def wait_for_rounds(workdir, count, processes):
    file = workdir / "metrics.jsonl"
    while not file.exists() or file.read_text().count("\n") < count:
        assert all(p.poll() is None for p in processes), [p.said() for p in processes]
        time.sleep(0.02)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("whole") / "run"
    (first, said), (second, nothing) = ended(pair(workdir))
    assert first == second == 0, said + nothing
    return workdir, said, nothing


def test_only_the_first_process_writes_and_speaks(whole):
    workdir, said, nothing = whole
    assert {"history.jsonl", "metrics.jsonl", "checkpoints", "result.json"} <= {f.name for f in workdir.iterdir()}
    assert not workdir.with_name("run-other").exists()
    assert "found" in said and "found" not in nothing
    assert len(history(workdir)) == 30 * 6 and result(workdir)["device"]["count"] == 4


def test_one_process_asks_the_same_and_is_answered_alike(whole, tmp_path):
    status, said = run("launch.search", CONFIG, f"--workdir={tmp_path}", "--config.rounds=2")
    assert status == 0, said
    one, two = history(tmp_path), history(whole[0])
    assert [m["genome"] for m in one[:6]] == [m["genome"] for m in two[:6]]
    np.testing.assert_allclose([m["fitness"] for m in one[:6]], [m["fitness"] for m in two[:6]], atol=0.1)


def test_many_rounds_a_call_are_those_of_one_process(tmp_path):
    table = {"config": "--config=nasbench201"}
    both = ended(pair(tmp_path / "two", "--config.rounds=70", **table))
    assert [status for status, _ in both] == [0, 0], both
    ((alone, said),) = ended([searching(tmp_path / "one", "--config.rounds=70", **table)])
    assert alone == 0, said
    lines = [(tmp_path / name / "history.jsonl").read_text().splitlines() for name in ("one", "two")]
    one, two = ([{k: v for k, v in json.loads(line).items() if k != "seconds"} for line in found] for found in lines)
    assert len(one) == 70 and one == two


def test_given_the_same_feedback_the_same_is_asked(whole):
    """Every proposal of both processes' search, asked again here from what was answered."""
    config = tiny_training.get_config().to_dict()
    strategy, lines = build(config).strategy, history(whole[0])
    init_key, rounds_key = jax.random.split(jax.random.key(0))
    state = jax.jit(strategy.init)(jax.random.fold_in(jax.random.split(init_key)[1], 0))
    ask, tell = jax.jit(strategy.ask), jax.jit(strategy.tell)
    for t in range(config["rounds"]):
        ask_key, _, tell_key = (jax.random.fold_in(jax.random.fold_in(rounds_key, t), i) for i in range(3))
        proposal, state = ask(ask_key, state)
        answered = lines[6 * t : 6 * t + 6]
        assert np.asarray(proposal.genome).tolist() == [m["genome"] for m in answered]
        fitness = np.array([m["fitness"] for m in answered], np.float32)
        state = tell(tell_key, state, proposal, scored(jax.numpy.asarray(fitness)))


@pytest.mark.slow  # the tests of one process have a kill, the next one here the end of all
def test_a_killed_process_ends_the_run_with_the_reason_and_nothing_is_lost(whole, tmp_path):
    processes = pair(tmp_path / "run")
    wait_for_rounds(tmp_path / "run", 3, processes)
    processes[1].kill()
    (status, said), _ = ended(processes)
    assert status not in (0, None) and ("lost another process" in said or "another task died" in said)
    assert [status for status, _ in ended(pair(tmp_path / "run"))] == [0, 0]
    assert history(tmp_path / "run") == history(whole[0])
    assert result(tmp_path / "run") == result(whole[0])


STEP_BY_STEP = """
import runpy
from jaxnas import segments
segments.SECONDS = segments.EVERY = segments.SHARE = 1e-9
runpy.run_module("launch.search", run_name="__main__", alter_sys=True)
"""


@pytest.mark.slow
@pytest.mark.parametrize("plan", ["map", "bucket"])
def test_a_retraining_of_both_goes_on_where_it_was_stopped(plan, tmp_path):
    options = ("--config.rounds=1", "--config.retrain.seeds=3", f"--config.retrain.plan={plan}")
    several = pair(tmp_path / "run", *options, program=("-c", STEP_BY_STEP))
    while not list(tmp_path.glob("run/retraining/result/*/*/[3-9]")):
        assert all(p.poll() is None for p in several), [p.said() for p in several]
        time.sleep(0.02)
    several[1].send_signal(signal.SIGTERM)
    (status, said), (other, _) = ended(several)
    assert status == other == 128 + signal.SIGTERM and "SIGTERM: saved after 0 trainings and" in said
    for name in ("run", "whole"):
        assert [status for status, _ in ended(pair(tmp_path / name, *options))] == [0, 0]
    found, whole = (result(tmp_path / name)["retrained"]["found"] for name in ("run", "whole"))
    assert len(found["test_loss"]) == 3 and found["test_loss"] == whole["test_loss"]
    assert not (tmp_path / "run" / "retraining").exists()


def test_sigterm_to_one_process_saves_and_ends_all_and_one_alone_goes_on(tmp_path):
    processes = pair(tmp_path / "run", "--checkpoint_seconds=1000")
    wait_for_rounds(tmp_path / "run", 3, processes)
    processes[1].send_signal(signal.SIGTERM)
    (status, said), (other, _) = ended(processes, seconds=10)
    assert status == other == 128 + signal.SIGTERM and "SIGTERM: saved after round" in said
    saved = history(tmp_path / "run")
    assert len(saved) >= 18
    status, said = run("launch.search", CONFIG, f"--workdir={tmp_path / 'run'}")
    assert status == 0, said
    assert history(tmp_path / "run")[:18] == saved[:18] and len(history(tmp_path / "run")) == 30 * 6


@pytest.mark.slow  # each side alone: tests/test_processes.py
def test_processes_of_different_configs_are_told(tmp_path):
    found = ended(pair(tmp_path / "run", second=("--config.seed=1",)), seconds=30)
    assert [status for status, _ in found] == [1, 1]
    assert all("config: process 1 has another than process 0" in said for _, said in found)
    assert not (tmp_path / "run" / "history.jsonl").exists()


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--process_count=2"], "process_count: only with --multihost"),
        (["--multihost", "--process_count=2"], "--process_count needs --coordinator, --process_index too"),
        (
            ["--multihost", "--coordinator=localhost:1", "--process_count=2", "--process_index=2"],
            "process_index: expected less than the 2 processes, got 2",
        ),
        (["--data_parallel=9"], "data_parallel: expected 1 to 8, the devices there are, got 9"),
        (["--data_parallel=2"], "data_parallel: evaluator 'training' splits its population over all devices"),
    ],
)
def test_bad_flags_are_answered_in_words(more, message, tmp_path):
    status, said = run("launch.search", CONFIG, f"--workdir={tmp_path / 'run'}", *more)
    assert status == 1 and message in said and not (tmp_path / "run").exists()


@pytest.mark.slow
def test_ten_kills_of_two_processes(whole, tmp_path):
    begin = time.monotonic()
    assert [status for status, _ in ended(pair(tmp_path / "time"))] == [0, 0]
    seconds, random = time.monotonic() - begin, np.random.default_rng(0)
    for i in range(10):
        processes = pair(tmp_path / str(i), "--connect_seconds=20")
        moment, victim = random.uniform(0, seconds), int(random.integers(2))
        time.sleep(moment)
        processes[victim].kill()
        statuses = [status for status, _ in ended(processes)]
        done = len(history(tmp_path / str(i))) if (tmp_path / str(i) / "history.jsonl").exists() else 0
        print(f"killed process {victim} after {moment:.1f} of {seconds:.1f} s, {done} evaluations: {statuses}")
        assert [status for status, _ in ended(pair(tmp_path / str(i)))] == [0, 0]
        assert history(tmp_path / str(i)) == history(whole[0])


@pytest.mark.slow
def test_a_supernet_shares_batches_across_processes(tmp_path):
    more = ("--config.rounds=40", "--config.evaluator.curvature=0", "--config.evaluator.sync_batch_norm=True")
    config = "--config=tests/support/tiny_supernet.py"
    found = ended(pair(tmp_path / "two", *more, "--data_parallel=4", config=config))
    assert [status for status, _ in found] == [0, 0], found
    assert ended([searching(tmp_path / "one", *more, config=config)])[0][0] == 0
    one, two = ([m["fitness"] for m in history(tmp_path / name)] for name in ("one", "two"))
    np.testing.assert_allclose(one[:5], two[:5], atol=0.01)
