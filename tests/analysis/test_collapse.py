import json

import pytest

from jaxnas.analysis import collapse
from jaxnas.spaces import categorical

pytestmark = pytest.mark.usefixtures("one_device")


def with_skips():
    return categorical({"layer": ["skip_connect", "dense"]}, name="skips")


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
        collapse(CONFIG, tmp_path, seeds=2)


def test_searches_are_counted_and_drawn(tmp_path):
    config = {**CONFIG, "space": {"name": "test_collapse:with_skips"}}
    result = collapse(config, tmp_path, seeds=3)
    assert json.loads((tmp_path / "collapse.json").read_text()) == json.loads(json.dumps(result))
    assert len(result["searches"]) == 3 and all(len(row["curvature"]) == 3 for row in result["searches"])
    assert result["collapsed"] == sum("layer=skip_connect" in row["architecture"] for row in result["searches"])
    assert (tmp_path / "collapse.png").stat().st_size > 5000


def test_a_strategy_without_logits_is_refused(tmp_path):
    with pytest.raises(ValueError, match="expected a differentiable one without warm-up, got 'random_search'"):
        collapse({**CONFIG, "strategy": {"name": "random_search", "budget": 1}}, tmp_path, seeds=2)
