"""The programs as a user starts them, on a table so that they take seconds; the real quickstart is marked slow."""

import os
import signal
import sys
import time

import numpy as np
import pytest

from jaxnas import spaces
from jaxnas.config import registry
from tests.support.programs import history, result, run, start

ROUNDS = 1500
"""Enough that a run which saves after each is still far from its end when it is killed."""


def arguments(table, workdir, rounds=30):
    return [
        *("--config=configs/nasbench201.py", f"--workdir={workdir}"),
        *(f"--config.evaluator.path={table}", "--config.evaluator.fitness=accuracy", f"--config.rounds={rounds}"),
    ]


def command(*given):
    return [sys.executable, "-m", "launch.search", *arguments(*given)]


@pytest.fixture(scope="module")
def whole(table, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("whole")
    process = start(command(table, workdir, ROUNDS))
    assert process.wait() == 0, process.said()
    return workdir


def test_what_a_run_leaves_behind(whole):
    names = {path.name for path in whole.iterdir()}
    assert {"config.json", "history.jsonl", "checkpoints", "result.json", "architecture.png", "anytime.png"} <= names
    promised = ("architecture", "genome", "fitness", "cost", "test_accuracy", "evaluations", "versions", "device")
    assert set(promised) <= set(result(whole))
    assert result(whole)["evaluations"] == len(history(whole)) == ROUNDS


def test_killed_and_resumed_run_equals_the_uninterrupted_one(table, whole, tmp_path):
    process = start([*command(table, tmp_path, ROUNDS), "--checkpoint_seconds=0"])
    while process.poll() is None and not list(tmp_path.glob("checkpoints/[0-9]*/note")):
        time.sleep(0.01)
    process.kill()
    process.wait()
    assert len(history(tmp_path) if (tmp_path / "history.jsonl").exists() else []) < ROUNDS
    process = start(command(table, tmp_path, ROUNDS))
    assert process.wait() == 0, process.said()
    assert history(tmp_path) == history(whole)
    assert result(tmp_path) == result(whole)


LISTENING = "import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_DFL); os.execv(sys.argv[1], sys.argv[1:])"
"""Starts a program that hears Ctrl-C, also where these tests run in the background and ignore it."""


def test_ctrl_c_says_how_to_resume(table, tmp_path):
    process = start([sys.executable, "-c", LISTENING, *command(table, tmp_path / "run", 1_000_000)])
    while process.poll() is None and not (
        (tmp_path / "run" / "history.jsonl").exists() and (tmp_path / "run" / "history.jsonl").read_text()
    ):
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    said = process.communicate()[0]
    assert process.returncode != 0 and "Traceback" not in said
    assert "Resume with:" in said and f"--workdir={tmp_path / 'run'}" in said
    assert history(tmp_path / "run") and list((tmp_path / "run" / "checkpoints").iterdir())


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("--config.strategy.name=evolution", "Did you mean 'regularized_evolution'?"),
        ("--config.strategy.tournament_size=60", "population_size: expected at least 60 (the tournament_size), got 50"),
        ("--config.stratgy.name=x", "launch.search: config: unknown 'stratgy'. Did you mean 'strategy'?"),
    ],
)
def test_bad_flags_are_answered_in_words(table, tmp_path, flag, message):
    status, said = run("launch.search", *arguments(table, tmp_path), flag)
    assert status == 1 and message in said
    assert not (tmp_path / "config.json").exists()


@pytest.mark.parametrize("program", ["search", "score", "compare"])
def test_unknown_key_of_the_default_config_is_answered_in_words(program, tmp_path):
    status, said = run(f"launch.{program}", f"--workdir={tmp_path / 'run'}", "--config.sed=1")
    assert status == 1 and said.startswith(f"launch.{program}: config: unknown 'sed'. Did you mean 'seed'? Known: ")


def test_workdir_of_another_config_is_refused(table, whole):
    status, said = run("launch.search", *arguments(table, whole, ROUNDS), "--config.seed=7")
    assert status == 1 and "holds a run of another config" in said and "seed: 0 there, 7 given" in said


