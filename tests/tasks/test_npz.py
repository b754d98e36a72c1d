import numpy as np
import pytest

from jaxnas.tasks import npz
from jaxnas.tasks.images import _moments


def images(n, seed, *shape):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (n, *shape), np.uint8), rng.integers(0, 3, (n, 1))


@pytest.fixture
def file(tmp_path):
    def write(shape=(4, 4, 3), **replace):
        x, y = images(50, 0, *shape)
        x_test, y_test = images(20, 1, *shape)
        arrays = {"x_train": x, "y_train": y, "x_test": x_test, "y_test": y_test, **replace}
        path = tmp_path / "images.npz"
        np.savez(path, **{name: value for name, value in arrays.items() if value is not None})
        return path

    return write


def test_every_image_is_in_one_split_with_its_label(file):
    x, y = images(50, 0, 4, 4, 3)
    task = npz(file(), validation=0.2)
    assert (len(task.train.inputs), len(task.validation.inputs), len(task.test.inputs)) == (40, 10, 20)
    ours = np.concatenate([task.train.inputs, task.validation.inputs]).reshape(50, 16, 3).astype(float)
    labels = np.concatenate([task.train.targets, task.validation.targets])
    theirs = x.reshape(50, 16, 3).astype(float)
    ours = ours * theirs.std((0, 1)) / ours.std((0, 1))
    ours += theirs.mean((0, 1)) - ours.mean((0, 1))
    order = [np.abs(theirs - one).sum((1, 2)).argmin() for one in ours]
    assert sorted(order) == list(range(50))
    np.testing.assert_array_equal(labels, y[order, 0])


def test_channels_are_standardized_by_the_training_images(file):
    task = npz(file())
    x = np.asarray(task.inputs(task.train.inputs))
    np.testing.assert_allclose(x.mean((0, 1, 2)), np.zeros(3), atol=1e-5)
    np.testing.assert_allclose(x.std((0, 1, 2)), np.ones(3), atol=1e-5)


def test_bytes_stay_bytes_and_numbers_numbers(file):
    x, _ = images(50, 0, 4, 4, 3)
    assert npz(file()).train.inputs.dtype == np.uint8
    whole, real = npz(file()), npz(file(x_train=x.astype(float), x_test=images(20, 1, 4, 4, 3)[0].astype(float)))
    assert real.train.inputs.dtype == np.float32
    np.testing.assert_allclose(whole.inputs(whole.train.inputs), real.inputs(real.train.inputs), atol=1e-4)


def test_labels_out_of_the_range_of_classes_are_named(file):
    with pytest.raises(ValueError, match=r"train: expected labels in \[0, 2\), example \d+ has 2"):
        npz(file(), classes=2)


def test_grey_images_get_a_channel(file):
    assert npz(file((4, 4))).batch_of(1).shape[1:] == (4, 4, 1)


def test_a_part_of_the_images(file):
    task = npz(file(), train=10, test=5, validation=0.3)
    assert (len(task.train.inputs), len(task.validation.inputs), len(task.test.inputs)) == (7, 3, 5)


def test_shrunk_images_are_means_of_squares_of_pixels(file):
    tasks = [npz(file(), downsample=factor) for factor in (1, 2)]
    whole, half = (np.asarray(task.inputs(task.test.inputs)) for task in tasks)
    means = whole.reshape(20, 2, 2, 2, 2, 3).mean((2, 4))
    # Each is standardized by its own mean and deviation, so they differ by a factor and a shift.
    line = np.polyfit(means[..., 0].ravel(), half[..., 0].ravel(), 1)
    np.testing.assert_allclose(np.polyval(line, means[..., 0]), half[..., 0], atol=1e-5)


def test_same_seed_same_split(file):
    path = file()
    np.testing.assert_array_equal(npz(path, seed=1).train.inputs, npz(path, seed=1).train.inputs)
    assert (np.asarray(npz(path, seed=1).train.targets) != np.asarray(npz(path, seed=2).train.targets)).any()


