"""HAT, hardware-aware transformers (Wang et al., 2020): an encoder and a decoder fitted to a device's latency.

    jaxnas search --config=hat:small                                 # numbers in words to digits, two CPU cores
    jaxnas search --config=hat --config.task="{'name': 'module:factory'}"   # pairs of sequences, the paper's sizes

Heads and hidden features are chosen by layer, widths for the encoder and for the decoder, and how deep the decoder is;
each of its layers attends to the last one or two layers of the encoder. One supernet is trained by random paths;
evolution then scores what they inherit against the latency that was measured on this device. What is recommended is the
most accurate within 70 % of the largest one's latency.
"""

from ml_collections import ConfigDict

from jaxnas.config import at_scale

from ._elastic import plain

RECIPE = {"optimizer": {"name": "adamw", "b2": 0.98}, "weight_decay": 0.01, "no_decay": ("*/scale",), "clip_norm": 1.0}


def _config(
    encoder: dict,
    decoder: dict,
    task: dict,
    steps: int,
    rounds: int,
    strategy: dict,
    cost: dict,
    recipe: dict,
    retrain: dict,
) -> dict:
    halves = {"encoder": encoder, "decoder": decoder}
    network = {"name": "encoder_decoder", **halves}
    return {
        "seed": 0,
        "rounds": rounds,
        "space": network,
        "task": task,
        "network": network,
        "warm_up": {"name": "random_search", "budget": 1, "proposals": 10, "rounds": steps // 10},
        "strategy": {"name": "nsga2", **strategy},
        "evaluator": {"name": "supernet", "steps": steps, "fitness": "loss", **RECIPE, **recipe},
        "cost": {"name": "latency", **cost},
        "reference": "largest",
        "recommend": {"latency_ms": "70%"},
        "random_search": True,
        "yardstick": {
            "name": "encoder_decoder",
            "scaled": ("encoder.widths", "decoder.widths"),
            **{half: plain(of) for half, of in halves.items()},
        },
        "retrain": {"seeds": 3, **retrain},
    }


SIZES = {"heads": (2, 4), "groups": (4,), "head_sizes": (8,), "ratios": (1, 2, 4), "widths": (24, 32)}
SMALL = _config(
    {**SIZES, "layers": 2},
    {**SIZES, "layers": 3, "depths": (1, 2, 3), "sources": (1, 2)},
    {"name": "number_words", "apart": True, "held_out": 500},
    2000,
    12,
    {"population_size": 32, "proposals": 16},
    {"batch": 64, "by": "networks", "networks": 24},
    {"batch_size": 32, "learning_rate": 4e-3, "warm_up": 100, "examples": 500},
    {"steps": 800},
)
LARGE = {
    "heads": (4, 8),
    "groups": (8,),
    "head_sizes": (64,),
    "widths": (512, 640),
    "activations": ("relu",),
    "norms": ("layer",),
}
PAPER = _config(
    {**LARGE, "layers": 6, "ratios": (1, 2, 4)},
    {**LARGE, "layers": 6, "ratios": (1, 2, 4), "depths": (1, 2, 3, 4, 5, 6), "sources": (1, 2, 3)},
    {"name": "number_words", "apart": True, "max_digits": 6},
    40_000,
    30,
    {"population_size": 125, "proposals": 125},
    {"batch": 1},
    {"batch_size": 128, "learning_rate": 1e-3, "warm_up": 10_000},
    {"steps": 40_000, "plan": "bucket"},
)


def get_config(scale: str = "paper") -> ConfigDict:
    return at_scale(scale, PAPER, SMALL)
