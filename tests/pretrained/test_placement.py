"""A model that is divided between eight devices computes what it computes on one."""

import jax
import numpy as np
import pytest
from jax.sharding import PartitionSpec

from jaxnas import pretrained
from tests.pretrained import reference

pytest.importorskip("safetensors")
CONFIG = {
    **reference.CONFIGS["qwen2"],
    "hidden_size": 32,
    "num_attention_heads": 16,
    "num_key_value_heads": 8,
    "intermediate_size": 64,
    "tie_word_embeddings": False,
}
TOKENS = np.random.default_rng(1).integers(0, 48, (2, 6)).astype(np.int32)
EXPECTED = {
    ("embedding", "embedding"): ("model",),
    ("head", "kernel"): (None, "model"),
    ("layer_0", "mixer", "attention", "query", "kernel"): (None, "model"),
    ("layer_0", "mixer", "attention", "key", "bias"): ("model",),
    ("layer_1", "mixer", "attention", "output", "kernel"): ("model",),
    ("layer_1", "feed_forward", "swiglu", "gate", "kernel"): (None, "model"),
    ("layer_1", "feed_forward", "swiglu", "down", "kernel"): ("model",),
    ("layer_1", "mixer_norm", "scale"): (),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return reference.write(tmp_path_factory.mktemp("tiny"), CONFIG, reference.random_tensors(CONFIG))


def of_path(tree, path):
    for name in path:
        tree = tree[name]
    return tree


def test_divided_model_computes_the_same(folder):
    mesh = jax.make_mesh((8,), ("model",))
    whole, divided = pretrained.load(folder), pretrained.load(folder, mesh=mesh)
    for path, spec in EXPECTED.items():
        x = of_path(divided.variables["params"], path)
        assert x.sharding.spec == PartitionSpec(*spec), path
        divided_by = 8 if spec else 1
        assert {shard.data.size for shard in x.addressable_shards} == {x.size // divided_by}, path
    jax.tree.map(np.testing.assert_array_equal, divided.variables, whole.variables)
    run = jax.jit(lambda variables: whole.network.apply(variables, {}, TOKENS, False))
    expected = reference.logits(CONFIG, reference.random_tensors(CONFIG), TOKENS)
    np.testing.assert_allclose(run(divided.variables), expected, atol=1e-3)
    made = pretrained.generate(divided, TOKENS, tokens=3)
    np.testing.assert_array_equal(made, pretrained.generate(whole, TOKENS, tokens=3))


def test_shardings_of_shapes_are_those_of_what_is_read(folder):
    mesh = jax.make_mesh((2, 4), ("data", "model"))
    model = pretrained.load(folder, mesh=mesh)
    shapes = jax.eval_shape(lambda: model.network.init(jax.random.key(0), {}, TOKENS, False))
    said = pretrained.shardings(shapes, mesh)
    jax.tree.map(
        lambda x, sharding: x.sharding.is_equivalent_to(sharding, x.ndim) or pytest.fail(), model.variables, said
    )


def test_what_does_not_divide_is_everywhere():
    spec = pretrained.partition_spec
    assert spec("layer_0/mixer/attention/key/kernel", (32, 3, 8), 2) == PartitionSpec()
    assert spec("layer_0/mixer/attention/key/kernel", (32, 4, 8), 2) == PartitionSpec(None, "model")
    assert spec("layer_0/mixer/delta/gate/kernel", (32, 4, 8), 2) == PartitionSpec(None, "model")
    assert spec("layer_0/mixer/delta/rate", (4,), 2) == PartitionSpec()
