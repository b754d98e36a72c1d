import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnas.networks.ops import drop_path


class Dropped(nn.Module):
    @nn.compact
    def __call__(self, x, rate):
        return drop_path(self, x, rate)


@pytest.mark.parametrize("shape", [(400, 3), (400, 5, 3), (400, 2, 2, 3), (400, 2, 2, 2, 3)])
def test_paths_are_dropped_example_by_example_whatever_the_rank(shape):
    y = np.asarray(Dropped().apply({}, jnp.ones(shape), 0.25, rngs={"drop_path": jax.random.key(0)}))
    assert y.shape == shape
    examples = y.reshape(400, -1)
    np.testing.assert_array_equal(examples, np.broadcast_to(examples[:, :1], examples.shape))
    np.testing.assert_allclose(np.unique(y), [0, 1 / 0.75], rtol=1e-6)
    assert 0.68 < (y > 0).mean() < 0.82
