"""Text to predict token by token: of files, of the source of Python's standard library, of a TensorFlow dataset."""

import hashlib
import itertools
import pathlib
import platform
import sysconfig
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from jaxnas import check
from jaxnas.check import InputError
from jaxnas.tasks import _tfds
from jaxnas.tasks.losses import cross_entropy
from jaxnas.tasks.metrics import bits_per_byte
from jaxnas.tasks.task import SPLITS, Task, arrays

LEVELS = ("bytes", "bpe")
SOURCES = ("python", "tfds:NAME")
STRAY = 0.01
"""Share of the characters of a document that may be no UTF-8."""
PIECE = 2**20
"""Characters that are encoded at a time, since what the library returns takes far more memory than the text."""
NOT_LIBRARY = {"site-packages", "dist-packages", "test", "tests", "idle_test", "__pycache__"}
"""Folders beside or within the standard library that are left out."""


class Tokens(NamedTuple):
    """Text as tokens and back.

    Attributes:
      encode: `text -> [n]`, of the smallest unsigned type that holds all tokens.
      decode: `[n] -> text`; bytes that are no UTF-8 become U+FFFD.
      bytes_of: `[V]` int32, how many bytes each token of the vocabulary stands for.
    """

    encode: Callable[[str], np.ndarray]
    decode: Callable[[Any], str]
    bytes_of: np.ndarray


class Document(NamedTuple):
    """A text with its name."""

    name: str
    text: str


def text(
    path: str | pathlib.Path = "",
    *,
    source: str = "",
    level: str = "bytes",
    vocabulary: int = 1024,
    tokens: Tokens | None = None,
    length: int = 256,
    validation: float = 0.05,
    test: float = 0.05,
    limit: int | None = None,
    seed: int = 0,
) -> Task:
    """The next token of text, of what comes before it in a window; in bits per byte, which compare whatever the tokens.

    Documents are files, or records of a dataset. Each is in one split, where a newline separates it from the next. A
    single file is split by position, into training, validation and test in this order. Splits are cut into windows that
    do not overlap; what is left at the end is not used. Text is UTF-8, of which stray bytes that are none become
    U+FFFD. The task's name has the first digits of the SHA-256 digest of all documents, in order of their names, and of
    "python" the version.

    Args:
      path: a file, or a folder whose files, at any depth, are text; what is hidden is not looked at.
      source: instead of a path. "python": the `.py` files of the standard library of the Python that runs, but for its
        tests. "tfds:NAME": a dataset of TensorFlow Datasets that is prepared, the text of its split "train".
      level: "bytes"; or "bpe", tokens of several bytes that are frequent in the training split (byte-pair encoding).
      vocabulary: different tokens of "bpe", the 256 bytes among them; fewer where no pairs are left to join.
      tokens: of another model, in place of a level.
      length: T, tokens of an input.
      validation: share of the documents, at least one, or of the single file.
      test: likewise.
      limit: bytes to use at most: of files drawn at random, those that fit; of a dataset its first records; of a single
        file its beginning.
      seed: of which documents are in which split.

    Raises:
      InputError: a path and a source, or neither; nothing there; what is no text; too few documents; a split without a
        whole window; an unknown level or source, with the nearest; a number out of its range; a library that is not
        installed.
    """
    check.integer("length", length, least=1)
    _check_tokens(level, vocabulary)
    name, splits = _corpus(path, source, validation, test, limit, seed)
    tokens = tokens or _tokens(splits["train"], level, vocabulary)
    return arrays(
        {split: _windows(split, tokens.encode(whole), length) for split, whole in splits.items()},
        name=name,
        metric=bits_per_byte(cross_entropy, tokens.bytes_of),
        outputs=len(tokens.bytes_of),
        prepare=lambda stored: stored.astype(jnp.int32),
    )


def tokens_of(
    path: str | pathlib.Path = "",
    *,
    source: str = "",
    level: str = "bytes",
    vocabulary: int = 1024,
    validation: float = 0.05,
    test: float = 0.05,
    limit: int | None = None,
    seed: int = 0,
) -> Tokens:
    """The tokens of the task that `text` makes of the same arguments, to encode other text and to decode outputs.

    Args:
      path, source, level, vocabulary, validation, test, limit, seed: as in `text`.

    Raises:
      InputError: as `text`.
    """
    _check_tokens(level, vocabulary)
    splits = _corpus(path, source, validation, test, limit, seed)[1]
    return _tokens(splits["train"], level, vocabulary)


