import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnas import segments
from jaxnas.evaluators import parameters, retrain, train_alone

STEM, HIDDEN, HEAD = 64 * 16 + 16, 16 * 16 + 16, 16 * 10 + 10
GENOMES = [np.array([0, 0], np.int32), np.array([1, 0], np.int32), np.array([1, 1], np.int32)]


@pytest.fixture(scope="module")
def result(space, network, task):
    return retrain(space, network(), task, GENOMES, steps=40, seeds=2, seed=3, devices=jax.devices()[:2])


def test_results_are_genomes_by_seeds(result):
    assert result["test_loss"].shape == result["test_accuracy"].shape == (3, 2)
    assert result["parameters"].shape == (3,)
    assert len(np.unique(result["test_loss"])) == 6


def test_forty_steps_learn_the_digits(result):
    assert (result["test_accuracy"] > 0.6).all() and (result["test_loss"] < 1.2).all()


def test_parameters_are_counted_in_the_stand_alone_network(result):
    np.testing.assert_array_equal(result["parameters"], [STEM + HEAD, STEM + HIDDEN + HEAD, STEM + 2 * HIDDEN + HEAD])


def test_parameters_take_a_jax_genome(space, network, task):
    assert parameters(space, network(), task, jnp.array([1, 0])) == STEM + HIDDEN + HEAD


def test_the_result_is_a_function_of_the_seed(space, network, task, result):
    again = retrain(space, network(), task, GENOMES, steps=40, seeds=2, seed=3, devices=jax.devices()[:1])
    np.testing.assert_allclose(again["test_loss"], result["test_loss"], rtol=1e-3)


def test_it_trains_on_the_validation_data_and_scores_the_test_data(space, network, task):
    """Without a training split worth the name, what is learned comes from the validation split."""
    mute = task._replace(train=type(task.train)(task.train.inputs[:2] * 0, task.train.targets[:2] * 0))
    learned = retrain(space, network(), mute, GENOMES[:1], steps=60, batch_size=32, devices=jax.devices()[:1])
    assert learned["test_accuracy"][0, 0] > 0.6


@pytest.mark.parametrize("field", ["steps", "seeds"])
def test_less_than_one_is_refused_by_name(space, network, task, field):
    with pytest.raises(ValueError, match=f"{field}: expected at least 1, got 0"):
        retrain(space, network(), task, GENOMES, **{"steps": 1, field: 0})


PLANS = {
    "map": {"plan": "map", "devices": jax.devices()[:2], "steps": 3},
    "vmap": {"plan": "vmap", "devices": jax.devices()[:2], "steps": 6},
    "bucket": {"plan": "bucket", "steps": 3},
}

SIZE = {"map": 2, "vmap": 4}
"""Of a turn."""


@pytest.fixture
def cut_short(monkeypatch):
    """Calls of single steps, each saved; after five there is an interrupt. Gives `(finished, first, until)` of each."""
    calls, run = [], segments.Segments.run
    for name in ("SECONDS", "EVERY", "SHARE"):
        monkeypatch.setattr(segments, name, 1e-9)

    def counted(self, members, state, advance):
        def one(state, at, until):
            if len(calls) == 5:
                calls.append("interrupted")
                raise KeyboardInterrupt
            calls.append((len(self.finished), at, until))
            return advance(state, at, until)

        return run(self, members, state, one)

    monkeypatch.setattr(segments.Segments, "run", counted)
    return calls


@pytest.mark.parametrize("plan", PLANS)
def test_an_interrupted_call_goes_on_to_the_same_bits(space, network, task, plan, cut_short, tmp_path):
    options = {"seed": 1, "batch_size": 16, **PLANS[plan]}
    run = lambda workdir: retrain(space, network(), task, GENOMES, workdir=workdir, **options)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path)
    found = run(tmp_path)
    turns, at = divmod(5, options["steps"])
    assert cut_short[5:7] == ["interrupted", (turns * SIZE.get(plan, 1), at, at + 1)]
    whole = retrain(space, network(), task, GENOMES, **options)
    for name in whole:
        np.testing.assert_array_equal(found[name], whole[name])


def test_on_fewer_devices_what_is_through_is_kept(space, network, task, cut_short, tmp_path):
    options = {"steps": 3, "batch_size": 16, "plan": "map"}
    run = lambda devices, workdir: retrain(
        space, network(), task, GENOMES, workdir=workdir, devices=jax.devices()[:devices], **options
    )
    with pytest.raises(KeyboardInterrupt):
        run(2, tmp_path)
    found, whole = run(1, tmp_path), run(1, None)
    assert cut_short[6] == (2, 0, 1)
    np.testing.assert_allclose(found["test_loss"], whole["test_loss"], rtol=1e-3)


def test_other_data_are_another_call(space, network, task, cut_short, tmp_path):
    run = lambda task: retrain(space, network(), task, GENOMES[:1], workdir=tmp_path, steps=7, batch_size=16)
    with pytest.raises(KeyboardInterrupt):
        run(task)
    run(task._replace(augment=None))
    assert cut_short[6] == (0, 0, 1) and len(list(tmp_path.iterdir())) == 2


def test_what_is_trained_alone_goes_on_with_its_variables(space, network, task, cut_short, tmp_path):
    def run(workdir, seed=1):
        return train_alone(space, network(), task, GENOMES[1], workdir=workdir, seed=seed, steps=7, batch_size=16)

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path)
    (found, scores), (whole, expected) = run(tmp_path), run(None)
    assert cut_short[6] == (0, 5, 6)
    jax.tree.map(np.testing.assert_array_equal, (found, scores), (whole, expected))
    again, _ = run(tmp_path)
    jax.tree.map(np.testing.assert_array_equal, again, whole)
    _, other = run(tmp_path, seed=2)
    assert other["test_loss"] != expected["test_loss"] and len(list(tmp_path.iterdir())) == 2