@pytest.mark.slow
def test_twenty_kills_of_a_run_that_trains_and_retrains(tmp_path):
    def training(workdir):
        config = ("--config=tests/support/tiny_training.py", "--config.retrain={'steps': 300, 'seeds': 4}")
        return [sys.executable, "-m", "launch.search", *config, f"--workdir={workdir}", "--checkpoint_seconds=0.5"]

    def found(workdir):
        rows = result(workdir)
        retrained = {name: {k: v for k, v in row.items() if k != "seconds"} for name, row in rows["retrained"].items()}
        return {**rows, "retrained": retrained}

    assert start(training(tmp_path / "warm")).wait() == 0  # its compile is read from the cache from here on
    begin = time.monotonic()
    assert start(training(tmp_path / "whole")).wait() == 0
    seconds = time.monotonic() - begin
    moments = np.random.default_rng(0).uniform(0, seconds, 20)
    for i, moment in enumerate(moments):
        process = start(training(tmp_path / str(i)))
        time.sleep(moment)
        process.kill()
        process.wait()
        there = (tmp_path / str(i) / "result.json").exists()
        process = start(training(tmp_path / str(i)))
        assert process.wait() == 0, process.said()
        print(f"killed after {moment:.1f} of {seconds:.1f} s{', the search was over' if there else ''}")
        assert history(tmp_path / str(i)) == history(tmp_path / "whole")
        assert found(tmp_path / str(i)) == found(tmp_path / "whole")


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(registry.known("strategy")))
def test_each_strategy_killed_and_resumed_equals_the_uninterrupted_run(name, tmp_path):
    strategy = {"name": name, **({"max_budget": 90} if name in ("hyperband", "successive_halving") else {})}
    strategy |= {"min_budget": 10} if name == "successive_halving" else {}
    strategy |= {"rounds": 250} if name in ("gdas", "enas") else {}
    shared = (
        "shared" in registry.make("strategy", strategy, {"space": spaces.nasbench201(), "costs": ("seconds",)}).needs
    )
    config = "tests/support/tiny_supernet.py" if shared else "configs/nasbench201.py"
    config = "configs/hwnasbench.py:small" if name == "nsga2" else config  # which needs costs

    def searching(workdir):
        return [
            *(sys.executable, "-m", "launch.search", f"--config={config}", f"--workdir={workdir}"),
            *(f"--config.strategy={strategy}", "--config.rounds=300", "--checkpoint_seconds=0"),
        ]

    def rounds(workdir):
        names = [path.parent.name for path in workdir.glob("checkpoints/[0-9]*/note")]
        return max((int(name) for name in names if name.isdigit()), default=0)  # not what is half written

    process = start(searching(tmp_path / "whole"))
    assert process.wait() == 0, process.said()
    killed = []
    for after in (1, 100, 200):
        process = start(searching(tmp_path / "parts"))
        while process.poll() is None and rounds(tmp_path / "parts") < after:
            time.sleep(0.01)
        process.kill()
        process.wait()
        killed.append(rounds(tmp_path / "parts"))
    assert killed[-1] < 300
    process = start(searching(tmp_path / "parts"))
    assert process.wait() == 0, process.said()
    print(f"{name}: killed after {killed} of 300 rounds")
    assert history(tmp_path / "parts") == history(tmp_path / "whole")
    assert result(tmp_path / "parts") == result(tmp_path / "whole")


@pytest.mark.slow
def test_quickstart(tmp_path):
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache")}
    process = start([sys.executable, "-m", "launch.search", f"--workdir={tmp_path / 'run'}"], env=environment)
    said = process.communicate()[0]
    assert process.returncode == 0, said
    assert result(tmp_path / "run")["test_accuracy"] > 0.98
    assert all(name in said for name in ("random search", "reference", "nearest neighbour", "SVM", "of its latency"))
    assert (tmp_path / "run" / "recommendation.png").exists()
