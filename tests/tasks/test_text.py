"""Windows of text: none in two splits, targets one token on, and bits per byte whatever the tokens."""

import hashlib
import importlib.util
import pathlib
import platform
import sys

import jax.numpy as jnp
import numpy as np
import pytest

from jaxnas import tasks
from jaxnas.check import InputError
from jaxnas.tasks import _text
from jaxnas.tasks.task import SPLITS

BPE = pytest.mark.skipif(not importlib.util.find_spec("tokenizers"), reason="needs the extra `text`: tokenizers")
PROSE = "A dormouse sat – naïvely – by the tea. It said nothing at all; nobody had asked it anything.\n"


def numbered(n=400):
    """Text of which every window says where it is."""
    return "".join(f"{i:07d}\n" for i in range(n))


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text(numbered())
    return path


@pytest.fixture
def folder(tmp_path):
    """Twelve files of one letter each, in two folders, and some that do not count."""
    for i, letter in enumerate("abcdefghijkl"):
        (tmp_path / "files" / str(i % 2)).mkdir(parents=True, exist_ok=True)
        (tmp_path / "files" / str(i % 2) / f"{letter}.txt").write_text(letter * 50)
    (tmp_path / "files" / ".hidden").write_bytes(b"\0")
    (tmp_path / "files" / "empty").write_text("")
    return tmp_path / "files"


@pytest.fixture
def library(tmp_path, monkeypatch):
    """In the place of Python's library, which takes longer."""
    for name in ("os.py", "json/decoder.py", "re.py", "abc.py", "test/test_os.py", "site-packages/numpy.py", "x.txt"):
        (tmp_path / "lib" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "lib" / name).write_text(f"# {name}\n" * 9)
    monkeypatch.setattr(_text.sysconfig, "get_paths", lambda: {"stdlib": str(tmp_path / "lib")})
    return tmp_path / "lib"


def read(split):
    """The text of all windows of a split, its last target included."""
    return np.append(np.asarray(split.inputs).ravel(), np.asarray(split.targets)[-1, -1]).astype(np.uint8).tobytes()


def test_targets_are_the_inputs_one_token_on(file):
    train = tasks.text(file, length=20).train
    x, y = np.asarray(train.inputs), np.asarray(train.targets)
    np.testing.assert_array_equal(x[:, 1:], y[:, :-1])
    np.testing.assert_array_equal(x[1:, 0], y[:-1, -1])


def test_a_file_is_split_by_position_and_windows_do_not_overlap(file):
    task, whole = tasks.text(file, length=20, validation=0.2, test=0.1), numbered().encode()
    begin = 0
    for split, share in (("train", 0.7), ("validation", 0.2), ("test", 0.1)):
        size = round(share * len(whole))
        part = whole[begin : begin + size]
        windows = (size - 1) // 20
        assert getattr(task, split).inputs.shape == (windows, 20)
        assert read(getattr(task, split)) == part[: 20 * windows + 1]
        begin += size


def test_a_folder_is_split_by_file(folder):
    task = tasks.text(folder, length=10, validation=0.25, test=0.25)
    letters = [set(read(getattr(task, split)).decode()) - {"\n"} for split in SPLITS]
    assert [len(part) for part in letters] == [6, 3, 3] and len(set.union(*letters)) == 12
    others = tasks.text(folder, length=10, validation=0.25, test=0.25, seed=1)
    assert set(read(others.train).decode()) - {"\n"} != letters[0]


def test_bytes_are_kept_as_such_and_given_to_the_network_as_int32(file):
    task = tasks.text(file, length=20)
    assert task.train.inputs.dtype == task.train.targets.dtype == np.uint8
    assert task.batch_of(3).shape == (3, 20) and task.batch_of(3).dtype == np.int32 and task.outputs == 256


def test_a_limit_is_of_whole_files_or_of_the_beginning(folder, file):
    some = tasks.text(folder, length=10, limit=210)
    letters = [set(read(getattr(some, split)).decode()) - {"\n"} for split in SPLITS]
    assert [len(part) for part in letters] == [2, 1, 1]
    begun = tasks.text(file, length=20, limit=800, validation=0.1, test=0.1)
    assert numbered().encode().startswith(read(begun.train)) and begun.train.size == 639 // 20


