"""The wheel, as a user has it: programs and configs in an empty folder, without the repository."""

import os
import subprocess
import sys
import zipfile

import pytest

from tests.support.programs import ROOT


@pytest.mark.slow  # builds, which takes the package index
def test_the_wheel_alone_runs_shipped_configs_by_name(tmp_path):
    build = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", str(tmp_path / "wheel"), str(ROOT)]
    subprocess.run(build, check=True)
    (wheel,) = (tmp_path / "wheel").glob("*.whl")
    zipfile.ZipFile(wheel).extractall(tmp_path / "installed")
    (tmp_path / "empty").mkdir()
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "installed")}

    def jaxnas(*arguments):
        command = [sys.executable, "-m", "jaxnas.launch", *arguments]
        options = {"cwd": tmp_path / "empty", "env": environment, "capture_output": True, "text": True}
        done = subprocess.run(command, **options)
        return done.returncode, done.stdout + done.stderr

    assert "learning_rate" in jaxnas("options", "training")[1]
    status, said = jaxnas("search", "--config=hwnasbench:small", "--config.rounds=2", "--workdir=run")
    assert status == 0 and (tmp_path / "empty" / "run" / "result.json").exists(), said
    status, said = jaxnas("search", "--config=hwnasbnch:small")
    assert status == 1 and said.startswith("jaxnas search: config:") and "Did you mean 'hwnasbench'?" in said