@pytest.mark.parametrize(
    ("replace", "options", "message"),
    [
        ({"y_test": None}, {}, "images.npz has no y_test; it has x_train, y_train, x_test"),
        ({"y_train": np.zeros(7)}, {}, r"images.npz, train: expected images \[N, H, W, C\] and labels \[N\], got"),
        (
            {"y_train": np.full(50, 0.7)},
            {},
            "train: expected labels that are whole numbers, example 0 has 0.7; a regress",
        ),
        ({"y_train": np.full(50, np.nan)}, {}, "train: expected labels that are whole numbers, example 0 has nan"),
        (
            {"y_train": np.arange(50.0) % 7 + 20},
            {},
            r"10 different ones up to 26 .*\(3 does not occur\).* with classes",
        ),
        (
            {"y_train": np.arange(50) + 30},
            {},
            r"53 different ones up to 79 for 50 training examples \(3 does not occur\)",
        ),
        ({"y_train": np.array(["cat"] * 50)}, {}, r"train: expected labels that are whole numbers, got <U3 \(cat\)"),
        (
            {"y_train": np.eye(3)[np.arange(50) % 3]},
            {},
            r"train: .*one-hot ones \(50, 3\); give whole numbers, y.argmax",
        ),
        ({"y_test": np.full(20, -1)}, {}, "test: expected labels from 0 on, .*, example 0 has -1"),
        ({"y_test": np.full(20, 2**32 + 1)}, {"classes": 3}, r"test: .* \(32 bits\), example 0 has 4294967297"),
        (
            {"x_train": np.where(images(50, 0, 4, 4, 3)[0] == 7, np.nan, 0), "x_test": np.zeros((20, 4, 4, 3))},
            {},
            r"train: image \d+ holds NaN",
        ),
        ({"x_test": images(0, 0, 4, 4, 3)[0], "y_test": np.zeros(0)}, {}, "test: expected at least one image"),
        ({"x_train": images(0, 0, 4, 4, 3)[0], "y_train": np.zeros(0)}, {}, "train: expected at least one image"),
        ({"x_train": images(50, 0, 3, 8, 9)[0]}, {}, r"train: .*\(50, 3, 8, 9\), which looks like channels first"),
        (
            {"x_test": images(20, 0, 4, 4, 3)[0] / 255},
            {},
            "test: images of float64, but in train of uint8; expected one",
        ),
        ({"x_train": np.array([["a"]] * 50)[..., None]}, {}, "train: expected images that are numbers, got <U1"),
        ({"x_train": images(1, 0, 4, 4, 3)[0], "y_train": [0]}, {}, "validation: a share of 0.2 of 1 .* leaves 1 to"),
        ({}, {"seed": 2**32}, r"seed: expected at most 4294967295 \(32 bits\)"),
        ({}, {"classes": 0}, "classes: expected at least 1"),
        ({}, {"train": 51}, "train: expected at most 50 .*a part of the images.*, got 51"),
        ({}, {"validation": 1.5}, r"validation: expected a number in \[0.001, 0.999\], got 1.5"),
        ({}, {"downsample": 3}, "downsample: expected a divisor of the images' 4 x 4 pixels, got 3"),
        ({}, {"crop_padding": -1}, "crop_padding: expected at least 0, got -1"),
    ],
)
def test_files_and_numbers_that_make_no_task_are_refused(file, replace, options, message):
    with pytest.raises(ValueError, match=message):
        npz(file(**replace), **options)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ValueError, match="nothing.npz cannot be read"):
        npz(tmp_path / "nothing.npz")


@pytest.mark.parametrize("name", ["text.npz", "one.npy"])
def test_a_file_of_another_format_is_named(tmp_path, name):
    (tmp_path / "text.npz").write_text("text")
    np.save(tmp_path / "one.npy", np.zeros(3))
    with pytest.raises(ValueError, match=f"{name} cannot be read as an .npz of plain arrays"):
        npz(tmp_path / name)


def test_floats_of_another_scale_are_refused(file):
    x, _ = images(50, 0, 4, 4, 3)
    with pytest.raises(ValueError, match=r"images in train are in \[0, 1\], but in test up to 255; expected one scale"):
        npz(file(x_train=x / 255, x_test=images(20, 1, 4, 4, 3)[0].astype(float)))


def test_whole_numbers_stored_as_floats_are_labels(file):
    y = np.arange(50) % 3
    whole, real = npz(file(y_train=y)), npz(file(y_train=y.astype(float)))
    np.testing.assert_array_equal(whole.train.targets, real.train.targets)
    assert real.outputs == 3 and npz(file(y_train=y * 8.0), classes=17).outputs == 17


def test_channels_of_many_numbers_are_standardized_in_float64():
    """A sum in float32 loses digits with each of many numbers, and stands still at 2^24."""
    x = np.random.default_rng(0).uniform(size=(2**13, 16, 16, 2)).astype(np.float32)
    mean, std = _moments(x)
    assert mean.dtype == std.dtype == np.float32
    np.testing.assert_allclose(mean, x.mean((0, 1, 2), float), rtol=2e-7)
    np.testing.assert_allclose(std, x.std((0, 1, 2), float), rtol=2e-7)


def test_what_else_a_file_holds_is_not_read(file):
    assert npz(file(notes=np.array([{}], object))).outputs == 3


@pytest.mark.parametrize("at", [0.1, 0.5, 0.99])
def test_a_truncated_file_is_named(file, at):
    path = file()
    path.write_bytes(path.read_bytes()[: int(at * path.stat().st_size)])
    with pytest.raises(ValueError, match="images.npz cannot be read as an .npz of plain arrays"):
        npz(path)