def test_the_library_s_source_is_without_tests_and_packages(library):
    task = tasks.text(source="python", length=10)
    text = "\n".join(read(getattr(task, split)).decode() for split in SPLITS)
    assert all(name in text for name in ("os.py", "decoder.py", "re.py", "abc.py"))
    assert not any(name in text for name in ("test_os", "numpy", "x.txt"))


def test_the_name_has_the_version_and_the_digest(library):
    names = ("abc.py", "json/decoder.py", "os.py", "re.py")
    digest = hashlib.sha256(b"".join((library / name).read_bytes() for name in names)).hexdigest()
    for seed in (0, 1):
        name = tasks.text(source="python", length=10, seed=seed).name
        assert name == f"text(python {platform.python_version()}, sha256 {digest[:8]})"


def test_a_stray_byte_that_is_no_utf_8_is_replaced(file):
    file.write_bytes(b"z" * 400 + b"\xe9" + b"z" * 400)
    task = tasks.text(file, length=20)
    assert "z\ufffdz" in read(task.train).decode()


def test_bits_per_byte_of_equal_logits_is_eight(file):
    task = tasks.text(file, length=20)
    batch = task.validation
    value = task.metric.of(jnp.zeros((*batch.targets.shape, 256)), batch.targets, batch.weights())
    assert float(value) == pytest.approx(8, rel=3e-6) and task.metric.name == "bits_per_byte"
    assert not task.metric.higher_is_better


@BPE
def test_bits_per_byte_of_byte_pairs_is_of_the_bytes_they_stand_for(file):
    options = {"level": "bpe", "vocabulary": 290}
    task, tokens = tasks.text(file, length=8, **options), tasks.tokens_of(file, **options)
    batch, targets = task.validation, np.asarray(task.validation.targets)
    logits = np.random.default_rng(0).normal(size=(*targets.shape, 290))
    probabilities = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    bits = -np.log2(np.take_along_axis(probabilities, targets[..., None].astype(int), -1)).sum()
    size = sum(len(tokens.decode([token])) for token in targets.ravel())  # of digits and newlines
    value = task.metric.of(jnp.asarray(logits, jnp.float32), batch.targets, batch.weights())
    assert size > 1.5 * targets.size and float(value) == pytest.approx(bits / size, rel=1e-5)


