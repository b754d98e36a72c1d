"""Examples made by key: what is counted can be told from the rest, and training on them is as on stored ones."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxnas
from jaxnas import evaluators, networks, tasks
from jaxnas.check import InputError
from jaxnas.tasks._recall import SYMBOLS
from jaxnas.tasks.task import SPLITS
from jaxnas.types import propose
from tests.support.x64 import assert_same_values

SMALL = {"train": 50, "held_out": 40}
RECALLS = {
    "plain": {},
    "longer": {"length": 50},
    "fuzzy": {"tokens_per_key": 2, "tokens_per_value": 3},
    "noisy": {"noise": 0.3, "length": 60},
    "all keys": {"pairs": 16},
}
MAKERS = {
    "recall": tasks.recall,
    "noisy recall": functools.partial(tasks.recall, pairs=3, noise=0.2, tokens_per_value=2, length=40),
    "copying": functools.partial(tasks.copying, symbols=3, length=20),
    "spans": functools.partial(tasks.spans, length=12),
    "number_words": tasks.number_words,
}


@functools.cache
def made(name):
    return MAKERS[name](**SMALL)


def whole(batch):
    """`[N, T + 1]` tokens, and which of them count as targets."""
    x, y, w = (np.asarray(part) for part in batch)
    np.testing.assert_array_equal(x[:, 1:], y[:, :-1])
    return np.concatenate([x, y[:, -1:]], 1), np.pad(w, ((0, 0), (1, 0))) > 0


@pytest.mark.parametrize("kind", RECALLS)
def test_what_is_asked_for_is_in_the_context_and_its_value_alone_counts(kind):
    options = {"pairs": 8, "tokens_per_key": 1, "tokens_per_value": 1, **RECALLS[kind]}
    task, k = tasks.recall(**options, **SMALL), options["tokens_per_key"]
    unit = k + options["tokens_per_value"]
    for tokens, counts in zip(*whole(task.validation), strict=True):
        content = (tokens > 0) & (tokens <= 32)
        units = tokens[content].reshape(2, options["pairs"], unit)
        told, asked = ({tuple(u[:k]): tuple(u[k:]) for u in part} for part in units)
        assert told == asked and len(told) == options["pairs"]
        expected = np.zeros((2, options["pairs"], unit), bool)
        expected[1, :, k:] = True
        np.testing.assert_array_equal(counts[content], expected.ravel())
        assert not counts[~content].any()
        keys, values = units[..., :k], units[..., k:]
        assert keys.max() <= 16 < values.min()
    assert task.validation.inputs.shape[1] == options.get("length", 16 * unit * options["pairs"] // 8 - 1)


def test_queries_are_in_another_order():
    tokens, _ = whole(made("recall").validation)
    assert not any((row[:16:2] == row[16::2]).all() for row in tokens)


def test_a_longer_input_has_blanks_before_the_first_query():
    tokens, _ = whole(tasks.recall(pairs=2, length=11, **SMALL).validation)
    np.testing.assert_array_equal(tokens == 0, np.broadcast_to(np.arange(12) // 4 == 1, (40, 12)))


def test_noise_is_its_share_of_the_tokens_and_has_a_vocabulary_of_its_own():
    task = tasks.recall(noise=0.25, **SMALL)
    tokens, counts = whole(task.validation)
    noise = tokens > 32
    assert task.outputs == 49 and tokens.max() < 49 and not (noise & counts).any()
    np.testing.assert_allclose(noise.mean(1), 0.25, atol=0.02)
    assert noise.any(0).all() and len(np.unique(np.argmax(noise, 1))) > 1


def test_keys_are_drawn_alike():
    batch = tasks.recall(pairs=2, vocabulary=8, **SMALL).train.take(np.arange(4000))
    keys = np.asarray(batch.inputs)[:, (0, 2)] - 1
    pairs = np.bincount(keys[:, 0] * 4 + keys[:, 1], minlength=16).reshape(4, 4)
    assert (np.diag(pairs) == 0).all()
    np.testing.assert_allclose(pairs[~np.eye(4, dtype=bool)], 4000 / 12, rtol=0.25)


def test_copied_symbols_are_those_before_the_mark_in_their_order():
    for tokens, counts in zip(*whole(made("copying").validation), strict=True):
        (mark,) = np.flatnonzero(tokens == 1)
        before, after = tokens[:mark], tokens[mark + 1 :]
        np.testing.assert_array_equal(before[before > 0], after)
        np.testing.assert_array_equal(np.flatnonzero(counts), np.arange(mark + 1, len(tokens)))
        assert len(after) == 3 and len(tokens) == 21


def test_symbols_to_copy_are_at_random_places():
    tokens, _ = whole(made("copying").train.take(np.arange(300)))
    assert (tokens[:, :17] > 0).mean(0).min() > 0.05 and (tokens[:, :17] > 0).mean(0).max() < 0.35


def test_labels_are_of_what_is_between_quotation_marks():
    task = tasks.spans(length=12, most=2, train=200, held_out=200)
    many = set()
    for x, y in zip(np.asarray(task.validation.inputs), np.asarray(task.validation.targets), strict=True):
        marks, expected = np.flatnonzero(x == 0), np.zeros(12, int)
        for begin, end in zip(marks[::2], marks[1::2], strict=True):
            assert end > begin + 1
            expected[begin + 1 : end] = [1] + [2] * (end - begin - 2)
        np.testing.assert_array_equal(y, expected)
        many.add(len(marks))
    assert many == {2, 4} and task.outputs == 3


ONES = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen"
)
TENS = "twenty thirty forty fifty sixty seventy eighty ninety"


def in_words(n):
    """An independent speller of numbers below a million."""
    ones = ONES.split()
    if n < 20:
        return ones[n]
    if n < 100:
        tens = TENS.split()[n // 10 - 2]
        return tens + (f" {in_words(n % 10)}" if n % 10 else "")
    if n < 1000:
        return f"{ones[n // 100]} hundred" + (f" and {in_words(n % 100)}" if n % 100 else "")
    rest = n % 1000
    return f"{in_words(n // 1000)} thousand" + (f" {'and ' if rest < 100 else ''}{in_words(rest)}" if rest else "")


def texts(batch):
    tokens, counts = whole(batch)
    for row, counted in zip(tokens, counts, strict=True):
        yield "".join(SYMBOLS[i] for i in row), "".join(SYMBOLS[i] for i in row[counted])


@pytest.mark.parametrize("digits", [4, 6])
def test_numbers_are_spelled_and_their_digits_count(digits):
    task = tasks.number_words(max_digits=digits, train=1000, held_out=400)
    for batch in (task.train.take(np.arange(200)), task.validation):
        for text, counted in texts(batch):
            n = int(counted.removesuffix("."))
            assert text.rstrip() == f" {in_words(n)}={n}." and counted == f"{n}."
    longest = in_words(int("373373"[-digits:]))
    assert task.train.spec.inputs.shape == (len(longest) + digits + 2,)


def test_words_and_digits_apart_say_the_same_as_together():
    together, apart = (tasks.number_words(train=50, held_out=20, apart=apart).validation for apart in (False, True))
    of = lambda row: "".join(tasks._recall.SYMBOLS[i] for i in row).rstrip().removesuffix(".")
    for one, source, target in zip(together.inputs, apart.inputs["source"], apart.inputs["target"], strict=True):
        assert of(source) + of(target) == of(one)
    np.testing.assert_array_equal(apart.targets[apart.weight > 0], together.targets[together.weight > 0])


def test_long_numbers_with_a_zero_are_held_out_and_no_number_is_in_two_splits():
    task = tasks.number_words(train=3000, held_out=400)
    numbers = {"train": task.train.take(np.arange(3000)), "validation": task.validation, "test": task.test}
    numbers = {split: [int(c[:-1]) for _, c in texts(batch)] for split, batch in numbers.items()}
    assert not any("0" in str(n) for n in numbers["train"] if n >= 1000)
    assert any("0" in str(n) for n in numbers["train"] if n < 1000)
    for split in ("validation", "test"):
        assert len(set(numbers[split])) == 400 and min(numbers[split]) >= 100
        assert sum(n >= 1000 and "0" in str(n) for n in numbers[split]) == 200
    assert not any(set(numbers[a]) & set(numbers[b]) for a, b in zip(SPLITS, (*SPLITS[1:], SPLITS[0]), strict=True))
    lengths = np.bincount([len(str(n)) for n in numbers["train"]])[1:] / 3000
    np.testing.assert_allclose(lengths, 0.25, atol=0.03)


@pytest.mark.parametrize("name", MAKERS)
def test_a_row_is_the_same_example_wherever_it_is_asked_for(name):
    dataset = made(name).train
    some = dataset.take(np.array([7, 3, 7]))
    traced = jax.jit(lambda row: dataset.take(row + jnp.arange(2)))(3)
    for a, b in zip(jax.tree.leaves(some), jax.tree.leaves(traced), strict=True):
        np.testing.assert_array_equal(a[0], a[2])
        np.testing.assert_array_equal(a[1], b[0])
    assert jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), dataset.spec) == jax.tree.map(
        lambda leaf: (leaf.shape[1:], leaf.dtype), some
    )


@pytest.mark.parametrize("name", MAKERS)
def test_examples_differ_by_row_by_split_and_by_seed(name):
    task, other = made(name), MAKERS[name](**SMALL, seed=1)
    rows = lambda batch: {row.tobytes() for row in np.asarray(batch.inputs)}
    sets = [rows(batch) for batch in (task.train.take(np.arange(40)), task.validation, task.test, other.validation)]
    alone = 15 if name == "number_words" else 38  # one digit is soon drawn twice
    assert min(len(each) for each in sets) >= alone
    assert all(len(a & b) < 8 for i, a in enumerate(sets) for b in sets[:i])


@pytest.mark.parametrize("name", MAKERS)
def test_examples_are_the_same_in_64_bits(name):
    dataset = made(name).train
    assert_same_values(lambda key: dataset.take(jnp.arange(2, 5, dtype=jnp.int32)))


def test_joined_with_a_batch_they_come_first():
    task = made("copying")
    final = task.with_validation()
    assert final.train.size == 90 and final.train.spec == task.train.spec
    rows = jnp.array([0, 89, 49, 50])
    found = jax.jit(final.train.take)(rows)
    expected = [task.train.take(rows[:1]), task.validation.take(rows[1:2] - 50)]
    for i, one in enumerate(expected):
        jax.tree.map(lambda a, b, i=i: np.testing.assert_array_equal(a[i], b[0]), found, one)
    np.testing.assert_array_equal(found.inputs[2:], [task.train.take(rows)[0][2], task.validation.inputs[0]])


def test_joined_with_what_has_weights_all_have_some():
    plain = tasks.Generated(lambda row: tasks.Batch(row, 2 * row), 3)
    joined = plain.joined(tasks.Batch(jnp.array([7, 8]), jnp.array([1, 1]), jnp.array([0.5, 0.0])))
    batch = joined.take(np.arange(5))
    assert batch.inputs.tolist() == [0, 1, 2, 7, 8] and batch.weight.tolist() == [1, 1, 1, 0.5, 0]


SPACE = jaxnas.spaces.layers(("dense", "conv_3"), depth=1)
OPTIONS = {"batch_size": 10, "devices": jax.devices()[:1]}


def network(task):
    return networks.Layers(("dense", "conv_3"), 1, 8, task.outputs, each=True, causal=True, vocabulary=18)


def stored(task):
    return task._replace(train=task.train.take(np.arange(task.train.size)))


def test_a_population_trains_on_them_as_on_stored_ones():
    task, found = made("spans"), []
    for one in (task, stored(task)):
        evaluator = evaluators.training(SPACE, network(one), one, fitness="span_f1", **OPTIONS)
        proposal = propose(jnp.array([[0], [1]], jnp.int32), jnp.int32(0), budget=12)
        feedback = jax.jit(evaluator.evaluate)(jax.random.key(0), (), proposal)[0]
        assert feedback.valid.all()
        found.append(feedback.metrics)
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-5), *found)


def test_a_final_training_joins_them_with_those_of_validation():
    task = made("copying")
    retrain = lambda one: evaluators.retrain(SPACE, network(one), one, [np.array([1])], steps=12, **OPTIONS)
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-5), retrain(task), retrain(stored(task)))


@pytest.mark.parametrize(
    ("make", "options", "message"),
    [
        (tasks.recall, {"pairs": 17}, "16 tokens of keys, 1 of them a key, make 16 keys; expected at least 17"),
        (tasks.recall, {"tokens_per_key": 8}, "make 4294967296 keys; .* fewer than 2147483648"),
        (tasks.recall, {"length": 30}, r"length: expected at least 31 \(which pairs, queries and noise take\)"),
        (tasks.recall, {"noise": 1}, "noise: expected a number"),
        (tasks.recall, {"train": 0}, "train: expected at least 1"),
        (tasks.recall, {"held_out": 0}, "held_out: expected at least 1"),
        (tasks.copying, {"length": 15}, "length: expected at least 16"),
        (tasks.spans, {"length": 8}, "length: expected at least 9"),
        (tasks.number_words, {"max_digits": 3}, "max_digits: expected at least 4"),
        (tasks.number_words, {"held_out": 5000}, "held_out: expected at most 2000"),
    ],
)
def test_what_cannot_be_is_said(make, options, message):
    with pytest.raises(InputError, match=message):
        make(**options)
