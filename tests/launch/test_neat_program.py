"""NEAT as a user starts it."""

import json
import signal
import sys
import time

import jax
import numpy as np
import pytest

from configs import neat
from jaxnas import build
from tests.support import programs
from tests.support.programs import history, result, start


def arguments(workdir, *more):
    given = ("--config=configs/neat.py", f"--workdir={workdir}", "--checkpoint_seconds=0")
    return (*given, "--config.strategy.proposals=50", *more)


def command(*given):
    return [sys.executable, "-m", "launch.search", *arguments(*given)]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("neat") / "run"
    small = ("--config.rounds=25", "--config.space.hidden=2", "--config.space.connections=6")
    status, said = programs.run("launch.search", *arguments(workdir, *small))
    assert status == 0, said
    return workdir, said, small


def test_it_says_when_it_was_solved_and_what_found_no_room(run):
    workdir, said, _ = run
    found, lines = result(workdir), history(workdir)
    solved = [i for i, line in enumerate(lines, 1) if line["solved"]]
    assert found["solved"] == (
        {"round": lines[solved[0] - 1]["round"], "evaluations": solved[0]} if solved else None
    ) and ("  solved in round" in said) == bool(solved)
    assert found["overflow"] > 0 and f"{found['overflow']:,} mutations found no room for a node or connection" in said
    assert "neat on graph (unbounded search space)" in said
    assert {"species.png", "architecture.png", "anytime.png"} <= {f.name for f in workdir.iterdir()}
    assert {"species", "overflow", "solved"} <= set(lines[0]) and found["fitness"] == max(
        line["fitness"] for line in lines
    )


def test_what_is_reloaded_scores_the_same(run):
    workdir, _, _ = run
    parts = build(json.loads((workdir / "config.json").read_text()))
    genome = parts.space.from_string(result(workdir)["architecture"])
    fitness, _ = parts.problem.fitness(parts.network.apply, genome, jax.random.key(0))
    assert float(fitness) == pytest.approx(result(workdir)["fitness"], rel=1e-5)


@pytest.mark.slow  # `test_every_strategy` resumes it in one process, `test_programs` kills another strategy
def test_killed_and_resumed_it_equals_the_uninterrupted_run(run, tmp_path):
    whole, _, small = run
    for rounds in (3, 11):
        process = start(command(tmp_path / "run", *small))
        file = tmp_path / "run" / "metrics.jsonl"
        while not file.exists() or file.read_text().count("\n") < rounds:
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert start(command(tmp_path / "run", *small)).wait() == 0
    assert history(tmp_path / "run") == history(whole) and result(tmp_path / "run") == result(whole)


@pytest.mark.parametrize("task", sorted((*neat.PROBLEMS, *neat.TASKS)))
def test_every_task_has_a_space_and_network_of_its_size(task):
    config = neat.get_config(task).to_dict()
    parts = build(config)
    genome = parts.space.sample(jax.random.key(0))
    wanted = parts.problem or parts.task
    assert genome.outputs == wanted.outputs and genome.recurrent == getattr(wanted, "memory", False)


def test_fine_tuning_is_inherited_or_not():
    config = neat.get_config("xor").to_dict()
    key = jax.random.key(0)

    def changed(**given):
        parts = build({**config, "fine_tune": {"steps": 2, "learning_rate": 0.1, **given}})
        return np.asarray(parts.space.sample(key).weight)

    plain = np.asarray(build(config).space.sample(key).weight)
    assert (changed(inherited=True) != plain).any() and (changed(inherited=False) == plain).all()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"space": {"name": "nasbench201"}}, "network 'graph' needs space 'graph', got 'nasbench201'"),
        ({"network": None}, "config.network: evaluator 'direct' needs one"),
        ({"problem": None}, "config.space: 'graph' needs inputs, outputs"),
        ({"evaluator": {"name": "training"}}, "config.task: evaluator 'training' needs one"),
        ({"problem": {"name": "cart_pole", "velocities": False}}, "takes memory, give recurrent=True"),
        (
            {"problem": {"name": "cart_pole"}, "fine_tune": {"steps": 1, "learning_rate": 0.1}},
            "config.fine_tune: needs network 'graph' and a task, or a problem with a loss",
        ),
        ({"fine_tune": {"step": 1}}, "config.fine_tune: unknown 'step'. Did you mean 'steps'"),
    ],
)
def test_parts_that_do_not_fit_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        build({**neat.get_config().to_dict(), **changes})
