import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnas.evaluators import parameters, retrain

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