def _check_tokens(level: str, vocabulary: int) -> None:
    check.one_of("level", level, LEVELS)
    check.integer("vocabulary", vocabulary, least=257, because="the 256 bytes, and one token of several")


def _corpus(
    path: str | pathlib.Path, source: str, validation: float, test: float, limit: int | None, seed: int
) -> tuple[str, dict[str, str]]:
    """The task's name, and split -> text."""
    if bool(path) == bool(source):
        said = f"path {str(path)!r} and source {source!r}" if path else "neither"
        raise InputError(f"path, source: expected a path or a source ({', '.join(SOURCES)}), got {said}.")
    for name, share in {"validation": validation, "test": test}.items():
        check.real(name, share, least=0.001, most=0.99)
    if validation + test > 0.99:
        raise InputError(f"validation, test: expected shares of at most 0.99 together, got {validation} and {test}.")
    if limit is not None:
        check.integer("limit", limit, least=1)
    check.seed("seed", seed)
    where, documents = _documents(path, source, limit)
    if len(documents) == 1 and path:
        name, whole = documents[0]
        documents = [Document(name, whole.encode()[:limit].decode(errors="ignore"))]
        splits = _by_position(documents[0].text, validation, test)
    else:
        documents = _drawn(documents, limit, seed)
        splits = _by_document(f"{'path' if path else 'source'}: {where}", documents, validation, test)
    digest = hashlib.sha256("".join(document.text for document in sorted(documents)).encode()).hexdigest()
    return f"text({where}, sha256 {digest[:8]})", splits


def _documents(path: str | pathlib.Path, source: str, limit: int | None) -> tuple[str, list[Document]]:
    """What they are of, for the task's name, and those that are not empty."""
    if path:
        root = check.local_path("path", path)
        if not root.exists():
            raise InputError(f"path: {root} does not exist.")
        folder, files = (root, _visible(root)) if root.is_dir() else (root.parent, [root])
        where, found = root.resolve().name, _read("path", folder, files)
    elif source == "python":
        root = pathlib.Path(sysconfig.get_paths()["stdlib"])
        files = [file for file in root.rglob("*.py") if not NOT_LIBRARY & set(file.relative_to(root).parts)]
        where, found = f"python {platform.python_version()}", _read("source", root, files)
    elif source.startswith("tfds:"):
        where, found = _records(source, limit)
    else:
        check.one_of("source", source, SOURCES)
    return where, [document for document in found if document.text]


def _visible(folder: pathlib.Path) -> list[pathlib.Path]:
    hidden = lambda file: any(part.startswith(".") for part in file.relative_to(folder).parts)
    return [file for file in folder.rglob("*") if file.is_file() and not hidden(file)]


def _read(argument: str, folder: pathlib.Path, files: Iterable[pathlib.Path]) -> Iterator[Document]:
    """The files as documents, by their paths within the folder."""
    for file in files:
        try:
            raw = file.read_bytes()
        except OSError as error:
            raise InputError(f"{argument}: {file} cannot be read ({error.strerror}).") from None
        yield Document(file.relative_to(folder).as_posix(), _decoded(f"{argument}: {file}", raw))


def _decoded(where: str, raw: bytes) -> str:
    text = raw.decode("utf-8", errors="replace")
    stray = text.count("\ufffd") - raw.count("\ufffd".encode())
    if "\0" in text or stray > STRAY * len(text):
        why = "it has a byte 0" if "\0" in text else f"{stray} of its {len(text)} characters are no UTF-8"
        raise InputError(f"{where} is not text: {why}.")
    return text


def _records(source: str, limit: int | None) -> tuple[str, list[Document]]:
    """The dataset's name, and its texts, until they are more than the limit."""
    builder = _tfds._builder(source.removeprefix("tfds:"), None)
    feature = _feature(source, builder.info.features)
    check.one_of(f"source: {source}, split", "train", builder.info.splits)
    try:
        records = builder.as_data_source(split="train")
    except NotImplementedError:
        raise InputError(
            f"source: {source} is prepared in {builder.data_dir} in a format that only TensorFlow reads. Delete that "
            f"directory, and this prepares it again:\n  {_tfds.prepare_command(builder.name, None)}"
        ) from None
    found, size = [], 0
    for i in range(len(records)):
        raw = records[i][feature]
        size += len(raw)
        if limit is not None and size > limit:
            break
        found.append(Document(f"{i:012}", _decoded(f"source: {source}, record {i}", raw)))
    return builder.info.full_name, found


