"""The official files of three networks of each space, against the published arrays."""

import bz2
import pickle
import shutil

import numpy as np
import pytest

from jaxnas.tables import TableError, arrays, nats

ROWS = [0, 11, 284]


@pytest.fixture(scope="module")
def sample(shared_data):
    if not (shared_data / "nats-bench-sample").is_dir():
        pytest.skip("the NATS-Bench sample is not here")
    return shared_data / "nats-bench-sample"


@pytest.fixture(scope="module")
def topology(sample):
    return nats.read(sample / "NATS-tss-v1_0-3ffb9-simple", partial=True, curves=True)


@pytest.fixture(scope="module")
def published(shared_data):
    return arrays.read(shared_data / "nasbench201" / "nasbench201_cifar10.npz")


def at_200_epochs(table, name):
    column = table.columns[name]
    return table.by_genome(name)[ROWS][:, :, column.budgets.index(200)]


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("cifar10-train25k.valid25k.accuracy", "val_acc_200ep_cifar10"),
        ("cifar10-train50k.test10k.accuracy", "test_acc_200ep_cifar10"),
    ],
)
def test_means_over_seeds_equal_the_published_arrays(topology, published, ours, theirs):
    expected = published.by_genome(theirs)[ROWS, 0, 0]
    np.testing.assert_allclose(np.nanmean(at_200_epochs(topology, ours), 1), expected, rtol=1e-5)


def test_each_seed_equals_the_published_arrays(topology, published):
    expected = published.by_genome("runs_acc_200ep_cifar10valid_valid")[ROWS, :, 0]
    got = at_200_epochs(topology, "cifar10-train25k.valid25k.accuracy")
    for ours, theirs in zip(got, expected, strict=True):
        np.testing.assert_allclose(np.sort(ours[~np.isnan(ours)]), np.sort(theirs[~np.isnan(theirs)]), rtol=1e-5)


def test_seconds_parameters_and_flops_equal_the_published_arrays(topology, published):
    seconds = np.nanmean(at_200_epochs(topology, "cifar10-train25k.train_seconds"), 1)
    np.testing.assert_allclose(seconds, published.by_genome("train_time_200ep_s_cifar10valid")[ROWS, 0, 0], rtol=1e-4)
    for ours, theirs, unit in (("parameters", "params_cifar10", 1e6), ("flops", "flops_nats_formula_cifar10", 1)):
        got = unit * topology.by_genome(f"cifar10-train50k.{ours}")[ROWS, 0, 0]
        np.testing.assert_allclose(got, published.by_genome(theirs)[ROWS, 0, 0], rtol=1e-4)


def test_only_the_files_that_are_there_are_measured(topology):
    np.testing.assert_array_equal(np.flatnonzero(topology.rows >= 0), ROWS)


def test_both_protocols_of_cifar10_are_columns_of_their_own(topology):
    assert {"cifar10-train25k.test10k.accuracy", "cifar10-train50k.test10k.accuracy"} <= set(topology.columns)


def test_curves_end_where_the_training_does(topology):
    name = "cifar10-train25k.valid25k.accuracy"
    final = topology.by_genome(name)[ROWS][:, :, topology.columns[name].budgets.index(12)]
    curve = topology.by_genome(f"{name}.curve12")[ROWS][:, :, -1]
    np.testing.assert_array_equal(curve[~np.isnan(curve)], final[~np.isnan(final)])


def test_size_space(sample):
    table = nats.read(sample / "NATS-sss-v1_0-50262-simple", partial=True)
    assert len(table.rows) == 8**5 and len(table.space["decisions"]) == 5
    np.testing.assert_array_equal(np.flatnonzero(table.rows >= 0), ROWS)
    accuracy = table.columns["cifar10-train50k.test10k.accuracy"]
    assert accuracy.budgets == (1, 12, 90)
    means = np.nanmean(accuracy.values, 1)  # longer trainings are better, in all three networks
    assert (np.diff(means, axis=1) > 0).all()


def test_missing_architectures_are_counted(sample):
    with pytest.raises(TableError, match="15622 of 15625 architectures are missing, the first: 1, 2, 3, 4, 5"):
        nats.read(sample / "NATS-tss-v1_0-3ffb9-simple")


@pytest.fixture
def copied(sample, tmp_path):
    return shutil.copytree(sample / "NATS-tss-v1_0-3ffb9-simple", tmp_path / "NATS-tss-v1_0-3ffb9-simple")


def rewrite(file, change):
    content = pickle.loads(bz2.decompress(file.read_bytes()))
    change(content)
    file.write_bytes(bz2.compress(pickle.dumps(content)))


def test_truncated_file_is_named(copied):
    file = copied / "000011.pickle.pbz2"
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(TableError, match=r"000011\.pickle\.pbz2: refused or damaged"):
        nats.read(copied, partial=True)


def test_file_of_another_architecture_is_named(copied):
    shutil.copy(copied / "000000.pickle.pbz2", copied / "000284.pickle.pbz2")
    with pytest.raises(TableError, match=r"000284\.pickle\.pbz2.*expected"):
        nats.read(copied, partial=True)


def test_accuracy_that_is_no_number_is_named(copied):
    def spoil(content):
        run = content["200"]["all_results"][("cifar10-valid", 777)]
        run["eval_acc1es"]["x-valid@199"] = float("nan")

    rewrite(copied / "000011.pickle.pbz2", spoil)
    with pytest.raises(TableError, match=r"000011\.pickle\.pbz2.*cifar10-valid, seed 777, x-valid: accuracy nan"):
        nats.read(copied, partial=True)


def test_other_folder_is_named(tmp_path):
    with pytest.raises(TableError, match=str(tmp_path)):
        nats.read(tmp_path)
