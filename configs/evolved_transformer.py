"""The Evolved Transformer (So, Liang and Le, 2019): evolution of the cells of an encoder and a decoder.

    jaxnas search --config=evolved_transformer:small    # numbers in words to digits, four and five blocks
    jaxnas search --config=evolved_transformer          # the whole space at base size, for accelerators

The first architecture is Transformer, a genome of the space. By progressive dynamic hurdles (`:small,hurdles`, and at
base size), children that do well are trained for longer. What is found is retrained beside Transformer, one so wide
that it has as many parameters, and what random search finds. At base size each genome is compiled alone (plan
"bucket"), as a network that holds every option of every branch would be hundreds of times larger; longer trainings
are made anew there. The paper searched on WMT'14 English to German; a task of your own is
`--config.task="{'name': 'module:factory'}"`.
"""

from ml_collections import ConfigDict

from jaxnas import spaces
from jaxnas.config import at_scale

RECIPE = {
    "optimizer": {"name": "adamw", "b2": 0.98},
    "weight_decay": 0.01,
    "no_decay": ("*/scale", "*/bias", "*/embedding"),
    "clip_norm": 1.0,
}


def _config(
    options: dict,
    transformer: dict,
    task: dict,
    network: dict,
    strategy: dict,
    evaluator: dict,
    rounds: int,
    retrain: dict,
    layers: int,
) -> dict:
    width, heads = network["width"], network["heads"]
    plain = {
        "layers": layers,
        "heads": (heads,),
        "groups": (heads,),
        "head_sizes": (width // heads,),
        "activations": ("relu",),
        "norms": ("layer",),
        "widths": (width,),
    }
    return {
        "seed": 0,
        "rounds": rounds,
        "space": {"name": "evolved_transformer", **options},
        "task": {"name": "number_words", "apart": True, **task},
        "network": {"name": "evolved_transformer", **options, **network, "padding": 0},
        "strategy": strategy,
        "warm_start": {"initial": (spaces.transformer_cell(**transformer),)},
        "evaluator": {"name": "training", "fitness": "loss", **RECIPE, **evaluator},
        "random_search": True,
        "reference": spaces.transformer_cell(**transformer),
        "yardstick": {
            "name": "encoder_decoder",
            "encoder": plain,
            "decoder": plain,
            "scaled": ("encoder.widths", "decoder.widths"),
        },
        "retrain": retrain,
    }


SMALL = _config(
    {
        "encoder_blocks": 4,
        "decoder_blocks": 5,
        "layers": ("conv_1", "conv_3", "separable_7", "attention_4", "glu", "identity", "dead"),
        "dims": (1, 2, 4),
        "activations": ("swish", "relu", "none"),
        "cells": (1,),
        "widest": 4,
    },
    {"encoder_blocks": 4, "decoder_blocks": 5, "heads": 4, "hidden": 4, "cells": (1, 1)},
    {"held_out": 500},
    {"width": 32, "heads": 4},
    {
        "name": "regularized_evolution",
        "population_size": 12,
        "tournament_size": 4,
        "proposals": 8,
        "budget": 100,
    },
    {"batch_size": 32, "learning_rate": 5e-3, "warm_up": 20},
    rounds=4,
    retrain={"steps": 400, "seeds": 3, "plan": "bucket"},
    layers=1,
)
HURDLES = {
    "rounds": 5,
    "strategy": {
        "name": "hurdles",
        "stages": (60, 160),
        "children": 12,
        "population_size": 12,
        "tournament_size": 4,
        "proposals": 8,
    },
    "evaluator": {**SMALL["evaluator"], "keep": 16, "schedule_steps": 160},
}
PAPER = _config(
    {},
    {},
    {"max_digits": 6, "held_out": 2000},
    {"width": 512, "heads": 8},
    {
        "name": "hurdles",
        "stages": (60_000, 120_000, 240_000),
        "children": 1000,
        "population_size": 100,
        "tournament_size": 30,
        "proposals": 100,
    },
    {"batch_size": 128, "learning_rate": 5e-4, "warm_up": 4000, "plan": "bucket"},
    rounds=150,
    retrain={"steps": 300_000, "seeds": 3, "plan": "bucket"},
    layers=6,
)


def get_config(scale: str = "paper") -> ConfigDict:
    return at_scale(scale, PAPER, SMALL, hurdles=HURDLES)
