"""Damaged and made-up files: a reader gives what the file says, or refuses in its own words. Nothing else."""

import csv
import io
import json
import pathlib
import pickle
import tempfile
import zipfile

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jaxnas import tables
from jaxnas.check import InputError
from jaxnas.spaces import nasbench201
from jaxnas.tables import Column, Table, TableError, arrays, csv_file, hwnasbench, pickles

SPACE = nasbench201()
STRINGS = np.array([SPACE.to_string(genome) for genome in np.asarray(SPACE.from_index(np.arange(SPACE.size)))])


def fuzzed(check, *strategies, few=30):
    """Two tests: of a few examples, and of a thousand in the slow tier."""

    def of(count):
        quiet = settings(
            max_examples=count, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
        )
        return quiet(given(*strategies)(check))

    return of(few), pytest.mark.slow(of(1000))


def read(reader, data, name, **options):
    """What a reader makes of a file of these bytes; None where it refuses it, naming it."""
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / name
        path.write_bytes(data)
        try:
            return reader(path, **options)
        except InputError as error:
            assert name in str(error) or not isinstance(error, TableError)
            return None
        finally:
            assert [file.name for file in path.parent.iterdir()] == [name]


CELLS = st.one_of(
    st.sampled_from(
        ["0", "1", "-1", "2.5", "1_0", "007", "1e3", "+5", "nan", "inf", "", " ", "true", "٣", "1e999", '"']
    ),
    st.integers(-3, 10**12).map(str),
    st.floats().map(repr),
    st.text(max_size=4),
)
NAMES = st.sampled_from(["a", "b", "y", "ms", "seed", "budget", "rows", "file", "x.npy", "", "\0"])


MEASURED = st.sampled_from(["", "nan", "-Inf", "-1", "1234567891", "1e3", "+5", "007", "-0.0"]) | st.floats().map(repr)
LABELS = st.sampled_from(["0", "1", "-1", "2.5", "1.0", "1_0", "007", "1e3", "true", "TRUE", "x,y", " u ", "٣", "-0"])


@st.composite
def csv_texts(draw):
    """A sound file, of which sometimes a few cells, or characters, are others."""
    rows = [["a", "b", draw(st.sampled_from(["y", "file", "x.npy"])), "ms", "seed", "budget"]]
    labels = draw(st.lists(LABELS, min_size=2, max_size=4, unique_by=str.strip))
    for k in range(draw(st.integers(2, 6))):
        ms = draw(st.sampled_from(["-1", "", repr(k / 3), "1234567890"]))
        rows.append([str(k), draw(st.sampled_from(labels)), draw(MEASURED), ms, str(k % 2), "10"])
    for _ in range(draw(st.sampled_from([0, 0, 0, 1, 2]))):
        row = draw(st.integers(0, len(rows) - 1))
        rows[row][draw(st.integers(0, 5))] = draw(CELLS if row else NAMES)
    file = io.StringIO()
    csv.writer(file).writerows(rows)
    text = file.getvalue()
    if draw(st.integers(0, 3)) == 3:
        at = draw(st.integers(0, len(text)))
        text = text[:at] + draw(st.text(max_size=3)) + text[at + draw(st.integers(0, 5)) :]
    options = {"decisions": ["a", "b"], "metrics": [rows[0][2], "ms"]}
    options |= draw(st.sampled_from([{}, {"costs": ["ms"]}, {"minimize": [rows[0][2]]}, {"decisions": []}]))
    return text.encode("utf-8", "surrogatepass"), options


ANY_BYTES = st.tuples(st.binary(max_size=200), st.just({"metrics": ["y"]}))


def csv_is_as_it_says(written):
    data, options = written
    table = read(csv_file.read, data, "mine.csv", **options)
    if table is None:
        return
    lines = csv.reader(io.StringIO(data.decode("utf-8-sig"), newline=""), skipinitialspace=True)
    stripped = [[cell.strip() for cell in line] for line in lines]
    header, *rows = [line for line in stripped if any(line)]
    decisions = table.space["decisions"]
    sizes = [len(options) for options in decisions.values()]
    for row in rows:
        cells = dict(zip(header, row, strict=True))
        genome = [options.index(label(cells[decision], options)) for decision, options in decisions.items()]
        place = np.ravel_multi_index(genome, sizes)
        for name, column in table.columns.items():
            got = table.by_genome(name)[
                place,
                column.seeds.index(told(table, cells, "seed")),
                column.budgets.index(told(table, cells, "budget")),
            ]
            expected = float(cells[name] or "nan")
            failed = not np.isfinite(expected) or (expected == -1 and not column.higher_is_better)
            assert (failed and np.isnan(got)) or float(str(got)) == expected


def told(table, cells, name):
    """The seed or budget of a line; 0 where no column is for that."""
    return int(cells.get(name, 0)) if name not in table.space["decisions"] and name not in table.columns else 0


