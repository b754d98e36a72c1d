"""Zero-cost proxies map one network at initialization and one batch to a score, without any training.

A `Proxy` is a pure function `(apply_fn, params, batch, key, loss) -> score`, a scalar; `evaluators.zero_cost` runs them
over a population.

| proxy | from |
|---|---|
| `synflow`, `snip`, `grasp`, `fisher`, `grad_norm`, `plain` | gradients of a loss in weights or activations |
| `jacov`, `epe_nas` | the Jacobian of the outputs in the inputs |
| `nwot`, `zen`, `epsinas` | activations and outputs |
| `l2_norm`, `params`, `flops` | the weights alone, and counts |

`PROXIES` has them by name, `named` reads a list of names, `counting` says which of them count, and `together` scores by
several with their `Passes` shared. `proxy` makes one of a function of `Passes`.
"""

from collections.abc import Callable, Sequence

from jaxnas import check
from jaxnas.check import InputError
from jaxnas.proxies._proxy import Passes, Proxy, products, proxy
from jaxnas.proxies.activations import epsinas, flops, l2_norm, nwot, params, zen
from jaxnas.proxies.gradients import fisher, grad_norm, grasp, plain, snip, synflow
from jaxnas.proxies.jacobians import epe_nas, jacov
from jaxnas.references import imported, is_reference
from jaxnas.tasks.losses import cross_entropy

__all__ = [
    "PROXIES",
    "Passes",
    "Proxy",
    "counting",
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
"""Name -> proxy, of those that come with the library."""


def named(names: str | Proxy | Sequence[str | Proxy]) -> list[str]:
    """Names of the proxies that a text ("synflow,nwot"; "all") or a sequence gives.

    Own ones, `package.module:proxy` or made by `proxy`, are known by their names from then on.

    Raises:
      InputError: an unknown name, or none at all; an own proxy with the name of another.
    """
    if callable(names):  # a proxy, or what is to be refused as none
        names = [names]
    names = [name.strip() for name in names.split(",") if name.strip()] if isinstance(names, str) else list(names)
    names = [_own(name) if callable(name) or is_reference(name) else name for name in names]
    if names == ["all"]:
        return list(PROXIES)
    if not names:
        raise InputError(f"proxies: expected names out of {', '.join(PROXIES)}, or 'all', got none.")
    for name in names:
        check.one_of("proxies", name, PROXIES)
    return list(dict.fromkeys(names))


def counting(names: Sequence[str]) -> list[str]:
    """Those that count what a layer has, and so what a mask cuts of it too."""
    return [name for name in names if PROXIES[name].masks or not PROXIES[name].by_function]


def _own(given: str | Proxy) -> str:
    """The name of an own proxy, which is known from now on."""
    found = imported("proxies", given) if isinstance(given, str) else given
    if not isinstance(found, Proxy):
        raise InputError(f"proxies: {given!r} is no proxy; `jaxnas.proxies.proxy` makes one of a function.")
    if PROXIES.setdefault(found.name, found) is not found:
        raise InputError(f"proxies: there is another one called {found.name!r}.")
    return found.name


def together(names: Sequence[str]) -> Callable:
    """`(apply_fn, params, batch, key, loss) -> {name: score}`: several proxies of one network, passes shared."""
    chosen = [PROXIES[name] for name in named(names)]

    def score(apply_fn, params, batch, key, loss=cross_entropy):
        with products(any(each.precise for each in chosen)):
            passes = Passes(apply_fn, params, batch, key, loss, any(each.masks for each in chosen))
            return {each.name: each.of(passes) for each in chosen}

    return score
