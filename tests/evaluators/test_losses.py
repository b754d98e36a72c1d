"""A loss or metric of one's own: what is descended on and reported is its mean over all examples, or it is refused."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxnas import problems, tasks
from jaxnas.evaluators import retrain, supernet, training, zero_cost
from jaxnas.proxies import PROXIES
from jaxnas.spaces import categorical
from jaxnas.tasks.task import judged
from jaxnas.training import Recipe, trainer

SPACE = categorical({"a": (1, 2)})
KEY = jax.random.key(0)


class Linear(nn.Module):
    """`sows` further logits where they are asked for."""

    outputs: int = 3

    @nn.compact
    def __call__(self, decisions, x, train):
        if train and self.is_mutable_collection("auxiliary"):
            self.sow("auxiliary", "logits", nn.Dense(self.outputs, name="aside")(x))
        return nn.Dense(self.outputs, name="main")(x)


def hits(outputs, y):
    return (outputs > 0) == (y > 0.5)


def mean(fn):
    return tasks.mean_metric(fn, higher_is_better=True, name="hits")


HITS = mean(hits)


def made(loss=optax.sigmoid_binary_cross_entropy, metric=HITS, outputs=3, targets=(3,), n=259):
    random = np.random.default_rng(0)
    pair = random.normal(size=(n, 4)), random.integers(0, 2, (n, *targets)).astype(float)
    return tasks.arrays(dict.fromkeys(("train", "validation", "test"), pair), loss=loss, metric=metric, outputs=outputs)


def initialized(parts):
    return jax.jit(lambda key: parts.init(key, None))(KEY)


def outputs_of(variables, task, head="main"):
    params = variables["params"][head]
    return np.asarray(task.validation.inputs, float) @ np.asarray(params["kernel"]) + np.asarray(params["bias"])


def entropies(outputs, y):
    return np.logaddexp(0, outputs) - np.asarray(y) * outputs


def test_several_numbers_of_an_example_are_averaged_over_all_examples():
    task = made()  # of 259 examples, which chunks do not divide
    parts = trainer(Linear(), task, Recipe())
    variables = initialized(parts)
    outputs, y = outputs_of(variables, task), task.validation.targets
    loss, metric = jax.jit(parts.score, static_argnums=1)(variables, None, task.validation)
    np.testing.assert_allclose(loss, entropies(outputs, y).mean(), rtol=1e-6)
    np.testing.assert_allclose(metric, ((outputs > 0) == (y > 0.5)).mean(), rtol=1e-6)


def test_training_and_its_auxiliary_heads_descend_on_the_same_mean():
    task = made()
    parts = trainer(Linear(), task, Recipe(auxiliary=0.5))
    variables = initialized(parts)
    loss, _ = jax.jit(lambda v: parts.loss(v, None, task.train, 0.0, KEY))(variables)
    expected = [entropies(outputs_of(variables, task, head), task.train.targets).mean() for head in ("main", "aside")]
    np.testing.assert_allclose(loss, expected[0] + 0.5 * expected[1], rtol=1e-6)


def test_a_supernet_scores_paths_by_the_same_mean():
    task = made()
    evaluator = supernet(SPACE, Linear(), task, steps=1)
    state = jax.jit(evaluator.init)(KEY)
    outputs = outputs_of(evaluator.inherit(state, np.array([0])), task)
    loss = jax.jit(evaluator.loss)(state, np.float32([[0.5, 0.5]]), task.validation)
    np.testing.assert_allclose(loss, entropies(outputs, task.validation.targets).mean(), rtol=1e-6)


def test_proxies_take_the_gradient_of_the_same_mean():
    task = made(n=8)
    params = jax.jit(lambda key: Linear().init(key, None, task.train.inputs, False)["params"])(KEY)
    apply_fn = lambda params, x: Linear().apply({"params": params}, None, x, False)
    mean = lambda p: task.loss(apply_fn(p, task.train.inputs), task.train.targets).mean()
    found, slope = jax.jit(lambda p: (PROXIES["plain"](apply_fn, p, task.train, KEY, task.loss), jax.grad(mean)(p)))(
        params
    )
    expected = (np.asarray(slope["main"]["kernel"]) * params["main"]["kernel"]).sum()
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_a_problem_has_the_same_mean():
    task = made(n=20)
    problem = problems.supervised(task)
    apply = lambda genome, x: x[:, :3]
    genome = type("Genome", (), {"recurrent": False})
    fitness, metrics = problem.fitness(apply, genome, KEY)
    x, y = np.asarray(task.train.inputs)[:, :3], np.asarray(task.train.targets)
    np.testing.assert_allclose(fitness, -entropies(x, y).mean(), rtol=1e-6)
    np.testing.assert_allclose(metrics["hits"], ((x > 0) == (y > 0.5)).mean(), rtol=1e-6)


BUILDERS = {
    "training": lambda task: training(SPACE, Linear(task.outputs), task),
    "retrain": lambda task: retrain(SPACE, Linear(task.outputs), task, [np.array([0])], steps=1),
    "supernet": lambda task: supernet(SPACE, Linear(task.outputs), task, steps=1),
    "zero_cost": lambda task: zero_cost(SPACE, Linear(task.outputs), task, proxies="l2_norm", batch_size=8),
    "supervised": problems.supervised,
}


@pytest.mark.parametrize("builder", BUILDERS)
def test_squares_that_broadcast_to_pairs_of_examples_are_refused(builder):
    task = made(lambda outputs, y: (outputs - y) ** 2, mean(lambda outputs, y: -outputs[:, 0]), 1, ())
    with pytest.raises(
        ValueError, match=r"loss: expected one number for each example.* it gives shape \(3, 3\) for B = 3"
    ):
        BUILDERS[builder](task)


@pytest.mark.parametrize("builder", BUILDERS)
def test_a_metric_that_is_a_mean_already_is_refused(builder):
    task = made(metric=mean(lambda outputs, y: hits(outputs, y).mean()))
    with pytest.raises(ValueError, match=r"metric 'hits': expected one number for each example.* it gives shape \(\)"):
        BUILDERS[builder](task)


@pytest.mark.parametrize(
    ("loss", "targets", "said"),
    [
        (lambda outputs, y: outputs.T, (3,), r"gives shape \(3, 4\) for B = 4"),  # the first axis is not the batch
        (lambda outputs, y: {"a": outputs}, (3,), "gives a dict"),
        (lambda outputs, y: 1.0, (3,), r"gives shape \(\)"),
        (lambda outputs, y: outputs - y, (), "does not run on .*B, 3.* and targets .B., here for B = 4"),
    ],
)
def test_what_is_not_of_each_example_is_refused(loss, targets, said):
    """The last would broadcast in a batch of three."""
    with pytest.raises(ValueError, match=f"loss: .*{said}"):
        judged("loss", loss, jnp.ones((3, 3)), jnp.ones((3, *targets)))


def test_a_fault_of_a_loss_stays_one():
    with pytest.raises(AttributeError, match="nothing"):
        BUILDERS["training"](made(lambda outputs, y: outputs.nothing))


def test_label_smoothing_is_of_each_example_too():
    x, y = np.random.default_rng(0).normal(size=(8, 4)), np.arange(8) % 3
    task = tasks.arrays(dict.fromkeys(("train", "validation", "test"), (x, y)))
    parts = trainer(Linear(), task, Recipe(label_smoothing=0.3))
    variables = initialized(parts)
    outputs = outputs_of(variables, task)
    logs = outputs - np.logaddexp.reduce(outputs, 1, keepdims=True)
    targets = 0.7 * np.eye(3)[y] + 0.1
    loss, _ = jax.jit(lambda v: parts.loss(v, None, task.train, 0.0, KEY))(variables)
    np.testing.assert_allclose(loss, -(targets * logs).sum(1).mean(), rtol=1e-6)


def test_a_cutout_of_what_is_no_image_is_refused_before_anything_runs():
    with pytest.raises(ValueError, match=r"augment: cutout is for images \[B, H, W, C\], got inputs of \(64, 4\)"):
        training(SPACE, Linear(), made(), cutout=2)
