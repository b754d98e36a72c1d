import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnas.evaluators import training
from jaxnas.spaces import categorical
from jaxnas.tasks import Stream, accuracy, arrays, cross_entropy, digits, mean_metric, random_shift
from jaxnas.training import Recipe, trainer
from jaxnas.types import propose


@pytest.fixture(scope="module")
def task():
    return digits()


def splits(**replace):
    """Three splits of eight small images with labels 0, 1 and 2, some of them replaced."""
    x = np.arange(8 * 4, dtype=np.float32).reshape(8, 2, 2, 1)
    pair = (x, np.arange(8) % 3)
    return {"train": pair, "validation": pair, "test": pair, **replace}


def test_digits_have_the_stated_sizes(task):
    assert [len(task.train.inputs), len(task.validation.inputs), len(task.test.inputs)] == [1077, 360, 360]
    assert task.batch_of(1).shape[1:] == (8, 8, 1) and task.outputs == 10


def test_digits_splits_are_a_partition_of_the_data(task):
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    parts = (task.train, task.validation, task.test)
    ours = np.concatenate([np.asarray(part.inputs).reshape(-1, 64) for part in parts])
    scale = x.std() / ours.std()
    pixels = np.rint(ours * scale - (ours * scale).min())
    labels = np.concatenate([part.targets for part in parts])
    rows = lambda pixels, labels: sorted(map(tuple, np.column_stack([pixels, labels]).astype(int)))
    assert rows(pixels, labels) == rows(x, y)


def test_digits_splits_are_stratified(task):
    whole = sum(np.bincount(part.targets, minlength=10) for part in (task.train, task.validation, task.test)) / 1797
    for part in (task.train, task.validation, task.test):
        assert np.abs(np.bincount(part.targets, minlength=10) - whole * len(part.targets)).max() < 1.5


def test_digits_are_standardized_by_the_training_images(task):
    x = np.asarray(task.train.inputs)
    np.testing.assert_allclose([x.mean(), x.std()], [0, 1], atol=1e-5)
    assert abs(np.asarray(task.test.inputs).mean()) > 1e-4


def test_digits_are_the_same_every_time(task):
    for a, b in zip(jax.tree.leaves(task[1:4]), jax.tree.leaves(digits(augment=False)[1:4]), strict=True):
        np.testing.assert_array_equal(a, b)


def test_digits_augmentation_brings_in_background(task):
    shifted = jax.jit(task.augment)(jax.random.key(0), task.train.inputs[:200])
    np.testing.assert_allclose(np.asarray(shifted).min(), np.asarray(task.train.inputs).min(), rtol=1e-5)
    assert digits(augment=False).augment is None


def test_final_training_joins_train_and_validation(task):
    final = task.with_validation()
    np.testing.assert_array_equal(np.asarray(final.train.inputs)[1077:], task.validation.inputs)
    np.testing.assert_array_equal(np.asarray(final.train.targets)[:1077], task.train.targets)
    np.testing.assert_array_equal(final.validation.inputs, task.test.inputs)


def test_cross_entropy_of_equal_logits_is_the_log_of_classes():
    np.testing.assert_allclose(cross_entropy(jnp.zeros((3, 10)), jnp.array([0, 5, 9])), np.log(10), rtol=1e-6)


def test_smoothed_cross_entropy_mixes_in_the_uniform_distribution():
    logits, y = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32), np.array([0, 3, 1])
    plain, smoothed = jax.jit(lambda: (cross_entropy(logits, y), cross_entropy(logits, y, 0.1)))()
    uniform = (np.logaddexp.reduce(logits, 1, keepdims=True) - logits).mean(-1)
    np.testing.assert_allclose(smoothed, 0.9 * np.asarray(plain) + 0.1 * uniform, rtol=1e-5)


