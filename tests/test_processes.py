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
