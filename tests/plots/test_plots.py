"""Pictures are drawn, of what a search can give; what they show is said beside what shows it."""

import sys

import jax
import numpy as np
import pytest
from PIL import Image

from jaxnas import plots, spaces
from jaxnas.check import InputError
from jaxnas.plots._cells import blocks, slots, vertices
from jaxnas.plots._recommendation import _front

RANDOM = np.random.default_rng(0)
SPACES = {
    "nasbench201": spaces.nasbench201(),
    "nasbench101": spaces.nasbench101(),
    "nasnet": spaces.nasnet(),
    "darts": spaces.darts(),
    "mobilenet": spaces.mobilenet(),
    "graph": spaces.graph(2, 1),
    "recurrent": spaces.graph(30, 1, recurrent=True),
}


@pytest.mark.parametrize("name", SPACES)
def test_every_space_has_a_picture_of_its_architectures(name, tmp_path):
    space = SPACES[name]
    genome = jax.jit(space.sample)(jax.random.key(0))
    plots.architecture(space, genome, tmp_path / "a.png", title="t")
    width, height = Image.open(tmp_path / "a.png").size
    assert 200 < width < 2000 and 50 < height < 2000


def test_a_title_as_long_as_the_genome_does_not_widen_the_picture(tmp_path):
    space = SPACES["nasnet"]
    genome = jax.jit(space.sample)(jax.random.key(0))
    for name, title in (("long", "x" * 500), ("none", "")):
        plots.architecture(space, genome, tmp_path / f"{name}.png", title=title)
    assert Image.open(tmp_path / "long.png").size == Image.open(tmp_path / "none.png").size


def test_blocks_that_no_other_uses_make_the_output():
    chosen = {"0_a_input": "0", "0_a_op": "conv", "0_b_input": "1", "0_b_op": "pool"}
    chosen |= {"1_a_input": "2", "1_a_op": "conv", "1_b_input": "0", "1_b_op": "conv"}
    assert [arrow[:2] for arrow in blocks(chosen, whole=False).arrows if arrow[3] is None] == [(3, 4)]
    assert [arrow[:2] for arrow in blocks(chosen, whole=True).arrows if arrow[3] is None] == [(2, 4), (3, 4)]


def test_the_edges_that_a_node_keeps_are_its_two_operations():
    found = slots({"normal_0->2": "conv", "normal_1->2": "none", "normal_2->2": "pool"})
    assert found == {
        "normal_0_a_input": "0", "normal_0_a_op": "conv", "normal_0_b_input": "2", "normal_0_b_op": "pool"
    }  # fmt: skip


def test_vertices_on_no_path_are_left_out():
    cell = vertices([(0, 1), (1, 3), (0, 2)], {1: "conv", 2: "pool"}, 3)
    assert cell.rows == [("in",), ("conv",), ("out",)] and [arrow[:2] for arrow in cell.arrows] == [(0, 1), (1, 2)]
    assert vertices([(0, 1)], {1: "conv"}, 2).arrows == []


def test_the_front_is_the_best_fitness_for_no_more_than_each_cost():
    cost, fitness = _front(np.array([5.0, 3.0, 7.0, 6.0]), np.array([2.0, 1.0, 4.0, 3.0]), until=9.0)
    assert cost.tolist() == [1, 2, 3, 4, 9] and fitness.tolist() == [3, 5, 6, 7, 7]


def points(count):
    cost = RANDOM.uniform(1, 9, count)
    return 70 + np.log(cost) - RANDOM.exponential(1, count), cost


@pytest.mark.parametrize(
    ("recommended", "reference"),
    [((70.0, 1.1), None), ((70.0, 1.1), (69.0, 1.2)), ((72.0, 8.9), (69.0, 8.8)), ((72.0, 8.9), (69.0, 1.0))],
)
def test_a_recommendation_is_drawn_wherever_its_marks_are(recommended, reference, tmp_path):
    plots.recommendation(points(50), points(50), tmp_path / "r.png", recommended=recommended, reference=reference)
    assert Image.open(tmp_path / "r.png").size[0] < 1100  # no label sticks out


def test_a_recommendation_of_points_that_do_not_match_is_refused(tmp_path):
    fitness, cost = points(5)
    with pytest.raises(InputError, match=r"search: expected \(fitness \[N\], cost \[N\]\), got \(4,\) and \(5,\)"):
        plots.recommendation((fitness[1:], cost), points(5), tmp_path / "r.png", recommended=(1.0, 1.0))
    with pytest.raises(InputError, match="random: expected points of finite fitness and cost, got none"):
        plots.recommendation((fitness, cost), (fitness * np.nan, cost), tmp_path / "r.png", recommended=(1.0, 1.0))


def test_strategies_that_are_all_at_the_optimum_after_few_evaluations_are_drawn(tmp_path):
    curves = {"a": np.full((3, 2), 91.0), "b": np.array([[90.0, 91.0]] * 3)}
    ranks = {1: {"a": 1.0, "b": 2.0}, 2: {"a": 1.5, "b": 1.5}}
    plots.comparison(curves, tmp_path / "c.png", optimum=91.0, ranks=ranks)
    assert (tmp_path / "c.png").stat().st_size


def test_each_of_many_curves_is_drawn_in_a_style_of_its_own(monkeypatch, tmp_path):
    figures = []
    monkeypatch.setattr("jaxnas.plots._curves.save", lambda figure, path: figures.append(figure))
    plots.anytime({f"search {i}": [i, i + 1.0] for i in range(12)}, tmp_path / "a.png")
    lines = [line for line in figures[0].axes[0].lines if line.get_label().startswith("search")]
    assert len({(line.get_color(), line.get_linestyle()) for line in lines}) == 12


@pytest.mark.parametrize("values", [[0.5], [0.5, 0.5], [None, float("nan")], [-1e-6, -2e-6], [-1e6, -1.0, -0.5]])
def test_ticks_are_said_without_an_offset_whatever_the_values(values, monkeypatch, tmp_path):
    figures = []
    monkeypatch.setattr("jaxnas.plots._curves.save", lambda figure, path: figures.append(figure))
    plots.anytime({"a": values}, tmp_path / "a.png")
    figures[0].draw_without_rendering()
    for axis in (figures[0].axes[0].xaxis, figures[0].axes[0].yaxis):
        labels = [label.get_text() for label in axis.get_ticklabels()]
        assert len(set(labels)) == len(labels) and not axis.get_offset_text().get_text()


def test_a_missing_matplotlib_is_an_input_error_with_the_line_that_installs_it(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(InputError, match=r"plots: matplotlib.* is not installed; pip install matplotlib"):
        plots.anytime({"a": [1.0, None, 2.0]}, tmp_path / "a.png")


@pytest.mark.parametrize("values", [np.full((2, 4), np.nan), np.full((2, 4), 5.0)], ids=["none", "optimal"])
def test_strategies_without_regret_are_drawn(tmp_path, values):
    plots.comparison({"a": values, "b": values}, tmp_path / "c.png", optimum=5.0, ranks={})
    assert (tmp_path / "c.png").stat().st_size > 5000
