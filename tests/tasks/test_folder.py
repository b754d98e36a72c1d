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
    assert task.outputs == 2 and task.train.inputs.shape == (16, 4, 6, 3) and task.train.inputs.dtype == np.uint8
    np.testing.assert_array_equal(np.asarray(task.train.inputs)[:, 0, 0, 0] >= 100, task.train.targets == 1)


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


def saved(path, pixels, mode=None, **options):
    image = Image.fromarray(np.asarray(pixels, np.uint8))
    path.parent.mkdir(parents=True, exist_ok=True)
    (image if mode is None else image.convert(mode)).save(path, **options)


def one_class(path, name="odd.png"):
    """A place for the first image of a class, whose other files are gone."""
    for file in (path / "train" / "cat").iterdir():
        file.unlink()
    return path / "train" / "cat" / name


def of_cats(task):
    x, y = (np.concatenate([getattr(part, a) for part in (task.train, task.validation)]) for a in ("inputs", "targets"))
    return x[y == 0]


def test_palettes_are_read_as_their_colours(path):
    colours = np.zeros((4, 6, 3), np.uint8)
    colours[:, :3], colours[:, 3:] = (204, 0, 51), (0, 204, 51)  # which are in the palette
    saved(one_class(path), colours, "P")
    np.testing.assert_array_equal(of_cats(folder(path)), colours[None])


@pytest.mark.parametrize(
    ("mode", "grey", "file", "expected"),
    [
        ("1", 255, "odd.png", [255, 255, 255]),
        ("L", 200, "odd.png", [200, 200, 200]),
        ("LA", 200, "odd.png", [200, 200, 200, 255]),
        ("RGBA", 200, "odd.png", [200, 200, 200, 255]),
        ("CMYK", 200, "odd.tif", [200, 200, 200]),
    ],
)
def test_mixed_modes_become_the_least_that_loses_nothing(path, mode, grey, file, expected):
    saved(one_class(path, file), np.full((4, 6, 3), grey), mode)
    task = folder(path)
    assert task.batch_of(1).shape[1:] == (4, 6, len(expected))
    assert (of_cats(task) == expected).all()


def test_images_of_16_bits_keep_their_numbers_and_are_not_mixed_with_others(tmp_path, path):
    deep = np.full((4, 6), 1000, np.uint16)
    for split, name in (("train", "a"), ("train", "b"), ("test", "a"), ("test", "b")):
        for i in range(3):
            (tmp_path / "deep" / split / name).mkdir(parents=True, exist_ok=True)
            Image.fromarray(deep + i).save(tmp_path / "deep" / split / name / f"{i}.png")
    assert set(np.unique(folder(tmp_path / "deep").train.inputs)) <= {1000.0, 1001.0, 1002.0}
    Image.fromarray(deep).save(path / "train" / "dog" / "deep.png")
    with pytest.raises(ValueError, match="deep.png is of mode I;16, but .*png of RGB; images of more than 8 bits"):
        folder(path)


def test_what_is_hidden_is_no_class_and_no_image(path):
    for name in (".git", ".ipynb_checkpoints", "__MACOSX"):
        saved(path / "train" / name / "x.png", np.zeros((4, 6, 3)))
    (path / "train" / "cat" / "._0.png").write_text("no image")
    assert folder(path).outputs == 2


@pytest.mark.parametrize("split", ["train", "test"])
def test_a_class_without_images_is_refused(path, split):
    (path / "train" / "ant").mkdir()
    saved(path / "test" / "ant" / "x.png", np.zeros((4, 6, 3)))
    if split == "test":
        (path / "test" / "ant" / "x.png").rename(path / "train" / "ant" / "x.png")
    with pytest.raises(ValueError, match=f"{split}/ant has no images; a class needs some, or delete the folder"):
        folder(path)


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("train/cat/2020/x.png", "2020/x.png is in a folder within that of its class"),
        ("test/dog/a/b/x.png", "a/b/x.png is in a folder within that of its class"),
        ("train/x.png", "train/x.png is in no folder of a class"),
    ],
)
def test_images_at_another_depth_are_refused(path, place, said):
    saved(path / place, np.zeros((4, 6, 3)))
    with pytest.raises(ValueError, match=said):
        folder(path)


def test_a_picture_of_too_many_pixels_is_named(path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 40)
    saved(path / "train" / "cat" / "huge.png", np.zeros((9, 10, 3)))
    with pytest.raises(ValueError, match="huge.png has more pixels than Pillow reads"):
        folder(path)


@pytest.mark.parametrize("name", ["x.tif", "x.gif", "x.PNG", "x.ppm", "x.TIFF"])
def test_every_picture_that_can_be_read_is_one_whatever_its_ending(path, name):
    saved(one_class(path, name), np.full((4, 6, 3), 255))
    assert (of_cats(folder(path)) == 255).all()


def test_a_picture_without_an_ending_is_one(path):
    (path / "train" / "cat" / "0.png").rename(path / "train" / "cat" / "0")
    assert folder(path).train.size == 16


def test_files_that_are_no_pictures_are_left_out_with_a_warning(path):
    (path / "train" / "cat" / "notes.txt").write_text("Cats are dark.")
    with pytest.warns(UserWarning, match="1 files are no images and are left out: .*notes.txt"):
        assert folder(path).train.size == 16


@pytest.mark.parametrize("name", ["x.heic", "x.svg", "x.tif"])
def test_a_picture_that_cannot_be_read_is_refused_by_its_ending(path, name):
    (path / "train" / "cat" / name).write_text("<svg></svg>")
    with pytest.raises(ValueError, match=f"{name} cannot be read as an image"):
        folder(path)
