import json
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnas.check import InputError
from jaxnas.checkpoint import CheckpointError
from jaxnas.evaluators import direct, table
from jaxnas.search import Phase, search, search_many, search_scan
from jaxnas.spaces import categorical
from jaxnas.strategies import local_search, random_search, regularized_evolution
from jaxnas.types import scored

SPACE = categorical({"a": range(6), "b": range(5), "c": range(4)})
EVALUATOR = table(SPACE, np.random.default_rng(0).normal(size=SPACE.size))
EVOLUTION = regularized_evolution(SPACE, population_size=8, tournament_size=3, proposals=2)


def without_times(history):
    return [{k: v for k, v in line.items() if k != "seconds"} for line in history]


def run(rounds=20, **options):
    options = {"seed": 1, "progress": False, "checkpoint_seconds": 0.0, **options}
    return search(SPACE, EVOLUTION, EVALUATOR, rounds=rounds, **options)


@pytest.mark.parametrize(
    "strategy",
    [EVOLUTION, local_search(SPACE, proposals=4), pytest.param(random_search(SPACE), marks=pytest.mark.slow)],
    ids=lambda strategy: strategy.name,
)
def test_host_loop_and_scan_are_the_same_search(strategy):
    result = search(SPACE, strategy, EVALUATOR, rounds=12, seed=5, progress=False)
    state, records = jax.jit(search_scan(strategy, EVALUATOR, 12))(jax.random.key(5))
    active = np.asarray(records.proposal.active)
    np.testing.assert_array_equal([h["id"] for h in result.history], np.asarray(records.proposal.id)[active])
    np.testing.assert_array_equal([h["fitness"] for h in result.history], np.asarray(records.feedback.fitness)[active])
    np.testing.assert_array_equal(result.genome, strategy.recommend(state.strategy))


def fitness(record):
    return record.feedback.fitness


@cache
def many(seeds, **options):
    """Fitness `[seeds, rounds, P]` of so many searches, and the program that found it."""
    program = search_many(EVOLUTION, EVALUATOR, 15, seeds, record=fitness, **options)
    compiled = jax.jit(lambda key: program(key)[1]).lower(jax.random.key(0)).compile()
    return np.asarray(compiled(jax.random.key(3))), compiled.as_text()


@cache
def keys():
    return jax.vmap(lambda i: jax.random.fold_in(jax.random.key(3), i))(np.arange(19))


def test_searches_on_eight_devices_are_those_of_their_keys_and_never_talk():
    """As one device finds by `vmap`, which takes their keys as it is given them."""
    scan = search_scan(EVOLUTION, EVALUATOR, 15, record=fitness)
    alone = jax.jit(jax.vmap(lambda key: scan(key)[1]))(keys())
    assert alone.shape == (19, 15, 2) and len(np.unique(alone[:, 0, 0])) > 1
    split, program = many(19, chunk=2)
    np.testing.assert_array_equal(split, alone)
    collectives = (
        "all-reduce",
        "all-gather",
        "all-to-all",
        "collective-permute",
        "reduce-scatter",
        "collective-broadcast",
    )
    body = program[: program.index("ENTRY")]  # all but the entry: the loops and what they call
    assert "while" in body and not any(name in body for name in collectives)
    assert len(jax.devices()) == 8


def test_more_searches_begin_with_the_same_ones():
    np.testing.assert_array_equal(many(3, chunk=1)[0], many(19, chunk=2)[0][:3])


def test_same_seed_same_history():
    assert without_times(run().history) == without_times(run().history)
    assert without_times(run().history) != without_times(run(seed=2).history)


@pytest.mark.parametrize("stop", [7, *(pytest.param(stop, marks=pytest.mark.slow) for stop in (1, 19))])
def test_resumed_run_equals_the_uninterrupted_one(tmp_path, stop):
    whole = run(workdir=tmp_path / "whole")
    run(stop, workdir=tmp_path / "parts")
    for name in ("history.jsonl", "history.bin"):  # what a kill can leave behind the last checkpoint
        with (tmp_path / "parts" / name).open("a") as file:
            file.write('{"id": 99, "half a li')
    parts = run(workdir=tmp_path / "parts")
    assert without_times(parts.history) == without_times(whole.history)
    lines = [json.loads(line) for line in (tmp_path / "parts" / "history.jsonl").read_text().splitlines()]
    assert without_times(lines) == without_times(whole.history)


