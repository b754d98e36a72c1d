import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnas.evaluators import training
from jaxnas.networks import Choice, Identity, exists, width
from jaxnas.population import CompileMeter
from jaxnas.tasks import arrays, mean_metric
from jaxnas.training import Recipe, trainer
from jaxnas.types import propose

KEY = jax.random.key(0)
SKIP, HIDDEN, OVERFLOW = range(3)
GENOMES = jnp.array([[SKIP, SKIP], [HIDDEN, SKIP], [HIDDEN, HIDDEN], [SKIP, HIDDEN]], jnp.int32)


def one_device(count=1):
    return {"devices": jax.devices()[:count]}


def build(space, network, task, **options):
    """The evaluator, jitted."""
    evaluator = training(space, network(), task, **{**one_device(), **options})
    return evaluator._replace(evaluate=jax.jit(evaluator.evaluate) if evaluator.jittable else evaluator.evaluate)


def feedback(evaluator, proposal, key=KEY):
    return evaluator.evaluate(key, evaluator.init(key), proposal)[0]


@pytest.fixture(scope="module")
def evaluator(space, network, task):
    """The one program of this module, for proposals of four."""
    return build(space, network, task)


@pytest.fixture(scope="module")
def proposal():
    return propose(GENOMES, jnp.int32(10), budget=20)


@pytest.fixture(scope="module")
def answer(evaluator, proposal):
    return feedback(evaluator, proposal)


def test_fitness_is_the_negative_validation_loss(answer):
    np.testing.assert_array_equal(answer.fitness, -answer.metrics["loss"])
    assert answer.valid.all() and answer.cost.shape == (4, 0)
    assert set(answer.metrics) == {"loss", "accuracy", "train_loss"}


def test_fitness_can_be_the_accuracy_and_labels_smoothed_in_training_alone(evaluator, space, network, task, proposal):
    built = build(space, network, task, fitness="accuracy", label_smoothing=0.3)
    smoothed = feedback(built, proposal)
    np.testing.assert_array_equal(smoothed.fitness, smoothed.metrics["accuracy"])
    assert smoothed.fitness.min() > 0.3 and smoothed.fitness.max() <= 1
    floor = -(0.73 * np.log(0.73) + 9 * 0.03 * np.log(0.03))
    assert (np.asarray(smoothed.metrics["train_loss"]) > floor).all()
    untrained = proposal.replace(budget=jnp.zeros(4, jnp.int32))
    plain, same = (feedback(e, untrained).metrics["loss"] for e in (evaluator, built))
    np.testing.assert_allclose(plain, same, rtol=1e-6)


def test_no_architecture_after_the_first_compiles(evaluator, proposal, space):
    feedback(evaluator, proposal)
    rounds = [
        proposal.replace(
            genome=jax.vmap(space.from_index)(jnp.arange(r, r + 4)), id=proposal.id + 4 * r, budget=proposal.budget - r
        )
        for r in range(1, 5)
    ]
    keys = list(jax.random.split(KEY, 4))
    meter = CompileMeter()
    fitness = [jax.block_until_ready(feedback(evaluator, p, k).fitness) for p, k in zip(rounds, keys, strict=True)]
    assert meter.compiles == 0
    assert len(np.unique(fitness)) > 8


def test_fitness_does_not_depend_on_the_place_in_the_population(evaluator, proposal, answer):
    order = jnp.array([2, 0, 3, 1])
    moved = feedback(evaluator, jax.tree.map(lambda leaf: leaf[order], proposal))
    np.testing.assert_array_equal(moved.fitness, answer.fitness[order])


def test_members_have_seeds_of_their_own(evaluator, proposal):
    twins = proposal.replace(genome=jnp.repeat(GENOMES[:1], 4, 0))
    assert len(np.unique(feedback(evaluator, twins).fitness)) == 4


def test_same_key_and_id_give_the_same_fitness_again(evaluator, proposal, answer):
    np.testing.assert_array_equal(feedback(evaluator, proposal).fitness, answer.fitness)
    assert (feedback(evaluator, proposal, jax.random.key(1)).fitness != answer.fitness).all()


def test_padding_is_not_trained(evaluator, proposal, answer):
    padded = feedback(evaluator, proposal.replace(active=jnp.array([True, False, True, False])))
    np.testing.assert_array_equal(padded.metrics["loss"], answer.metrics["loss"] * jnp.array([1, 0, 1, 0]))


def test_each_member_spends_its_own_budget(evaluator, proposal):
    members = proposal.replace(
        genome=jnp.repeat(GENOMES[1:2], 4, 0), id=jnp.full(4, 7), budget=jnp.array([1, 5, 25, 60])
    )
    loss = np.asarray(feedback(evaluator, members).metrics["loss"])
    assert (np.diff(loss) < 0).all() and loss[0] > 1.5 and loss[3] < 0.8


def test_budget_zero_scores_the_untrained_network(evaluator, proposal):
    untrained = feedback(evaluator, proposal.replace(budget=jnp.zeros(4, jnp.int32)))
    loss, accuracy = (np.asarray(untrained.metrics[name]) for name in ("loss", "accuracy"))
    assert (loss > 2.0).all() and (accuracy < 0.35).all()
    assert untrained.valid.all()


