"""What it costs: one benchmark a module, each a function `measure` of keyword options that returns its figures."""

from jaxnas.benchmarks import (
    budgets,
    data,
    decoder,
    device,
    elastic,
    knapsack,
    loop,
    mixers,
    neat,
    placement,
    plan,
    precision,
    proxies,
    supernet,
    training,
)

__all__ = [
    "budgets",
    "data",
    "decoder",
    "device",
    "elastic",
    "knapsack",
    "loop",
    "mixers",
    "neat",
    "placement",
    "plan",
    "precision",
    "proxies",
    "supernet",
    "training",
]
