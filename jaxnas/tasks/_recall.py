"""Tasks whose training examples are made by key inside the program: recall, copying, spans, numbers in words."""

import functools
from collections.abc import Callable

import chex
import jax
import jax.numpy as jnp
import numpy as np

from jaxnas import check
from jaxnas.check import InputError
from jaxnas.tasks.batch import Batch, Generated
from jaxnas.tasks.metrics import exact_match, span_f1
from jaxnas.tasks.task import SPLITS, Task, arrays


def recall(
    *,
    pairs: int = 8,
    vocabulary: int = 32,
    length: int | None = None,
    tokens_per_key: int = 1,
    tokens_per_value: int = 1,
    noise: float = 0.0,
    train: int = 100_000,
    held_out: int = 1000,
    seed: int = 0,
) -> Task:
    """Associative recall in context: pairs of a key and a value, then each key again, in another order, with its value.

    The next token is predicted, and counts where it is of a value of the second part (weight `[B, T]`). Keys of an
    example differ; keys and values are new in each example. Tokens are 0, a blank; from 1 on `vocabulary // 2` of keys;
    the rest of the vocabulary, of values; with noise then `vocabulary // 2` of noise. The metric is accuracy.

    Args:
      pairs: of a key and a value, each asked for once.
      vocabulary: tokens of keys and values, half of them each.
      length: T, tokens of an input; by default as many as pairs, queries and noise take. If there are more, blanks
        separate the pairs from the queries.
      tokens_per_key: of which a key consists.
      tokens_per_value: of which a value consists.
      noise: share of tokens of noise among all but blanks, at random places between keys with their values.
      train: examples to train on, made as they are asked for.
      held_out: examples for validation, and as many for the test.
      seed: of all examples.

    Raises:
      InputError: a number out of its range, fewer keys than pairs, or a length that does not suffice.
    """
    for name, value in {"pairs": pairs, "tokens_per_key": tokens_per_key, "tokens_per_value": tokens_per_value}.items():
        check.integer(name, value, least=1)
    check.integer("vocabulary", vocabulary, least=2)
    check.real("noise", noise, least=0, most=0.9)
    keys = (vocabulary // 2) ** tokens_per_key
    if not pairs <= keys < 2**31:
        raise InputError(
            f"vocabulary: {vocabulary // 2} tokens of keys, {tokens_per_key} of them a key, make {keys} keys; expected "
            f"at least {pairs}, one of each pair, and fewer than {2**31}."
        )
    unit = tokens_per_key + tokens_per_value
    stray = round(2 * pairs * unit * noise / (1 - noise))
    least = 2 * pairs * unit + stray - 1
    if length is not None:
        check.integer("length", length, least=least, because="which pairs, queries and noise take")
    make = functools.partial(_recall, pairs, vocabulary, tokens_per_key, tokens_per_value, stray, length or least)
    outputs = 1 + vocabulary + (vocabulary // 2 if stray else 0)
    return arrays(_splits(make, seed, train, held_out), name="recall", outputs=outputs)


def _recall(
    pairs: int, vocabulary: int, per_key: int, per_value: int, stray: int, length: int, key: chex.PRNGKey
) -> Batch:
    draws, unit, of_keys, total = jax.random.split(key, 5), per_key + per_value, vocabulary // 2, length + 1
    keys = 1 + _digits(_distinct(draws[0], pairs, of_keys**per_key), of_keys, per_key)
    values = jax.random.randint(draws[1], (pairs, per_value), 1 + of_keys, 1 + vocabulary, jnp.int32)
    told = jnp.concatenate([keys, values], 1)
    asked = jax.random.permutation(draws[2], told)
    starts = _starts(draws[3], 2 * pairs, unit, stray)
    blanks = total - 2 * pairs * unit - stray
    place, query = jnp.arange(total, dtype=jnp.int32), starts[pairs]
    others = jax.random.randint(draws[4], (total,), 1 + vocabulary, 1 + vocabulary + of_keys, jnp.int32)
    others = jnp.where((place >= query) & (place < query + blanks), 0, others)
    starts = starts.at[pairs:].add(blanks)
    tokens = others.at[starts[:, None] + np.arange(unit, dtype=np.int32)].set(jnp.concatenate([told, asked]))
    answers = starts[pairs:, None] + np.arange(per_key, unit, dtype=np.int32)
    return _next_token(tokens, jnp.zeros(total, bool).at[answers].set(True))


def _starts(key: chex.PRNGKey, units: int, size: int, stray: int) -> chex.Array:
    """`[units]` places at which units of `size` tokens begin among single tokens in between, all orders alike."""
    sizes = jnp.asarray([size] * units + [1] * stray, jnp.int32)
    sizes = jax.random.permutation(key, sizes) if stray else sizes
    starts = jnp.cumsum(sizes, dtype=jnp.int32) - sizes
    return starts[jnp.flatnonzero(sizes == size, size=units)]


def _distinct(key: chex.PRNGKey, count: int, n: int) -> chex.Array:
    """`[count]` different whole numbers below n in random order, uniform, without an array of n (Floyd's sampling)."""
    draw, shuffle = jax.random.split(key)
    uniform = jax.random.randint(draw, (count,), 0, jnp.arange(n - count, n, dtype=jnp.int32) + 1, jnp.int32)

    def add(i, chosen):
        return chosen.at[i].set(jnp.where((chosen == uniform[i]).any(), n - count + i, uniform[i]).astype(jnp.int32))

    return jax.random.permutation(shuffle, jax.lax.fori_loop(0, count, add, jnp.full(count, -1, jnp.int32)))


def _digits(numbers: chex.Array, base: int, count: int) -> chex.Array:
    """`[N, count]` digits of `[N]` numbers, the first the least."""
    return numbers[:, None] // np.int32(base) ** np.arange(count, dtype=np.int32) % base


def copying(
    *,
    symbols: int = 8,
    vocabulary: int = 16,
    length: int = 64,
    train: int = 100_000,
    held_out: int = 1000,
    seed: int = 0,
) -> Task:
    """Selective copying: symbols at random places among blanks, a mark, and the symbols again, in their order.

    The next token is predicted, and counts where it is one of those after the mark (weight `[B, T]`). Tokens are 0, a
    blank, 1, the mark, and from 2 on the symbols. The metric is accuracy.

    Args:
      symbols: to copy.
      vocabulary: different symbols.
      length: T, tokens of an input.
      train: examples to train on, made as they are asked for.
      held_out: examples for validation, and as many for the test.
      seed: of all examples.

    Raises:
      InputError: a number out of its range, or a length that does not suffice.
    """
    check.integer("symbols", symbols, least=1)
    check.integer("vocabulary", vocabulary, least=2)
    check.integer("length", length, least=2 * symbols, because="the symbols twice")
    make = functools.partial(_copying, symbols, vocabulary, length)
    return arrays(_splits(make, seed, train, held_out), name="copying", outputs=2 + vocabulary)


def _copying(symbols: int, vocabulary: int, length: int, key: chex.PRNGKey) -> Batch:
    draw, where = jax.random.split(key)
    drawn = jax.random.randint(draw, (symbols,), 2, 2 + vocabulary, jnp.int32)
    scattered = jnp.zeros(length - symbols, jnp.int32).at[_places(where, symbols, length - symbols)].set(drawn)
    tokens = jnp.concatenate([scattered, jnp.ones(1, jnp.int32), drawn])
    return _next_token(tokens, jnp.arange(length + 1, dtype=jnp.int32) > length - symbols)


def _places(key: chex.PRNGKey, count: int, n: int) -> chex.Array:
    """`[count]` different places out of n, all alike, in ascending order."""
    return jnp.sort(jax.random.permutation(key, jnp.arange(n, dtype=jnp.int32))[:count])


def spans(
    *,
    length: int = 32,
    most: int = 3,
    vocabulary: int = 16,
    train: int = 100_000,
    held_out: int = 1000,
    seed: int = 0,
) -> Task:
    """Labels of tokens: what stands between two quotation marks, among random words.

    A quotation mark that begins looks like one that ends, so that a word's label depends on all marks before it. Tokens
    are 0, the mark, and from 1 on words. Labels are 0 outside of all spans and for marks, 1 for the first word of a
    span, 2 for its others. The metric is F1 of spans.

    Args:
      length: T, tokens of an input.
      most: spans in an example; at least one, of at least one word.
      vocabulary: different words.
      train: examples to train on, made as they are asked for.
      held_out: examples for validation, and as many for the test.
      seed: of all examples.

    Raises:
      InputError: a number out of its range, or a length that does not suffice.
    """
    check.integer("most", most, least=1)
    check.integer("vocabulary", vocabulary, least=1)
    check.integer("length", length, least=3 * most, because="two marks and a word of each span")
    make = functools.partial(_marked, length, most, vocabulary)
    return arrays(_splits(make, seed, train, held_out), name="spans", metric=span_f1(), outputs=3)


def _marked(length: int, most: int, vocabulary: int, key: chex.PRNGKey) -> Batch:
    draw, where, many = jax.random.split(key, 3)
    ordinal = jnp.arange(2 * most, dtype=jnp.int32)
    # A word of each span is left out when places are drawn, and put back, so that no span is empty.
    places = _places(where, 2 * most, length - most) + (ordinal + 1) // 2
    there = ordinal < 2 * jax.random.randint(many, (), 1, most + 1, jnp.int32)
    mark = jnp.zeros(length, jnp.int32).at[places].set(there.astype(jnp.int32))
    within = (jnp.cumsum(mark, dtype=jnp.int32) % 2 == 1) & (mark == 0)
    first = within & (jnp.pad(mark, (1, 0))[:-1] == 1)
    words = jax.random.randint(draw, (length,), 1, 1 + vocabulary, jnp.int32)
    return Batch(jnp.where(mark == 1, 0, words), jnp.where(first, 1, jnp.where(within, 2, 0)).astype(jnp.int32))


SYMBOLS = " =.0123456789abcdefghijklmnopqrstuvwxyz"
"""Tokens of `number_words`; the first is also padding."""
ONES = (
    *("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve", "thirteen"),
    *("fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"),
)
TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
PIECES = ("", *(f" {word}" for word in (*ONES, *TENS, "hundred", "and", "thousand")), "=", ".", *"0123456789")
"""What numbers are written of, one after another; the first is nothing, and those up to nineteen have their number."""
TWENTY, HUNDRED, AND, THOUSAND, EQUALS, STOP, ZERO = map(
    PIECES.index, (" twenty", " hundred", " and", " thousand", "=", ".", "0")
)
SIZES = np.array([len(piece) for piece in PIECES], np.int32)
LETTERS = np.array([[SYMBOLS.index(c) for c in piece.ljust(SIZES.max())] for piece in PIECES], np.int32)
LONGEST = 373_373
"""Its last digits make the number, of as many digits, that is longest in words."""


def number_words(
    *, max_digits: int = 4, apart: bool = False, train: int = 100_000, held_out: int = 1000, seed: int = 0
) -> Task:
    """Numbers in words, letter by letter, and then in digits: " four hundred and two=402.".

    The next character is predicted, and counts after "=", up to the full stop (weight `[B, T]`). The metric is the
    share of numbers of which all that counts is right.

    In training, numbers of `max_digits` digits have no 0 among them, though shorter ones may: few words for many digits
    are new in validation and test. Half of their examples are such numbers; the other half are like those of training,
    and from 100 on. No number is in two splits. In training, each number of digits is as frequent as the others.

    Args:
      max_digits: numbers are below 10 to this power.
      apart: whether inputs are `{"source": words, "target": "=" and digits}`, for an encoder and a decoder.
      train: examples to train on, made as they are asked for.
      held_out: examples for validation, and as many for the test.
      seed: of all examples, and of which numbers are not trained on.

    Raises:
      InputError: a number out of its range.
    """
    check.integer("max_digits", max_digits, least=4, most=6)
    check.integer("held_out", held_out, least=2, most=2000, because="there are no more numbers to hold out")
    check.seed("seed", seed)
    numbers = _numbers(max_digits, held_out, seed)
    bounds = np.searchsorted(numbers["train"], 10 ** np.arange(max_digits + 1)).astype(np.int32)
    length = int(SIZES[np.asarray(_pieces(max_digits, np.int32(LONGEST % 10**max_digits)))].sum())
    written = functools.partial(_apart if apart else _written, max_digits, length)

    def drawn(key):
        digits, which = jax.random.split(key)
        digits = jax.random.randint(digits, (), 0, max_digits, jnp.int32)
        first, last = jnp.asarray(bounds)[digits], jnp.asarray(bounds)[digits + 1]
        return written(jnp.asarray(numbers["train"])[jax.random.randint(which, (), first, last, jnp.int32)])

    splits = _splits(drawn, seed, train, held_out)
    splits |= {split: jax.jit(jax.vmap(written))(numbers[split]) for split in SPLITS[1:]}
    return arrays(splits, name="number_words", metric=exact_match, outputs=len(SYMBOLS))


def _numbers(max_digits: int, held_out: int, seed: int) -> dict[str, np.ndarray]:
    """Split -> its numbers; those of training ascend."""
    every = np.arange(1, 10**max_digits, dtype=np.int32)
    has_zero = np.any([every // 10**i % 10 == 0 for i in range(max_digits)], 0)
    new = has_zero & (every >= 10 ** (max_digits - 1))
    random = np.random.default_rng(seed)
    long, others = random.permutation(every[new]), random.permutation(every[~new & (every >= 100)])
    n = held_out // 2
    m = held_out - n
    return {
        "train": np.setdiff1d(every[~new], others[: 2 * m]),
        "validation": np.concatenate([long[:n], others[:m]]),
        "test": np.concatenate([long[n : 2 * n], others[m : 2 * m]]),
    }


def _written(max_digits: int, length: int, number: chex.Array) -> Batch:
    """The example of a number, of `length` characters with that which is only a target."""
    characters, starts = _characters(_pieces(max_digits, number), length)
    place, first = jnp.arange(length, dtype=jnp.int32), starts[-1 - max_digits]
    return _next_token(characters, (place >= first) & (place <= starts[-1]))


def _apart(max_digits: int, length: int, number: chex.Array) -> Batch:
    """The same, whose words are the source and whose digits are the target."""
    pieces, digits = _pieces(max_digits, number), max_digits + 2  # with what is before and after them
    source, _ = _characters(pieces[:-digits], length - digits)
    target, starts = _characters(pieces[-digits:], digits)
    batch = _next_token(target, jnp.arange(digits) <= starts[-1])
    return batch._replace(inputs={"source": source, "target": batch.inputs})


def _characters(pieces: chex.Array, length: int) -> tuple[chex.Array, chex.Array]:
    """The characters `[length]` of pieces, then padding, and where each piece starts."""
    sizes = jnp.asarray(SIZES)[pieces]
    starts = jnp.cumsum(sizes, dtype=jnp.int32) - sizes
    at = jnp.arange(LETTERS.shape[1], dtype=jnp.int32)
    places = jnp.where(at < sizes[:, None], starts[:, None] + at, length)  # the rest is outside, and dropped
    return jnp.zeros(length, jnp.int32).at[places].set(jnp.asarray(LETTERS)[pieces], mode="drop"), starts


def _pieces(max_digits: int, number: chex.Array) -> chex.Array:
    """The pieces, of `PIECES`, of a number in words and in digits; the latter and a full stop are last."""
    thousands, rest = number // 1000, number % 1000
    words = [*_below_1000(thousands, False), jnp.where(thousands > 0, THOUSAND, 0), *_below_1000(rest, thousands > 0)]
    powers = [10**i for i in reversed(range(max_digits))]
    digits = [jnp.where(number >= power, ZERO + number // power % 10, 0) for power in powers]
    return jnp.stack([jnp.asarray(piece, jnp.int32) for piece in (*words, EQUALS, *digits, STOP)])


def _below_1000(number: chex.Array, after: chex.Array) -> list[chex.Array]:
    """The pieces of a number below 1000 in words, where `after` says whether thousands come before it."""
    hundreds, rest = number // 100, number % 100
    return [
        hundreds,
        jnp.where(hundreds > 0, HUNDRED, 0),
        jnp.where((rest > 0) & ((hundreds > 0) | after), AND, 0),
        jnp.where(rest >= 20, TWENTY - 2 + rest // 10, 0),
        jnp.where(rest >= 20, rest % 10, rest),
    ]


def _splits(make: Callable[[chex.PRNGKey], Batch], seed: int, train: int, held_out: int) -> dict[str, Generated]:
    """Examples that a function of a key makes, of keys of their own in each split; those of training by each row's."""
    check.seed("seed", seed)
    sizes = {"train": train, "validation": held_out, "test": held_out}
    for name, size in {"train": train, "held_out": held_out}.items():
        check.integer(name, size, least=1, most=2**31 - 1)

    def by_row(split, row):
        return make(jax.random.fold_in(jax.random.fold_in(jax.random.key(seed), SPLITS.index(split)), row))

    return {split: Generated(functools.partial(by_row, split), sizes[split]) for split in SPLITS}


def _next_token(tokens: chex.Array, counts: chex.Array) -> Batch:
    """An example of tokens `[T + 1]` with what comes before each as its input, of which those count that are said."""
    return Batch(tokens[:-1], tokens[1:], counts[1:].astype(jnp.float32))
