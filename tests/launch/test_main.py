"""`jaxnas NAME`: the programs by name."""

import os
import pathlib
import subprocess
import sys

import pytest

import launch
from launch.__main__ import PROGRAMS
from tests.support.programs import ROOT, run

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


def test_data_are_arguments_of_the_programs_that_close_over_them():
    code = (
        "import launch, jax, jax.numpy as jnp, jaxnas; jaxnas.configure(); data = jnp.arange(10_000.0)\n"
        "program = jax.jit(lambda x: x + data).lower(1.0).compile()\n"
        "print(program.memory_analysis().argument_size_in_bytes)"
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith("JAX_USE")}
    said = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert int(said.stdout) >= 40_000, said.stderr
