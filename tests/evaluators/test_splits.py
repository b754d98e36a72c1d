"""Which part of the data each evaluator reads: examples of train, validation and test are all 1, 2 and 3."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnas import tasks
from jaxnas.evaluators import retrain, supernet, training
from jaxnas.networks import Choice, Identity
from jaxnas.spaces import categorical
from jaxnas.types import propose

SPACE = categorical({"layer": ["same", "again"]})
VALUES = {"train": 1.0, "validation": 2.0, "test": 3.0}
TASK = tasks.arrays(
    {split: (np.full((8, 1), value, np.float32), np.zeros(8, np.float32)) for split, value in VALUES.items()},
    loss=lambda outputs, y: outputs[:, 0],
    metric=tasks.mean_metric(lambda outputs, y: -outputs[:, 0], name="accuracy", higher_is_better=True),
    outputs=1,
)


class Mean(nn.Module):
    """Its input, whatever the parameter, which no gradient reaches."""

    @nn.compact
    def __call__(self, decisions, x, train):
        x = Choice({"same": Identity, "again": Identity}, name="layer")(decisions["layer"], x, train)
        return x + 0 * self.param("nothing", nn.initializers.zeros, (1,))


def answered(evaluator):
    proposal = propose(jnp.zeros((1, 1), jnp.int32), jnp.int32(0), budget=1 if evaluator.name == "training" else 0)
    key = jax.random.key(0)
    return evaluator.evaluate(key, evaluator.init(key), proposal)[0]


@pytest.fixture
def trained():
    options = {"devices": jax.devices()[:1], "batch_size": 4, "test": True, "fitness": "loss"}
    return answered(training(SPACE, Mean(), TASK, **options))


def test_training_reads_train_scores_validation_and_reports_test(trained):
    assert trained.fitness == -VALUES["validation"]
    metrics = {name: float(trained.metrics[name][0]) for name in ("train_loss", "loss", "accuracy", "test_loss")}
    assert metrics == {"train_loss": 1, "loss": 2, "accuracy": -2, "test_loss": 3}


def test_a_supernet_scores_paths_and_mixtures_on_validation():
    evaluator = supernet(SPACE, Mean(), TASK, steps=1, batch_size=4)
    assert answered(evaluator).fitness == -VALUES["validation"]
    state, weights = jax.jit(evaluator.init)(jax.random.key(0)), jnp.array([[0.5, 0.5]])
    proposal = propose(jnp.zeros((1, 1), jnp.int32), jnp.int32(0), budget=1, weights=weights[None])
    feedback = jax.jit(evaluator.evaluate)(jax.random.key(0), state, proposal)[0]
    assert feedback.fitness == -VALUES["validation"] and feedback.metrics["train_loss"] == VALUES["train"]


def test_retraining_scores_test():
    found = retrain(SPACE, Mean(), TASK, [jnp.zeros(1, jnp.int32)], steps=1, seeds=1, batch_size=4)
    assert np.ravel(found["test_loss"]).tolist() == [VALUES["test"]]
