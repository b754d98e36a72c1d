import numpy as np
import pytest
from PIL import Image

from jaxnas.tasks import folder


@pytest.fixture
def path(tmp_path):
    """Ten images of each of two classes, in train and in test; a cat is darker than a dog."""
    for split in ("train", "test"):
        for label, name in enumerate(("cat", "dog")):
            (tmp_path / split / name).mkdir(parents=True)
            for i in range(10):
                pixels = np.full((4, 6, 3), 100 * label + i, np.uint8)
                Image.fromarray(pixels).save(tmp_path / split / name / f"{i}.png")
    return tmp_path


def test_classes_are_folders_in_order_of_their_names(path):
    task = folder(path, validation=0.2)
    assert task.outputs == 2 and task.train.x.shape == (16, 4, 6, 3) and task.train.x.dtype == np.uint8
    np.testing.assert_array_equal(np.asarray(task.train.x)[:, 0, 0, 0] >= 100, task.train.y == 1)


def test_an_image_of_another_size_is_named(path):
    Image.fromarray(np.zeros((5, 6, 3), np.uint8)).save(path / "test" / "dog" / "tall.png")
    with pytest.raises(ValueError, match=r"tall.png is of \(5, 6, 3\), but the first image is of \(4, 6, 3\)"):
        folder(path)


def test_a_file_that_is_no_image_is_named(path):
    (path / "train" / "cat" / "broken.png").write_text("no image")
    with pytest.raises(ValueError, match=r"broken.png cannot be read as an image"):
        folder(path)


def test_folders_that_do_not_match_are_refused(path):
    (path / "test" / "bird").mkdir()
    with pytest.raises(ValueError, match="same folders of classes in train and test, got bird in test alone"):
        folder(path)
    with pytest.raises(ValueError, match="expected images in .*nowhere/train/CLASS/"):
        folder(path / "nowhere")
