"""Cells of random architectures: no arrow meets a box but at its ends, no two boxes overlap, no text leaves its box."""

import itertools

import numpy as np
import pytest

from jaxnas.plots._boxes import ROW, curve, draw_cell, place
from jaxnas.plots._cells import blocks, slots, vertices
from jaxnas.plots._figure import COLORS, bare_axes, line_style
from jaxnas.plots._growing import CLEAR
from jaxnas.plots._growing import place as place_nodes

T = np.linspace(0, 1, 25)[:, None]
EDGES = list(itertools.combinations(range(7), 2))


def nasnet(random):
    count = random.integers(1, 8)
    chosen = {}
    for i, side in itertools.product(range(count), "ab"):
        chosen |= {f"{i}_{side}_input": str(random.integers(i + 2)), f"{i}_{side}_op": "max_pool_3x3"}
    return blocks(chosen, whole=False)


def darts(random):
    kept = {node: random.choice(node, 2, replace=False) for node in range(2, 6)}
    edges = {f"n_{j}->{i}": "sep_conv_3x3" if j in kept[i] else "none" for i in kept for j in range(i)}
    return blocks({name.removeprefix("n_"): value for name, value in slots(edges).items()}, whole=True)


def nasbench101(random):
    edges = [edge for edge in EDGES if random.random() < 0.4]
    return vertices(edges, dict.fromkeys(range(1, 6), "conv3x3-bn-relu"), 6)


def points(route):
    """`[P, 2]` along the curves and lines of a route."""
    corners, codes = curve(route)
    found, i = [corners[:1]], 1
    while i < len(codes):
        if codes[i] == 2:
            found.append(corners[i - 1] + T * (corners[i] - corners[i - 1]))
            i += 1
        else:
            a, b, c, d = corners[i - 1 : i + 3]
            found.append((1 - T) ** 3 * a + 3 * (1 - T) ** 2 * T * b + 3 * (1 - T) * T**2 * c + T**3 * d)
            i += 3
    return np.concatenate(found)


@pytest.mark.parametrize("cell_of", [nasnet, darts, nasbench101])
def test_no_arrow_runs_behind_a_box_and_no_two_boxes_overlap(cell_of):
    random = np.random.default_rng(0)
    for _ in range(100):
        cell = cell_of(random)
        placed = place(cell)
        middles = np.array(placed.boxes)
        halves = np.array([[placed.width, ROW * len(rows)] for rows in cell.rows]) / 2
        apart = np.abs(middles[:, None] - middles) - halves[:, None] - halves
        assert (apart.max(-1)[~np.eye(len(middles), dtype=bool)] > 0.1).all()
        for route in placed.routes:
            inside = np.abs(points(route)[:, None] - middles) < halves - 1e-6
            assert not inside.all(-1).any(), (cell, route)


def test_text_is_inside_of_its_box_and_boxes_inside_of_the_picture():
    cell = vertices([(0, 1), (1, 2), (0, 2)], {1: "an_operation_of_a_long_name_3x3"}, 2)
    figure, axes = bare_axes(8, 2)
    figure.set_size_inches(*draw_cell(axes, cell, {"an_operation_of_a_long_name_3x3": line_style(9)}))
    renderer = figure.canvas.get_renderer() if hasattr(figure.canvas, "get_renderer") else None
    boxes = [patch.get_window_extent(renderer) for patch in axes.patches if type(patch).__name__ == "FancyBboxPatch"]
    for text, box in zip(axes.texts, boxes, strict=True):
        extent = text.get_window_extent(renderer)
        assert box.x0 < extent.x0 < extent.x1 < box.x1 and box.y0 < extent.y0 < extent.y1 < box.y1
        assert box.x0 > 0 and box.x1 < figure.bbox.width


def test_hidden_nodes_of_a_growing_graph_stand_off_the_connections_that_pass_them():
    ends = np.array([[0, 3], [1, 3], [2, 3], [0, 4], [4, 3], [2, 5], [5, 3], [4, 5]])
    places = place_nodes(3, 1, np.array([4, 5]), ends)
    for node in (4, 5):
        for i, j in ends[(ends != node).all(1)]:
            line = places[i] + np.linspace(0, 1, 200)[:, None] * (places[j] - places[i])
            assert np.linalg.norm(line - places[node], axis=1).min() > 0.9 * CLEAR


VISION = {  # Machado, Oliveira and Fernandes (2009): linear RGB as seen without one kind of cone
    "usual": np.eye(3),
    "protanopia": [[0.152, 1.053, -0.205], [0.115, 0.786, 0.099], [-0.004, -0.048, 1.052]],
    "deuteranopia": [[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]],
    "tritanopia": [[1.256, -0.077, -0.179], [-0.078, 0.931, 0.148], [0.005, 0.691, 0.304]],
}


def lab(linear):
    """CIE L*a*b* of linear sRGB."""
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    x, y, z = np.cbrt(to_xyz @ np.clip(linear, 1e-3, 1) / [0.9505, 1, 1.089])
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("vision", VISION)
def test_colors_are_told_apart_by_readers_with_any_vision(vision):
    rgb = [np.array([int(color[i : i + 2], 16) for i in (1, 3, 5)]) / 255 for color in COLORS]
    seen = [
        lab(np.array(VISION[vision]) @ np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)) for c in rgb
    ]
    assert min(np.linalg.norm(a - b) for a, b in itertools.combinations(seen, 2)) > 15
