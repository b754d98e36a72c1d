"""A search of replacements from its config to the child that loads again."""

import json

import jax
import numpy as np
import pytest

import jaxnas
from jaxnas import benchmarks, pretrained, tasks
from jaxnas.check import InputError

NETWORK = {"layers": 2, "heads": (2,), "groups": (2,), "head_sizes": (4,), "widths": (8,), "ratios": (2,)}
REPLACEMENTS = {"name": "replacements", "mixers": ("window:3", "delta:2x4x4"), "feed_forward": (1, 0.5)}
ADAM = {"optimizer": "adamw", "learning_rate": 3e-3, "batch_size": 8, "weight_decay": 0.0}
RECALL = {"name": "recall", "pairs": 2, "vocabulary": 6, "held_out": 32}


def config(**changed):
    return {
        "seed": 0,
        "rounds": 2,
        "task": RECALL,
        "parent": {"name": "trained", "network": NETWORK, "steps": 5, **ADAM},
        "space": REPLACEMENTS,
        "network": REPLACEMENTS,
        "warm_up": {"name": "random_search", "budget": 1, "proposals": 4, "rounds": 1},
        "strategy": {"name": "additive", "proposals": 4},
        "evaluator": {
            "name": "supernet",
            "steps": 4,
            "redraw": False,
            "frozen": ("*/attention/*", "embedding/*"),
            "distillation": {"weight": 1.0, "features": 1.0},
            **ADAM,
        },
        "cost": [{"name": "cache_size", "length": 64}, {"name": "parameter_count"}],
        "recommend": {"cache_kb": "90%"},
        "reference": "layer_0_mixer=attention,layer_0_ratio=2,layer_1_mixer=attention,layer_1_ratio=2",
        "retrain": {"steps": 2, "seeds": 1, "save": True, "inherit": True, "distillation": {"weight": 0.5}},
        **changed,
    }


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def test_what_is_found_is_trained_on_saved_and_loads_again(tmp_path, capsys):
    pytest.importorskip("safetensors")
    result = jaxnas.run(config(), tmp_path / "run")
    found, parent = result["retrained"]["found"], result["retrained"]["reference"]
    assert found["before_test_loss"] != found["test_loss"] and parent["before_test_loss"] != parent["test_loss"]
    assert "before" in capsys.readouterr().out
    child = pretrained.load(tmp_path / "run" / "child")
    test = tasks.recall(pairs=2, vocabulary=6, held_out=32).test
    logits = child.network.apply(child.variables, child.decisions, test.inputs, False)
    right = (logits.argmax(-1) == test.targets) * test.weights()
    assert right.sum() / test.weights().sum() == pytest.approx(found["test_accuracy"][0], abs=1e-6)
    count = sum(leaf.size for leaf in jax.tree.leaves(child.variables))
    assert count == found["parameters"] == pytest.approx(1e3 * result["cost"]["parameters_k"])


def test_limits_of_a_strategy_may_be_shares_of_what_the_reference_costs(tmp_path):
    halved = {"name": "additive", "proposals": 4, "limits": {"cache_kb": "60%"}}
    given = config(strategy=halved, recommend=None, retrain=None, warm_up=None, rounds=3, random_search=True)
    result = jaxnas.run(given, tmp_path)
    limit = json.loads((tmp_path / "config.json").read_text())["strategy"]["limits"]["cache_kb"]
    whole = jaxnas.build(given).cost.cost(np.zeros(4, np.int32))[0]
    assert limit == pytest.approx(0.6 * whole) and result["cost"]["cache_kb"] <= limit
    assert result["baseline"]["cost"]["cache_kb"] <= limit  # what is recommended of random search is within them too