def test_interrupt_in_a_round_loses_and_doubles_nothing(tmp_path):
    calls = []

    def stops_at_the_fourth(key, genome):
        calls.append(genome)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return float(genome.sum())

    strategy = regularized_evolution(SPACE, population_size=4, tournament_size=2)
    options = {"rounds": 6, "progress": False, "workdir": tmp_path}
    with pytest.raises(KeyboardInterrupt):
        search(SPACE, strategy, direct(stops_at_the_fourth, jittable=False), **options)
    result = search(SPACE, strategy, direct(lambda key, g: float(g.sum()), jittable=False), **options)
    assert [h["id"] for h in result.history] == list(range(6))


def test_phases_hand_the_evaluators_state_on(tmp_path):
    counting = EVALUATOR._replace(
        init=lambda key: jnp.int32(0), evaluate=lambda key, n, p: (EVALUATOR.evaluate(key, (), p)[0], n + 1)
    )
    phases = [Phase(random_search(SPACE, proposals=2), 3), Phase(local_search(SPACE), 4)]
    whole = search(SPACE, phases, counting, progress=False, checkpoint_seconds=0.0, workdir=tmp_path)
    assert whole.state.evaluator == 7
    assert [h["phase"] for h in whole.history] == [0] * 6 + [1] * 4
    again = search(SPACE, phases, counting, progress=False, workdir=tmp_path)
    assert without_times(again.history) == without_times(whole.history)


def test_a_resumed_run_has_the_evaluators_state(tmp_path):
    counting = EVALUATOR._replace(
        init=lambda key: jnp.float32(0), evaluate=lambda key, n, p: (scored(jnp.full(p.id.shape, n)), n + 1)
    )
    options = {"progress": False, "workdir": tmp_path}
    search(SPACE, EVOLUTION, counting, rounds=3, **options)
    resumed = search(SPACE, EVOLUTION, counting, rounds=5, **options)
    assert resumed.state.evaluator == 5
    assert [h["fitness"] for h in resumed.history] == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]


def test_non_finite_fitness_is_invalid_and_counted():
    half = direct(lambda key, g: jnp.where(g[0] % 2 == 0, jnp.nan, 1.0 * g[1]))
    result = search(SPACE, EVOLUTION, half, rounds=20, progress=False)
    invalid = [h for h in result.history if h["genome"][0] % 2 == 0]
    assert result.invalid == len(invalid) > 0
    assert all(h["fitness"] is None and not h["valid"] for h in invalid)
    assert result.genome[0] % 2 == 1


def test_inactive_members_are_not_recorded():
    result = search(SPACE, local_search(SPACE, proposals=5), direct(lambda k, g: 0.0), rounds=4, progress=False)
    neighbors = 5 + 4 + 3
    assert result.evaluations == 5 + neighbors


def test_history_makes_a_dataframe():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(run().history)
    assert frame.fitness.max() == run().fitness and len(frame) == 40


def test_another_config_is_refused_and_nothing_changed(tmp_path):
    run(workdir=tmp_path)
    before = (tmp_path / "history.jsonl").read_bytes()
    with pytest.raises(ValueError, match=r"holds a run of another config(.|\n)*seed: 1 there, 2 given"):
        run(seed=2, workdir=tmp_path)
    assert (tmp_path / "history.jsonl").read_bytes() == before


def test_fewer_rounds_than_there_are_is_refused(tmp_path):
    run(5, workdir=tmp_path)
    with pytest.raises(ValueError, match="holds 5 rounds already, more than the 3 asked for"):
        run(3, workdir=tmp_path)


def test_more_rounds_continue(tmp_path):
    run(5, workdir=tmp_path)
    assert without_times(run(9, workdir=tmp_path).history) == without_times(run(9).history)


def test_truncated_checkpoint_is_named(tmp_path):
    run(5, workdir=tmp_path)
    newest = tmp_path / "checkpoints" / "5"
    for file in sorted((newest / "arrays").rglob("*")):
        if file.is_file():
            file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    with pytest.raises(CheckpointError, match=r"checkpoints/5 is damaged(.|\n)*Delete that directory to resume"):
        run(9, workdir=tmp_path)
    assert newest.exists()


def test_after_deleting_a_damaged_checkpoint_the_run_goes_on(tmp_path):
    run(5, workdir=tmp_path)
    import shutil

    shutil.rmtree(tmp_path / "checkpoints" / "5")
    assert without_times(run(9, workdir=tmp_path).history) == without_times(run(9).history)


