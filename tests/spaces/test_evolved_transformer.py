"""The Evolved Transformer's space: strings, constraints, and that whatever it gives is legal."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnas import spaces
from jaxnas.check import InputError

SPACE = spaces.evolved_transformer()
SMALL = {
    "encoder_blocks": 3,
    "decoder_blocks": 4,
    "layers": ("conv_1", "attention_2", "identity", "dead"),
    "dims": (1, 2, 4),
    "activations": ("relu", "none"),
    "cells": (1, 2),
    "widest": 4,
}
LITTLE = spaces.evolved_transformer(**SMALL)
TEXT = (
    "encoder:2|add(0.layer.attention_2.2.none,0.none.identity.2.none)|add(1.layer.conv_1.4.relu,1.none.dead.2.none)"
    "|add(2.none.conv_1.2.none,1.none.identity.2.none)"
    "|decoder:1|add(0.layer.attention_2.2.none,0.none.identity.2.none)"
    "|add(1.layer.attend_to_encoder.2.none,1.none.identity.2.none)|add(2.layer.conv_1.4.relu,2.none.dead.2.none)"
    "|add(3.none.conv_1.2.none,2.none.identity.2.none)"
)
TRANSFORMER = LITTLE.from_string(TEXT)


def keys(count, seed=0):
    return jax.random.split(jax.random.key(seed), count)


def illegal(space, genomes):
    said = (spaces.why_illegal(space, genome) for genome in np.asarray(genomes))
    return [each for each in said if each]


@pytest.fixture(scope="module")
def sampled():
    return np.asarray(jax.jit(jax.vmap(SPACE.sample))(keys(1000)))


@pytest.fixture(scope="module")
def mutants(sampled):
    return np.asarray(jax.jit(jax.vmap(SPACE.mutate))(keys(1000, 1), sampled))


def test_it_has_as_many_genomes_as_the_paper_says():
    assert f"{SPACE.size:.2e}" == "7.30e+115"


def test_samples_are_legal(sampled):
    assert illegal(SPACE, sampled) == []
    assert [len(set(column)) for column in sampled.T] == [len(options) for options in SPACE.options]


def test_mutants_are_legal_and_differ_in_few_decisions(sampled, mutants):
    assert illegal(SPACE, mutants) == []
    changed = (mutants != sampled).sum(1)
    assert changed.min() == 1
    assert 1.5 < changed.mean() < 4.5  # 2.5 % of 152 decisions, of which those are drawn again that are not legal


def test_no_mutation_takes_a_layer_norm_away(sampled, mutants):
    norm = np.char.endswith(SPACE.decisions, "_norm")
    layer = SPACE.options[norm.argmax()].index("layer")
    before, after = sampled[:, norm], mutants[:, norm]
    assert (after[before == layer] == layer).all()
    assert (after[before != layer] == layer).any()


def test_children_are_legal_and_take_whole_blocks(sampled):
    others = np.roll(sampled, 1, 0)
    children = np.asarray(jax.jit(jax.vmap(SPACE.crossover))(keys(1000, 2), sampled, others))
    assert illegal(SPACE, children[:300]) == []
    block = [d for d, name in enumerate(SPACE.decisions) if name.startswith("decoder_3_")]
    of_one, of_other = ((children[:, block] == parents[:, block]).all(1) for parents in (sampled, others))
    assert (of_one | of_other).all() and not of_one.all() and not of_other.all()


def test_strings_are_read_back(sampled):
    for genome in sampled[:50]:
        np.testing.assert_array_equal(SPACE.from_string(SPACE.to_string(genome)), genome)
    assert LITTLE.to_string(TRANSFORMER) == TEXT


def test_fields_with_one_option_are_in_strings_and_no_decisions():
    space = spaces.evolved_transformer(**{**SMALL, "dims": (2,), "combiners": ("add",), "cells": (1,)})
    assert not any(name.endswith(("dim", "combiner", "cells", "0_left_input")) for name in space.decisions)
    genome = np.asarray(jax.jit(space.sample)(jax.random.key(0)))
    np.testing.assert_array_equal(space.from_string(space.to_string(genome)), genome)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("1.layer.conv_1.4.relu", "1.none.dead.2.none", "both branches of block 1 of the encoder are dead"),
        ("1.none.identity.2.none)|decoder", "1.layer.identity.2.none)|decoder", "the encoder has no residual path"),
        ("2.none.identity.2.none)", "2.none.identity.2.relu)", "the decoder has no residual path"),
        ("add(3.none.conv_1", "multiply(3.none.conv_1", "the decoder has no residual path"),
        ("add(2.layer.conv_1", "add(1.layer.conv_1", None),
        ("2.none.identity.2.none)", "3.none.identity.2.none)", "the decoder has no residual path"),
        ("attend_to_encoder", "attention_2", "the decoder does not attend to the encoder"),
        (
            "add(1.layer.conv_1.4.relu,1.none.dead",
            "concat(1.layer.conv_1.4.relu,1.none.identity",
            "block 1 of the encoder makes a state of 6 halves of the width in cell 0; expected at most 4",
        ),
    ],
)
def test_an_illegal_genome_is_refused_by_what_it_breaks(old, new, message):
    text = TEXT.replace(old, new, 1)
    assert text != TEXT
    if message is None:
        LITTLE.from_string(text)
        return
    with pytest.raises(InputError, match=message):
        LITTLE.from_string(text)


def test_widths_add_up_from_cell_to_cell():
    wide = TEXT.replace("add(0.layer.attention", "concat(0.layer.attention", 1).replace(
        "1.layer.conv", "0.layer.conv", 1
    )
    wide = wide.replace("1.none.identity", "0.none.identity", 1)
    LITTLE.from_string(wide.replace("encoder:2", "encoder:1"))
    with pytest.raises(InputError, match="block 0 of the encoder makes a state of 6 halves of the width in cell 1"):
        LITTLE.from_string(wide)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("conv_1", "con_1", "encoder, block 1, left_layer: unknown 'con_1'. Did you mean 'conv_1'"),
        ("|add(", "|ad(", "encoder, block 0, combiner: unknown 'ad'. Did you mean 'add'"),
        ("(2.", "(3.", "encoder, block 2, left_input: unknown '3'"),
        ("attention_2.2.", "attention_2.3.", "left_dim: unknown '3'"),
        ("(0.layer", "(0.attend_to_encoder.layer", "encoder, block 0: expected 'COMBINER"),
        ("conv_1", "attend_to_encoder", "encoder, block 1, left_layer: unknown 'attend_to_encoder'"),
        ("encoder:2", "encoder:3", "encoder, cells: unknown '3'"),
        (
            "decoder:1|",
            "decoder:1|add(0.none.identity.2.none,0.none.dead.2.none)|",
            "decoder: expected 4 blocks, got 5",
        ),
        ("|decoder", "", "expected 'encoder:CELLS"),
    ],
)
def test_a_string_that_is_none_is_refused(old, new, message):
    with pytest.raises(InputError, match=message):
        LITTLE.from_string(TEXT.replace(old, new, 1))


def test_published_cells():
    options = {"encoder_blocks": 3, "decoder_blocks": 4}
    assert spaces.transformer_cell(**options, heads=2, hidden=4, cells=(2, 1)) == TEXT
    for text in (spaces.transformer_cell(), spaces.evolved_cell()):
        assert SPACE.to_string(SPACE.from_string(text)) == text
    same = [f"add({i}.none.identity.2.none,{i}.none.dead.2.none)" for i in (4, 5, 6, 7)]
    assert spaces.transformer_cell().split("|")[-4:] == same
    assert "|decoder:4|add(0.layer.attention_16.2.none,0.layer.attend_to_encoder.2.none)|" in spaces.evolved_cell()
    with pytest.raises(InputError, match=r"encoder_blocks: expected at least 6 \(those of the cell\), got 3"):
        spaces.evolved_cell(**options)
    with pytest.raises(InputError, match="left_layer: unknown 'attention_8'. Did you mean 'attention_2'"):
        LITTLE.from_string(spaces.transformer_cell(**options, cells=(1, 1)))


def test_genomes_of_one_network_have_one_representative():
    dead = TEXT.replace("1.none.dead.2.none", "0.layer.dead.4.relu")
    swapped = TEXT.replace(
        "0.layer.attention_2.2.none,0.none.identity.2.none", "0.none.identity.4.none,0.layer.attention_2.2.none"
    )
    canonical = jax.jit(LITTLE.canonical)
    for text in (dead, swapped):
        genome = LITTLE.from_string(text)
        assert (genome != TRANSFORMER).any()
        np.testing.assert_array_equal(canonical(genome), canonical(TRANSFORMER))
    assert (canonical(LITTLE.from_string(TEXT.replace("relu", "none", 1))) != canonical(TRANSFORMER)).any()
    genomes = jax.jit(jax.vmap(LITTLE.sample))(keys(50))
    once = jax.jit(jax.vmap(LITTLE.canonical))(genomes)
    np.testing.assert_array_equal(jax.jit(jax.vmap(LITTLE.canonical))(once), once)
    assert illegal(LITTLE, once) == []


def test_neighbors_are_legal():
    genomes, there = jax.tree.map(np.asarray, jax.jit(LITTLE.neighbors)(TRANSFORMER))
    assert 20 < there.sum() < len(there)
    assert illegal(LITTLE, genomes[there]) == []
    assert len(illegal(LITTLE, genomes[~there][:20])) > 0


def drawn(key):
    """A genome, decision by decision among those that are allowed, as a policy draws it."""

    def step(genome, at):
        d, key = at
        allowed = LITTLE.allowed(genome, d)
        choice = jax.random.categorical(key, jnp.where(allowed, 0.0, -jnp.inf))
        return genome.at[d].set(choice.astype(jnp.int32)), allowed.any()

    D = len(LITTLE.decisions)
    genome, any_allowed = jax.lax.scan(step, jnp.zeros(D, jnp.int32), (jnp.arange(D), jax.random.split(key, D)))
    return genome, any_allowed.all()


def test_what_is_allowed_leads_to_all_legal_genomes_and_no_others():
    genomes, any_allowed = jax.jit(jax.vmap(drawn))(keys(100))
    assert any_allowed.all()
    assert illegal(LITTLE, genomes) == []
    allowed = jax.jit(jax.vmap(LITTLE.allowed, (None, 0)))(genomes[0], jnp.arange(len(genomes[0])))
    assert np.take_along_axis(np.asarray(allowed), np.asarray(genomes[0])[:, None], 1).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"layers": ("cnv_1", "identity")}, "layers: unknown 'cnv_1'. Did you mean 'conv_1'"),
        ({"layers": ("conv_2", "identity")}, "layers: expected odd kernels"),
        ({"layers": ("conv_1", "dead")}, "layers: expected 'identity'"),
        ({"norms": ("layer",)}, "norms: expected 'none'"),
        ({"activations": ("gelu", "none")}, "activations: unknown 'gelu'"),
        ({"combiners": ("concat",)}, "combiners: expected 'add'"),
        ({"dims": (0, 2)}, "dims: expected at least 1"),
        ({"dims": (2, 2)}, "dims: expected options that differ"),
        ({"cells": ()}, "cells: expected one at least"),
        ({"widest": 3}, "widest: expected at least 4"),
        ({"decoder_blocks": 0}, "decoder_blocks: expected at least 1"),
        ({"probability": 2.0}, "probability: expected a number"),
    ],
)
def test_bad_options(change, message):
    with pytest.raises(InputError, match=message):
        spaces.evolved_transformer(**{**SMALL, **change})
