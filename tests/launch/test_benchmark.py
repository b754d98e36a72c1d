"""Benchmarks at sizes that say nothing, and the program that runs them and keeps their figures."""

import contextlib
import functools
import json
import shlex
import shutil
import subprocess
import sys
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnas import benchmarks, tasks
from jaxnas.benchmarks import device, figures, pieces, precision, side_by_side, worker
from jaxnas.check import InputError
from jaxnas.population import CompileMeter
from tests.support.programs import run

NETWORK = {"image": 8, "channels": 2, "cells": 1, "batch": 4, "rounds": 1}
PEER = {"ms_per_architecture": {"train": 6.0, "jacobian": 5.0, "nwot": 4.0}, "ms_per_search_step_median": 7.0}


@pytest.fixture(scope="module")
def peer(tmp_path_factory):
    """The command of a program that takes any arguments and prints what peers print."""
    program = tmp_path_factory.mktemp("peer") / "peer.py"
    program.write_text(f"print({json.dumps(PEER)!r})")
    return shlex.join([sys.executable, str(program), "--archs", "8"])


@pytest.fixture
def cached(one_device, monkeypatch):
    """Compiles are read from the tests' cache where a benchmark would measure them."""
    monkeypatch.setattr(side_by_side, "compiled_anew", contextlib.nullcontext)


@pytest.mark.slow  # its program takes half a minute to trace and compile; `test_proxies` asks a peer too
def test_training(cached, peer):
    found = benchmarks.training.measure(**NETWORK, steps=2, architectures=2, single=0, peer=peer)
    steady = found["ms_per_step"]["median"]
    assert found["peer"]["ms_per_step"] == {"median": 3.0, "rounds": [3.0]} and found["times_faster"] == 3 / steady
    first = found["seconds_before_first_step"]["total"]
    assert found["ms_per_architecture_with_compile_over_1000"] == pytest.approx(2 * steady + first)
    assert found["plan"]["plan"] == "map" and "one_at_a_time" not in found


@pytest.mark.slow  # a program more
def test_training_one_at_a_time(cached):
    found = benchmarks.training.measure(**NETWORK, steps=2, architectures=2, single=1)["one_at_a_time"]
    assert found["architectures"] == 1 and found["compile_seconds"] > 0 and found["ms_per_step"] > 0


def test_mixers(cached):
    found = benchmarks.mixers.measure(
        mixers=("window", "ssm"), shortest=4, longest=16, width=8, heads=2, window=4, rounds=1
    )
    assert set(found) == {"window", "ssm"}
    for of_mixer in found.values():
        assert set(of_mixer["ms"]) == set(of_mixer["megabytes"]) == {4, 8, 16}
        assert of_mixer["grows"]["megabytes"] > 0


@pytest.mark.slow  # so many operations take long to trace
def test_supernet(cached, peer):
    found = benchmarks.supernet.measure(**{**NETWORK, "batch": 2}, steps=1, peer=peer)
    assert found["times_faster"] == 7 / found["ms_per_search_step"]["median"]
    assert min(found["seconds"].values()) > 0 and found["parameters"] > 0


def test_proxies(cached, peer):
    found = benchmarks.proxies.measure(**NETWORK, proxies="nwot", architectures=2, peer=peer)
    nwot = found["proxies"]["nwot"]
    assert nwot["times_faster"] == 4 / nwot["ms_per_architecture"]["median"] and nwot["megabytes"] > 0
    assert round(found["distinct"] * 15625) == 6466  # as published


@pytest.mark.slow  # its gradients take longer to compile
def test_a_proxy_by_the_name_that_a_peer_has_for_it(cached, peer):
    found = benchmarks.proxies.measure(**NETWORK, proxies="jacov,nwot", architectures=2, peer=peer)
    assert found["proxies"]["jacov"]["peer"]["ms_per_architecture"]["median"] == 5


def zeros(stream):
    x, y = np.zeros((40, 8, 8, 3), np.uint8), np.arange(40) % 10
    return tasks.classification("zeros", (x, y), (x, y), where="zeros", stream=stream)


@pytest.mark.slow  # two trainings' programs
def test_data(one_device):
    found = benchmarks.data.measure(task=zeros, batch=4, channels=2, steps=1, rounds=1)
    rates = found["images_per_second"]["training"]
    assert found["of_device"]["training"]["stream"] == rates["stream"]["median"] / rates["device"]["median"]


