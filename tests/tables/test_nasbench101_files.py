"""A file as the benchmark's authors write it, made by hand: three cells, two lengths, three trainings."""

import base64
import json
import struct

import jax.numpy as jnp
import numpy as np
import pytest

from jaxnas import evaluators, tables
from jaxnas.spaces._nasbench101 import genome_of, nasbench101, published_hash
from jaxnas.tables import TableError
from jaxnas.tables.nasbench101 import read
from jaxnas.types import propose

CELLS = {
    "chain": ([[0, 1, 0], [0, 0, 1], [0, 0, 0]], [0]),
    "skip": ([[0, 1, 1], [0, 0, 1], [0, 0, 0]], [1]),
    "two": ([[0, 1, 1, 0], [0, 0, 0, 1], [0, 0, 0, 1], [0, 0, 0, 0]], [0, 2]),
}
NAMES = ("conv3x3-bn-relu", "conv1x1-bn-relu", "maxpool3x3")


def varint(n):
    out = b""
    while n > 127:
        out, n = out + bytes([n & 127 | 128]), n >> 7
    return out + bytes([n])


def double(field, value):
    return bytes([field << 3 | 1]) + struct.pack("<d", value)


def metrics(accuracy, seconds):
    path = bytes([6 << 3 | 2]) + varint(5) + b"model"
    first = double(1, 0.0) + double(2, 0.0) + double(3, 0.1) + double(4, 0.1) + double(5, 0.1) + path
    last = double(1, 4.0) + double(2, seconds) + double(3, 1.0) + double(4, accuracy) + double(5, accuracy - 0.01)
    return b"".join(
        [bytes([1 << 3 | 2]) + varint(len(e)) + e for e in (first, last)] + [b"\x10", varint(8_555_530), double(3, 9.0)]
    )


def record(cell, epochs, repeat, **changes):
    matrix, operations = CELLS[cell]
    accuracy = 0.8 + 0.05 * list(CELLS).index(cell) + 0.01 * repeat + (epochs == 12) * 0.02
    parts = {
        "hash": published_hash(np.array(matrix), operations),
        "epochs": epochs,
        "adjacency": "".join(str(e) for row in matrix for e in row),
        "operations": ",".join(["input", *(NAMES[o] for o in operations), "output"]),
        "metrics": base64.b64encode(metrics(accuracy, 10.0 * epochs)).decode(),
        **changes,
    }
    data = json.dumps(list(parts.values())).encode()
    return struct.pack("<Q", len(data)) + bytes(4) + data + bytes(4)


WHOLE = [record(cell, epochs, repeat) for cell in CELLS for epochs in (4, 12) for repeat in range(3)]


@pytest.fixture
def written(tmp_path):
    def write(records):
        (tmp_path / "nb.tfrecord").write_bytes(b"".join(records))
        return tmp_path / "nb.tfrecord"

    return write


def test_trainings_by_cell_seed_and_length(written, tmp_path):
    table = read(written(WHOLE), partial=True)
    tables.save(table, tmp_path / "t.npz")
    table = tables.load(tmp_path / "t.npz")
    space = nasbench101(table.codes)
    rows = [int(space.index(genome_of(*cell))) for cell in CELLS.values()]
    accuracy = table.by_genome("cifar10-train40k.valid10k.accuracy")[rows]
    expected = 80 + 5 * np.arange(3)[:, None, None] + np.arange(3)[:, None] + np.array([0, 2])
    np.testing.assert_allclose(accuracy, expected, rtol=1e-5)
    np.testing.assert_allclose(table.by_genome("cifar10-train40k.test10k.accuracy")[rows], expected - 1, rtol=1e-5)
    np.testing.assert_allclose(table.by_genome("cifar10-train40k.seconds")[0, 0], [40, 120])
    np.testing.assert_allclose(table.by_genome("parameters")[0], 8.55553, rtol=1e-6)


def test_cells_that_are_not_in_the_table_are_invalid(written):
    table = read(written(WHOLE), partial=True)
    space = nasbench101(table.codes)
    evaluator = evaluators.table(space, table.by_genome("cifar10-train40k.valid10k.accuracy")[:, 0, 0])
    unknown = genome_of([[0, 1, 0], [0, 0, 1], [0, 0, 0]], [2])
    genomes = jnp.asarray(np.stack([genome_of(*CELLS["two"]), unknown]))
    feedback, _ = evaluator.evaluate(None, (), propose(genomes, jnp.int32(0)))
    np.testing.assert_array_equal(feedback.valid, [True, False])
    assert float(feedback.fitness[0]) == pytest.approx(90, rel=1e-5)


@pytest.mark.parametrize(
    ("records", "message"),
    [
        (WHOLE, "3 cells, expected 423624. Accept that as a partial table"),
        ([b"".join(WHOLE)[:-7]], "truncated, or not a TFRecord file, at record 17"),
        ([b"name,accuracy\n1,2\n"], "truncated, or not a TFRecord file, at record 0"),
        ([], "no record"),
        ([record("two", 4, 0, hash="0" * 32)], "record 0: hash '0000.* is not that of its cell"),
        ([record("two", 4, 0, operations="input,conv5x5,maxpool3x3,output")], "record 0: operations 'input,conv5x5"),
        ([record("two", 4, 0, adjacency="0110")], "record 0: adjacency '0110' of 4 vertices"),
        ([record("two", 4, 0, metrics="AAAA")], "record 0: "),
        ([record("two", 4, 0, operations=3)], "record 0: "),
        ([record("two", 4.5, 0)], "record 0: epochs: expected an integer, got 4.5"),
        ([record("two", 4, 0, metrics=base64.b64encode(metrics(float("nan"), 1.0)).decode())], "record 0: accuracies"),
    ],
)
def test_damage_is_named(written, records, message):
    with pytest.raises(TableError, match=rf"nb\.tfrecord: {message}"):
        read(written(records))
