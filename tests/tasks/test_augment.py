import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnas.tasks import chain, cutout, random_flip, random_shift

X = jnp.asarray(np.random.default_rng(0).uniform(1, 2, (64, 6, 5, 2)))


def holes(pixels, key=0):
    """`[B, H, W]` bool, what was cut out; the rest must be as it was."""
    y = cutout(pixels)(jax.random.key(key), X)
    gone = np.asarray((y == 0).all(-1))
    np.testing.assert_array_equal(np.where(gone[..., None], 0, X), y)
    return gone


def test_cutout_is_a_square_that_may_lie_partly_outside():
    sizes = set()
    for gone in holes(3):
        rows, columns = gone.any(1), gone.any(0)
        np.testing.assert_array_equal(gone, gone.any(1)[:, None] & gone.any(0)[None])
        sizes.add((int(rows.sum()), int(columns.sum())))
    assert sizes == {(h, w) for h in (2, 3) for w in (2, 3)}


def test_cutout_has_its_center_anywhere():
    assert holes(1).sum((1, 2)).tolist() == [1] * 64
    assert np.concatenate([holes(1, key) for key in range(8)]).any(0).all()


def test_flip_mirrors_about_half_of_the_images():
    y = random_flip()(jax.random.key(0), X)
    same = np.asarray((y == X).all((1, 2, 3)))
    np.testing.assert_array_equal(y, np.where(same[:, None, None, None], X, X[:, :, ::-1]))
    assert 20 < same.sum() < 44


def test_chain_gives_each_its_own_key():
    noise = lambda key, x: x + jax.random.normal(key, x.shape)
    y = chain(noise, noise)(jax.random.key(0), jnp.zeros((1, 4, 4, 1)))
    first = noise(jax.random.fold_in(jax.random.key(0), 0), jnp.zeros((1, 4, 4, 1)))
    assert not np.allclose(y, 2 * first)


@pytest.mark.parametrize("pixels", [0, -1, 1.5])
def test_cutout_of_no_pixels_is_refused(pixels):
    with pytest.raises(ValueError, match="pixels: expected"):
        cutout(pixels)


@pytest.mark.parametrize(
    "augment", [cutout(1), random_flip(), random_shift(1)], ids=["cutout", "random_flip", "random_shift"]
)
@pytest.mark.parametrize("shape", [(4, 3), (4, 5, 3), (4, 5, 5, 5, 3)])
def test_what_is_no_image_is_refused(augment, shape, request):
    name = request.node.callspec.id.rsplit("-")[-1]
    with pytest.raises(ValueError, match=rf"augment: {name} is for images \[B, H, W, C\], got inputs of \(4, "):
        augment(jax.random.key(0), jnp.zeros(shape))