def test_neat(one_device):
    found = benchmarks.neat.measure(population=10, generations=2, blocks=2, problems=["xor"], peers=[])
    ours = found["problems"]["xor"]["ours"]
    assert ours["times_as_long_as_ours"] == 1 and len(ours["mean_fitness"]) == 2 and found["absent"] == {}


def test_the_loop(one_device):
    found = benchmarks.loop.measure(evaluations=3, population=10, generations=2, rounds=1)
    rates, ms = found["table"]["evaluations_per_second"], found["neat"]["ms_per_member"]
    of = lambda both: both["search"]["median"] / both["search_scan"]["median"]
    assert found["table"]["times_as_long"] == pytest.approx(1 / of(rates))
    assert found["neat"]["times_as_long"] == pytest.approx(of(ms))


def test_rounds_alternate():
    turns = []
    runs = {name: lambda i, name=name: turns.append((i, name)) or i for name in "ab"}
    assert side_by_side.alternate(2, runs) == {"a": [0, 1], "b": [0, 1]}
    assert turns == [(0, "a"), (0, "b"), (1, "a"), (1, "b")]


def test_what_is_compiled_anew_is_not_read_from_the_cache():
    program = lambda: jax.jit(lambda x: x * 5 + 2)(np.float32(1))
    program(), jax.clear_caches()
    with side_by_side.compiled_anew():
        meter = CompileMeter()
        program()
        assert (meter.compiles, meter.cached) == (1, 0)


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("no-such-program --x", "found no program 'no-such-program'"),
        ("python 'peer.py", "is no command"),
        (f"{sys.executable} -c 'print(1 / 0)'", "ended with status 1: ZeroDivisionError"),
        (f"{sys.executable} -c 'print({{}})'", "expected JSON with 'train' of 'ms_per_architecture'"),
    ],
)
def test_a_peer_that_fails_is_refused(command, message):
    with pytest.raises(InputError, match=message):
        side_by_side.peer_program(command)("ms_per_architecture", "train")


@pytest.mark.parametrize(
    ("what", "options", "message"),
    [
        ("training", {"architectures": 2, "rounds": 3}, "architectures: expected at least 3"),
        ("supernet", {"steps": 0}, "steps: expected at least 1"),
        ("proxies", {"proxies": "snp"}, "Did you mean 'snip'"),
        ("neat", {"problems": ["poles"]}, "Did you mean 'pole'"),
        ("neat", {"peers": ["neat_python"]}, "Did you mean 'neat-python'"),
        ("mixers", {"mixers": ["atention"]}, "Did you mean 'attention'"),
        ("mixers", {"longest": 512}, "longest: expected at least 1024"),
        ("device", {"only": ["nea"]}, "Did you mean 'neat'"),
        ("device", {"scale": "smal"}, "Did you mean 'small'"),
        ("device", {"minutes": -1.0}, "minutes: expected a number"),
        ("device", {"peers": ["python peer.py"]}, "peers: expected a folder with torch_nb201.py or torch_darts.py"),
    ],
)
def test_wrong_options_are_refused(what, options, message):
    with pytest.raises(InputError, match=message):
        getattr(benchmarks, what).measure(**options)


@pytest.fixture
def program(monkeypatch, tmp_path):
    """`(what, flags) -> (status, what it said, file)`, where benchmarks return the options that they are given."""
    for name in benchmarks.__all__:
        module = getattr(benchmarks, name)
        monkeypatch.setattr(module, "measure", functools.wraps(module.measure)(lambda **options: {"given": options}))

    def start(what, *arguments):
        file = tmp_path / "new" / "figures.json"
        status, said = run("launch.benchmark", f"--what={what}", f"--output={file}", *arguments)
        return status, said, file

    return start


def test_flags_are_the_options_of_the_function(program):
    command = "python3 .peers/torch_nb201.py --device cuda --what train"
    status, said, file = program("training", "--architectures=256", "--single=0", f"--peer={command}")
    record = json.loads(file.read_text())
    assert status == 0 and json.loads(said) == record
    assert record["figures"] == {"given": {"architectures": 256, "single": 0, "peer": command}}
    assert record["options"]["steps"] == 50 and shlex.split(record["command"])[-1] == f"--peer={command}"
    assert {"what", "commit", "date", "versions", "device"} < set(record)


