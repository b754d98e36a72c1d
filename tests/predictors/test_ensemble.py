import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from jaxnas.predictors import mlp_ensemble

PREDICTOR = mlp_ensemble()
RNG = np.random.default_rng(0)
X = RNG.integers(0, 2, (200, 12)).astype(np.float32)
Y = (X[:, 0] + X[:, 1] * X[:, 2] + 0.5 * X[:, 3]).astype(np.float32)
MASK = np.arange(200) < 120
fit, predict = jax.jit(PREDICTOR.fit), jax.jit(PREDICTOR.predict)


@pytest.fixture(scope="module")
def params():
    return fit(jax.random.key(0), X, np.where(MASK, Y, 0), MASK)


def test_predicts_rows_it_has_not_seen(params):
    mean, std = predict(params, X[~MASK])
    assert stats.spearmanr(mean, Y[~MASK]).statistic > 0.95
    assert (std > 0).all()


def test_masked_rows_have_no_influence(params):
    x, y = X.copy(), np.where(MASK, Y, 1e9).astype(np.float32)
    x[~MASK] = 7
    other = fit(jax.random.key(0), x, y, MASK)
    np.testing.assert_array_equal(predict(other, X)[0], predict(params, X)[0])


def test_unit_of_fitness_does_not_matter(params):
    other = fit(jax.random.key(0), X, np.where(MASK, 64 * Y + 1024, 0), MASK)
    np.testing.assert_allclose((predict(other, X)[0] - 1024) / 64, predict(params, X)[0], atol=0.02)


def test_less_certain_far_from_what_it_saw(params):
    std = predict(params, np.stack([X[0], 10 * X[0]]))[1]
    assert std[1] > 3 * std[0]


def test_a_disaster_does_not_hide_what_is_good():
    y = Y.copy()
    y[:10] = -1e6
    mean, _ = predict(fit(jax.random.key(0), X, y, MASK), X[~MASK])
    assert stats.spearmanr(mean, Y[~MASK]).statistic > 0.7


def test_one_known_row_gives_finite_predictions():
    mean, std = predict(fit(jax.random.key(0), X, Y, np.arange(200) == 0), X)
    assert jnp.isfinite(mean).all() and jnp.isfinite(std).all()


def test_members_must_be_two():
    with pytest.raises(ValueError, match="members: expected at least 2, got 1"):
        mlp_ensemble(members=1)