def test_a_later_stage_goes_on_from_the_layers_that_an_earlier_one_kept(tmp_path):
    result = jaxnas.run({**config(), "retrain": None}, tmp_path / "first")
    kept = [int(i) for i in range(2) if f"layer_{i}_mixer=attention" in result["architecture"]]
    stage = {"name": "replacements", "mixers": ("delta:2x4x4", "ssm:1x4x8"), "keep": str(tmp_path / "first")}
    trains = {"name": "training", "distillation": {"features": 1.0}, "frozen": ("*/attention/*",), **ADAM}
    space = jaxnas.build(
        config(
            space=stage,
            network={k: v for k, v in stage.items() if k != "keep"},
            evaluator=trains,
            strategy={"name": "exhaustive", "proposals": 2, "budget": 2},
            warm_up=None,
        )
    ).space
    assert [str(option) for option in space.options[0]] == ["delta:2x4x4", "ssm:1x4x8"]
    assert space.unpack(space.from_string("mixer=ssm:1x4x8")) == {
        f"layer_{i}_mixer": 0 if i in kept else 2 for i in range(2)
    }


def test_what_was_searched_is_compared_with_cuts_that_need_no_search(tmp_path):
    none = {"name": "replacements", "mixers": ("window:3", "none"), "feed_forward": (1, 0)}
    frozen = {"name": "supernet", "steps": 1, "redraw": False, "frozen": ("*",), **ADAM}
    jaxnas.run(
        config(space=none, network=none, evaluator=frozen, warm_up=None, retrain=None, recommend=None),
        tmp_path / "run",
    )
    figures = benchmarks.budgets.measure(workdir=str(tmp_path / "run"), shares=("100", "60", "1"), held_out=8)
    whole = {name: of["validation"]["100"] for name, of in figures["loss"].items()}
    assert whole["replacement scores"] <= figures["parent"]["validation"] + 1e-5
    assert whole["sensitivity"] <= figures["parent"]["validation"] + 1e-5
    assert "layer_0_mixer=attention,layer_0_ratio=2" in figures["kept"]["uniform depth"]["100"]
    assert figures["kept"]["uniform depth"]["100"].count("none") == 1
    assert figures["kept"]["uniform width"]["1"] is None
    with pytest.raises(InputError, match="shares: expected percents like 85 or 97.5, got 'half'"):
        benchmarks.budgets.measure(workdir=str(tmp_path / "run"), shares=("half",))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"parent": None}, "config.parent: space 'replacements' needs one"),
        ({"retrain": {"steps": 1, "seeds": 2, "save": True}}, "config.retrain.save: expected seeds=1"),
        (
            {"strategy": {"name": "additive", "limits": {"cache_kb": 0.01}}},
            "strategy.limits: no architecture was found with cache_kb of at most 0.01; the least",
        ),
        (
            {"strategy": {"name": "additive", "limits": {"cache_kb": "50%"}}, "reference": None, "recommend": None},
            "config.strategy.limits.cache_kb: '50%' is a share of config.reference, which has none",
        ),
    ],
)
def test_what_cannot_be_is_refused(changed, message, tmp_path):
    with pytest.raises(InputError, match=message):
        jaxnas.run(config(**changed), tmp_path / "run")
    assert not (tmp_path / "run" / "history.jsonl").exists()


def test_fields_of_a_distillation_need_a_parent():
    with pytest.raises(InputError, match="distillation: there is no teacher"):
        evaluator = {"name": "supernet", "steps": 1, "distillation": {"weight": 0.5}, **ADAM}
        options = {"layers": 2, "mixers": ("attention", "none"), "widths": (8,), "heads": (2,), "groups": (2,)}
        of = {"name": "transformer", **options, "head_sizes": (4,)}
        jaxnas.build(config(parent=None, space=of, network=of, evaluator=evaluator, cost=None))


def test_a_checkpoint_of_other_tokens_is_refused(tmp_path):
    pytest.importorskip("safetensors")
    network = jaxnas.networks.Transformer(**NETWORK, classes=11)
    variables = network.init(jax.random.key(0), {}, np.zeros((1, 3), int), False)
    pretrained.save(pretrained.Pretrained(network, variables), tmp_path / "model")
    parent = {"name": "checkpoint", "path": str(tmp_path / "model")}
    with pytest.raises(InputError, match="has 7 tokens, and .* has 11; expected the task text_for_model"):
        jaxnas.build(config(parent=parent))