def test_an_empty_list_is_one(program):
    assert json.loads(program("neat", "--peers=", "--problems=xor")[1])["figures"] == {
        "given": {"peers": [], "problems": ["xor"]}
    }


@pytest.mark.parametrize(
    ("what", "flag", "message"),
    [
        ("neat", "--cells=3", "--cells: --what=neat does not take it; it takes --population, --generations, --blocks,"),
        ("trainin", "--cells=3", "Did you mean 'training'"),
        ("data", "--task=digits", "task: expected a dict, got 'digits'"),
    ],
)
def test_flags_that_the_benchmark_does_not_take_are_refused(program, what, flag, message):
    status, said, file = program(what, flag)
    assert status == 1 and message in said and not file.exists()


def test_a_task_is_named_by_a_dict(one_device, monkeypatch, tmp_path):
    def measure(*, task=None) -> dict:
        return {stream: isinstance(task(stream == "stream").train, tasks.Stream) for stream in ("device", "stream")}

    monkeypatch.setattr(benchmarks.data, "measure", functools.wraps(benchmarks.data.measure)(measure))
    task = "{'name': 'tests.launch.test_benchmark:zeros'}"
    status, said = run("launch.benchmark", "--what=data", f"--task={task}", f"--output={tmp_path / 'figures.json'}")
    record = json.loads(said)
    assert status == 0 and record["options"]["task"] == {"name": "tests.launch.test_benchmark:zeros"}
    assert record["figures"] == {"device": False, "stream": True}


def test_a_file_is_replaced_by_the_same_options_alone(program):
    assert program("neat", "--population=7")[0] == 0 and program("neat", "--population=7")[0] == 0
    before = program("neat", "--population=7")[2].read_text()
    for flag in ("--population=8", "--generations=3"):
        status, said, file = program("neat", flag)
        assert status == 1 and "population: 7 there" in said and "--output" in said and "--overwrite" in said
        assert file.read_text() == before
    assert program("neat", "--population=8", "--overwrite")[0] == 0
    assert json.loads(file.read_text())["options"]["population"] == 8


def test_a_file_of_something_else_is_refused(program):
    file = program("neat")[2]
    file.write_text("{}")
    assert "holds no figures" in program("neat")[1] and file.read_text() == "{}"


@pytest.mark.skipif(shutil.which("git") is None, reason="no git")
def test_the_commit_is_clean_whatever_figures_were_written(tmp_path):
    git = lambda *words: subprocess.run(
        ["git", "-c", "user.name=a", "-c", "user.email=a@b", *words], cwd=tmp_path, check=True, capture_output=True
    )
    assert figures.commit(tmp_path) is None
    git("init"), git("commit", "--allow-empty", "-m", "first")
    (tmp_path / "benchmarks").mkdir()
    (tmp_path / "benchmarks" / "neat.json").write_text("{}")
    assert figures.commit(tmp_path)["clean"] and len(figures.commit(tmp_path)["hash"]) == 40
    (tmp_path / "code.py").write_text("")
    assert not figures.commit(tmp_path)["clean"]


@pytest.fixture
def turns():
    """`(found, minutes=, **answers) -> figures` of three pieces of 60 s, each of which takes 30 s of a clock."""

    def run(found, minutes=60.0, **answers):
        now = [0.0]

        def answer(name, limit):
            now[0] += 30
            asked.append((name, limit))
            return answers.get(name, {"result": name.upper()})

        few = [pieces.Piece(name, {"small": 60}, None, {}) for name in "abc"]
        return dict(device.in_turn(few, "small", found, 60 * minutes, answer, lambda: now[0]))

    asked = run.asked = []
    return run


def test_pieces_are_measured_in_turn_whatever_becomes_of_one(turns):
    figure = lambda name: {"seconds": 30, "result": name}
    failed = {"error": "RESOURCE_EXHAUSTED: out of memory"}
    assert turns({}, b=failed) == {"a": figure("A"), "b": {"seconds": 30, **failed}, "c": figure("C")}
    assert [name for name, _ in turns.asked] == ["a", "b", "c"]


