import numpy as np
import pytest

from jaxnas import tables
from jaxnas.check import InputError
from jaxnas.config.lookup import from_table, load_table, lookup_metric, mean_of_known, table_metrics
from jaxnas.spaces import categorical
from jaxnas.spaces import nasbench201 as nb201


def my_space(options: int = 3):
    return categorical({"a": range(options), "b": range(2)}, name="mine")


def test_a_table_knows_the_mean_of_an_architecture_after_the_largest_budget():
    space, table = nb201(), load_table("nasbench201_digits")
    genome = space.from_index(6111)
    whole = table.by_genome("validation_loss")[6111]
    said = table_metrics(space, {"table": {"path": "nasbench201_digits", "metric": "validation_loss"}}, genome)
    np.testing.assert_allclose(said["table"]["validation_loss"], whole[:, -1].mean(), rtol=1e-6)
    assert table_metrics(space, {}, genome) == {}


def test_a_table_of_another_space_is_refused():
    mine = my_space()
    with pytest.raises(ValueError, match="a table of decisions 0->1, .* but space 'mine' has a, b"):
        lookup_metric(mine, "nasbench201_digits", "validation_loss", mine.from_index(np.arange(2)))


@pytest.fixture
def widths(tmp_path):
    """A user's CSV, imported: its decisions in another order than a config has them, which sorts its keys."""
    (tmp_path / "t.csv").write_text("width,depth,acc\n16,2,70\n16,4,71\n32,2,80\n32,4,81\n64,2,90\n64,4,60\n")
    tables.save(tables.csv_file.read(tmp_path / "t.csv", metrics=["acc"]), tmp_path / "t.npz")
    return str(tmp_path / "t.npz")


@pytest.mark.parametrize("kind", [float, int, str])
def test_a_table_finds_decisions_and_options_by_name(widths, kind):
    space = categorical({"depth": [4, 2], "width": [kind(w) for w in (64, 32)]})
    evaluator = from_table(space, widths, "acc")
    order = [space.to_string(space.from_index(i)) for i in range(4)]
    assert order[0] == f"depth=4,width={kind(64)}"
    np.testing.assert_array_equal(evaluator.known().fitness, [60, 81, 90, 80])
    np.testing.assert_array_equal(lookup_metric(space, widths, "acc", space.from_index(np.arange(4))), [60, 81, 90, 80])


@pytest.mark.parametrize(
    ("decisions", "message"),
    [
        ({"width": [16, 32, 64], "layers": [2, 4]}, "is a table of decisions width, depth, .* differ in depth, layers"),
        ({"width": [16, 32, 128], "depth": [2, 4]}, "has no option 128 of decision 'width', .* it has 16, 32, 64"),
        ({"width": [16, 64]}, "they differ in depth"),
    ],
)
def test_a_table_of_other_decisions_is_refused_whatever_its_size(widths, decisions, message):
    space = categorical(decisions)
    for look in (
        lambda: from_table(space, widths, "acc"),
        lambda: lookup_metric(space, widths, "acc", space.from_index(np.arange(2))),
        lambda: table_metrics(space, {"table": {"path": widths, "metric": "acc"}}, space.from_index(0)),
    ):
        with pytest.raises(InputError, match=message):
            look()


def test_the_mean_is_over_seeds_that_are_there():
    np.testing.assert_array_equal(mean_of_known(np.float32([[93, np.nan], [1, 3]])), [93, 2])
    assert np.isnan(mean_of_known(np.float32([[np.nan, np.nan]])))
