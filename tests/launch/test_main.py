"""`jaxnas NAME`: the programs by name."""

import pathlib

import pytest

import launch
from launch.__main__ import PROGRAMS
from tests.support.programs import run

FILES = {path.stem for path in pathlib.Path(launch.__file__).parent.glob("[!_]*.py")}


@pytest.mark.parametrize("given", [(), ("--help",)])
def test_without_a_name_it_lists_the_programs(given):
    status, said = run("launch", *given)
    assert status == 0 and [line.split()[0] for line in said.splitlines()[2:]] == list(PROGRAMS)
    assert all(len(line.split()) > 3 for line in said.splitlines()[2:])  # what each is for


def test_every_program_is_listed():
    assert FILES - {name for name in FILES if name.startswith("benchmark_")} - {"command"} == set(PROGRAMS)


def test_an_unknown_program_is_named_with_those_there_are():
    status, said = run("launch", "serch")
    assert status == 1 and "jaxnas: no program 'serch'; there are search, retrain," in said


def test_the_rest_of_the_command_is_the_programs():
    status, said = run("launch", "options", "random_search")
    assert status == 0 and said.startswith("config.strategy: random_search")
    status, said = run("launch", "options", "random_serch")
    assert status == 1 and said.startswith("launch.options: name: unknown 'random_serch'. Did you mean 'random_search'")
