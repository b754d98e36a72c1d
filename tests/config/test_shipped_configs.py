"""The configs that come with the library: what each has in common with others, and that it can be built."""

import jax.numpy as jnp
import pytest

from configs import amoebanet, darts, enas, gdas, nasbench201_supernet, nasnet, random_nasnet
from jaxnas import build, costs, get_config, run
from jaxnas.benchmarks.plan import LANDMARKS
from jaxnas.config.files import shipped


@pytest.mark.parametrize("scale", ["paper", "small"])
def test_nasnet_and_amoebanet_differ_in_the_strategy_and_nothing_else(scale):
    ours, theirs = nasnet.get_config(scale).to_dict(), amoebanet.get_config(scale).to_dict()
    assert ours.pop("strategy")["name"] == "ppo"
    assert theirs.pop("strategy")["name"] == "regularized_evolution"
    assert ours == theirs


@pytest.mark.parametrize("scale", ["paper", "small"])
@pytest.mark.parametrize("other", [gdas, enas])
def test_darts_gdas_and_enas_share_all_but_the_strategy(scale, other):
    ours, theirs = darts.get_config(scale).to_dict(), other.get_config(scale).to_dict()
    differing = {key for key in ours if ours[key] != theirs[key]}
    assert differing <= {"strategy", "rounds"} and ours["evaluator"]["name"] == "supernet"


@pytest.mark.parametrize("scale", ["paper", "small"])
def test_enas_has_as_many_weight_steps_as_the_schedule(scale):
    config = enas.get_config(scale)
    cycles = config.strategy.rounds // (config.strategy.weight_rounds + 1)
    assert cycles * config.strategy.weight_rounds * config.strategy.proposals == config.evaluator.steps
    assert config.rounds > config.strategy.rounds


def test_gdas_cools_over_the_rounds_that_are_asked_for():
    config = gdas.get_config("small")
    config.rounds = 7
    assert config.strategy.rounds == 7


@pytest.mark.parametrize("strategy", nasbench201_supernet.STRATEGIES)
def test_strategies_on_the_nasbench201_supernet_share_it(strategy):
    one, other = nasbench201_supernet.get_config("darts"), nasbench201_supernet.get_config(f"{strategy},small")
    assert set(one.evaluator) == set(other.evaluator) and one.network.channels == 16 and other.network.channels == 8


def test_random_search_spends_as_much_on_as_many(scale="small"):
    ours, theirs = nasnet.get_config(scale), random_nasnet.get_config(scale)
    assert ours.rounds == theirs.rounds
    for name in ("proposals", "budget"):
        assert ours.strategy[name] == theirs.strategy[name]


def test_unknown_scale_names_the_nearest():
    with pytest.raises(ValueError, match=r"scale \(after the colon\): unknown 'smal'. Did you mean 'small'"):
        nasnet.get_config("smal")


SCALES = {
    **dict.fromkeys(("quickstart", "nasbench201", "compare", "score", "tabulate_digits"), ("",)),
    **dict.fromkeys(("amoebanet", "darts", "enas", "gdas", "hwnasbench", "mnasnet", "nasnet"), ("", "small")),
    **dict.fromkeys(("proxylessnas", "random_nasnet", "spos", "gpt", "hat", "once_for_all"), ("", "small")),
    "evolved_transformer": ("", "small", "small,hurdles"),
    "autoformer": ("", "small", "small,sandwich", "small,distilled", "small,ordered"),
    "hybrid": ("", "small", "small,noisy"),
    "postnas": ("", "small", "small,text", "small,blocks", "small,sizes", "smollm2"),
    "puzzle": ("", "small", "smollm2"),
    **dict.fromkeys(("multi_label", "regression", "tabular", "sequence", "next_token", "segmentation"), ("", "small")),
    "nasbench201_supernet": tuple(s + scale for s in ("darts", "gdas", "spos") for scale in ("", ",small")),
    "neat": ("xor", "single_pole", "double_pole", "double_pole_without_velocities", "digits"),
    "profile": ("nasbench201", "mobilenet", "nasbench201,small", "mobilenet,small"),
    "zerocost": ("small", *(s + scale for s in ("exhaustive", "evolution", "random") for scale in ("", ",small"))),
}
ALL = [f"{name}:{scale}".removesuffix(":") for name, scales in SCALES.items() for scale in scales]


