"""Whether ranks survive products of bfloat16, which a TPU makes of float32 unless more is asked for."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxnas import check, evaluators, networks, spaces, strategies
from jaxnas.benchmarks import side_by_side
from jaxnas.check import InputError
from jaxnas.proxies import named
from jaxnas.statistics import rank_correlation

PRODUCTS = ("dot_general", "conv_general_dilated")
_CALLS = ("jit", "pjit", "closed_call", "core_call", "checkpoint", "custom_jvp_call", "custom_vjp_call")


def measure(
    *,
    image: int = 8,
    channels: int = 8,
    cells: int = 1,
    batch: int = 64,
    architectures: int = 200,
    proxies: str = "all",
    steps: int = 50,
) -> dict[str, Any]:
    """Scores of random architectures with products of bfloat16, emulated, beside those in float32.

    Every factor of every product and convolution, in gradients too, is rounded to bfloat16; sums stay float32, as in a
    TPU's matrix unit.

    Args:
      image: height and width of the random images.
      channels: channels of the first stage of NAS-Bench-201's network.
      cells: cells in each stage.
      batch: batch size.
      architectures: random ones.
      proxies: names, or "all".
      steps: of training, whose losses are compared too; 0 for none.

    Returns:
      `{proxy: {spearman, kendall, relative_error}}`, and `training` with `other_seed` besides: what another seed alone
      does to it.
    """
    side_by_side.positive(image=image, channels=channels, cells=cells, batch=batch, architectures=architectures)
    check.integer("steps", steps, least=0)
    random = np.random.default_rng(0)
    space, network = spaces.nasbench201(), networks.NasBench201(channels, cells, 10)
    task = side_by_side.random_images(random, image, train=10 * batch, validation=2 * batch, test=1)
    genomes = jax.vmap(space.from_index)(side_by_side.random_architectures(random, space, architectures, 1)[0])
    strategy = strategies.random_search(space, proposals=architectures, budget=steps)
    proposal = strategy.ask(jax.random.key(0), strategy.init(jax.random.key(0)))[0].replace(genome=genomes)
    figures = {}
    for name in named(proxies):
        evaluator = evaluators.zero_cost(
            space, network, task, proxies=name, batch_size=batch, devices=jax.devices()[:1]
        )
        state = evaluator.init(jax.random.key(0))
        run = lambda key, evaluator=evaluator, state=state: evaluator.evaluate(key, state, proposal)[0].fitness
        figures[name] = _compared(run)
        print(f"{name}: {figures[name]}", flush=True)
    if steps:
        evaluator = evaluators.training(space, network, task, batch_size=batch, devices=jax.devices()[:1])
        run = lambda key: evaluator.evaluate(key, (), proposal)[0].fitness
        figures["training"] = _compared(run, other_seed=True)
    return figures


def _compared(run: Callable, other_seed: bool = False) -> dict[str, float]:
    key = jax.random.key(1)
    exact, rounded = (np.asarray(jax.jit(f)(key)) for f in (run, with_rounded_products(run)))
    found = _ranks(exact, rounded)
    error = abs(rounded - exact)[np.isfinite(exact)] / np.maximum(abs(exact[np.isfinite(exact)]), 1e-12)
    found["relative_error"] = float(np.median(error))
    if other_seed:
        found["other_seed"] = _ranks(exact, np.asarray(jax.jit(run)(jax.random.key(2))))
    return found


def _ranks(a: np.ndarray, b: np.ndarray) -> dict[str, float]:
    good = np.isfinite(a) & np.isfinite(b)
    found = rank_correlation(a[good], b[good], measures=("spearman", "kendall"))
    return {name: float(value.value) for name, value in found.items()}


def with_rounded_products(fn: Callable) -> Callable:
    """`fn`, the factors of whose products are rounded to bfloat16."""

    def run(*args):
        closed, shape = jax.make_jaxpr(fn, return_shape=True)(*args)
        return jax.tree.unflatten(jax.tree.structure(shape), _run(closed.jaxpr, closed.consts, *jax.tree.leaves(args)))

    return run


def _rounded(x: Any) -> Any:
    return x.astype(jnp.bfloat16).astype(x.dtype) if jnp.issubdtype(x.dtype, jnp.floating) else x


def _run(jaxpr, consts: Sequence, *args) -> list:
    known = dict(zip((*jaxpr.constvars, *jaxpr.invars), (*consts, *args), strict=True))
    value = lambda var: var.val if hasattr(var, "val") else known[var]  # a literal has its own
    for eqn in jaxpr.eqns:
        known.update(zip(eqn.outvars, _one(eqn, [value(var) for var in eqn.invars]), strict=True))
    return [value(var) for var in jaxpr.outvars]


def _one(eqn, given: list) -> list:
    name, params = eqn.primitive.name, eqn.params
    inner = lambda closed: lambda *args: _run(closed.jaxpr, closed.consts, *args)
    if name == "cond":
        index, *operands = given
        return jax.lax.switch(index, [inner(branch) for branch in params["branches"]], *operands)
    if name == "while":
        a, b = params["cond_nconsts"], params["cond_nconsts"] + params["body_nconsts"]
        holds, body = inner(params["cond_jaxpr"]), inner(params["body_jaxpr"])
        carry = lambda c: tuple(body(*given[a:b], *c))
        return list(jax.lax.while_loop(lambda c: holds(*given[:a], *c)[0], carry, tuple(given[b:])))
    if name == "scan":
        a, b = params["num_consts"], params["num_consts"] + params["num_carry"]
        body, n = inner(params["jaxpr"]), params["num_carry"]

        def step(carry, xs):
            out = body(*given[:a], *carry, *xs)
            return tuple(out[:n]), tuple(out[n:])

        options = {"length": params["length"], "reverse": params["reverse"]}
        carry, rows = jax.lax.scan(step, tuple(given[a:b]), tuple(given[b:]), **options)
        return [*carry, *rows]
    if name in _CALLS:
        called = params["call_jaxpr" if "call_jaxpr" in params else "jaxpr"]
        return _run(getattr(called, "jaxpr", called), getattr(called, "consts", ()), *given)
    if name == "shard_map":
        raise InputError("products are rounded on one device only.")
    if name in PRODUCTS:
        given = [_rounded(x) for x in given]
    out = eqn.primitive.bind(*given, **params)
    return list(out) if eqn.primitive.multiple_results else [out]