def test_checkpoint_of_another_population_is_named(tmp_path):
    options = {"rounds": 3, "progress": False, "workdir": tmp_path, "config": {"mine": 1}}
    search(SPACE, EVOLUTION, EVALUATOR, **options)
    with pytest.raises(CheckpointError, match=r"is of another run: .*fitness.* is float32\[8\] there, expected"):
        search(SPACE, regularized_evolution(SPACE, population_size=9, tournament_size=3), EVALUATOR, **options)


def test_short_history_is_named(tmp_path):
    run(5, workdir=tmp_path)
    (tmp_path / "history.bin").write_text("")
    with pytest.raises(CheckpointError, match=r"history.bin has 0 evaluations, but the checkpoint .* after 10"):
        run(9, workdir=tmp_path)


def test_workdir_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match=r"workdir: .*file/run cannot be written"):
        run(workdir=tmp_path / "file" / "run")


def test_full_disk_keeps_what_was_saved(tmp_path, monkeypatch):
    run(5, workdir=tmp_path)
    from jaxnas.workdir import Workdir, writing

    def full(self, lines):
        with writing(self.path):
            raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Workdir, "append", full)
        with pytest.raises(ValueError, match="No space left on device.*What was saved before is intact"):
            run(9, workdir=tmp_path)
    assert without_times(run(9, workdir=tmp_path).history) == without_times(run(9).history)


def test_parts_that_do_not_fit_are_refused_by_name():
    needy = EVALUATOR._replace(name="trains", needs=frozenset({"budget"}))
    with pytest.raises(ValueError, match=r"'trains' needs proposals with budget, which strategy 'random_search'"):
        search(SPACE, random_search(SPACE), needy, rounds=1)
    with pytest.raises(ValueError, match=r"strategy 'relaxed' needs gradient, which evaluator 'table' does not give"):
        search(SPACE, random_search(SPACE)._replace(name="relaxed", needs=frozenset({"gradient"})), EVALUATOR, rounds=1)


def test_host_evaluator_is_refused_by_scan():
    with pytest.raises(ValueError, match=r"runs on the host and cannot be scanned; use search\(\)"):
        search_scan(EVOLUTION, direct(lambda k, g: 0.0, jittable=False), 3)


def test_feedback_of_the_wrong_shape_is_named():
    wrong = EVALUATOR._replace(evaluate=lambda key, s, p: (scored(jnp.zeros((2, 1))), s))
    with pytest.raises(ValueError, match=r"expected fitness of shape \(2,\), got \(2, 1\)"):
        search(SPACE, EVOLUTION, wrong, rounds=1, progress=False)


@pytest.mark.parametrize(
    ("name", "jittable"),
    [*((name, False) for name in ("valid", "id", "fitness", "cost", "seconds", "architecture")), ("fitness", True)],
)
def test_a_metric_may_not_have_the_name_of_a_field_of_the_history(name, jittable):
    evaluator = direct(lambda key, genome: (1.0, {name: 0.0}), jittable=jittable)
    with pytest.raises(InputError, match=f"evaluator 'direct': a metric cannot be called '{name}'"):
        search(SPACE, random_search(SPACE), evaluator, rounds=1, progress=False)


@pytest.mark.parametrize("seed", [1.5, "0", None, 2**63, -1, True])
def test_what_is_no_seed_is_refused(seed):
    with pytest.raises(InputError, match="seed: expected "):
        search(SPACE, random_search(SPACE), EVALUATOR, rounds=1, seed=seed)


def test_settings_may_change_from_call_to_call_and_are_kept(tmp_path):
    first = run(5, workdir=tmp_path, config={"size": 8}, settings={"rounds": 5, "retrain": {"steps": 1}})
    again = run(5, workdir=tmp_path, config={"size": 8}, settings={"rounds": 5, "retrain": {"steps": 2}})
    assert without_times(first.history) == without_times(again.history)
    assert json.loads((tmp_path / "config.json").read_text()) == {"size": 8, "rounds": 5, "retrain": {"steps": 2}}
    with pytest.raises(InputError, match="size: 8 there, 9 given"):
        run(5, workdir=tmp_path, config={"size": 9}, settings={"retrain": {}})


def test_paths_know_the_home_directory_and_addresses_are_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    run(2, workdir="~/here")
    assert (tmp_path / "here" / "history.jsonl").exists()
    with pytest.raises(InputError, match="workdir: expected a path on a file system, got 'gs://bucket/run'; mount"):
        run(2, workdir="gs://bucket/run")
