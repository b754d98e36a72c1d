"""Optimizers and schedules as Optax has them, what is frozen, and trainings that go on where they stopped."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxnas import tasks
from jaxnas.evaluators import training
from jaxnas.population import CompileMeter
from jaxnas.spaces import categorical
from jaxnas.training import Recipe, fits, trainer
from jaxnas.types import propose

KEY, STEPS = jax.random.key(0), 12
SPACE = categorical({"a": (1, 2)})
random = np.random.default_rng(0)
PAIR = random.normal(size=(24, 4)).astype(np.float32), random.integers(0, 3, 24)
TASK = tasks.arrays(dict.fromkeys(("train", "validation", "test"), PAIR))


class Net(nn.Module):
    @nn.compact
    def __call__(self, decisions, x, train):
        return nn.Dense(3, name="head")(nn.relu(nn.Dense(5, name="body")(x)))


def parts(**recipe):
    return trainer(Net(), TASK, Recipe.of(**{"batch_size": 8, **recipe}))


@jax.jit
def loss(params, batch):
    return TASK.loss(Net().apply({"params": params}, None, batch.inputs, True), batch.targets).mean()


def by_hand(made, optimizer, steps=STEPS):
    """Parameters after each step of an Optax loop over the trainer's batches."""
    init_key, order_key, augment_key = jax.random.split(KEY, 3)
    params = made.init(init_key, None)["params"]
    state, seen = optimizer.init(params), []
    for t in range(steps):
        batch = made.batch(augment_key, made.order(order_key, t // made.per_epoch), t)
        updates, state = optimizer.update(jax.grad(loss)(params, batch), state, params)
        params = optax.apply_updates(params, updates)
        seen.append(params)
    return seen


def close(ours, theirs, **tolerance):
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, **{"rtol": 2e-5, "atol": 1e-6, **tolerance}), ours, theirs
    )


def test_adamw_with_a_mask_and_warm_up_is_optax_s_step_by_step():
    made = parts(optimizer="adamw", learning_rate=0.01, warm_up=4, weight_decay=0.1, no_decay="*/bias")
    schedule = optax.warmup_cosine_decay_schedule(0.0, 0.01, 4, STEPS)
    mask = lambda params: jax.tree_util.tree_map_with_path(lambda path, _: path[-1].key != "bias", params)
    advance = jax.jit(lambda state, until: made.advance(KEY, None, state, until, STEPS))
    state = made.begin(KEY, None)
    for t, expected in enumerate(by_hand(made, optax.adamw(schedule, weight_decay=0.1, mask=mask)), 1):
        state = advance(state, t)
        close(made.variables(None, state)["params"], expected)


