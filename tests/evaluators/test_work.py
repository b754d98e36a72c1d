"""Which plan is picked, by what a network computes at a time."""

import pytest

from jaxnas import networks, spaces, tasks
from jaxnas.evaluators.work import work
from jaxnas.execution import execution
from jaxnas.population import planned

SPACE = spaces.transformer(layers=1, heads=(1, 2), groups=(1,), head_sizes=(64,), widths=(128,))
TASK = tasks.recall(pairs=4, vocabulary=16, train=100, held_out=2)


def of(batch, width=128):
    network = networks.Transformer(
        1, heads=(1, 2), groups=(1,), head_sizes=(64,), widths=(width,), classes=TASK.outputs
    )
    return work(SPACE, network, TASK, batch)


def test_multiplications_are_counted_and_tokens_are_positions():
    found, T = of(3), TASK.train.spec.inputs.shape[0]
    assert found.positions == 3 * T
    attention = 2 * T * T * 128 + T * 128 * 128 * 2 + 2 * T * 128 * 64  # products of scores, projections
    feed_forward, head = 2 * T * 128 * 4 * 128, T * 128 * TASK.outputs
    assert found.multiplications() == pytest.approx(3 * (attention + feed_forward + head), rel=0.02)


@pytest.mark.parametrize(
    ("platform", "batch", "width", "plan"),
    [
        ("cpu", 1, 8, "map"),
        ("gpu", 8, 128, "vmap"),
        ("tpu", 8, 128, "vmap"),
        ("tpu", 8, 4096, "map"),  # few tokens, but wide
        ("gpu", 8, 4096, "map"),
        ("gpu", 20_000, 8, "map"),  # many tokens
    ],
)
def test_a_network_that_fills_a_device_has_it_for_itself(platform, batch, width, plan):
    with execution(platform=platform):
        assert planned("auto", of(batch, width)) == plan
        assert planned("vmap", of(batch, width)) == "vmap"
