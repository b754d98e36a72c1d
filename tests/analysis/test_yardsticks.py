"""Hand-made networks as large as what was found."""

import jax
import numpy as np
import pytest

from jaxnas import evaluators, spaces, tasks
from jaxnas.analysis.yardsticks import classical, hand_made
from jaxnas.check import InputError

HALF = {"layers": 1, "heads": (2, 4), "groups": (2,), "head_sizes": (8,)}
SPACE = spaces.encoder_decoder(encoder=HALF, decoder=HALF)
GENOME = SPACE.sample(jax.random.key(0))
FIXED = {**HALF, "heads": (4,)}
OPTIONS = {"name": "encoder_decoder", "encoder": {**FIXED, "widths": (1,)}, "decoder": {**FIXED, "widths": (1,)}}


@pytest.fixture(scope="module")
def task():
    return tasks.number_words(apart=True, train=10, held_out=2)


@pytest.mark.parametrize("target", [60_000, 200_000])
def test_fields_within_options_grow_together(task, target):
    config = {**OPTIONS, "scaled": ("encoder.widths", "decoder.widths")}
    network = hand_made(config, SPACE, task, GENOME, target)
    assert abs(evaluators.parameters(SPACE, network, task, GENOME) / target - 1) < 0.03
    assert network.network.encoder.widths == network.network.decoder.widths


@pytest.mark.parametrize(
    ("scaled", "message"),
    [
        (None, "config.yardstick.scaled: expected the field that is scaled, got None"),
        (("name.widths",), "config.yardstick.name: expected"),
        ((1,), "config.yardstick.scaled: expected"),
    ],
)
def test_what_cannot_grow(task, scaled, message):
    with pytest.raises(InputError, match=message):
        hand_made({**OPTIONS, "scaled": scaled}, SPACE, task, GENOME, 1000)


@pytest.mark.parametrize("constant", [(0,), (0, 1)])
def test_a_label_that_all_examples_have_is_predicted(constant):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 3)).astype(np.float32)
    y = np.float32(x[:, :2] > 0)
    y[:, constant] = 1
    splits = dict.fromkeys(("train", "validation", "test"), (x, y))
    metric = tasks.mean_metric(right, higher_is_better=True)
    task = tasks.arrays(splits, loss=tasks.sigmoid_cross_entropy, metric=metric, outputs=2)
    rows = classical(task)
    assert set(rows) == {"logistic regression", "nearest neighbour"}
    assert all(row["test_right"][0] > 0.95 for row in rows.values())


def right(outputs, targets):
    return ((outputs > 0) == (targets > 0.5)).mean(-1)
