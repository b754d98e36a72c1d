"""A training that begins with what a search left in its folder."""

import jax
import numpy as np
import pytest

import jaxnas
from jaxnas.config import variables_of

CONFIG = {
    "seed": 0,
    "rounds": 3,
    "space": {"name": "layers", "operations": ("identity", "dense"), "depth": 1},
    "task": {"name": "breast_cancer"},
    "network": {"name": "layers", "operations": ("identity", "dense"), "depth": 1, "features": 4},
    "strategy": {"name": "fair_paths", "budget": 1},
    "evaluator": {"name": "supernet", "steps": 6, "batch_size": 16},
}
RETRAIN = {"steps": 1, "seeds": 1, "plan": "bucket", "learning_rate": 0.0, "weight_decay": 0.0}


@pytest.fixture(scope="module")
def searched(tmp_path_factory):
    folder = tmp_path_factory.mktemp("searched")
    jaxnas.run(CONFIG, folder, say=lambda text: None)
    return folder


def test_the_variables_of_a_search_are_those_of_its_last_checkpoint(searched):
    fresh = jaxnas.build(CONFIG).evaluator
    before = fresh.variables(jax.jit(fresh.init)(jax.random.key(0)))
    found = variables_of(searched)
    assert jax.tree.map(np.shape, found) == jax.tree.map(np.shape, before)
    assert (np.asarray(found["params"]["head"]["kernel"]) != before["params"]["head"]["kernel"]).all()


def test_a_config_begins_with_them_by_the_folder_s_name(searched):
    given = variables_of(searched)
    other = jaxnas.build({**CONFIG, "evaluator": {**CONFIG["evaluator"], "initialize": str(searched)}}).evaluator
    begun = other.variables(jax.jit(other.init)(jax.random.key(5)))
    jax.tree.map(np.testing.assert_array_equal, begun, given)
    config = {**CONFIG, "retrain": {**RETRAIN, "initialize": str(searched)}}
    row = jaxnas.retrain(config, "layer_0=dense", say=lambda text: None)["retrained"]["found"]
    parts = jaxnas.build(CONFIG)
    alone = parts.space.unpack(np.array([1]))
    outputs = parts.network.apply(given, alone, parts.task.test.inputs, False)
    loss = float(parts.task.loss(outputs, parts.task.test.targets).mean())
    assert row["test_loss"][0] == pytest.approx(loss, rel=1e-5)


@pytest.mark.parametrize("name", ["nowhere", "config alone", "a table"])
def test_a_folder_without_shared_weights_is_refused(name, tmp_path, searched):
    folder = tmp_path / "run"
    message = {"nowhere": "no config.json in", "config alone": "has no checkpoint yet", "a table": "shares no weights"}
    if name == "config alone":
        folder.mkdir()
        (folder / "config.json").write_text((searched / "config.json").read_text())
    if name == "a table":
        jaxnas.run(jaxnas.get_config("nasbench201", {"rounds": 2}), folder, say=lambda text: None)
    with pytest.raises(ValueError, match=message[name]):
        variables_of(folder)
