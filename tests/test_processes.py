"""What processes tell each other, each side in turn; `launch/test_multihost.py` has real ones."""

import hashlib
import json

import jax
import numpy as np
import pytest

from jaxnas import processes
from jaxnas.check import InputError


def side(monkeypatch, index, values):
    """Makes this process one of several, which have these values for the same name."""
    texts = [json.dumps(value, sort_keys=True) for value in values]
    digests = np.stack([np.frombuffer(hashlib.sha256(text.encode()).digest(), np.uint8) for text in texts])

    def gathered(own):
        np.testing.assert_array_equal(own, digests[index])
        return digests

    monkeypatch.setattr(jax, "process_count", lambda: len(values))
    monkeypatch.setattr(jax, "process_index", lambda: index)
    monkeypatch.setattr(processes.multihost_utils, "process_allgather", gathered)
    first = json.dumps({"value": texts[0]}).encode()
    monkeypatch.setattr(processes, "_bytes_from_first", lambda data: first)


@pytest.mark.parametrize(
    ("index", "said"),
    [(0, "than process 0."), (1, '{"b": 1} instead of {"a": 1}.'), (2, "than process 0.")],
)
def test_what_another_process_has_otherwise_is_told_on_every_side(index, said, monkeypatch):
    values = [{"a": 1}, {"b": 1}, {"a": 1}]
    side(monkeypatch, index, values)
    with pytest.raises(InputError, match="^config: process 1 has another than process 0") as raised:
        processes.assert_same_on_all_processes("config", values[index])
    assert str(raised.value).endswith(said)


def test_processes_that_agree_go_on(monkeypatch):
    side(monkeypatch, 1, [{"a": 1, "b": 2}, {"b": 2, "a": 1}])
    processes.assert_same_on_all_processes("config", {"b": 2, "a": 1})


@pytest.mark.parametrize(
    ("environment", "devices"),
    [
        ({}, None),
        ({"SLURM_GPUS_ON_NODE": "4", "SLURM_STEP_NUM_TASKS": "2", "SLURM_STEP_NUM_NODES": "2"}, [0, 1, 2, 3]),
        ({"SLURM_GPUS_ON_NODE": "4", "SLURM_STEP_NUM_TASKS": "8", "SLURM_STEP_NUM_NODES": "2"}, None),
        ({"SLURM_STEP_NUM_TASKS": "2", "SLURM_STEP_NUM_NODES": "2"}, None),
        (
            {
                "SLURM_GPUS_ON_NODE": "4",
                "SLURM_STEP_NUM_TASKS": "2",
                "SLURM_STEP_NUM_NODES": "2",
                "JAX_LOCAL_DEVICE_IDS": "0",
            },
            None,
        ),
    ],
)
def test_one_task_of_slurm_on_a_node_has_all_of_its_gpus(environment, devices):
    assert processes.slurm_devices(environment) == devices