def test_steps_go_round_the_training_data(space, network, task):
    """Two epochs and a bit of eight batches: more steps than one permutation holds."""
    small = task._replace(train=type(task.train)(task.train.inputs[:100], task.train.targets[:100]), augment=None)
    parts = trainer(network(), small, Recipe(batch_size=12, learning_rate=0.05))
    decisions = {"first": SKIP, "second": HIDDEN}
    loss = jax.jit(lambda steps: parts.score(parts.train(KEY, decisions, steps)[0], decisions, small.train)[0])
    losses = [float(loss(steps)) for steps in (8, 19, 60)]
    assert losses == sorted(losses, reverse=True) and losses[-1] < 0.2


def test_a_diverging_member_is_invalid_and_leaves_the_others_alone(evaluator, proposal, answer):
    broken = proposal.replace(genome=GENOMES.at[1].set(jnp.array([OVERFLOW, SKIP])))
    got = feedback(evaluator, broken)
    np.testing.assert_array_equal(got.valid, [True, False, True, True])
    np.testing.assert_array_equal(got.fitness[np.array([0, 2, 3])], answer.fitness[np.array([0, 2, 3])])
    assert not jnp.isfinite(got.metrics["train_loss"][1])


@pytest.mark.slow
def test_an_absurd_learning_rate_makes_members_invalid(space, network, task, proposal):
    assert not feedback(build(space, network, task, learning_rate=1e6), proposal).valid.any()


FEW = {"budget": np.int32([2, 5, 0, 3]), "active": np.array([True, True, False, True])}


@pytest.mark.parametrize(
    "options",
    [{"plan": "vmap", "chunk": 2}, one_device(8), pytest.param({"plan": "vmap"}, marks=pytest.mark.slow)],
    ids=["chunks", "devices", "vmap"],
)
def test_plans_and_devices_agree(evaluator, space, network, task, proposal, options):
    few = proposal.replace(**FEW)
    loss = feedback(evaluator, few).metrics["loss"]
    np.testing.assert_allclose(feedback(build(space, network, task, **options), few).metrics["loss"], loss, atol=1e-3)


def test_bucket_agrees_and_reports_its_compiles(evaluator, space, network, task, proposal):
    few = proposal.replace(**FEW, genome=GENOMES[np.array([0, 1, 2, 1])])
    bucket = build(space, network, task, plan="bucket")
    losses = [feedback(built, few).metrics["loss"] for built in (evaluator, bucket)]
    np.testing.assert_allclose(*losses, atol=1e-3)
    assert not bucket.jittable
    assert bucket.report()["plan"] == "bucket" and bucket.report()["compiles"] == 2  # the third is not active


def test_one_step_is_that_of_sgd(task):
    """The first Nesterov step from zero momentum moves by (1 + momentum) * (gradient + decay * parameter)."""

    class Linear(nn.Module):
        @nn.compact
        def __call__(self, decisions, x, train):
            return nn.Dense(10)(x.reshape(x.shape[0], -1))

    small = task._replace(train=type(task.train)(task.train.inputs[:50], task.train.targets[:50]), augment=None)
    parts = trainer(Linear(), small, Recipe(batch_size=50, learning_rate=0.3, momentum=0.5, weight_decay=0.1))
    train = jax.jit(lambda steps: parts.train(KEY, None, steps))
    before = train(0)[0]["params"]
    after, train_loss = train(1)
    loss = lambda p: small.loss(
        Linear().apply({"params": p}, None, small.train.inputs, True), small.train.targets
    ).mean()
    value, gradient = jax.jit(jax.value_and_grad(loss))(before)
    expected = jax.tree.map(lambda p, g: np.asarray(p) - 0.3 * 1.5 * (g + 0.1 * np.asarray(p)), before, gradient)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), after["params"], expected)
    np.testing.assert_allclose(train_loss, value, rtol=1e-5)


def test_score_is_the_mean_over_all_examples(network, task):
    """Of 360 images in two chunks, and of 259, which chunks do not divide."""
    decisions = {"first": HIDDEN, "second": SKIP}
    splits = [type(task.test)(task.test.inputs[:n], task.test.targets[:n]) for n in (360, 259, 1)]
    parts = trainer(network(), task, Recipe())

    @jax.jit
    def scored(key):
        variables = network().init(key, decisions, task.validation.inputs[:1], False)
        outputs = network().apply(variables, decisions, splits[0].inputs, False)
        return [parts.score(variables, decisions, split) for split in splits], outputs

    scores, outputs = scored(KEY)
    losses = np.asarray(task.loss(outputs, splits[0].targets))
    right = np.asarray(outputs).argmax(-1) == np.asarray(splits[0].targets)
    for (loss, metric), split in zip(scores, splits, strict=True):
        np.testing.assert_allclose(loss, losses[: split.size].mean(), rtol=1e-5)
        np.testing.assert_allclose(metric, right[: split.size].mean(), rtol=1e-6)


