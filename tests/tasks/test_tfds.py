"""Datasets of TensorFlow Datasets, prepared here from local images and read back without TensorFlow."""

import shutil
import subprocess
import sys

import numpy as np
import pytest

from jaxnas.tasks import preparation, tfds
from jaxnas.tasks._tfds import _labels
from tests.support.programs import ROOT

pytest.importorskip("tensorflow_datasets")


def images(n, seed, shape=(8, 8, 3), classes=3):
    random = np.random.default_rng(seed)
    return random.integers(0, 256, (n, *shape), np.uint8), np.arange(n) % classes


def stored(path, **replace):
    (x, y), (x_test, y_test) = images(30, 0), images(12, 1)
    np.savez(path, **{"x_train": x, "y_train": y, "x_test": x_test, "y_test": y_test, **replace})
    return str(path)


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    directory = tmp_path_factory.mktemp("data")
    for name in ("cifar10", "mine"):  # a known one and one of one's own
        preparation.prepare(name, str(directory), stored(directory / "images.npz"))
    (directory / "images.npz").unlink()
    return directory


@pytest.mark.parametrize(("name", "classes"), [("cifar10", 10), ("mine", 3)])
def test_what_was_prepared_is_read_back(name, classes, data_dir):
    task = tfds(name, data_dir=data_dir, validation=0.2)
    x, y = images(30, 0)
    ours = np.concatenate([task.train.inputs, task.validation.inputs])
    assert ours.dtype == np.uint8 and len(task.validation.inputs) == 6 and task.outputs == classes
    order = [np.flatnonzero((x == one).all((1, 2, 3)))[0] for one in ours]
    assert sorted(order) == list(range(30))
    np.testing.assert_array_equal(np.concatenate([task.train.targets, task.validation.targets]), y[order])


def test_the_network_is_given_standardized_images(data_dir):
    task = tfds("mine", data_dir=data_dir)
    x = np.asarray(task.inputs(task.train.inputs))
    np.testing.assert_allclose(x.mean((0, 1, 2)), 0, atol=1e-5)
    np.testing.assert_allclose(x.std((0, 1, 2)), 1, atol=1e-5)
    assert x.dtype == np.float32 and task.batch_of(1).shape[1:] == (8, 8, 3)


def test_a_slice_of_a_split(data_dir):
    assert len(tfds("mine", data_dir=data_dir, train_split="train[:50%]").train.inputs) == 12


def test_tensorflow_is_not_needed(data_dir):
    code = f"""
import sys
from jaxnas import tasks
print(tasks.tfds("cifar10", data_dir={str(data_dir)!r}).name, "tensorflow" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.stdout.strip() == "cifar10 False", done.stderr


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("cifar11", {}, "dataset: unknown 'cifar11'. Did you mean 'cifar10"),
        ("mnist", {}, r"mnist is not prepared in .*\n  jaxnas prepare --dataset=mnist --data_dir="),
        ("mine", {"test_split": "tests"}, "test_split: unknown 'tests'. Did you mean 'test'"),
    ],
)
def test_what_is_not_there_is_said(name, options, message, data_dir):
    with pytest.raises(ValueError, match=message):
        tfds(name, data_dir=data_dir, **options)


def test_a_damaged_record_is_named(data_dir, tmp_path):
    shutil.copytree(data_dir, tmp_path / "data")
    (file,) = (tmp_path / "data" / "mine").glob("*/*-train*")
    damaged = bytearray(file.read_bytes())
    at = damaged.index(b"IHDR")  # of the first image in the file
    damaged[at : at + 4] = b"XXXX"
    file.write_bytes(damaged)
    with pytest.raises(ValueError, match=r"train: record \d+ in .* is damaged .* prepare it again"):
        tfds("mine", data_dir=tmp_path / "data")


@pytest.mark.parametrize(
    ("replace", "message"),
    [
        ({"y_test": np.zeros(3, int)}, "test: expected images .* and labels"),
        ({"x_train": images(30, 0)[0].astype(float)}, "train: expected images .* of uint8"),
    ],
)
def test_local_images_of_another_kind_are_refused(replace, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        preparation.prepare("other", str(tmp_path), stored(tmp_path / "images.npz", **replace))
    assert not (tmp_path / "other").exists()


@pytest.mark.slow
def test_a_search_and_a_retraining_on_it(data_dir, tmp_path):
    task = f"{{'name': 'tfds', 'dataset': 'cifar10', 'data_dir': '{data_dir}', 'crop_padding': 1}}"
    small = ("strategy.budget=2", "strategy.population_size=2", "strategy.tournament_size=1", "strategy.proposals=2")
    options = [f"--config.{o}" for o in (f"task={task}", "rounds=2", *small, "retrain.steps=2", "retrain.seeds=1")]
    options += ["--config.evaluator.batch_size=8", "--config.network.channels=4", "--config.random_search=False"]
    program = [sys.executable, "-m", "launch.search", f"--workdir={tmp_path / 'run'}", *options]
    done = subprocess.run(program, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0 and "retraining" in done.stdout, done.stderr


def test_what_streams_is_decoded_batch_by_batch(data_dir):
    whole, streamed = (tfds("mine", data_dir=data_dir, stream=stream) for stream in (False, True))
    for one, other in zip(whole.train.take(np.arange(5)), streamed.train.take(np.arange(5)), strict=True):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(whole.validation.inputs, streamed.validation.inputs)


def test_labels_are_read_as_they_are_stored():
    assert _labels("here", [np.float32(0.5), np.float32(1)]).tolist() == [0.5, 1.0]  # and so refused, not cut off
    with pytest.raises(ValueError, match="here: expected a label for each example, got some of several numbers"):
        _labels("here", [np.array([1, 2]), np.array([1])])
