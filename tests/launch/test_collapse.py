import json

import flax.linen as nn
import pytest

from jaxnas.networks import Choice, Identity
from jaxnas.spaces import categorical
from launch import collapse


def with_skips():
    return categorical({"layer": ["skip_connect", "dense"]}, name="skips")


class Layer(nn.Module):
    @nn.compact
    def __call__(self, x, train):
        return nn.relu(nn.Dense(x.shape[-1])(x))


class Network(nn.Module):
    classes: int = 10

    @nn.compact
    def __call__(self, decisions, x, train: bool):
        x = x.reshape(len(x), -1)
        x = Choice({"skip_connect": Identity, "dense": Layer}, name="layer")(decisions["layer"], x, train)
        return nn.Dense(self.classes)(x)


CONFIG = {
    "seed": 0,
    "rounds": 6,
    "space": {"name": "tests.support.parts:mine"},
    "task": {"name": "digits"},
    "network": {"name": "tests.support.parts:Mine"},
    "strategy": {"name": "darts"},
    "evaluator": {"name": "supernet", "steps": 6, "learning_rate": 0.1, "curvature": 2, "batch_size": 16},
}


def test_a_space_without_skip_connections_is_refused(tmp_path):
    with pytest.raises(ValueError, match="config.space: 'mine' has no skip connections"):
        collapse.run(CONFIG, tmp_path, seeds=2)


def test_searches_are_counted_and_drawn(tmp_path):
    config = {**CONFIG, "space": {"name": "test_collapse:with_skips"}, "network": {"name": "test_collapse:Network"}}
    result = collapse.run(config, tmp_path, seeds=3)
    assert json.loads((tmp_path / "collapse.json").read_text()) == json.loads(json.dumps(result))
    assert len(result["searches"]) == 3 and all(len(row["curvature"]) == 3 for row in result["searches"])
    assert result["collapsed"] == sum("layer=skip_connect" in row["architecture"] for row in result["searches"])
    assert (tmp_path / "collapse.png").stat().st_size > 5000


def test_a_strategy_without_logits_is_refused(tmp_path):
    with pytest.raises(ValueError, match="expected a differentiable one without warm-up, got 'random_search'"):
        collapse.run({**CONFIG, "strategy": {"name": "random_search", "budget": 1}}, tmp_path, seeds=2)