def test_accuracy_is_the_share_of_largest_logits_that_are_the_label():
    logits = jnp.array([[0.0, 2.0, 1.0], [3.0, 2.0, 1.0]])
    np.testing.assert_array_equal(accuracy.of(logits, jnp.array([1, 1]), jnp.ones(2)), 0.5)


def test_outputs_are_the_number_of_classes():
    assert arrays(splits()).outputs == 3
    assert arrays(splits(), outputs=5).outputs == 5


X, Y = splits()["train"]
NAN = np.where(X == 3, np.nan, X)


@pytest.mark.parametrize(
    ("replace", "options", "message"),
    [
        ({"train": (X, Y[:5])}, {}, r"splits\['train'\]: 8 inputs but 5 targets"),
        ({"test": (X[:0], Y[:0])}, {}, r"splits\['test'\]: expected at least one example"),
        ({"validation": (NAN, Y)}, {}, r"splits\['validation'\]: inputs hold NaN"),
        ({"validation": (X[:, :1], Y)}, {}, r"splits\['validation'\]: inputs \(1, 2, 1\), but in train \(2, 2, 1\)"),
        ({"extra": (X, Y)}, {}, "splits: expected train, validation, test, got train, validation, test, extra"),
        ({}, {"outputs": 2}, r"expected labels in \[0, 2\), got 0 to 2"),
        ({"test": (X, Y - 1)}, {}, r"expected labels in \[0, 3\), got -1 to 2"),
        ({"train": (X, Y.astype(float))}, {}, "cross-entropy needs integer labels"),
        ({"train": (X, Y[:, None])}, {}, "cross-entropy needs integer labels"),
        ({"train": (X, np.eye(3)[Y])}, {}, r"splits\['train'\]: expected labels \[N\], got one-hot ones \(8, 3\)"),
        (
            {"train": (X, Y * 50)},
            {},
            "5 different ones up to 100 for 8 training examples .3 does not occur.*outputs how",
        ),
        ({"train": 3}, {}, r"splits\['train'\]: expected arrays \(inputs \[N, ...\], targets \[N, ...\]\)"),
        ({"test": (X * np.float64(1e38), Y)}, {}, r"splits\['test'\]: inputs hold numbers beyond float32"),
        ({"train": (X, np.array(["cat"] * 8))}, {}, "expected targets that are numbers, got <U3"),
        ({}, {"outputs": 0, "loss": lambda outputs, y: outputs}, "outputs: expected at least 1, got 0"),
    ],
)
def test_arrays_that_make_no_task_are_refused(replace, options, message):
    with pytest.raises(ValueError, match=message):
        arrays(splits(**replace), **options)


def test_labels_with_gaps_are_classes_where_their_number_is_said():
    assert arrays(splits(train=(X, Y * 50)), outputs=101).outputs == 101


@pytest.mark.parametrize(
    ("part", "numbers", "limits"),
    [
        ("inputs", np.full((8, 2), 2**31), r"\[-2147483648, 2147483647\], got 2147483648"),
        ("inputs", np.full((8, 2), 2**32, np.uint64), r"\[0, 4294967295\], got 4294967296"),
        ("targets", np.full(8, -(2**31) - 1), r"\[-2147483648, 2147483647\], got -2147483649"),
    ],
)
def test_whole_numbers_beyond_32_bits_are_refused(part, numbers, limits):
    pair = (np.zeros((8, 2), numbers.dtype), Y)
    given = {**dict.fromkeys(("train", "validation", "test"), pair)}
    given["validation"] = (numbers, Y) if part == "inputs" else (pair[0], numbers)
    with pytest.raises(ValueError, match=rf"splits\['validation'\]: expected {part} of 32 bits, in {limits}"):
        arrays(given)


