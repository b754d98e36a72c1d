import ast
import pathlib
import sys

import pytest

from jaxnas.check import InputError
from launch import command


@pytest.fixture(autouse=True)
def called(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["x.py", "--config.subset=9", "--workdir=elsewhere"])


def test_what_a_user_can_mend_is_one_line_and_a_fault_keeps_its_traceback():
    with pytest.raises(SystemExit, match="launch.x: rounds: expected 1"), command._ending():
        raise InputError("rounds: expected 1")
    with pytest.raises(ValueError, match="shapes"), command._ending():
        raise ValueError("shapes")


def test_no_program_takes_a_fault_for_what_a_user_can_mend():
    for path in pathlib.Path(command.__file__).parent.glob("*.py"):
        mains = [n for n in ast.walk(ast.parse(path.read_text())) if getattr(n, "name", "") == "main"]
        caught = {ast.unparse(n.type) for main in mains for n in ast.walk(main) if isinstance(n, ast.ExceptHandler)}
        assert not caught & {"ValueError", "Exception"}, path


def test_installed_programs_are_called_by_name(monkeypatch):
    assert command.name() == "launch.x" and command.line("search") == "python -m launch.search"
    monkeypatch.setattr(command, "__package__", "jaxnas.launch")
    assert command.name() == command.line() == "jaxnas x" and command.line("search") == "jaxnas search"


def test_ctrl_c_says_how_to_resume(monkeypatch, tmp_path):
    monkeypatch.setattr(command, "_workdir", tmp_path)
    with pytest.raises(SystemExit) as ended, command._ending():
        raise KeyboardInterrupt
    assert str(ended.value).endswith(f"python -m launch.x --config.subset=9 --workdir={tmp_path}")
