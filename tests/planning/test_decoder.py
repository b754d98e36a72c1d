"""A pretrained decoder planned by its settings: what is refused before anything compiles, and what divides it."""

import importlib.util
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, PartitionSpec

from jaxnas import pretrained
from jaxnas.check import InputError
from jaxnas.networks import decoder
from jaxnas.planning import child, plan_decoder
from jaxnas.planning.decoding import programs
from jaxnas.pretrained._abstract import abstract
from tests.planning.test_plan import needs
from tests.pretrained import reference
from tests.support.programs import run

TINY = {
    **reference.CONFIGS["llama3"],
    "hidden_size": 64,
    "num_attention_heads": 16,
    "num_key_value_heads": 8,
    "intermediate_size": 128,
}
LAYERS, LENGTH = TINY["num_hidden_layers"], 32


@pytest.fixture
def nothing_compiles(monkeypatch):
    monkeypatch.setattr(child, "answers", lambda *request: pytest.fail("a process was started"))
    monkeypatch.setattr(importlib.util, "find_spec", lambda module: module)


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        ({"model_type": "llamma"}, {}, "decoder: model_type: unknown 'llamma'. Did you mean 'llama'"),
        ({"vocab_size": None}, {}, "decoder: vocab_size is missing"),
        ({"num_hidden_layers": 10**12}, {}, "num_hidden_layers: expected at most 1024"),
        (
            {},
            {"target": "v5e:4x4"},
            "v5e:4x4: 16 devices do not divide the 8 groups of keys and values of layer_0.*; 1",
        ),
        ({"intermediate_size": 132}, {"target": "h100:8"}, "h100:8: 8 devices do not divide the 132 .*; 1, 2, 4 would"),
        ({}, {"length": 65}, "length: decoder is of 64 positions, got 65"),
        ({}, {"length": 0}, "length: expected at least 1"),
        ({}, {"batch": 0}, "batch: expected at least 1"),
        ({}, {"dtype": "int8"}, "dtype: unknown 'int8'. Known: float32, bfloat16"),
    ],
)
def test_what_cannot_be_planned_is_refused_before_it_compiles(change, options, message, nothing_compiles):
    given = {"target": "v5e:2x4", "length": LENGTH, **options}
    with pytest.raises(InputError, match=message):
        plan_decoder({**TINY, **change}, **given, say=lambda text: None)


@pytest.mark.parametrize(
    ("text", "message"),
    [(None, "decoder: expected a config.json, or a folder that has one; there is no"), ("{", "is no JSON")],
)
def test_files_that_are_no_settings_are_refused(text, message, tmp_path):
    if text is not None:
        (tmp_path / "config.json").write_text(text)
    with pytest.raises(InputError, match=message):
        plan_decoder(tmp_path, "cpu")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["--length=8"], "--length: is of a pretrained decoder; give --decoder too"),
        (["--decoder=x", "--config=darts"], "give one of them"),
    ],
)
def test_flags_that_do_not_belong_together_are_refused(given, message):
    status, said = run("launch.plan", "--target=cpu", *given)
    assert status == 1 and message in said


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    folder = tmp_path_factory.mktemp("decoder")
    (folder / "config.json").write_text(json.dumps(TINY))
    given = ["--target=cpu", f"--decoder={folder}", f"--length={LENGTH}", f"--workdir={folder / 'run'}"]
    status, said = run("launch.plan", *given)
    assert status == 0, said
    return json.loads((folder / "run" / "plan.json").read_text())


def test_the_program_writes_what_both_programs_need(found):
    assert found["decoder"] == TINY and (found["length"], found["batch"]) == (LENGTH, 1)
    of_cpu = found["targets"]["cpu"]
    assert of_cpu["fits"] and of_cpu["devices"] == 8 and set(of_cpu["programs"]) == {"prefill", "decode"}
    for each in of_cpu["programs"].values():
        assert each["kernels_per_step"] == each["kernels"] > 0 and each["seconds_estimated"] is None