OPTIMIZERS = {
    "lion": (
        {"optimizer": {"name": "lion", "b2": 0.9}, "schedule": "linear", "learning_rate": 0.01, "weight_decay": 0.1},
        lambda: optax.lion(optax.linear_schedule(0.01, 0, STEPS), b2=0.9, weight_decay=0.1),
    ),
    "lamb": (  # by layer, so that its parameters are no vector
        {"optimizer": "lamb", "schedule": "constant", "learning_rate": 0.01, "weight_decay": 0.1},
        lambda: optax.lamb(0.01, weight_decay=0.1),
    ),
    "sgd": (
        {"learning_rate": 0.1, "weight_decay": 0.1, "clip_norm": 0.5},
        lambda: optax.chain(
            optax.clip_by_global_norm(0.5),
            optax.add_decayed_weights(0.1),
            optax.sgd(optax.cosine_decay_schedule(0.1, STEPS), 0.9, True),
        ),
    ),
    "own": (
        {"optimizer": lambda rate: optax.chain(optax.scale_by_rms(), optax.scale_by_learning_rate(rate))},
        lambda: optax.chain(
            optax.scale_by_rms(), optax.scale_by_schedule(lambda t: -optax.cosine_decay_schedule(0.1, STEPS)(t))
        ),
    ),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizers_are_optax_s(name):
    recipe, optimizer = OPTIMIZERS[name]
    made = parts(**recipe)
    variables, _ = jax.jit(lambda key: made.train(key, None, STEPS))(KEY)
    close(variables["params"], by_hand(made, optimizer())[-1], rtol=1e-3)


def test_what_is_frozen_stays_to_the_bit_and_the_rest_learns():
    made = parts(frozen="body/*", optimizer="adamw")
    before = made.variables(None, made.begin(KEY, None))["params"]
    after = jax.jit(lambda key: made.train(key, None, STEPS))(KEY)[0]["params"]
    jax.tree.map(np.testing.assert_array_equal, before["body"], after["body"])
    assert (before["head"]["kernel"] != after["head"]["kernel"]).all()


@pytest.mark.parametrize("recipe", [{}, {"optimizer": "lamb", "ema": 0.9, "no_decay": "*/bias"}])
def test_a_training_that_goes_on_is_the_uninterrupted_one_to_the_bit(recipe):
    made = parts(**recipe)
    advance = jax.jit(lambda state, until: made.advance(KEY, None, state, until, STEPS))
    begun = jax.jit(lambda: made.begin(KEY, None))()
    parted = advance(advance(advance(begun, 5), 6), STEPS)  # epochs are of three steps
    jax.tree.map(np.testing.assert_array_equal, parted, advance(begun, STEPS))


def test_a_batch_in_parts_has_the_same_gradient():
    both = [jax.jit(parts(accumulate=k).train, static_argnums=(1, 2))(KEY, None, STEPS) for k in (1, 4)]
    close(both[1], both[0])


def test_the_average_of_parameters_is_what_is_scored():
    plain, averaged = parts(learning_rate=0.5), parts(learning_rate=0.5, ema=0.8)
    expected = plain.begin(KEY, None).params
    advance = jax.jit(lambda state, until: plain.advance(KEY, None, state, until, STEPS))
    state = plain.begin(KEY, None)
    for t in range(1, STEPS + 1):
        state = advance(state, t)
        expected = jax.tree.map(lambda a, p: 0.8 * a + 0.2 * p, expected, state.params)
    found = jax.jit(lambda key: averaged.train(key, None, STEPS))(KEY)[0]["params"]
    close(found, averaged.packing(None).join(expected, {}))


def test_a_population_of_learning_rates_is_one_program():
    rates = categorical({"log2": tuple(range(-6, 2))})
    numbers = lambda genome: {"learning_rate": 2.0 ** (genome[0] - 6.0)}
    options = {"batch_size": 8, "devices": jax.devices()[:1]}
    evaluator = training(rates, Net(), TASK, hyperparameters=numbers, **options)
    evaluate = jax.jit(evaluator.evaluate)
    of = lambda genomes: propose(jnp.array(genomes, jnp.int32)[:, None], jnp.int32(0), budget=STEPS)
    first = evaluate(KEY, (), of([0, 3, 5, 7]))[0].metrics["loss"]
    meter = CompileMeter()
    evaluate(KEY, (), of([1, 2, 4, 6]))
    assert meter.compiles == 0 and len(np.unique(first)) == 4
    alone = training(rates, Net(), TASK, learning_rate=2.0**-3, **options)
    expected = jax.jit(alone.evaluate)(KEY, (), of([3, 3, 3, 3]))[0].metrics["loss"]
    np.testing.assert_allclose(first[1], expected[1], rtol=1e-5)


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        ({"optimizer": "adamv"}, "optimizer: unknown 'adamv'. Did you mean 'adam"),
        ({"optimizer": {"name": "adamw", "beta": 1}}, "optimizer 'adamw': unknown 'beta'"),
        ({"optimizer": lambda rate: 1}, "optimizer: expected an optax.GradientTransformation"),
        ({"schedule": "cosin"}, "schedule: unknown 'cosin'. Did you mean 'cosine'"),
        ({"frozen": "stem/*"}, "frozen: 'stem/\\*' matches none of 4 parameters. The nearest is"),
        ({"no_decay": lambda path: False}, "no_decay: the function matches none of 4 parameters"),
        ({"accumulate": 3}, "accumulate: 8 examples of a batch are not 3 equal parts"),
        ({"ema": 1.5}, "ema: expected a number in"),
        ({"warm_up": -1}, "warm_up: expected at least 0"),
    ],
)
def test_what_cannot_be_is_refused_by_name(recipe, message):
    with pytest.raises(ValueError, match=message):
        fits(SPACE, Net(), TASK, Recipe.of(**{"batch_size": 8, **recipe}))


def test_a_number_that_cannot_differ_by_member_is_refused():
    with pytest.raises(ValueError, match="hyperparameters: expected learning_rate, .* got 'batch_size'"):
        jax.eval_shape(lambda key: parts().train(key, None, 3, {"batch_size": 4}), KEY)
