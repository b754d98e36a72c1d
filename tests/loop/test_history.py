"""The history as columns, as dicts, and on disk."""

import json

import jax
import numpy as np
import pytest

from jaxnas.check import InputError
from jaxnas.evaluators import direct, table
from jaxnas.loop import history_file
from jaxnas.loop.history import History
from jaxnas.loop.history_file import HistoryFile
from jaxnas.loop.rows import rows_of
from jaxnas.search import search
from jaxnas.spaces import categorical, graph
from jaxnas.strategies import random_search
from jaxnas.types import propose, scored

SPACE = categorical({"a": range(6), "b": range(5)})
STRATEGY = random_search(SPACE, proposals=2)
EVALUATOR = table(SPACE, np.arange(30.0))


def rows(first=0, metrics=None, fitness=(1.0, np.nan)):
    """One round of two members."""
    proposal = propose(np.array([[1, 2], [first % 6, 4]]), np.int32(2 * first))
    feedback = scored(np.float32(fitness), valid=np.isfinite(fitness), metrics=metrics)
    stacked = jax.tree.map(lambda leaf: np.asarray(leaf)[None], (proposal, feedback))
    return rows_of(SPACE, STRATEGY, EVALUATOR, *stacked, first=first, phase=0, seconds=3.0)


def test_a_line_is_made_of_its_row():
    history = History(SPACE, [rows(first=5)])
    assert len(history) == 2 and history[-1] == list(history)[1] == history[0:2][1]
    assert history[1] == {
        **{"id": 11, "parent": [-1, -1], "round": 5, "phase": 0, "genome": [5, 4], "architecture": "a=5,b=4"},
        **{"fitness": None, "cost": {}, "valid": False, "relaxed": False, "budget": 0, "seconds": 1.5},
    }


def test_columns_of_all_rows_where_not_all_have_them():
    said = np.array(["", "it failed"], object)
    history = History(SPACE, [rows(), rows(1, {"loss": np.ones(2)}), rows(2, {"error": said})])
    np.testing.assert_array_equal(history.column("loss"), [np.nan, np.nan, 1, 1, np.nan, np.nan])
    assert history.column("error").tolist() == ["", "", "", "", "", "it failed"]
    assert history.genomes.shape == (6, 2) and [("error" in line) for line in history] == [False] * 5 + [True]
    with pytest.raises(KeyError):
        history.column("accuracy")


def test_evaluations_of_the_same_genome_are_found():
    history = History(SPACE, [rows(0), rows(1)])
    assert history.same(np.array([1, 2])).tolist() == [True, False, True, False]
    assert history.same(np.array([1, 4])).tolist() == [False, False, False, True]


def test_a_killed_run_is_read_up_to_its_last_checkpoint(tmp_path):
    history = History(SPACE)
    file = HistoryFile(tmp_path, history, 0)
    for first in range(3):
        file.append(rows(first))
        file.save(2 * first + 2)
    file.append(rows(3))  # and no checkpoint
    with (tmp_path / "history.bin").open("ab") as torn:
        torn.write(b"\x93NUMPY half an arr")
    assert [line["id"] for line in history_file.read(tmp_path, SPACE)] == list(range(6))
    with pytest.raises(InputError, match="history.bin is not there"):
        history_file.read(tmp_path / "elsewhere", SPACE)


def test_what_is_behind_the_checkpoint_is_dropped_and_lines_follow(tmp_path):
    file = HistoryFile(tmp_path, History(SPACE), 0)
    for first in range(3):
        file.append(rows(first))
        file.save(2 * first + 2)
    file.finish()
    file.close()
    again = History(SPACE)
    file = HistoryFile(tmp_path, again, 4)
    assert len(again) == 4 and len((tmp_path / "history.jsonl").read_text().splitlines()) == 4
    file.append(rows(7))
    file.save(6)
    file.finish()
    lines = [json.loads(line) for line in (tmp_path / "history.jsonl").read_text().splitlines()]
    assert [line["id"] for line in lines] == [0, 1, 2, 3, 14, 15] and lines == list(history_file.read(tmp_path, SPACE))


def test_a_metric_of_any_kind_is_kept(tmp_path):
    def judged(key, genome):
        return float(genome[0]), {"vector size": np.float32(genome[1]), "even": genome[0] % 2 == 0}

    found = search(SPACE, STRATEGY, direct(judged, jittable=False), rounds=3, progress=False, workdir=tmp_path)
    read = history_file.read(tmp_path, SPACE)
    assert list(read) == list(found.history) and read.column("even").dtype == np.float32
    assert [line["vector size"] for line in read] == [line["genome"][1] for line in read]


def test_genomes_of_several_leaves_some_of_them_empty_are_found_again(tmp_path):
    space = graph(2, 1, hidden=0, connections=0)
    evaluator = direct(lambda key, genome: genome.weight.sum())
    found = search(space, random_search(space, proposals=3), evaluator, rounds=2, progress=False, workdir=tmp_path)
    read = history_file.read(tmp_path, space)
    assert found.fitness == read.column("fitness").max() and list(read) == list(found.history)
    assert read.genomes.weight.shape == (6, 3) and read.genomes.node.shape == (6, 0)
    assert read[0]["genome"] is None and space.from_string(read[0]["architecture"]).inputs == 3