def test_a_piece_may_take_the_time_that_others_do_not_need(turns):
    turns({}, minutes=3.5)
    assert [limit for _, limit in turns.asked] == [120, 120, 150]
    turns.asked.clear()
    turns({}, minutes=10)
    assert [limit for _, limit in turns.asked] == [480, 510, 540]


def test_a_piece_that_does_not_fit_is_skipped(turns):
    found = turns({}, minutes=1.5)
    assert [limit for _, limit in turns.asked] == [90, 60]
    assert found["c"] == {"skipped": "expected to take 60 s, and 30 s were left"}


def test_what_is_there_is_not_measured_again_and_what_failed_comes_last(turns):
    turns({"a": {"error": "killed"}, "b": {"result": 1}, "c": {"skipped": "no time"}})
    assert [name for name, _ in turns.asked] == ["c", "a"]


@pytest.fixture
def asked(monkeypatch):
    """Pieces that were measured, by a worker that measures nothing."""

    class Measured:
        def __init__(self):
            self.about = {"versions": {}, "device": {"kind": "NVIDIA H200"}, "traced_for": "gpu"}

        def run(self, request, limit):
            pieces_asked.append(request["piece"])
            return {"result": {"scale": request["scale"], "times_faster": 31.0}}

        def stop(self): ...

    pieces_asked = []
    monkeypatch.setattr(device, "Worker", Measured)
    monkeypatch.setattr(figures, "commit", lambda: {"hash": "1234", "clean": True})
    return pieces_asked


@pytest.fixture
def on_a_device(asked, tmp_path):
    """`*flags -> (status, what it said)` of `--what=device`."""
    return lambda *flags: run("launch.benchmark", "--what=device", f"--output={tmp_path / 'figures.json'}", *flags)


def test_the_same_command_measures_what_is_missing(on_a_device, asked, tmp_path):
    status, said = on_a_device("--only=neat")
    assert status == 0 and "neat: 0.0 s, 31 times faster than its peer" in said
    assert on_a_device("--only=neat,snip", "--minutes=9.5")[0] == 0 and asked == ["neat", "snip"]
    record = json.loads((tmp_path / "figures.json").read_text())
    assert set(record["figures"]) == {"neat", "snip"} and record["options"] == {"scale": "full", "peers": []}
    assert record["figures"]["neat"]["result"]["scale"] == "full" and record["device"] == {"kind": "NVIDIA H200"}


def test_figures_of_another_scale_or_commit_are_not_mixed(on_a_device, asked, monkeypatch, tmp_path):
    on_a_device("--only=neat")
    status, said = on_a_device("--only=snip", "--scale=small")
    assert status == 1 and "scale: 'full' there, 'small' given" in said
    monkeypatch.setattr(figures, "commit", lambda: {"hash": "5678", "clean": True})
    status, said = on_a_device("--only=snip")
    assert status == 1 and "commit: {'hash': '1234'" in said and asked == ["neat"]
    assert on_a_device("--only=snip", "--overwrite")[0] == 0
    assert set(json.loads((tmp_path / "figures.json").read_text())["figures"]) == {"snip"}