def test_network_of_other_outputs_is_refused(space, network, task):
    with pytest.raises(ValueError, match=r"network: Tiny gives outputs \(2, 7\) .* task 'digits' needs \(2, ..., 10\)"):
        training(space, network(outputs=7), task)


class Short(nn.Module):
    """Fewer options, widths or depths than the space has decisions for."""

    kind: str = "Choice"

    @nn.compact
    def __call__(self, decisions, x, train: bool):
        decision = decisions["first"]
        features, mask = width(decision, (2,)) if self.kind == "width" else (2, 1.0)
        there = exists(decision, (1,), 0) if self.kind == "depth" else 0
        x = nn.Dense(features)(x.reshape(len(x), -1)) * mask + there
        if self.kind == "Choice":
            x = Choice({"only": Identity}, name="op")(decision, x, train)
        return nn.Dense(10)(x)


@pytest.mark.parametrize("kind", ["Choice", "width", "depth"])
def test_network_of_fewer_options_than_a_decision_has_is_refused(space, task, kind):
    count = int(space.mask[list(space.decisions).index("first")].sum())
    with pytest.raises(ValueError, match=rf"decision 'first' has {count} options, but .*{kind}.* has 1"):
        training(space, Short(kind), task)


def test_network_of_other_decisions_is_refused(space, network, task):
    other = space._replace(unpack=lambda genome: {"first": genome[0]}, decisions=("first",))
    with pytest.raises(ValueError, match="network: Tiny does not run on inputs .* with decisions first: .*second"):
        training(other, network(), task)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"learning_rat": 0.1}, "recipe: unknown 'learning_rat'. Did you mean 'learning_rate'"),
        ({"fitness": "acuracy"}, "fitness: unknown 'acuracy'. Did you mean 'accuracy'"),
        ({"plan": "maps"}, "plan: unknown 'maps'. Did you mean 'map'"),
        ({"batch_size": 0}, "batch_size: expected at least 1, got 0"),
        ({"learning_rate": -0.1}, r"learning_rate: expected a number in \[0, .*, got -0.1"),
        ({"momentum": 1.5}, r"momentum: expected a number in \[0, 1\], got 1.5"),
        ({"label_smoothing": "much"}, "label_smoothing: expected a number"),
        ({"cutout": -1}, "cutout: expected at least 0, got -1"),
        ({"drop_path": 1.0}, r"drop_path: expected a number in \[0, 0.999\], got 1.0"),
        ({"drop_path": 0.1}, r"network: Tiny .* it has no paths to drop \(recipe drop_path\)"),
        (
            {"auxiliary": 0.4},
            r"network: Tiny .* it sows no logits .*\(recipe auxiliary\)",
        ),
    ],
)
def test_options_out_of_range_are_refused_by_name(space, network, task, options, message):
    with pytest.raises(ValueError, match=message):
        training(space, network(), task, **options)


def test_label_smoothing_of_a_loss_of_ones_own_is_refused(space, network):
    pair = (np.zeros((4, 64), np.float32), np.zeros((4, 10), np.float32))
    squares = lambda outputs, y: ((outputs - y) ** 2).mean(-1)
    own = arrays(
        dict.fromkeys(("train", "validation", "test"), pair),
        loss=squares,
        metric=mean_metric(squares, name="squares", higher_is_better=False),
        outputs=10,
    )
    training(space, network(), own)
    with pytest.raises(ValueError, match="label_smoothing: only for the default cross-entropy"):
        training(space, network(), own, label_smoothing=0.1)


class Schedule(nn.Module):
    """Zero logits plus parameters, an auxiliary head likewise, and the sum of the drop-path rates it was handed."""

    @nn.compact
    def __call__(self, decisions, x, train):
        total = self.variable("seen", "rates", jnp.zeros, ())
        nothing = jnp.zeros((len(x), 1))
        if train and self.has_variable("schedule", "drop_path"):
            total.value += self.get_variable("schedule", "drop_path")
            nothing *= jax.random.uniform(self.make_rng("drop_path"))
        if train and self.is_mutable_collection("auxiliary"):
            self.sow("auxiliary", "logits", nothing + self.param("aside", nn.initializers.zeros, 10))
        return nothing + self.param("main", nn.initializers.zeros, 10)


@pytest.fixture(scope="module")
def scheduled(task):
    """`steps -> variables` of `Schedule`, one program."""
    recipe = {"weight_decay": 0.0, "momentum": 0.0, "batch_size": 1437, "drop_path": 0.4, "auxiliary": 0.3}
    parts = trainer(Schedule(), task, Recipe.of(**recipe))
    return jax.jit(lambda steps: parts.train(KEY, {}, steps)[0])


def test_drop_path_grows_linearly_from_zero(scheduled):
    np.testing.assert_allclose(scheduled(4)["seen"]["rates"], 0.4 * (0 + 1 + 2 + 3) / 4, rtol=1e-6)


def test_auxiliary_head_learns_from_its_share_of_the_loss(scheduled):
    """One step of SGD on equal logits: both heads have the same gradient, one times the weight."""
    params = scheduled(1)["params"]
    assert np.abs(params["main"]).max() > 0
    np.testing.assert_allclose(params["aside"], 0.3 * np.asarray(params["main"]), rtol=1e-5)
