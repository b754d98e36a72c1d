"""The scripts for pods, several hosts and sweeps: their syntax, what they would execute, and when they start again."""

import json
import os
import subprocess
import sys

import pytest

from jaxnas.analysis.sweeping import sweep
from tests.support.programs import ROOT

SEARCH = (sys.executable, "-m", "launch.search")
POD = ("launch/pod.sh", "--name=mine", "--zone=here", "--type=v5litepod-16", "--bucket=gs://bucket/mine")


def script(*arguments, **environment):
    clean = {k: v for k, v in os.environ.items() if not k.startswith("SLURM_")}
    environment = {**clean, "PAUSE": "0", **environment}
    return subprocess.run(arguments, cwd=ROOT, env=environment, capture_output=True, text=True)


@pytest.fixture
def fake(tmp_path):
    """Programs that note how they are called, and end with the statuses in turn, then with 0."""

    def make(name, statuses=()):
        (tmp_path / f"{name}.statuses").write_text("".join(f"{s}\n" for s in statuses))
        program = tmp_path / name
        program.write_text(
            f'#!/usr/bin/env bash\necho "$@" >> {tmp_path}/{name}.calls\n[[ "$*" == *launch.search* ]] || exit 0\n'
            f"exec 9>{tmp_path}/{name}.lock; flock 9\n"  # two hosts at once each take their own
            f"s=$(head -1 {tmp_path}/{name}.statuses); sed -i 1d {tmp_path}/{name}.statuses; exit ${{s:-0}}\n"
        )
        program.chmod(0o755)
        return lambda: (tmp_path / f"{name}.calls").read_text().splitlines()

    make.path = f"{tmp_path}:{os.environ['PATH']}"
    return make


@pytest.mark.parametrize("name", ["pod", "hosts"])
def test_syntax(name):
    assert subprocess.run(["bash", "-n", f"launch/{name}.sh"], cwd=ROOT).returncode == 0


def test_a_pod_is_created_runs_on_all_workers_and_is_deleted():
    done = script(*POD, "--spot", "--dry_run", "--", "--config=configs/nasnet.py", "--config.task.name=a b")
    lines = done.stdout.splitlines()
    assert done.returncode == 0, done.stderr
    assert "create mine --zone=here --accelerator-type=v5litepod-16" in lines[0] and "--spot" in lines[0]
    (search,) = (line for line in lines if "launch.search" in line)
    assert "--worker=all" in search and "--multihost" in search and "a\\\\\\ b" in search
    assert "delete mine --zone=here --quiet" in lines[-1]
    assert "delete mine" not in script(*POD, "--keep", "--dry_run").stdout


def test_a_preempted_pod_starts_again_until_done(fake):
    calls = fake("gcloud", statuses=(143, 255))
    done = script(*POD, "--", PATH=fake.path)
    assert done.returncode == 0, done.stderr
    assert sum("launch.search" in call for call in calls()) == 3
    assert "delete mine" in calls()[-1]


def test_wrong_flags_end_it(fake):
    calls = fake("gcloud", statuses=(1, 1, 1, 1))
    done = script(*POD, "--", PATH=fake.path)
    assert done.returncode == 1 and "ended at once, twice" in done.stderr
    assert sum("launch.search" in call for call in calls()) == 2


def test_hosts_by_ssh_know_who_they_are():
    done = script("launch/hosts.sh", "--hosts=me@one two", "--root=/code", "--dry_run", "--", "--workdir=w")
    one, two = done.stdout.splitlines()
    assert "ssh me@one cd\\ /code" in one and "coordinator=one:12355" in one and "process_index=0" in one
    assert "ssh two" in two and "coordinator=one:12355" in two and "process_count=2" in two and "index=1" in two


def test_hosts_start_again_until_all_are_done(fake):
    calls = fake("ssh", statuses=(143, 1))
    done = script("launch/hosts.sh", "--hosts=one two", "--", "--workdir=w", PATH=fake.path)
    assert done.returncode == 0, done.stderr
    assert len(calls()) == 4


def test_a_slurm_job_whose_time_is_up_is_queued_again(fake):
    srun, scontrol = fake("srun", statuses=(143,)), fake("scontrol")
    done = script("launch/hosts.sh", "--", "--workdir=w", PATH=fake.path, SLURM_JOB_ID="7")
    assert done.returncode == 143 and len(srun()) == 1 and scontrol() == ["requeue 7"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("launch/pod.sh", "--name=a"), "pod.sh: --zone is missing"),
        (("launch/pod.sh", "--nmae=a"), "pod.sh: unknown --nmae=a"),
        (("launch/hosts.sh", "--hosts=a"), "name a --workdir"),
        (("launch/hosts.sh", "--", "--workdir=w"), "--hosts is missing, and this is no Slurm job"),
    ],
)
def test_wrong_arguments_are_said_with_the_usage(arguments, message):
    done = script(*arguments)
    assert done.returncode == 2 and message in done.stderr and "--dry_run" in done.stderr


def test_a_sweep_prints_its_searches(capsys):
    configs = ["configs/darts.py:small", "configs/gdas.py"]
    sweep(SEARCH, configs, 2, ROOT / "w", ["--config.rounds=3"], dry_run=True)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4 and "darts-small/1" in lines[1] and "--config.seed=1 --config.rounds=3" in lines[1]


def test_a_sweep_runs_its_searches_and_goes_on_where_it_stands(table, tmp_path, capsys):
    options = [f"--config.evaluator.path={table}", "--config.evaluator.fitness=accuracy", "--config.rounds=5"]
    assert sweep(SEARCH, ["configs/nasbench201.py"], 2, tmp_path, options, parallel=2) == 0
    found = json.loads((tmp_path / "sweep.json").read_text())["configs/nasbench201.py"]
    assert found["finished"] == 2 and len(set(found["fitness"]["values"])) == 2
    assert sweep(SEARCH, ["configs/nasbench201.py"], 2, tmp_path, options) == 0
    assert capsys.readouterr().out.count("finished before") == 2


@pytest.mark.parametrize(
    ("configs", "message"),
    [
        (["configs/dats.py"], "config: no file configs/dats.py, .* Did you mean 'configs/darts.py'"),
        (["configs/darts.py:small", "configs/darts.py:small"], "configs: configs/darts.py:small is there twice"),
    ],
)
def test_a_sweep_of_wrong_configs_is_refused(configs, message, tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    with pytest.raises(ValueError, match=message):
        sweep(SEARCH, configs, 1, tmp_path / "sweep", [])
    assert not (tmp_path / "sweep").exists()