def test_whole_numbers_of_32_bits_stay_what_they_are():
    x = np.array([[-(2**31)], [2**31 - 1]])
    task = arrays(dict.fromkeys(("train", "validation", "test"), (x, np.array([0, 1]))))
    np.testing.assert_array_equal(task.train.inputs, x)
    hashed = np.array([[2**32 - 1], [0]], np.uint64)
    task = arrays(dict.fromkeys(("train", "validation", "test"), (hashed, np.array([0, 1]))))
    np.testing.assert_array_equal(task.train.inputs, hashed)


def test_targets_of_a_stream_beyond_32_bits_are_refused():
    with pytest.raises(ValueError, match="stream: expected targets of 32 bits, .* got 4294967296"):
        Stream.of([(0, 1), (0, 2**32)]).take(np.array([1]))


def test_missing_split_is_refused():
    with pytest.raises(ValueError, match="expected train, validation, test, got train"):
        arrays({"train": (X, Y)})


NEAR = mean_metric(
    lambda outputs, y: (jnp.abs(outputs - y) < 0.1).all(-1).astype(jnp.float32), name="near", higher_is_better=True
)


class Line(nn.Module):
    """A network without a choice."""

    @nn.compact
    def __call__(self, decisions, x, train):
        return nn.Dense(1)(x)


def test_a_regression_of_ones_own_trains():
    x = np.random.default_rng(0).normal(size=(64, 3)).astype(np.float32)
    pair = (x, x @ np.array([[1.0], [-2.0], [0.5]], np.float32) + 3)
    squares = lambda outputs, y: ((outputs - y) ** 2).mean(-1)
    regression = arrays(
        dict.fromkeys(("train", "validation", "test"), pair),
        loss=squares,
        metric=NEAR,
        outputs=1,
    )
    parts = trainer(Line(), regression, Recipe(batch_size=32, weight_decay=0.0))
    variables, _ = jax.jit(parts.train, static_argnums=1)(jax.random.key(0), None, 200)
    loss, metric = jax.jit(parts.score, static_argnums=1)(variables, None, regression.test)
    assert loss < 1e-4 and metric == 1.0


def test_shift_moves_each_image_by_up_to_the_pixels_in_both_directions():
    x = np.zeros((400, 5, 5, 1), np.float32)
    x[:, 2, 2] = 1
    shifted = np.asarray(jax.jit(random_shift(1))(jax.random.key(0), x))
    assert shifted.shape == x.shape
    _, rows, columns, _ = np.nonzero(shifted)
    assert len(rows) == 400
    assert {*zip(rows, columns, strict=True)} == {(i, j) for i in (1, 2, 3) for j in (1, 2, 3)}


def test_shift_moves_whole_images_and_fills():
    x = np.random.default_rng(0).normal(size=(20, 4, 6, 2)).astype(np.float32)
    padded = np.pad(x, ((0, 0), (2, 2), (2, 2), (0, 0)), constant_values=7.0)
    for b, image in enumerate(np.asarray(jax.jit(random_shift(2, fill=7.0))(jax.random.key(2), x))):
        views = [padded[b, i : i + 4, j : j + 6] for i in range(5) for j in range(5)]
        assert sum((image == view).all() for view in views) == 1


def test_shift_of_no_pixels_is_refused():
    with pytest.raises(ValueError, match="pixels: expected at least 1, got 0"):
        random_shift(0)


def test_tokens_stay_integers_and_train():
    class Bag(nn.Module):
        @nn.compact
        def __call__(self, decisions, x, train):
            return nn.Dense(2)(nn.Embed(5, 4)(x).mean(1))

    x = np.random.default_rng(0).integers(0, 5, (40, 1))
    task = arrays(dict.fromkeys(("train", "validation", "test"), (x, x[:, 0] % 2)))
    evaluator = training(categorical({"a": (1, 2)}), Bag(), task, batch_size=8, devices=jax.devices()[:1])
    feedback, _ = jax.jit(evaluator.evaluate)(jax.random.key(0), (), propose(jnp.zeros((1, 1), int), 0, budget=60))
    assert feedback.metrics["accuracy"][0] == 1