def test_layers_are_summed_twice_each_and_no_weight_is_gathered(found):
    prefill, decode = (found["targets"]["cpu"]["programs"][name] for name in ("prefill", "decode"))
    assert prefill["collectives"] == {"all-reduce": 2 * LAYERS + 1}  # one of what is embedded
    assert decode["collectives"].pop("all-reduce") == 2 * LAYERS + 1
    gathered = decode["collective_bytes"] - (2 * LAYERS + 1) * TINY["hidden_size"] * 4
    assert gathered <= 8 * (4 + 4)  # the largest logit of each device, and which it is


def test_shapes_are_those_of_the_network():
    model = abstract(TINY, dtype="float32", length=LENGTH)
    made = jax.eval_shape(
        lambda: model.network.init(jax.random.key(0), model.decisions, jnp.zeros((1, 1), jnp.int32), False)
    )
    assert model.variables == {"params": made["params"]} and model.network.length == LENGTH


def test_the_cache_is_divided_by_groups_of_keys_and_values():
    mesh = Mesh(np.array(jax.devices()[:8]), ("model",))
    model = abstract(TINY, length=LENGTH)
    state = jax.eval_shape(lambda: decoder(model.network, {}).state(1, LENGTH))
    said = pretrained.shardings(state, mesh)
    specs = {leaf.spec for leaf in jax.tree.leaves(said["cache"])}
    assert specs == {PartitionSpec(None, None, "model")} and said["at"].spec == PartitionSpec()


def test_the_least_is_the_weights_and_the_cache_of_a_device():
    mesh = Mesh(np.array(jax.devices()[:8]), ("model",))
    model, B, heads, D, W, F = abstract(TINY, length=LENGTH), 3, 16, 8, 64, 128
    decode = programs(model, mesh, B)["decode"]
    layer = (2 * W * heads * D + 2 * W * 8 * D + 3 * W * F) / 8 + 2 * W  # norms are whole
    cache = 2 * LAYERS * B * LENGTH * 8 * D / 8
    assert decode.bytes == 2 * (LAYERS * layer + W + W * TINY["vocab_size"] / 8 + cache) + 4  # and the position


def test_planned_programs_compute_what_the_network_does():
    mesh = Mesh(np.array(jax.devices()[:8]), ("model",))
    model = abstract(TINY, dtype="float32", length=8)
    made = programs(model, mesh, 2)
    tokens = np.random.default_rng(0).integers(0, TINY["vocab_size"], (2, 8)).astype(np.int32)
    variables = model.network.init(jax.random.key(1), {}, tokens, False)
    state = decoder(model.network, {}).state(2, 8)
    placed = jax.device_put((variables, state), (jax.tree.map(lambda x: x.sharding, made["decode"].shapes[::2])))
    logits = made["prefill"].run(placed[0], tokens)
    state = placed[1]
    for i in range(8):
        token, state = made["decode"].run(placed[0], tokens[:, i], state)
        np.testing.assert_array_equal(token, logits[:, i].argmax(-1))


@needs("libtpu")
def test_a_slice_of_tpus_that_is_not_there():
    found = plan_decoder(TINY, "v5e:2x4", length=LENGTH, say=lambda text: None)["targets"]["v5e:2x4"]
    assert found["fits"] and found["devices"] == 8 and found["ms_per_step_estimated"] > 0
    assert found["bound"] == found["programs"]["decode"]["bound"] and found["bound"]["times_the_least"] >= 1
    assert found["programs"]["prefill"]["collectives"] == {"all-reduce": 2 * LAYERS + 1}


@needs("jax_plugins.xla_cuda12")
def test_gpus_that_are_not_there_gather_no_table_for_one_token():
    settings = {**TINY, "vocab_size": 4096}
    found = plan_decoder(settings, "h100:8", length=LENGTH, say=lambda text: None)["targets"]["h100:8"]
    decode = found["programs"]["decode"]
    assert found["fits"] and decode["bound"]["by"] == "kernel launches"
    assert decode["collective_bytes"] < settings["vocab_size"] * settings["hidden_size"] * 2 / 8
