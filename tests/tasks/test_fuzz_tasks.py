"""Files and folders of all kinds: the task is what an independent reading says, or an `InputError` says why not."""

import pathlib
import tempfile
import warnings

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from jaxnas.check import InputError
from jaxnas.tasks import folder, npz

QUICK, LONG = (
    settings(max_examples=n, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
    for n in (30, 1000)
)


def told(build):
    """The task, or None where it was refused; any other exception is a fault."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return build()
        except InputError as error:
            assert str(error)
            return None


def joined(task):
    """All images `[N, H, W, C]` and labels of train and validation, and those of test."""
    parts = [(np.asarray(part.inputs), np.asarray(part.targets)) for part in (task.train, task.validation, task.test)]
    return [tuple(np.concatenate(pair) for pair in zip(*parts[:2], strict=True)), parts[2]]


def rows(x, y):
    """Examples in an order of their own, so that shuffled ones compare."""
    return sorted((int(label), image.astype(np.float32).tobytes()) for image, label in zip(x, y, strict=True))


# Files of arrays.

IMAGES = (np.uint8, np.float32, np.float64, np.uint16, np.int64, np.bool_, np.float16)
LABELS = (np.int64, np.uint8, np.int32, np.float32, np.float64, np.uint64, np.bool_)
SHAPES = ((4, 4), (4, 4, 1), (5, 4, 3), (4, 4, 3), (3, 8, 8), (1, 6, 6), (0, 4, 3), (4,), ())
DAMAGES = (
    *[""] * 8,
    "flip",
    "flip",
    "cut",
    "nan",
    "infinity",
    "huge",
    "negative",
    "fraction",
    "gap",
    "one-hot",
    "text",
)


@st.composite
def arrays(draw):
    """`(arrays by name, damage of the file, seed)`."""
    rarely = lambda: draw(st.integers(0, 19)) == 19
    seed, shape = draw(st.integers(0, 2**31)), draw(st.sampled_from(SHAPES if rarely() else SHAPES[:4]))
    random = np.random.default_rng(seed)
    image_type, label_type, damage = (draw(st.sampled_from(kinds)) for kinds in (IMAGES, LABELS, DAMAGES))
    held = {}
    for split in ("train", "test"):
        n = draw(st.sampled_from([1, 0, 2])) if rarely() else 12
        own = draw(st.sampled_from(SHAPES)) if rarely() else shape
        kind = draw(st.sampled_from(IMAGES)) if rarely() else image_type
        scale = 255 if kind == np.uint8 else 1
        held[f"x_{split}"] = (random.uniform(size=(n, *own)) * scale).astype(kind)
        labels = random.integers(0, draw(st.sampled_from([1, 2, 3, 12])), n).astype(label_type)
        held[f"y_{split}"] = labels[:, None] if draw(st.booleans()) else labels
    target = draw(st.sampled_from(list(held)))
    held[target] = _damaged(held[target], damage, random)
    if rarely():
        del held[draw(st.sampled_from(list(held)))]
    return held, damage, seed


def _damaged(a, damage, random):
    values = {"nan": np.nan, "infinity": np.inf, "huge": 1e300, "negative": -1, "fraction": 0.7, "gap": 2**33}
    if damage in values and a.size:
        a = a.astype(np.int64 if damage in ("negative", "gap") else np.float64)
        a.flat[random.integers(0, a.size)] = values[damage]
    elif damage == "one-hot":
        a = np.eye(3)[a.reshape(-1).astype(np.int64) % 3]
    elif damage == "text":
        a = a.astype(str)
    return a


def of_arrays(case):
    held, damage, seed = case
    random = np.random.default_rng(seed)
    with tempfile.TemporaryDirectory() as directory:
        path = pathlib.Path(directory) / "images.npz"
        (np.savez_compressed if seed % 2 else np.savez)(path, **held)
        written = bytearray(path.read_bytes())
        if damage == "flip":
            for at in random.integers(0, len(written), 1 + seed % 3):
                written[at] ^= 1 << int(random.integers(0, 8))
        path.write_bytes(written[: int(random.integers(0, len(written)))] if damage == "cut" else written)
        task = told(lambda: npz(path, crop_padding=seed % 2, validation=0.3, seed=seed))
    if task is None:
        # What nothing was done to, and is as it is said that it should be, is not refused.
        assert damage or not plain(held)
        return False
    wanted = [(held[f"x_{split}"], held[f"y_{split}"].reshape(-1)) for split in ("train", "test")]
    for (x, y), (ours, labels) in zip(wanted, joined(task), strict=True):
        assert rows(x.reshape(ours.shape), y) == rows(ours, labels)
        assert (y == np.trunc(y)).all() and np.isfinite(ours).all()
    assert task.outputs == 1 + max(int(y.max()) for _, y in wanted)
    return True


def plain(held):
    """Whether these are surely arrays that make a task."""
    if len(held) < 4 or any(len(a) < 6 for a in held.values()):
        return False
    x, y, other, labels = (held[name] for name in ("x_train", "y_train", "x_test", "y_test"))
    alike = x.dtype == other.dtype and x.shape[1:] == other.shape[1:] and x.shape[1:] in SHAPES[:4]
    dense = len(np.unique(np.concatenate([y.ravel(), labels.ravel()]))) == 1 + max(y.max(), labels.max())
    return alike and dense


@QUICK
@given(arrays())
def test_files_of_arrays(case):
    of_arrays(case)


@pytest.mark.slow
def test_a_thousand_files_of_arrays():
    taken = []
    LONG(given(arrays())(lambda case: taken.append(of_arrays(case))))()
    assert 100 < sum(taken) < 900  # both ends are tried


# Folders of pictures.

MODES = ("RGB", "L", "1", "P", "LA", "RGBA", "CMYK", "I;16", "I", "F", "transparent P")
WRITERS = {
    "png": ("RGB", "L", "1", "P", "LA", "RGBA", "I;16", "transparent P"),
    "PNG": ("RGB", "L", "1", "P", "LA", "RGBA", "I;16", "transparent P"),
    "tif": ("RGB", "L", "1", "P", "LA", "RGBA", "CMYK", "I;16", "I", "F"),
    "gif": ("L", "P", "RGB", "transparent P"),
    "bmp": ("RGB", "L", "1", "P"),
    "jpg": ("RGB", "L", "CMYK"),
    "webp": ("RGB", "RGBA"),
    "dat": ("RGB", "L", "RGBA"),
}
FORMATS = {"PNG": "png", "jpg": "jpeg", "tif": "tiff", "dat": "png"}
ODD = (
    "",
    "",
    "",
    "",
    "hidden class",
    "hidden file",
    "empty class",
    "nested",
    "loose",
    "text",
    "damaged",
    "cut",
    "size",
)


@st.composite
def trees(draw):
    """`(classes -> split -> [(ending, mode, (width, height))], what is odd, seed)`."""
    modes = draw(st.sampled_from([("RGB",), ("L",), MODES[:7], ("I;16",), ("F",), MODES, ("P", "transparent P")]))
    size = draw(st.sampled_from([(4, 3), (1, 1), (5, 5)]))
    tree = {}
    for name in draw(st.sampled_from([("a", "b"), ("cat", "Dog", "x.png"), ("only",), ("ü", "b b", "c", "d")])):
        tree[name] = {split: [] for split in ("train", "test")}
        for split in tree[name]:
            for _ in range(draw(st.integers(1, 3))):
                mode = draw(st.sampled_from(modes))
                endings = [ending for ending, known in WRITERS.items() if mode in known]
                tree[name][split].append((draw(st.sampled_from(endings)), mode, size))
    return tree, draw(st.sampled_from(ODD)), draw(st.integers(0, 2**31))


def _picture(mode, size, random):
    width, height = size
    if mode in ("I;16", "I", "F"):
        kind = {"I;16": np.uint16, "I": np.int32, "F": np.float32}[mode]
        return Image.fromarray((random.uniform(size=(height, width)) * 30_000).astype(kind))
    image = Image.fromarray(random.integers(0, 256, (height, width, 4), np.uint8))
    return image.convert("RGB").convert("P" if mode == "transparent P" else mode) if mode != "RGBA" else image


def _saved(path, ending, mode, size, random):
    path.parent.mkdir(parents=True, exist_ok=True)
    options = {"transparency": int(random.integers(0, 200))} if mode == "transparent P" else {}
    _picture(mode, size, random).save(path, FORMATS.get(ending, ending), **options)


def _made(root, case):
    tree, odd, seed = case
    random = np.random.default_rng(seed)
    files = []
    for name, splits in tree.items():
        for split, pictures in splits.items():
            for i, (ending, mode, size) in enumerate(pictures):
                files.append(root / split / name / f"{i}.{ending}")
                _saved(files[-1], ending, mode, size, random)
    chosen = files[int(random.integers(0, len(files)))]
    extra = {"hidden class": root / "train" / ".git" / "x.png", "hidden file": chosen.parent / ".x.png"}
    extra |= {"nested": chosen.parent / "2020" / "deep" / "x.png", "loose": chosen.parents[1] / "loose.png"}
    extra |= {"size": chosen.parent / "large.png"}
    if odd in extra:
        _saved(extra[odd], "png", "RGB", (7, 3), random)
    elif odd == "empty class":
        (chosen.parents[1] / "0 empty").mkdir()
    elif odd == "text":
        (chosen.parent / "notes.txt").write_text("notes")
    elif odd == "cut":
        chosen.write_bytes(chosen.read_bytes()[: int(random.integers(0, chosen.stat().st_size))])
    elif odd == "damaged":
        written = bytearray(chosen.read_bytes())
        for at in random.integers(0, len(written), 3):
            written[at] = int(random.integers(0, 256))
        chosen.write_bytes(written)


def _read_independently(root):
    """Both splits by Pillow and NumPy alone: `[N, H, W, C]` and labels; nothing if that cannot be."""
    names = sorted(p.name for p in (root / "train").iterdir() if p.name[0] != ".")
    found = {split: [] for split in ("train", "test")}
    for split, into in found.items():
        for label, name in enumerate(names):
            for file in (root / split / name).iterdir():
                if file.name[0] == "." or file.suffix == ".txt":
                    continue
                try:
                    with Image.open(file) as image:
                        image.load()
                        into.append((label, image.copy()))
                except Image.UnidentifiedImageError:
                    assert file.suffix == ".dat"
    images = [image for into in found.values() for _, image in into]
    deep = images[0].mode[:1] in "IF"
    assert all((image.mode[:1] in "IF") == deep for image in images)
    alpha = any("A" in image.mode or "transparency" in image.info for image in images)
    grey = all(image.mode in ("1", "L", "LA") for image in images)

    def pixels(image):
        if deep:
            return np.asarray(image).astype(np.float32)[..., None]
        full = np.asarray(image.convert("RGBA")).astype(np.float32)
        return full[..., ([0] if grey else [0, 1, 2]) + [3] * alpha]

    return [(np.stack([pixels(i) for _, i in into]), [label for label, _ in into]) for into in found.values()], names


def of_folders(case):
    tree, odd, _ = case
    with tempfile.TemporaryDirectory() as directory, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        root = pathlib.Path(directory)
        _made(root, case)
        task = told(lambda: folder(root, crop_padding=0, validation=0.3))
        if task is None:
            modes = {mode for splits in tree.values() for found in splits.values() for _, mode, _ in found}
            deep = modes & {"I;16", "I", "F"}
            count = sum(len(splits["train"]) for splits in tree.values())
            assert odd not in ("", "hidden class", "hidden file", "text") or (deep and len(modes) > 1) or count < 2
            return False
        assert odd not in ("empty class", "nested", "loose", "size")
        wanted, names = _read_independently(root)
    assert task.outputs == len(names) == len(tree)
    for (x, y), (ours, labels) in zip(wanted, joined(task), strict=True):
        assert rows(x, y) == rows(ours, labels)
    return True


@QUICK
@given(trees())
def test_folders(case):
    of_folders(case)


@pytest.mark.slow
def test_a_thousand_folders():
    taken = []
    LONG(given(trees())(lambda case: taken.append(of_folders(case))))()
    assert 100 < sum(taken) < 900  # both ends are tried
