"""Which layers of a hybrid need attention: mixers by layer on in-context recall, accuracy against cache and speed.

    jaxnas search --config=hybrid:small       # recall of key-value pairs, three layers
    jaxnas search --config=hybrid             # at a scale for an accelerator, on the standard library's source files
    jaxnas search --config=hybrid:small,noisy

NSGA-II searches the front of fitness, kilobytes of cache and milliseconds a token at a context of 1,024 tokens; what it
recommends, the best within half of full attention's cache, is retrained beside full attention, random search and the
plain decoder of as many parameters. After a colon and a comma `noisy` puts noise between the pairs.
"""

from ml_collections import ConfigDict

from jaxnas.config import at_scale

from .gpt import RECIPE

MIXERS = ("attention", "window", "delta", "ssm", "none")


def _config(
    options: dict, task: dict, window: int, strategy: dict, evaluator: dict, rounds: int, context: int, retrain: dict
) -> dict:
    options = {"mixers": MIXERS, **options}
    layers = options["layers"]
    return {
        "seed": 0,
        "rounds": rounds,
        "space": {"name": "transformer", **options},
        "task": task,
        "network": {"name": "transformer", **options, "window": window},
        "strategy": {"name": "nsga2", **strategy},
        "evaluator": {"name": "training", "fitness": "loss", **RECIPE, **evaluator},
        "cost": [
            {"name": "cache_size", "length": context},
            {"name": "decode_latency", "length": context, "by": "networks", "networks": 16},
        ],
        "random_search": True,
        "reference": ",".join(f"layer_{i}_mixer=attention" for i in range(layers)),
        "recommend": {"cache_kb": "50%"},
        "yardstick": {"name": "transformer", "scaled": "widths", **{k: v for k, v in options.items() if k != "mixers"}},
        "retrain": retrain,
    }


SMALL = _config(
    {"layers": 3, "heads": (2,), "groups": (2,), "head_sizes": (16,), "widths": (64,), "ratios": (2,)},
    {"name": "recall", "pairs": 6, "vocabulary": 16, "held_out": 500},
    4,
    {"population_size": 12, "proposals": 8, "budget": 400},
    {"batch_size": 32, "learning_rate": 7e-3, "warm_up": 40, "weight_decay": 0.01},
    rounds=4,
    context=1024,
    retrain={"steps": 800, "seeds": 3},
)
PAPER = _config(
    {"layers": 12, "heads": (12,), "groups": (4,), "head_sizes": (64,), "widths": (768,), "ratios": (4,)},
    {"name": "text", "source": "python", "length": 1024},
    256,
    {"population_size": 50, "proposals": 16, "budget": 2000},
    {"batch_size": 64, "learning_rate": 6e-4, "warm_up": 200},
    rounds=60,
    context=8192,
    retrain={"steps": 50_000, "seeds": 3},
)


def get_config(scale: str = "paper") -> ConfigDict:
    return at_scale(scale, PAPER, SMALL, noisy={"task": {**SMALL["task"], "noise": 0.3}})