def needs_a_file(config):
    return (
        config.get("task", {}).get("name") in ("npz", "text_for_model", "tfds")
        or config.get("evaluator", {}).get("path") == "hw.npz"
    )


def searches():
    """Names, of which those whose networks are as another's, and so are traced the same, are slow."""
    seen = []
    for name in ALL:
        config = get_config(name)
        if "strategy" in config and not needs_a_file(config):
            traced = [config.get(kind) for kind in ("space", "task", "network", "evaluator")]
            yield pytest.param(name, marks=[pytest.mark.slow] if traced in seen else [])
            seen.append(traced)


def test_no_shipped_config_is_forgotten_here():
    assert sorted(SCALES) == shipped() and len(list(searches())) >= 15


@pytest.mark.parametrize("name", searches())
def test_it_can_be_built_without_a_file_of_data(name, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    config = get_config(name)
    if config.get("parent", {}).get("name") == "trained":
        config["parent"] |= {"steps": 1, "batch_size": 1}
    names = tuple(config["strategy"].get("limits", ["latency_ms"]))
    dear = lambda genome: jnp.where(jnp.any(genome), 0.1, 1.0)  # the first options, of which limits are shares
    one = costs.Cost(names, lambda genome: dear(genome) * jnp.ones(len(names)), lambda weights: jnp.ones(len(names)))
    parts = build(config, {"cost": one} if "cost" in config else None)  # which would be measured
    assert parts.strategy.name and (parts.cost is None) == ("cost" not in config)


@pytest.mark.parametrize("name", ALL)
def test_it_lists_nothing_that_is_off(name):
    def values(config):
        for value in config.values():
            yield from values(value) if isinstance(value, dict) and value else [value]

    assert not [value for value in values(get_config(name)) if value is None or value in ("", {})]


FEW = {"name": "jaxnas.benchmarks.plan:cifar10", "train": 64, "test": 16}
NARROW = {
    "nasnet": {"filters": 2},
    "darts": {"channels": 2},
    "mobilenet": {"channels": (4, 4, 8, 8, 8), "stem": 4, "features": 16},
    "nasbench201": {"channels": 2},
}
QUICK = {
    "training": {"batch_size": 4},
    "supernet": {"batch_size": 4, "examples": 8, "curvature": 0, "recalibrate": 1},
    "zero_cost": {"batch_size": 4},
}


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[] if name == "nasbench201_supernet" else [pytest.mark.slow]) for name in LANDMARKS],
)
def test_the_papers_configs_run_two_rounds_of_narrow_networks(name, one_device):
    config = get_config(name)
    config["task"] |= FEW
    config["network"] |= NARROW[config["network"]["name"]]
    for argument, value in QUICK[config["evaluator"]["name"]].items():
        if argument == "batch_size" or argument in config["evaluator"]:
            config["evaluator"][argument] = value
    given = config["strategy"]
    if given["name"] != "exhaustive":  # whose first cells are empty
        given |= {argument: 2 for argument in ("budget", "proposals") if given.get(argument, 0) > 2}
    given |= {"population_size": 4, "tournament_size": 2} if "tournament_size" in given else {}
    config |= {"rounds": 2, "retrain": None}
    if "warm_up" in config:
        config["warm_up"]["rounds"] = 2
    if "cost" in config:
        config["cost"] |= {"by": "networks", "networks": 10}
    if "objective" in config:
        config["objective"]["target"] = 1e6
    result = run(config)
    assert result["architecture"] and result["evaluations"] >= 2