@BPE
def test_byte_pairs_are_frequent_ones_of_the_training_split(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text("ab" * 400 + "cd" * 100)
    tokens = tasks.tokens_of(path, level="bpe", vocabulary=258, validation=0.1, test=0.1)
    assert len(tokens.encode("abab")) < 4 == len(tokens.encode("cdcd"))
    task = tasks.text(path, level="bpe", vocabulary=258, validation=0.1, test=0.1, length=10)
    assert task.outputs == 258 and task.train.inputs.dtype == np.uint16


@BPE
def test_text_survives_encoding_and_decoding(file):
    other = "\tüber 千 \U0001f600\r\n\n  x" + PROSE
    for level, vocabulary in (("bytes", 1024), ("bpe", 300)):
        tokens = tasks.tokens_of(file, level=level, vocabulary=vocabulary)
        ids = tokens.encode(other)
        assert tokens.decode(ids) == other and tokens.bytes_of[ids].sum() == len(other.encode())
        np.testing.assert_array_equal(ids, tasks.tokens_of(file, level=level, vocabulary=vocabulary).encode(other))


@BPE
def test_long_text_is_encoded_in_pieces(file, monkeypatch):
    tokens = tasks.tokens_of(file, level="bpe", vocabulary=300)
    monkeypatch.setattr(_text, "PIECE", 7)
    assert tokens.decode(tokens.encode(PROSE)) == PROSE


def test_without_the_library_the_line_that_installs_it_is_said(file, monkeypatch):
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(InputError, match=r"'bpe' needs tokenizers, .* pip install 'jaxnas\[text\]'"):
        tasks.text(file, level="bpe")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "path, source: expected a path or a source .*, got neither"),
        ({"path": "x", "source": "python"}, "got path 'x' and source 'python'"),
        ({"path": "nowhere/text"}, "path: nowhere/text does not exist"),
        ({"source": "pyton"}, "source: unknown 'pyton'. Did you mean 'python'"),
        ({"path": "FILE", "level": "byte"}, "level: unknown 'byte'. Did you mean 'bytes'"),
        ({"path": "FILE", "level": "bpe", "vocabulary": 256}, "vocabulary: expected at least 257 .*, got 256"),
        ({"path": "FILE", "validation": 0}, "validation: expected a number"),
        ({"path": "FILE", "validation": 0.6, "test": 0.6}, "validation, test: expected shares of at most 0.99"),
        ({"path": "FILE", "length": 200}, "length: a window of 200 tokens, .* needs 201; the validation split has 160"),
        ({"path": "FILE", "limit": 0}, "limit: expected at least 1"),
        ({"path": "FOLDER", "limit": 100}, "path: files: expected at least 3 documents that are not empty.* got 2"),
        ({"path": "EMPTY"}, "expected at least 3 documents that are not empty.* got 0"),
        ({"source": "tfds:mnisst"}, "unknown 'mnisst'. Did you mean 'mnist'"),
    ],
)
def test_what_cannot_be_is_said(options, message, file, folder, tmp_path):
    if "tfds" in options.get("source", ""):
        pytest.importorskip("tensorflow_datasets")
    (tmp_path / "EMPTY").mkdir()
    places = {"FILE": file, "FOLDER": folder, "EMPTY": tmp_path / "EMPTY"}
    with pytest.raises(InputError, match=message):
        tasks.text(**{**options, "path": places.get(options.get("path"), options.get("path", ""))})


@pytest.mark.parametrize("raw", [b"a\0b" * 100, bytes(range(1, 256)) * 9, "Äußerst öde Übung".encode("latin-1") * 9])
def test_a_file_that_is_no_text_is_named(raw, folder):
    (folder / "odd.bin").write_bytes(raw)
    with pytest.raises(InputError, match=r"path: .*odd.bin is not text: "):
        tasks.text(folder, length=10)


def test_without_tensorflow_datasets_it_is_said(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)
    with pytest.raises(InputError, match=r"pip install 'jaxnas\[tfds\]'"):
        tasks.text(source="tfds:imdb_reviews")


def test_records_of_a_dataset_are_documents(tmp_path, monkeypatch):
    tfds = pytest.importorskip("tensorflow_datasets")
    builder = poems(tfds, tmp_path)
    monkeypatch.setattr(_text._tfds, "_builder", lambda dataset, data_dir: builder)
    task = tasks.text(source="tfds:poems", length=10, limit=330)
    letters = "".join(read(getattr(task, split)).decode().replace("\n", "") for split in SPLITS)
    assert "poems/1.0.0" in task.name and len(set(letters)) == 6
    assert all(letters.count(letter) >= 40 for letter in set(letters))


def poems(tfds, directory):
    """A dataset of ten records of one letter each, prepared."""
    with tfds.core.registered.skip_registration():

        class Poems(tfds.core.GeneratorBasedBuilder):
            VERSION = tfds.core.Version("1.0.0")
            name = "poems"
            pkg_dir_path = pathlib.Path(__file__).parent

            def _info(self):
                features = tfds.features.FeaturesDict({"text": tfds.features.Text(), "title": tfds.features.Text()})
                return tfds.core.DatasetInfo(builder=self, description="poems", features=features)

            def _split_generators(self, _):
                return {"train": ((i, {"text": c * 50, "title": c}) for i, c in enumerate("abcdefghij"))}

            def _generate_examples(self):
                raise NotImplementedError

    builder = Poems(data_dir=str(directory), file_format="array_record")
    builder.download_and_prepare(file_format="array_record")
    return builder
