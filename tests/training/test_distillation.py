"""Learning from a teacher: the loss in closed form, and that a student becomes its teacher."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnas import spaces, tasks
from jaxnas.check import InputError
from jaxnas.evaluators import retrain
from jaxnas.networks import Transformer
from jaxnas.training import Distillation, Recipe, trainer

OPTIONS = {
    "layers": 1,
    "heads": (2,),
    "groups": (2,),
    "head_sizes": (4,),
    "widths": (8,),
    "mixers": ("attention", "none"),
}
SPACE, NETWORK = spaces.transformer(**OPTIONS), Transformer(**OPTIONS, classes=5)
SIZES = {"train": 64, "validation": 8, "test": 8}
RANDOM = np.random.default_rng(0)
TASK = tasks.arrays({split: tuple(RANDOM.integers(0, 5, (2, n, 6))) for split, n in SIZES.items()}, outputs=5)
DECISIONS = SPACE.unpack(np.array([0]))
TEACHER = NETWORK.init(jax.random.key(7), DECISIONS, jnp.zeros((1, 6), jnp.int32), False)


def teach(inputs):
    logits, made = NETWORK.apply(TEACHER, DECISIONS, inputs, False, mutable=["intermediates"])
    return 100 * logits, {"hidden_0": 3 * made["intermediates"]["hidden_0"][0]}


def test_the_loss_in_closed_form():
    logits, target = jnp.array([[0.0, 1.0]]), jnp.array([[2.0, 0.0]])
    teacher = lambda inputs: (target, {"a": jnp.array([[1.0, 3.0]])})
    given = Distillation(teacher, weight=0.25, temperature=2.0, features=0.5)
    found = given.loss(jnp.float32(4.0), logits, {"a": (jnp.array([[0.0, 1.0]]),)}, None, None, lambda count: count)
    p, q = np.exp([1, 0]) / np.exp([1, 0]).sum(), np.exp([0, 0.5]) / np.exp([0, 0.5]).sum()
    expected = 0.75 * 4 + 0.25 * 4 * (p * np.log(p / q)).sum() + 0.5 * (1 + 4) / 2
    assert float(found) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("features", [0.0, 1.0])
def test_a_student_comes_nearer_to_its_teacher(features):
    given = Distillation(teach, weight=1.0, features=features)
    recipe = Recipe(batch_size=16, optimizer="adamw", learning_rate=3e-2, weight_decay=0.0)
    parts = trainer(NETWORK, TASK, recipe, None, given)
    train = jax.jit(lambda n: parts.train(jax.random.key(0), DECISIONS, n))
    losses = [float(train(n)[1]) for n in (1, 150)]
    assert losses[1] < 0.5 * losses[0]


def test_retraining_learns_from_it_too():
    options = {"steps": 3, "batch_size": 8, "devices": jax.devices()[:1]}
    given = (Distillation(teach), None)
    found, own = (retrain(SPACE, NETWORK, TASK, [np.array([0])], distillation=d, **options) for d in given)
    assert not np.array_equal(found["test_loss"], own["test_loss"])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"weight": 2.0}, r"distillation.weight: expected a number in \[0, 1\]"),
        ({"temperature": 0.0}, r"distillation.temperature: expected a number in \[0.001, inf\]"),
        ({"teacher": lambda x: (jnp.zeros((1, 3)), {})}, r"its logits are \(1, 3\), the network's \(8, 6, 5\)"),
        ({"teacher": lambda x: (teach(x)[0], {"hidden_9": 0}), "features": 1.0}, "unknown 'hidden_9'. Did you mean"),
        ({"teacher": lambda x: (teach(x)[0], {}), "features": 1.0}, "the teacher gives none to learn from"),
    ],
)
def test_a_teacher_that_does_not_fit_is_refused(given, message):
    def trained():
        parts = trainer(NETWORK, TASK, Recipe(batch_size=8), None, Distillation(**{"teacher": teach, **given}))
        return parts.train(jax.random.key(0), DECISIONS, 1)

    with pytest.raises(InputError, match=message):
        jax.eval_shape(trained)