def test_a_file_is_named_for_the_device(asked, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    device.kept(None, "command", only=["neat"], say=lambda text: None)
    assert [file.name for file in (tmp_path / "benchmarks").iterdir()] == ["device-nvidia-h200.json"]
    assert device.slug("TPU v5 lite") == "tpu-v5-lite"


STUB = """
import os, sys, time
print('{"device": 1}', flush=True)
for line in sys.stdin:
    if "hang" in line: time.sleep(100)
    if "die" in line: os.abort()
    print('{"error": "no memory"}' if "fail" in line else f'{{"result": {os.getpid()}}}', flush=True)
"""


def test_the_process_is_another_after_a_piece_that_failed_died_or_hung(monkeypatch):
    monkeypatch.setattr(worker, "SERVE", STUB)
    measuring = worker.Worker()
    ask = lambda name, limit=60.0: measuring.run({"piece": name}, limit)
    try:
        assert measuring.about == {"device": 1}
        seen = [ask("good"), ask("good")]
        assert seen[0] == seen[1]
        assert ask("fail") == {"error": "no memory"}
        seen.append(ask("good"))
        assert ask("die") == {"error": "its process ended with SIGABRT"}
        seen.append(ask("good"))
        assert ask("hang", 1.0) == {"error": "not done after 1 s, and ended"}
        seen.append(ask("good"))
        assert len({answer["result"] for answer in seen}) == 4
    finally:
        measuring.stop()


def test_without_a_device_nothing_is_measured(monkeypatch):
    monkeypatch.setattr(worker, "SERVE", "raise SystemExit(3)")
    with pytest.raises(InputError, match="device: its process ended with status 3"):
        device.measure()


def test_a_piece_in_a_process_of_its_own():
    found = device.measure(scale="small", only=["table_search"])["table_search"]
    assert found["result"]["evaluations"] == 10_000 and found["result"]["seconds"] < found["seconds"]


@pytest.fixture
def nwot(monkeypatch):
    """`peers -> figures` of the piece nwot at a small scale, which takes 2 ms an architecture."""
    scores = {"nwot": {"ms_per_architecture": {"median": 2.0}, "seconds_to_compile": 3.0}}
    monkeypatch.setattr(
        pieces.proxies, "measure", lambda **options: {"proxies": scores, "distinct": 0.4, "plan": "map"}
    )
    (piece,) = (piece for piece in pieces.PIECES if piece.name == "nwot")
    return lambda peers: piece.measure(pieces.commands(peers), **piece.options["small"])


def test_a_piece_beside_a_peer(nwot, tmp_path):
    (tmp_path / "torch_nb201.py").write_text(f"print({json.dumps(PEER)!r})")
    found = nwot([str(tmp_path)])
    assert found["times_faster"] == 2 and found["peer"]["ms_per_architecture"] == 4
    assert "--what=nwot" in found["peer"]["command"]
    assert found["seconds_of_all"] == {"architectures": 6, "without_compile": 0.012, "with_compile": 3.012}
    command = shlex.join([sys.executable, str(tmp_path / "torch_nb201.py")])
    assert pieces.commands([command]) == pieces.commands([str(tmp_path)])


def test_a_piece_whose_peer_is_absent_says_why(nwot, tmp_path):
    (tmp_path / "torch_nb201.py").write_text("import no_such_torch")
    assert nwot([])["peer"] == {"absent": "no torch_nb201.py was given"}
    found = nwot([str(tmp_path)])
    assert "No module named 'no_such_torch'" in found["peer"]["absent"] and "times_faster" not in found


def test_an_error_of_a_piece_is_a_line(monkeypatch):
    def exhausted(peers, **options):
        raise RuntimeError("RESOURCE_EXHAUSTED: out of memory\nallocating 3 bytes")

    monkeypatch.setattr(worker, "PIECES", [pieces.Piece("big", {}, exhausted, {"small": {}})])
    answer = worker.answer_to({"piece": "big", "scale": "small", "peers": []})
    assert answer == {"error": "RuntimeError: RESOURCE_EXHAUSTED: out of memory"}


def test_products_are_rounded_within_every_kind_of_control_flow_and_in_gradients():
    near = lambda x: x.astype(jnp.bfloat16).astype(jnp.float32)
    a, b = (jax.random.normal(jax.random.key(i), (5, 5)) for i in range(2))
    exact = lambda x, y: x @ y
    rounded = lambda x, y: near(x) @ near(y)

    def run(product, a, b):
        double = jax.jit(lambda x: product(x, b))
        chosen = jax.lax.cond(a[0, 0] > 0, lambda x: product(x, b), lambda x: product(x, a), a)
        scanned, rows = jax.lax.scan(lambda x, row: (jnp.tanh(product(x, b)), x @ row * 0 + row), a, b)
        looped = jax.lax.while_loop(lambda c: c[0] < 3, lambda c: (c[0] + 1, jnp.tanh(product(c[1], b))), (0, a))[1]
        return double(a), chosen, scanned, rows, looped, a + b

    emulated = precision.with_rounded_products(partial(run, exact))(a, b)
    jax.tree.map(np.testing.assert_array_equal, tuple(emulated), run(rounded, a, b))
    gradient = precision.with_rounded_products(jax.grad(lambda a: (a @ b).sum()))(a)
    np.testing.assert_array_equal(gradient, rounded(jnp.ones((5, 5)), b.T))
    assert not np.array_equal(emulated[0], exact(a, b))