def label(text, options):
    """The option that a cell stands for."""
    if isinstance(options[0], bool):
        return text.lower() == "true"
    if isinstance(options[0], str):
        return text
    return type(options[0])(text)


test_csv, test_csv_thousandfold = fuzzed(csv_is_as_it_says, st.one_of(csv_texts(), csv_texts(), csv_texts(), ANY_BYTES))


def small():
    values = np.arange(12, dtype=np.float32).reshape(3, 2, 2)
    columns = {
        "accuracy": Column(values, "percent", budgets=(10, 30), seeds=(0, 1), seconds="seconds"),
        "seconds": Column(values[:, :1], kind="seconds", budgets=(10, 30), seeds=("mean",)),
    }
    space = {"name": "categorical", "decisions": {"a": [1, 2], "b": [0, 1]}}
    return Table("small", space, np.array([2, -1, 0, 1]), columns, "steps", {}, np.array([3, 4, 5, 9]))


def bytes_of(write):
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "t.npz"
        write(path)
        return path.read_bytes()


WHOLE = bytes_of(lambda path: tables.save(small(), path))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)
LIKELY = st.sampled_from(
    ["", "metric", "cost", "seconds", [10, 30], [10, 10], [30, 10], [0, "b"], [[]], [1.5], True, {}]
)
DTYPES = st.sampled_from(["f2", "f4", "f8", ">f4", "f16", "i1", "u8", "?", "c8", "U3", "S2", "M8[s]", "m8[s]", "f4,i2"])
ARRAYS = st.builds(np.zeros, st.lists(st.integers(0, 4), max_size=4).map(tuple), DTYPES)


@st.composite
def damaged(draw, whole):
    """The bytes with some bits flipped, cut short, or with a piece put in or taken out."""
    data = bytearray(whole)
    for _ in range(draw(st.integers(0, 2))):
        at = draw(st.integers(0, len(data) - 1))
        data[at] ^= 1 << draw(st.integers(0, 7))
    kind = draw(st.sampled_from(["flipped", "flipped", "cut", "put in", "taken out"]))
    at = draw(st.integers(0, len(data)))
    if kind == "cut":
        del data[at:]
    elif kind == "put in":
        data[at:at] = draw(st.binary(max_size=20))
    elif kind == "taken out":
        del data[at : at + draw(st.integers(1, 20))]
    return bytes(data)


@st.composite
def other_tables(draw):
    """The archive with other arrays, entries or parts of its description, and sound checksums."""
    with np.load(io.BytesIO(WHOLE)) as file:
        contents = dict(file)
    about = json.loads(str(contents["about"]))
    for _ in range(draw(st.integers(0, 2))):
        part = draw(st.sampled_from([about, about["space"], about["columns"], about["columns"].get("accuracy")]))
        if not isinstance(part, dict) or not part:
            continue
        key = draw(st.sampled_from(sorted(part)) | st.text(max_size=3))
        if draw(st.booleans()):
            part[key] = draw(JSON)
        else:
            part[key] = draw(LIKELY)
        if draw(st.integers(0, 3)) == 3:
            del part[key]
        if not isinstance(about.get("columns"), dict) or not isinstance(about.get("space"), dict):
            break
    contents["about"] = np.array(json.dumps(about))
    if draw(st.integers(0, 7)) == 7:
        contents["about"] = np.array(draw(JSON.map(json.dumps) | st.text(max_size=5)))
    if draw(st.integers(0, 2)) == 2:
        contents[draw(st.sampled_from([*contents, "more"]))] = draw(ARRAYS)
    compression = draw(st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED]))
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name, array in contents.items():
            member = io.BytesIO()
            np.save(member, array)
            archive.writestr(f"{name}.npy", member.getvalue())
        if draw(st.integers(0, 9)) == 0:
            archive.writestr(draw(st.sampled_from(["folder/", "x", "../up.npy"])), draw(st.binary(max_size=20)))
    return file.getvalue()


def damaged_table_is_whole_or_refused(data):
    table = read(tables.load, data, "t.npz")
    if table is not None:
        for name, column in small().columns.items():
            np.testing.assert_array_equal(table.columns[name].values, column.values)
            assert table.columns[name]._replace(values=None) == column._replace(values=None)
        np.testing.assert_array_equal(table.rows, small().rows)
        np.testing.assert_array_equal(table.codes, small().codes)


test_damaged_table, test_damaged_table_thousandfold = fuzzed(damaged_table_is_whole_or_refused, damaged(WHOLE))


def other_table_is_whole_or_refused(data):
    table = read(tables.load, data, "t.npz")
    if table is not None:
        for name in table.columns:
            assert table.by_genome(name).shape[0] == len(table.rows)
        assert bytes_of(lambda path: tables.save(table, path))


