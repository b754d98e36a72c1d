"""Every kind of task in every evaluator that can, and by name where one cannot; what is padding changes nothing."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxnas
from jaxnas import evaluators, tasks, training
from jaxnas.analysis import yardsticks
from jaxnas.check import InputError
from jaxnas.types import propose

KINDS = ("multi_label", "regression", "tabular", "sequence", "next_token", "segmentation")
KEY = jax.random.key(0)
SHARED = {"steps": 4, "recalibrate": 1, "devices": jax.devices()[:1]}


@functools.cache
def parts(kind):
    changes = {"task.augment": False} if kind == "multi_label" else {"space.depth": 1, "network.depth": 1}
    return jaxnas.build(jaxnas.get_config(f"{kind}:small", changes))


def genomes(kind, n=2):
    return jax.vmap(parts(kind).space.sample)(jax.random.split(KEY, n))


def recipe(kind):
    config = jaxnas.get_config(f"{kind}:small")["evaluator"]
    return {k: v for k, v in config.items() if k in training.Recipe._fields}


@pytest.mark.parametrize("kind", KINDS)
def test_scores_are_numpy_s_over_all_examples(kind):
    p = parts(kind)
    trained = training.trainer(p.network, p.task, training.Recipe.of(**recipe(kind)))
    decisions = p.space.unpack(np.asarray(genomes(kind)[0]))
    variables = jax.jit(lambda key: trained.init(key, decisions))(KEY)
    loss, value = jax.jit(lambda v: trained.score(v, decisions, p.task.validation))(variables)
    outputs = jax.jit(lambda v: p.network.apply(v, decisions, p.task.validation.inputs, False))(variables)
    outputs, y, w = (np.asarray(a, float) for a in (outputs, p.task.validation.targets, p.task.validation.weights()))
    logs = outputs - np.log(np.exp(outputs).sum(-1, keepdims=True))
    if kind == "multi_label":
        each, expected = np.logaddexp(0, outputs) - y * outputs, _f1(outputs > 0, y > 0)
    elif kind == "regression":
        each = (outputs - y) ** 2
        expected = (1 - each.sum(0) / ((y - y.mean(0)) ** 2).sum(0)).mean()
    else:
        each = -np.take_along_axis(logs, y.astype(int)[..., None], -1)[..., 0]
        expected = (outputs.argmax(-1) == y).mean()
    each = each.reshape(*w.shape, -1).mean(-1)
    mean = (each * w).sum() / w.sum()
    if kind == "next_token":
        expected = np.exp(mean)
    if kind == "segmentation":
        said = outputs.argmax(-1)
        unions = [((said == c) & (y == c)).sum() / max(((said == c) | (y == c)).sum(), 1) for c in range(3)]
        expected = np.mean([u for c, u in enumerate(unions) if ((said == c) | (y == c)).any()])
    np.testing.assert_allclose([loss, value], [mean, expected], rtol=2e-6)


def _f1(said, true):
    return 2 * (said & true).sum() / (said.sum() + true.sum())


@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=[pytest.mark.slow] if kind == "multi_label" else []) for kind in KINDS]
)
def test_it_trains_and_shares_weights_and_retrains(kind):
    p = parts(kind)
    name = p.task.metric.name
    members = genomes(kind)
    trained = evaluators.training(p.space, p.network, p.task, fitness=name, devices=SHARED["devices"], **recipe(kind))
    feedback = jax.jit(trained.evaluate)(KEY, (), propose(members, jnp.int32(0), budget=2))[0]
    assert feedback.valid.all() and np.isfinite(feedback.metrics[name]).all()
    np.testing.assert_array_equal(
        feedback.fitness, feedback.metrics[name] * (1 if p.task.metric.higher_is_better else -1)
    )
    shared = evaluators.supernet(p.space, p.network, p.task, fitness=name, **SHARED, **recipe(kind))
    state = jax.jit(shared.init)(KEY)
    scored, _ = jax.jit(shared.evaluate)(KEY, state, propose(members, jnp.int32(0)))
    assert scored.valid.all()
    found = evaluators.retrain(p.space, p.network, p.task, [members[0]], steps=1, **recipe(kind))
    assert np.isfinite(found[f"test_{name}"]).all() and found["parameters"][0] > 0


CANNOT = {
    "next_token": {"synflow", "zen", "jacov", "epe_nas"},
    "regression": {"zen", "epe_nas"},
    "tabular": {"zen"},
    "sequence": {"zen"},
    "segmentation": {"epe_nas"},
    "multi_label": {"epe_nas"},
}


@pytest.mark.parametrize("kind", ["next_token", "regression"])
def test_proxies_score_it_or_say_by_name_that_they_cannot(kind):
    p = parts(kind)
    cannot = set()
    for name in jaxnas.proxies.PROXIES:
        try:
            evaluators.zero_cost(p.space, p.network, p.task, proxies=name, batch_size=4, devices=SHARED["devices"])
        except InputError as error:
            assert name in str(error) or name == "zen", error
            cannot.add(name)
    assert cannot == CANNOT[kind]


def test_padding_changes_no_loss_gradient_or_metric():
    p = parts("next_token")
    trained = training.trainer(p.network, p.task, training.Recipe.of(**recipe("next_token")))
    decisions = p.space.unpack(np.asarray(genomes("next_token")[0]))
    variables = jax.jit(lambda key: trained.init(key, decisions))(KEY)
    batch = p.task.train.take(jnp.arange(8))
    other = batch._replace(targets=jnp.where(batch.weight > 0, batch.targets, 3))
    of = jax.jit(jax.value_and_grad(lambda v, b: trained.loss(v, decisions, b, 0.0, KEY)[0]))
    jax.tree.map(np.testing.assert_array_equal, of(variables, batch), of(variables, other))
    score = jax.jit(lambda v, b: trained.score(v, decisions, b))
    np.testing.assert_array_equal(score(variables, batch), score(variables, other))


def test_devices_that_share_a_padded_batch_learn_what_one_learns():
    p, found = parts("next_token"), []
    for devices in (SHARED["devices"], jax.devices()[:2]):
        shared = evaluators.supernet(p.space, p.network, p.task, steps=4, batch_size=16, recalibrate=0, devices=devices)
        proposal = propose(genomes("next_token"), jnp.int32(0), budget=2)
        feedback, state = jax.jit(shared.evaluate)(KEY, jax.jit(shared.init)(KEY), proposal)
        found.append((feedback.metrics["train_loss"], state.params["weights"]))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), *found)


def test_a_later_token_changes_nothing_earlier():
    p = parts("next_token")
    x = p.task.train.inputs[:4]
    for genome in genomes("next_token", 6):
        decisions = p.space.unpack(np.asarray(genome))
        apply = jax.jit(lambda v, x, d=decisions: p.network.apply(v, d, x, False))
        variables = jax.jit(lambda key, d=decisions: p.network.init(key, d, x, False))(KEY)
        np.testing.assert_allclose(
            apply(variables, x)[:, :5], apply(variables, x.at[:, 5:].set(2))[:, :5], rtol=1e-5, atol=1e-6
        )


@pytest.mark.parametrize("kind", KINDS)
def test_yardsticks_fit_the_kind(kind):
    rows = yardsticks.classical(parts(kind).task)
    metric = parts(kind).task.metric
    values = {name: row[f"test_{metric.name}"][0] for name, row in rows.items()}
    assert len(values) >= 1 and np.isfinite([*values.values()]).all()
    if kind == "next_token":
        assert values["bigram frequencies"] < values["frequencies"] < 14
    if kind == "segmentation":  # all background
        labels = np.asarray(parts(kind).task.test.targets)
        assert values["frequencies"] == pytest.approx((labels == 0).mean() / 3)


def test_inputs_may_be_several_arrays():
    import flax.linen as nn

    class Both(nn.Module):
        @nn.compact
        def __call__(self, decisions, x, train):
            return nn.Dense(2)(jnp.concatenate([x["numbers"], nn.Embed(3, 4)(x["kind"])], -1))

    random = np.random.default_rng(0)
    x = {"numbers": random.normal(size=(40, 2)), "kind": random.integers(0, 3, 40)}
    y = np.stack([x["numbers"].sum(1), x["kind"]], 1)
    splits = dict.fromkeys(("train", "validation", "test"), (x, y))
    task = tasks.arrays(splits, loss=tasks.squared_error, metric=tasks.r2, outputs=2)
    space = jaxnas.spaces.categorical({"a": (1, 2)})
    evaluator = evaluators.training(space, Both(), task, batch_size=8, devices=SHARED["devices"])
    feedback = jax.jit(evaluator.evaluate)(KEY, (), propose(jnp.zeros((1, 1), jnp.int32), jnp.int32(0), budget=200))[0]
    assert feedback.metrics["r2"][0] > 0.9