def _feature(source: str, features: Mapping[str, Any]) -> str:
    """The name of the text: "text", or the only one there is."""
    names = [name for name, feature in features.items() if type(feature).__name__ == "Text"]
    if "text" in names or len(names) == 1:
        return "text" if "text" in names else names[0]
    said = ", ".join(f"{name} ({type(feature).__name__})" for name, feature in features.items())
    raise InputError(f"source: {source} has no text of that name, and not one alone; it has {said}.")


def _drawn(documents: list[Document], limit: int | None, seed: int) -> list[Document]:
    """In random order, those of which all together have no more bytes than the limit."""
    documents = sorted(documents)
    kept, size = [], 0
    for i in np.random.default_rng(seed).permutation(len(documents)):
        more = len(documents[i].text.encode())
        if limit is None or size + more <= limit:
            kept.append(documents[i])
            size += more
    return kept


def _by_document(where: str, documents: list[Document], validation: float, test: float) -> dict[str, str]:
    """Split -> text, of documents in random order."""
    n = len(documents)
    held = [max(1, round(share * n)) for share in (validation, test)]
    bounds = np.cumsum([0, n - sum(held), *held])
    if bounds[1] < 1:
        raise InputError(
            f"{where}: expected at least {sum(held) + 1} documents that are not empty, to make the splits of, or one "
            f"file, which is split by position; got {n}, within the limit if there is one."
        )
    parts = (documents[first:last] for first, last in itertools.pairwise(bounds))
    return {split: "\n".join(document.text for document in part) for split, part in zip(SPLITS, parts, strict=True)}


def _by_position(whole: str, validation: float, test: float) -> dict[str, str]:
    n = len(whole)
    first, second = round(n * (1 - validation - test)), round(n * (1 - test))
    return dict(zip(SPLITS, (whole[:first], whole[first:second], whole[second:]), strict=True))


def _windows(split: str, tokens: np.ndarray, length: int) -> tuple[np.ndarray, np.ndarray]:
    """Inputs `[N, T]`, and the token after each as targets `[N, T]`."""
    n = (len(tokens) - 1) // length
    if n < 1:
        raise InputError(
            f"length: a window of {length} tokens, and the one after it, needs {length + 1}; the {split} split has "
            f"{len(tokens)}. A shorter window would do, or more text, or a larger share of it."
        )
    return tuple(tokens[at : at + n * length].reshape(n, length) for at in (0, 1))


def _tokens(train: str, level: str, vocabulary: int) -> Tokens:
    return _bytes() if level == "bytes" else _pairs(train, vocabulary)


def _bytes() -> Tokens:
    return Tokens(
        lambda text: np.frombuffer(text.encode(), np.uint8),
        lambda ids: np.asarray(ids, np.uint8).tobytes().decode(errors="replace"),
        np.ones(256, np.int32),
    )


def _pairs(train: str, vocabulary: int) -> Tokens:
    """Byte-pair encoding, each character of whose tokens stands for a byte."""
    library = _tokenizers()
    byte_level = library.pre_tokenizers.ByteLevel(add_prefix_space=False)
    model = library.Tokenizer(library.models.BPE())
    model.pre_tokenizer, model.decoder = byte_level, library.decoders.ByteLevel()
    trainer = library.trainers.BpeTrainer(
        vocab_size=vocabulary, initial_alphabet=sorted(byte_level.alphabet()), show_progress=False
    )
    model.train_from_iterator(_pieces(train), trainer)
    size = model.get_vocab_size()
    kept = np.min_scalar_type(size - 1)

    def encode(text):
        return np.concatenate([np.zeros(0, kept), *(np.asarray(model.encode(p).ids, kept) for p in _pieces(text))])

    bytes_of = np.array([len(model.id_to_token(i)) for i in range(size)], np.int32)
    return Tokens(encode, lambda ids: model.decode(np.asarray(ids).tolist()), bytes_of)


def _pieces(text: str) -> Iterator[str]:
    return (text[i : i + PIECE] for i in range(0, len(text), PIECE))


def _tokenizers() -> Any:
    """The library `tokenizers`; raises `InputError` where it is not installed."""
    try:
        import tokenizers
    except ImportError as error:
        raise InputError(
            f"level: 'bpe' needs {error.name}, which is not installed; pip install 'jaxnas[text]'."
        ) from None
    return tokenizers
