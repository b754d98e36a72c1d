"""Boxes in layers: nothing covers anything else, whatever the graph."""

import itertools

import numpy as np
import pytest

from jaxnas.plots._layout import Arrow, layout


def drawn(seed):
    """A graph of two inputs and up to eight boxes that take two each: layers and arrows."""
    random = np.random.default_rng(seed)
    arrows, layers = [], [0, 0]
    for i in range(2, random.integers(4, 11)):
        sources = random.integers(0, i, 2)
        arrows += [Arrow(int(source), i, port) for source, port in zip(sources, (0.2, -0.2), strict=True)]
        layers.append(1 + max(layers[source] for source in sources))
    return layers, arrows


@pytest.mark.parametrize("seed", range(20))
def test_no_two_boxes_or_lanes_of_a_layer_overlap(seed):
    layers, arrows = drawn(seed)
    found = layout(layers, arrows, box=1.0, lane=0.2)
    columns = [[(y, 1.0) for y, layer in zip(found.boxes, layers, strict=True) if layer == n] for n in range(12)]
    for arrow, lanes in zip(arrows, found.lanes, strict=True):
        assert len(lanes) == layers[arrow.target] - layers[arrow.source] - 1
        for n, y in enumerate(lanes):
            columns[layers[arrow.source] + 1 + n].append((y, 0.2))
    for column in columns:
        column.sort()
        for (below, low), (above, high) in itertools.pairwise(column):
            assert above - below >= (low + high) / 2 - 1e-9


def test_two_pairs_are_put_in_the_order_without_a_crossing():
    found = layout([0, 0, 1, 1], [Arrow(0, 3), Arrow(1, 2)], box=1.0, lane=0.2)
    assert (found.boxes[0] > found.boxes[1]) == (found.boxes[3] > found.boxes[2])
    assert found.boxes[0] == pytest.approx(found.boxes[3])


def test_an_arrow_past_a_chain_is_level():
    found = layout([0, 1, 2, 3], [Arrow(0, 1), Arrow(1, 2), Arrow(2, 3), Arrow(0, 3)], box=1.0, lane=0.2)
    (first, second), (one, two) = found.lanes[3], found.boxes[1:3]
    assert first == pytest.approx(second, abs=0.1) and one == pytest.approx(two, abs=0.1)
