"""What is shown while a search runs."""

import io
import sys
import time

import jax
import numpy as np
import pytest

from jaxnas.loop import progress
from jaxnas.loop.progress import Progress
from jaxnas.loop.totals import Totals
from jaxnas.population import CompileMeter


class Meter:
    building, compiling = 0.0, None


class Terminal(io.StringIO):
    def isatty(self):
        return True


def rows(count, first=0, overflow=None):
    fields = [("id", "i4"), ("parent", "i4", (2,)), ("round", "i4"), ("phase", "i4"), ("fitness", "f4"), ("valid", "?")]
    made = np.zeros(count, [*fields, *([] if overflow is None else [("overflow", "i4")])])
    made["id"], made["round"], made["fitness"], made["parent"] = np.arange(count), first, np.arange(count), -1
    made["valid"] = made["fitness"] != 1
    if overflow is not None:
        made["overflow"] = overflow
    return made


@pytest.fixture
def clock(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(progress.time, "perf_counter", lambda: now[0])
    return now


def test_the_whole_is_estimated_before_the_first_round_is_over(clock):
    bar = Progress(Totals(), 3, Meter(), seconds=np.inf, enabled=False)
    assert "0/?" in str(bar) and "? left" in str(bar)
    bar.asked(16)
    bar.answered(2)
    clock[0] = 20.0
    assert str(bar).startswith("2/48 |") and "0:20 elapsed, 7:40 left, 10.0 s for each" in str(bar)


def test_compiles_are_named_and_count_for_no_member(clock):
    meter = Meter()
    bar = Progress(Totals(), 1, meter, seconds=np.inf, enabled=False)
    bar.asked(4)
    meter.compiling = "evaluate"
    assert str(bar).endswith("compiling evaluate")
    meter.compiling, meter.building, clock[0] = None, 10.0, 12.0
    bar.answered(2)
    assert "0:12 elapsed, 0:02 left" in str(bar)


def test_a_time_limit_bounds_what_is_left(clock):
    bar = Progress(Totals(), 10, Meter(), seconds=30.0, enabled=False)
    bar.asked(10)
    bar.answered(1)
    clock[0] = 10.0
    assert "0:20 left" in str(bar)


def test_totals_are_counted_by_round():
    totals = Totals()
    first, second = totals.add(np.concatenate([rows(3), rows(2, first=1)]), 0, 2)
    assert first == {"round": 0, "evaluations": 3, "invalid": 1, "best": 2.0, "fitness": 1.0}
    assert second == {"round": 1, "evaluations": 5, "invalid": 2, "best": 2.0, "fitness": 0.0}
    assert totals.add(rows(0), 2, 1) == [{"round": 2, "evaluations": 5, "invalid": 2, "best": 2.0, "fitness": None}]


def test_what_the_parent_had_dropped_is_counted_once():
    totals, born = Totals(), rows(4, overflow=[1, 2, 2, 3])
    born["parent"][:, 0] = [-1, 0, 1, 1]
    totals.add(born, 0, 1)
    assert totals.overflow == 1 + 1 + 0 + 1


def test_a_thread_draws_on_a_terminal_and_rarely_in_a_file(monkeypatch):
    monkeypatch.setattr(progress, "TERMINAL", 0.01)
    drawn = []
    for stream in (Terminal(), io.StringIO()):
        monkeypatch.setattr(sys, "stderr", stream)
        bar = Progress(Totals(), 1, Meter(), seconds=np.inf, enabled=True)
        time.sleep(0.3)
        bar.close()
        drawn.append(stream.getvalue())
    assert drawn[0].count("\r") > 3 and drawn[0].count("\n") == 1
    assert drawn[1].count("\n") == 1 and "\r" not in drawn[1]


def test_the_meter_knows_what_is_being_compiled_and_how_long_that_took():
    meter, seen = CompileMeter(), []

    @jax.jit
    def outermost(x):
        seen.append(meter.compiling)
        return jax.jit(lambda x: x + 1)(x)

    begin = time.perf_counter()
    outermost(np.ones(3, np.float32)).block_until_ready()
    assert seen == ["outermost"] and meter.compiling is None
    assert meter.seconds < meter.building < time.perf_counter() - begin