test_other_table, test_other_table_thousandfold = fuzzed(
    other_table_is_whole_or_refused, st.one_of(other_tables(), other_tables().flatmap(damaged))
)


HW = pickle.dumps(
    {
        "nasbench201": {
            "cifar10": {
                "config": [{"arch_str": str(STRINGS[row]), "C": 16, "N": 5} for row in (284, 0, 11)],
                "edgegpu_latency": [2.5, 5.8, -1],
                "eyeriss_energy": [1, 2.25, 3],
            }
        },
        "fbnet": {},
    },
    protocol=3,
)


def damaged_pickle_has_costs_or_is_refused(data):
    read(pickles.read, data, "hw.pickle")
    table = read(hwnasbench.read, data, "hw.pickle")
    for name in table.columns if table is not None else ():
        values = table.by_genome(name)
        assert values.shape == (SPACE.size, 1, 1) and not (values < 0).any() and not np.isinf(values).any()


test_damaged_pickle, test_damaged_pickle_thousandfold = fuzzed(damaged_pickle_has_costs_or_is_refused, damaged(HW))


def other_pickle_has_costs_or_is_refused(content):
    table = read(hwnasbench.read, pickle.dumps({"nasbench201": content}), "hw.pickle")
    assert table is None or all(len(column.values) == SPACE.size for column in table.columns.values())


@st.composite
def costs_by_dataset(draw):
    """What the pickle has of NAS-Bench-201: lists of a row each, now and then with another thing among them."""
    strings = draw(st.lists(st.sampled_from(STRINGS[:5].tolist()), min_size=1, max_size=3, unique=True))
    cost = st.sampled_from([0, -1, 2, 0.5, float("nan")])
    lists = {"config": [{"arch_str": string} for string in strings]}
    lists["latency"] = draw(st.lists(cost, min_size=len(strings), max_size=len(strings)))
    change = draw(st.sampled_from(["", "cost", "config", "list", "lists", "dataset", "more"]))
    at = draw(st.integers(0, len(strings) - 1))
    if change == "cost":
        lists["latency"][at] = draw(st.floats() | st.integers(-2, 10**40) | JSON)
    elif change == "config":
        lists["config"][at] = draw(JSON | st.fixed_dictionaries({"arch_str": JSON | st.just(strings[0])}))
    elif change == "list":
        lists[draw(st.sampled_from(["config", "latency", "energy", 3]))] = draw(JSON)
    return {
        **{"cifar10": draw(JSON) if change == "lists" else lists},
        **({draw(JSON.filter(lambda key: not isinstance(key, (list, dict)))): lists} if change == "dataset" else {}),
        **({"ImageNet16-120": lists} if change == "more" else {}),
    }


test_other_pickle, test_other_pickle_thousandfold = fuzzed(
    other_pickle_has_costs_or_is_refused, costs_by_dataset() | JSON
)


@st.composite
def published_arrays(draw):
    """A file of plain arrays, of which some have other rows, or are of another kind."""
    rows = {
        "arch_str": STRINGS.astype("S"),
        "accuracy_200ep": np.arange(SPACE.size) / 3,
        "hw_ms": np.arange(SPACE.size),
    }
    for _ in range(draw(st.integers(0, 3))):
        name = draw(st.sampled_from([*rows, "ops", "op_names", "rows", "t_time_200ep_s", "x_²ep"]))
        whole = st.sampled_from([np.arange(SPACE.size), STRINGS, np.zeros((SPACE.size, 2, 0)), STRINGS[::-1]])
        rows[name] = draw(ARRAYS | whole)
    if "ops" in rows and draw(st.booleans()):
        del rows["arch_str"]
    at, number = draw(st.integers(0, SPACE.size - 1)), draw(st.floats())
    if rows["accuracy_200ep"].shape == (SPACE.size,) and rows["accuracy_200ep"].dtype == np.float64:
        rows["accuracy_200ep"][at] = number
    file = io.BytesIO()
    np.savez(file, **rows)
    return file.getvalue(), rows


def arrays_are_as_they_say(written):
    data, rows = written
    table = read(arrays.read, data, "a.npz")
    for name, column in table.columns.items() if table is not None else ():
        expected = np.asarray(rows[name], np.float64).reshape(column.values.shape)
        np.testing.assert_array_equal(column.values.astype(str).astype(np.float64), expected)


test_arrays, test_arrays_thousandfold = fuzzed(arrays_are_as_they_say, published_arrays(), few=3)


def damaged_arrays_are_whole_or_refused(data):
    for reader in (arrays.read, tables.is_table):
        read(reader, data, "a.npz")


test_damaged_arrays, test_damaged_arrays_thousandfold = fuzzed(
    damaged_arrays_are_whole_or_refused,
    damaged(bytes_of(lambda path: np.savez(path, ops=np.zeros((4, 6), int), op_names=np.array(SPACE.options[0])))),
)
