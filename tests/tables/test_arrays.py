import numpy as np
import pytest

from jaxnas.spaces import nasbench201
from jaxnas.tables import TableError, arrays

SPACE = nasbench201()
GENOMES = np.asarray(SPACE.from_index(np.arange(SPACE.size)))
STRINGS = np.array([SPACE.to_string(genome) for genome in GENOMES])
NUMBERS = np.arange(SPACE.size, dtype=np.float64)


@pytest.fixture
def written(tmp_path):
    def write(**given):
        np.savez(tmp_path / "a.npz", **given)
        return tmp_path / "a.npz"

    return write


def test_columns_budgets_seconds_and_costs(written):
    table = arrays.read(
        written(
            arch_str=STRINGS,
            val_acc_200ep_cifar10=NUMBERS,
            runs_acc_200ep_cifar10valid_valid=np.stack([NUMBERS, NUMBERS], 1),
            train_time_200ep_s_cifar10valid=NUMBERS,
            params_cifar10=NUMBERS,
            note=np.array("made up"),
        )
    )
    accuracy = table.columns["val_acc_200ep_cifar10"]
    assert accuracy.budgets == (200,) and accuracy.seconds == "train_time_200ep_s_cifar10valid"
    assert "25k validation images" in accuracy.about
    assert table.columns["runs_acc_200ep_cifar10valid_valid"].seeds == (0, 1)
    assert table.columns["params_cifar10"].kind == "cost" and "note" not in table.columns
    np.testing.assert_array_equal(table.by_genome("params_cifar10")[:, 0, 0], NUMBERS)


def test_operations_by_name_in_any_order(written):
    names = ["avg_pool_3x3", "none", "skip_connect", "nor_conv_3x3", "nor_conv_1x1"]
    ops = np.array([names.index(operation) for operation in SPACE.options[0]])[GENOMES]
    table = arrays.read(written(ops=ops, op_names=np.array(names), accuracy=NUMBERS))
    np.testing.assert_array_equal(table.by_genome("accuracy")[:, 0, 0], NUMBERS)


def test_failed_scores_and_unsupported_devices_are_missing(written):
    failed, unsupported = NUMBERS.copy(), NUMBERS.copy()
    failed[3], unsupported[5] = -1e8, -1
    table = arrays.read(written(arch_str=STRINGS, zc_snip_cifar10=failed, hw_edgetpu_latency_cifar10=unsupported))
    assert np.flatnonzero(np.isnan(table.by_genome("zc_snip_cifar10")[:, 0, 0])).tolist() == [3]
    assert np.flatnonzero(np.isnan(table.by_genome("hw_edgetpu_latency_cifar10")[:, 0, 0])).tolist() == [5]


def changed(row, to):
    strings = STRINGS.copy()
    strings[row] = to
    return strings


@pytest.mark.parametrize(
    ("strings", "message"),
    [
        (STRINGS[:-1], "expected 15625 rows, got 15624"),
        (changed(7, STRINGS[3]), "row 7 is .*, and so is row 3"),
        (changed(7, "|nor_conv_3x3~0|"), "row 7 is '|nor_conv_3x3~0|', expected"),
        (STRINGS[::-1], "row 0 is .*, the published order"),
    ],
)
def test_rows_in_another_order_are_named(written, strings, message):
    with pytest.raises(TableError, match=rf"a\.npz: {message}".replace("|", r"\|")):
        arrays.read(written(arch_str=strings, accuracy=NUMBERS))


def test_unknown_operation_is_named(written):
    with pytest.raises(TableError, match="op_names: unknown nor_conv_5x5"):
        arrays.read(written(ops=GENOMES, op_names=np.array([*SPACE.options[0][:4], "nor_conv_5x5"])))


def test_numbers_that_tie_in_float32_stay_apart(written):
    flops = 1234567890 + np.arange(SPACE.size)
    found = arrays.read(written(arch_str=STRINGS, flops=flops, accuracy=NUMBERS))
    np.testing.assert_array_equal(found.by_genome("flops").ravel(), flops)
    assert found.by_genome("accuracy").dtype == np.float32


def test_negative_cost_is_named_by_row(written):
    with pytest.raises(TableError, match=r"a\.npz, hw_fpga_latency: row 7: a cost is not negative, got -2"):
        arrays.read(written(arch_str=STRINGS, hw_fpga_latency=np.where(NUMBERS == 7, -2, NUMBERS)))


def test_column_that_a_table_cannot_have_is_refused(written):
    with pytest.raises(TableError, match="a column cannot be called 'rows'"):
        arrays.read(written(arch_str=STRINGS, rows=NUMBERS))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"arch_str": np.zeros(3)}, "arch_str: expected a list of texts, got float64"),
        ({"arch_str": np.array("|nor_conv_3x3~0|")}, "arch_str: expected a list of texts"),
        ({"arch_str": np.array([b"\xff"])}, "arch_str: not text"),
        ({"ops": GENOMES * 1.0, "op_names": np.array(SPACE.options[0])}, "ops: expected integers .* got float"),
        (
            {"ops": GENOMES + 1, "op_names": np.array(SPACE.options[0])},
            "ops: expected positions in op_names, got 1 to 5",
        ),
        ({"ops": GENOMES[:0], "op_names": np.array(SPACE.options[0])}, "ops: expected integers"),
        ({"ops": GENOMES, "op_names": np.arange(5)}, "op_names: expected a list of texts"),
        ({"ops": GENOMES, "op_names": np.array([["none"]])}, "op_names: expected a list of texts"),
        ({"arch_str": STRINGS}, "no column"),
    ],
)
def test_arrays_of_another_kind_are_named(written, given, message):
    with pytest.raises(TableError, match=rf"a\.npz.*{message}"):
        arrays.read(written(**given))


def test_other_arrays_are_refused(written):
    with pytest.raises(TableError, match="neither a table of jaxnas nor arrays with `arch_str`"):
        arrays.read(written(accuracy=NUMBERS))
