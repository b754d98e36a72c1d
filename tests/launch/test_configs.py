import pytest

from configs import amoebanet, nasnet, random_nasnet


@pytest.mark.parametrize("scale", ["paper", "small"])
def test_nasnet_and_amoebanet_differ_in_the_strategy_and_nothing_else(scale):
    ours, theirs = nasnet.get_config(scale).to_dict(), amoebanet.get_config(scale).to_dict()
    assert ours.pop("strategy")["name"] == "ppo"
    assert theirs.pop("strategy")["name"] == "regularized_evolution"
    assert ours == theirs


def test_random_search_spends_as_much_on_as_many(scale="small"):
    ours, theirs = nasnet.get_config(scale), random_nasnet.get_config(scale)
    assert ours.rounds == theirs.rounds
    for name in ("proposals", "budget"):
        assert ours.strategy[name] == theirs.strategy[name]


def test_unknown_scale_names_the_nearest():
    with pytest.raises(ValueError, match=r"scale \(after the colon\): unknown 'smal'. Did you mean 'small'"):
        nasnet.get_config("smal")
