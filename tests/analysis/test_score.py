import json

import jax
import numpy as np
import pytest

from jaxnas import get_config, tables
from jaxnas.analysis import scores as parts
from jaxnas.analysis import scoring
from jaxnas.config import run_program
from jaxnas.config.lookup import lookup_metric
from jaxnas.config.registry import make
from jaxnas.population import within_memory

METRICS = ("accuracy", "loss")


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    path = tmp_path_factory.mktemp("table") / "mine.npz"
    values = np.random.default_rng(0).normal(size=(2, 6, 1, 1))
    columns = {m: tables.Column(v, higher_is_better=m == "accuracy") for m, v in zip(METRICS, values, strict=True)}
    tables.save(tables.Table("mine", {"name": "tests.support.parts:mine"}, np.arange(6), columns), path)
    return str(path)


@pytest.fixture(scope="module")
def config(table):
    """Six genomes of four networks."""
    return {
        **get_config("score"),
        "space": {"name": "tests.support.parts:mine"},
        "network": {"name": "tests.support.parts:Mine"},
        "proxies": "params,synflow,snip,grad_norm",
        "subset": "all",
        "batch_size": 8,
        "members": 4,
        "table": {"path": table, "metrics": ",".join(METRICS)},
    }


@pytest.fixture(scope="module")
def done(config, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("score")
    return score(config, workdir), workdir


def score(config, workdir):
    return run_program("score", config, workdir)


def scores(workdir):
    with np.load(workdir / "scores.npz") as saved:
        return {name: saved[name] for name in saved.files if name != "note"}


def test_what_a_run_leaves_behind(done, config):
    result, workdir = done
    saved, space = scores(workdir), make("space", config["space"])
    assert set(saved) == {"genomes", "index", "architecture", "params", "synflow", "snip", "grad_norm"}
    np.testing.assert_array_equal(saved["index"], np.arange(6))
    assert saved["architecture"].tolist() == [space.to_string(genome) for genome in saved["genomes"]]
    assert json.loads((workdir / "result.json").read_text()) == json.loads(json.dumps(result))
    assert {path.name for path in workdir.iterdir()} == {
        *("config.json", "scores.npz", "result.json", "scores.png", "correlations.png")
    }
    assert all((workdir / name).stat().st_size > 5000 for name in ("scores.png", "correlations.png"))


def test_proxies_of_a_group_share_one_compile_and_its_cost(done):
    result = done[0]
    assert result["groups"] == {"params": ["params"], "synflow": ["synflow"], "gradient": ["snip", "grad_norm"]}
    for figure in (
        "ms_per_architecture",
        "ms_per_architecture_distinct",
        "xla_compiles",
        "compile_seconds",
        "megabytes",
    ):
        assert result[figure]["snip"] == result[figure]["grad_norm"] > 0
    assert result["xla_compiles"]["snip"] == 1


def test_canonical_forms_are_scored_once_where_that_is_the_same(done, config, tmp_path):
    result, saved = done[0], scores(done[1])
    assert (result["architectures"], result["distinct"]) == (6, 4)
    assert result["scored"] == {"params": 6, "synflow": 4, "snip": 4, "grad_norm": 4}
    assert len(set(saved["snip"][:3].tolist())) == 1 and result["ms_per_architecture_distinct"][
        "snip"
    ] == pytest.approx(result["ms_per_architecture"]["snip"] * 6 / 4)
    again = score({**config, "proxies": "synflow,snip", "deduplicate": False}, tmp_path)
    assert again["scored"] == {"synflow": 6, "snip": 6}
    for name in ("synflow", "snip"):
        np.testing.assert_allclose(scores(tmp_path)[name], saved[name], rtol=1e-6)


def test_interrupted_and_resumed_run_equals_the_uninterrupted_one(done, config, tmp_path, monkeypatch):
    save, calls = parts.Scores.save, []

    def interrupted(self):
        save(self)
        calls.append(self.groups["synflow"].paid["scored"])
        if len(calls) == 4:  # after both calls of params, in the middle of synflow
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(parts.Scores, "save", interrupted)
        with pytest.raises(KeyboardInterrupt):
            score({**config, "members": 2, "save_seconds": -1}, tmp_path / "parts")
    assert calls[3] == 2 and not (tmp_path / "parts" / "result.json").exists()
    assert np.isnan(scores(tmp_path / "parts")["grad_norm"]).all()
    resumed = score({**config, "members": 2}, tmp_path / "parts")
    for name, values in scores(done[1]).items():
        np.testing.assert_array_equal(scores(tmp_path / "parts")[name], values, err_msg=name)
    assert resumed["xla_compiles"]["params"] == 1 and resumed["xla_compiles"]["synflow"] == 2
    assert resumed["spearman"] == done[0]["spearman"]


def test_the_same_command_again_scores_nothing_and_may_ask_another_table(done, config):
    result, workdir = done
    again = score({**config, "table": {**config["table"], "metrics": "loss"}}, workdir)
    assert (
        again["ms_per_architecture"] == result["ms_per_architecture"]
        and again["xla_compiles"] == result["xla_compiles"]
    )
    assert again["spearman"]["snip"] == {"loss": result["spearman"]["snip"]["loss"]}
    score(config, workdir)


def test_correlations_are_signed_and_leave_out_what_is_not_finite(done, config, capsys):
    result, workdir = done
    values = np.array([1.0, 2, 3, 4, -np.inf, np.nan])
    found = scoring._spearman(values, -np.arange(6.0), resamples=10)
    assert found["value"] == -1 and found["n"] == 4
    assert scoring._spearman(np.ones(6), np.arange(6.0)) == {"value": None, "low": None, "high": None, "n": 6}
    assert scoring._spearman(values[2:], np.arange(4.0))["value"] is None
    assert set(result["spearman_between_proxies"]["snip"]) == {"params", "synflow", "snip", "grad_norm"}
    truth = lookup_metric(
        make("space", config["space"]),
        config["table"]["path"],
        "loss",
        scores(workdir)["genomes"],
        config["space"]["name"],
    )
    assert (
        scoring._spearman(scores(workdir)["snip"], -truth, seed=0) == result["spearman"]["snip"]["loss"]
    )  # ranks right
    score(config, workdir)
    said = capsys.readouterr().out
    assert "accuracy" in said and "loss (less is better)" in said and "6 architectures in" in said


def test_a_subset_has_no_genome_twice_and_another_seed_draws_others():
    space = make("space", {"name": "nasbench201"})
    one, same, other = (scoring._genomes(space, "500", seed) for seed in (0, 0, 1))
    assert one.shape == (500, 6) == np.unique(one, axis=0).shape
    np.testing.assert_array_equal(one, same)
    assert (one != other).any()
    blind = space._replace(from_index=None)
    assert (
        scoring._genomes(blind, "500", 0).shape
        == (500, 6)
        == np.unique(scoring._genomes(blind, "500", 0), axis=0).shape
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"proxies": "synflow,snup"}, "proxies: unknown 'snup'. Did you mean 'snip'.*Known: synflow, "),
        ({"subset": "some"}, "config.subset: expected a number of architectures, or 'all', got 'some'"),
        ({"subset": "7"}, r"config.subset: expected at most 6 \(the genomes of space 'mine'\), got 7"),
        ({"subset": "0"}, "config.subset: expected at least 1"),
        ({"batch_size": 1078}, r"config.batch_size: expected at most 1077 \(the training examples\), got 1078"),
        (
            {"table": {"path": "nasbench201_digits", "metrics": "test_loss"}},
            "table of decisions 0->1, .* has layer, power",
        ),
        ({"plan": "bucket"}, "config.plan: unknown 'bucket'"),
        ({"plan": "map", "chunk": 2}, "chunk: only plan 'vmap'"),
        ({"members": 0}, "config.members: expected at least 1"),
        ({"proxies": "nwot", "batch_size": 1}, "nwot compares examples and needs at least 2"),
    ],
)
def test_bad_input_is_refused_before_anything_is_written(config, tmp_path, changes, message):
    with pytest.raises(ValueError, match=message):
        score({**config, **changes}, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_unknown_metric_names_the_nearest(config, tmp_path):
    with pytest.raises(ValueError, match="unknown 'acuracy'. Did you mean 'accuracy'"):
        score({**config, "table": {**config["table"], "metrics": "acuracy"}}, tmp_path)


def test_spaces_too_large_to_enumerate_are_refused_by_name(config, tmp_path):
    with pytest.raises(ValueError, match=r"'all' is for spaces that can be enumerated.*'nasnet' has.*subset=N"):
        scoring._genomes(make("space", {"name": "nasnet"}), "all", 0)


def test_workdir_of_another_config_and_a_damaged_file_are_refused(done, config, tmp_path):
    with pytest.raises(ValueError, match=r"holds a run of another config(.|\n)*seed: 0 there, 7 given"):
        score({**config, "seed": 7}, done[1])
    whole = (done[1] / "scores.npz").read_bytes()
    (tmp_path / "config.json").write_bytes((done[1] / "config.json").read_bytes())
    (tmp_path / "scores.npz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"scores.npz is damaged .*Remove it to score again"):
        score(config, tmp_path)
    assert (tmp_path / "scores.npz").read_bytes() == whole[: len(whole) // 2]


def test_chunks_shrink_to_the_memory_of_the_device(done, config, tmp_path, monkeypatch, capsys):
    one = jax.devices()[:1]
    monkeypatch.setattr(jax, "devices", lambda: one)
    monkeypatch.setattr(jax, "device_count", lambda: 1)

    def just_too_little(lowered, chunk, limit, say):
        need = within_memory(lowered, chunk, limit)[2]
        return within_memory(lowered, chunk, need - 1, say=say)

    monkeypatch.setattr(parts, "within_memory", just_too_little)
    result = score({**config, "proxies": "snip", "plan": "vmap", "deduplicate": False}, tmp_path)
    assert result["chunk"] == {"snip": 2} and result["megabytes"]["snip"] > 0
    assert "gradient: a chunk of 4 members takes" in capsys.readouterr().out
    np.testing.assert_allclose(scores(tmp_path)["snip"], scores(done[1])["snip"], rtol=1e-5)
