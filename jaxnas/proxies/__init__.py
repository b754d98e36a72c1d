"""Zero-cost proxies map one network at initialization and one batch to a score, without any training.

A `Proxy` is a pure function `(apply_fn, params, batch, key, loss) -> score`, a scalar; `evaluators.zero_cost` runs them
over a population.

| proxy | from |
|---|---|
| `synflow`, `snip`, `grasp`, `fisher`, `grad_norm`, `plain` | gradients of a loss in weights or activations |
| `jacov`, `epe_nas` | the Jacobian of the outputs in the inputs |
| `nwot`, `zen`, `epsinas` | activations and outputs |
| `l2_norm`, `params`, `flops` | the weights alone, and counts |

`PROXIES` has them by name, `named` reads a list of names, and `together` scores by several with their `Passes` shared.
`proxy` makes one of a function of `Passes`.
"""

from collections.abc import Callable, Sequence

from jaxnas import check
from jaxnas.check import InputError
from jaxnas.proxies._proxy import Passes, Proxy, proxy
from jaxnas.proxies.activations import epsinas, flops, l2_norm, nwot, params, zen
from jaxnas.proxies.gradients import fisher, grad_norm, grasp, plain, snip, synflow
from jaxnas.proxies.jacobians import epe_nas, jacov
from jaxnas.tasks.task import cross_entropy

__all__ = [
    "PROXIES",
    "Passes",
    "Proxy",
    "epe_nas",
    "epsinas",
    "fisher",
    "flops",
    "grad_norm",
    "grasp",
    "jacov",
    "l2_norm",
    "named",
    "nwot",
    "params",
    "plain",
    "proxy",
    "snip",
    "synflow",
    "together",
    "zen",
]

_ALL = (synflow, snip, grasp, fisher, grad_norm, l2_norm, plain, jacov, nwot, epe_nas, zen, epsinas, params, flops)
PROXIES: dict[str, Proxy] = {each.name: each for each in _ALL}


def named(names: str | Sequence[str]) -> list[str]:
    """The proxies that a text ("synflow,nwot"; "all") or a sequence names.

    Raises:
      InputError: an unknown name, or none at all.
    """
    names = [name.strip() for name in names.split(",") if name.strip()] if isinstance(names, str) else list(names)
    if names == ["all"]:
        return list(PROXIES)
    if not names:
        raise InputError(f"proxies: expected names out of {', '.join(PROXIES)}, or 'all', got none.")
    for name in names:
        check.one_of("proxies", name, PROXIES)
    return list(dict.fromkeys(names))


def together(names: Sequence[str]) -> Callable:
    """`(apply_fn, params, batch, key, loss) -> {name: score}`: several proxies of one network, passes shared."""
    chosen = [PROXIES[name] for name in named(names)]

    def score(apply_fn, params, batch, key, loss=cross_entropy):
        passes = Passes(apply_fn, params, batch, key, loss, any(each.masks for each in chosen))
        return {each.name: each.of(passes) for each in chosen}

    return score
