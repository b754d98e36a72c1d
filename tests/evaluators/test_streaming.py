"""Training on examples that stay on the host is training on the same examples."""

import threading

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnas.evaluators import retrain, supernet, training
from jaxnas.tasks import Batch, Stream, arrays, classification
from jaxnas.types import propose
from tests.support.parts import Mine, mine

SPACE = mine()


def images(n, seed):
    random = np.random.default_rng(seed)
    return random.integers(0, 256, (n, 8, 8, 1), np.uint8), np.arange(n) % 10


def task(stream, **options):
    return classification("made", images(100, 0), images(20, 1), where="here", stream=stream, crop_padding=1, **options)


def test_batches_are_those_of_the_examples_on_the_device():
    on_device, streamed = task(False).train, task(True).train
    rows = jnp.array([3, 0, 79, 3])
    jax.tree.map(np.testing.assert_array_equal, on_device.take(rows), jax.jit(streamed.take)(rows, rows + 1))
    assert streamed.size == 80 and streamed.spec == on_device.spec


@pytest.mark.parametrize("plan", ["map", pytest.param("vmap", marks=pytest.mark.slow)])
def test_a_population_trains_to_the_same_fitness(plan):
    genomes = jnp.array([[0, 0], [1, 0], [0, 2]], jnp.int32)
    proposal = propose(genomes, jnp.int32(0), budget=7)
    found = []
    for stream in (False, True):
        options = {"batch_size": 16, "plan": plan, "devices": jax.devices()[:2]}
        evaluator = training(SPACE, Mine(), task(stream), **options)
        found.append(jax.jit(evaluator.evaluate)(jax.random.key(1), (), proposal)[0].fitness)
    np.testing.assert_allclose(*found, rtol=1e-5)


def test_a_supernet_learns_the_same_weights():
    weights = jnp.where(SPACE.mask, np.float32([0.4, 0.6, 0.0]), 0)[None]
    proposal = propose(jnp.zeros((1, 2), jnp.int32), jnp.int32(0), budget=3, weights=weights)
    found = []
    for stream in (False, True):
        evaluator = supernet(SPACE, Mine(), task(stream), steps=10, order="second", batch_size=16)
        state = jax.jit(evaluator.init)(jax.random.key(0))
        found.append(jax.jit(evaluator.evaluate)(jax.random.key(1), state, proposal)[0].gradient)
    assert np.abs(found[0]).max() > 1e-3
    np.testing.assert_allclose(*found, rtol=1e-4, atol=1e-6)


def test_a_retraining_joins_what_streams_with_what_does_not():
    genomes = [np.array([0, 1], np.int32)]
    options = {"steps": 12, "batch_size": 16, "devices": jax.devices()[:1]}
    one, other = (retrain(SPACE, Mine(), task(stream), genomes, **options)["test_loss"] for stream in (False, True))
    np.testing.assert_allclose(one, other, rtol=1e-5)


def test_the_next_batch_is_read_before_it_is_asked_for():
    asked, read_ahead = [], threading.Event()

    def read(rows):
        asked.append(rows.tolist())
        if rows[0] == 2:
            read_ahead.set()
        return Batch(np.zeros((len(rows), 1), np.uint8), rows)

    one = jax.ShapeDtypeStruct((1,), np.uint8), jax.ShapeDtypeStruct((), np.int32)
    stream = Stream(read, 6, Batch(*one))
    take = jax.jit(stream.take)
    jax.block_until_ready(take(jnp.array([0, 1]), jnp.array([2, 3])))
    assert read_ahead.wait(timeout=10)
    jax.block_until_ready(take(jnp.array([2, 3])))
    assert asked == [[0, 1], [2, 3]]


def test_images_that_stream_are_not_shrunk():
    with pytest.raises(ValueError, match="downsample: images that stream are not downsampled"):
        task(True, downsample=2)


def source(n, seed):
    """Examples with a weight, as a list."""
    random = np.random.default_rng(seed)
    return [(random.integers(0, 9, 3), np.float32([i, -i]), random.random(3) + 0.1) for i in range(n)]


@pytest.mark.parametrize("kind", ["list", "grain"])
def test_examples_of_a_source_with_random_access(kind):
    examples = source(70, 0)
    of = list if kind == "list" else pytest.importorskip("grain").MapDataset.source
    stream = Stream.of(of(examples), workers=2)
    rows = jnp.arange(69, -1, -1)
    batch = jax.jit(stream.take)(rows)
    for leaves, expected in zip(batch, zip(*examples, strict=True), strict=True):
        np.testing.assert_array_equal(leaves, np.stack(expected).astype(leaves.dtype)[::-1])


def test_what_streams_and_what_does_not_join_with_their_weights():
    examples = source(5, 0)
    device = Batch(*(jnp.stack(list(map(jnp.asarray, part))) for part in list(zip(*source(4, 1), strict=True))[:2]))
    joined = Stream.of(examples).joined(device)
    found = jax.jit(joined.take)(jnp.array([8, 0, 5]))
    assert joined.size == 9 and found.spec == joined.spec
    np.testing.assert_array_equal(found.targets, [[3, -3], [0, 0], [0, 0]])
    np.testing.assert_allclose(found.weight[1], examples[0][2], rtol=1e-6)
    np.testing.assert_array_equal(found.weight[jnp.array([0, 2])], 1)


def test_a_task_of_sources():
    splits = {split: [(np.float32([i]), i % 3) for i in range(n)] for split, n in (("train", 9), ("rest", 4))}
    made = {
        split: Stream.of(splits["rest" if split != "train" else split]) for split in ("train", "validation", "test")
    }
    found = arrays(made, outputs=3)
    assert isinstance(found.train, Stream) and isinstance(found.validation.inputs, jax.Array)
    np.testing.assert_array_equal(found.test.targets, [0, 1, 2, 0])
    with pytest.raises(ValueError, match="outputs: expected the number of classes, as labels of a stream"):
        arrays(made)
    with pytest.raises(ValueError, match=r"splits\['test'\]: inputs \(2,\), but in train \(1,\)"):
        arrays({**made, "test": (np.zeros((4, 2)), np.zeros(4, int))}, outputs=3)


@pytest.mark.parametrize(
    "given,message",
    [
        (iter([(0, 1)]), "expected a source with random access, .* as grain.MapDataset; got a list_iterator"),
        ({}, "expected at least one example"),
        ([{"image": 0, "label": 1}], r"expected example 0 as \(inputs, targets\) .* got a dict"),
        ([("word", 1)], "expected examples that are numbers, got <U4"),
        ([(np.zeros(2), 0), (np.zeros(3), 0)], r"expected example 1 to be as the first, .*\(2,\)"),
        ([(0, 1), (np.nan, 1)], "examples hold NaN"),
    ],
)
def test_sources_that_cannot_be_read_are_refused(given, message):
    with pytest.raises(ValueError, match=f"stream: {message}"):
        Stream.of(given).take(np.arange(2))
