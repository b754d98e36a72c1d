"""Where the genome decides.

A network is written once. The kind of decision that a `Choice` is handed selects how it compiles:

- a Python or NumPy integer: only the chosen option exists (the stand-alone network);
- a JAX integer: every option is compiled once and the genome picks at run time (the population network);
- a float vector: the mixture of all options (the relaxed supernet);
- a `Gated` vector: the mixture of those options whose gates are open, the others are not computed.

With the same parameters all agree, and the parameters of the stand-alone network are a sub-tree by name of the
population network's.
"""

import contextlib
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from typing import Any, NamedTuple

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxnas import check
from jaxnas.check import InputError
from jaxnas.execution import current
from jaxnas.networks import merging
from jaxnas.networks.inference import materialized


class Gated(NamedTuple):
    """A relaxed choice between options that are computed only where a gate is open.

    A closed option adds nothing to the output, and its weight has the gradient 0.

    Attributes:
      weights: `[C]` float.
      gates: `[C]` bool.
    """

    weights: chex.Array
    gates: chex.Array


Decision = int | np.integer | chex.Array | Gated
"""Of one `Choice`; see the module for its four kinds."""


_declared: ContextVar[Sequence[tuple[str, Any, int]]] = ContextVar("declared", default=())


@contextlib.contextmanager
def declared(decisions: Sequence[tuple[str, Decision, int]]):
    """A context in which a network that has fewer options than one of its decisions is refused.

    A traced decision beyond the last option takes the last: without this, nobody would notice.

    Args:
      decisions: name, the very object that the network is handed, and its number of options.
    """
    token = _declared.set(decisions)
    try:
        yield
    finally:
        _declared.reset(token)


def _enough(decision: Decision, have: int, where: str) -> None:
    for name, given, count in _declared.get():
        if given is decision and have < count:
            raise InputError(f"decision {name!r} has {count} options, but {where} has {have}")


def is_static(decision: Decision) -> bool:
    """Whether a decision is made when the network is traced."""
    return isinstance(decision, (int, np.integer))


def is_mixture(decision: Decision) -> bool:
    """Whether a decision is the weights of a mixture of all options."""
    return not isinstance(decision, Gated) and jnp.ndim(decision) == 1


class Options:
    """Pairs of names and factories, which Flax leaves alone: it would look for modules in a dict's values at each use,
    and sort the dict, and decisions with it, in lifted transforms."""

    def __init__(self, options: Mapping[str, Callable[..., nn.Module]]):
        self._pairs = tuple(options.items())

    def __iter__(self):
        return iter(self._pairs)


class Choice(nn.Module):
    """Applies the option that `decision` selects.

    Attributes:
      options: name -> factory of a module (`functools.partial(Op, ...)`) that is called with `(x, train)`. All
        options must give the same shape.
    """

    options: Mapping[str, Callable[..., nn.Module]]

    def __post_init__(self):
        if isinstance(self.options, Mapping):
            for name, option in self.options.items():
                if isinstance(option, nn.Module):
                    kind = type(option).__name__
                    raise InputError(
                        f"option {name!r}: expected what makes a module, partial({kind}, …), got one made."
                    )
            self.options = Options(self.options)
        super().__post_init__()

    @nn.compact
    def __call__(self, decision, x, train: bool):
        options = dict(self.options)
        names = list(options)
        _enough(decision, len(names), f"the Choice {self.name!r}")
        if is_static(decision):
            check.integer(f"decision of {self.name}", int(decision), least=0, most=len(names) - 1)
            name = names[decision]
            return options[name](name=name)(materialized(x), train)
        if self.is_initializing():
            outputs = {n: options[n](name=n)(x, train) for n in names}
            made = {n: f"{y.dtype} {y.shape}" for n, y in outputs.items()}
            if len(set(made.values())) > 1:
                raise InputError(f"options of {self.name}: expected outputs of one type and shape, got {made}.")
            return jnp.zeros_like(outputs[names[0]])  # all have their variables now; nothing needs what they computed
        weights = decision.weights if isinstance(decision, Gated) else decision
        if jnp.ndim(weights) == 0:
            return self._pick(options, decision, x, train)
        if len(weights) != len(names):
            raise InputError(f"decision of {self.name}: expected {len(names)} weights, got {len(weights)}.")
        if isinstance(decision, Gated):
            return self._open(options, decision, x, train)
        return sum(w * options[n](name=n)(x, train) for w, n in zip(weights, names, strict=True))

    def _pick(self, options, decision, x, train):
        """Runs one option by a real conditional; side by side, where it would be none, all options once."""
        collections, mutable, apply = self._explicit(options, train)
        said = current()
        if (
            said.side_by_side or said.platform == "tpu"
        ):  # whose compiler takes longest, and most code, for a convolution
            names, decision, variables, apart = merging.merge(options, collections, decision)
        else:
            names, variables, apart = list(options), collections, lambda updates: updates
        if said.side_by_side:
            ran = {}
            for k, name in enumerate(names):
                own, given = {c: {name: v[name]} for c, v in variables.items() if name in v}, x
                if not getattr(options[name](parent=None), "finite", False):
                    own, given = _guarded(decision == k, (own, x))
                ran[name] = apply(name, own, given)
            y = lax.select_n(decision, *jnp.broadcast_arrays(*[y for y, _ in ran.values()]))
            self._put(apart({c: {n: u[c][n] for n, (_, u) in ran.items() if n in u.get(c, {})} for c in mutable}))
            return y

        def option(name):
            def run(operands):
                variables, x = operands
                y, updates = apply(name, variables, x)
                return y, {c: {**variables[c], **updates.get(c, {})} for c in mutable}

            return run

        y, updates = switch(decision, [option(n) for n in names], (variables, x))
        self._put(apart(updates))
        return y

    def _open(self, options, decision: Gated, x, train):
        """Runs each option behind a real conditional of its own."""
        collections, mutable, apply = self._explicit(options, train)
        total = 0.0
        for name, weight, gate in zip(options, *decision, strict=True):
            own = {c: {name: v[name]} for c, v in collections.items() if name in v}

            def opened(operands, name=name):
                weight, variables, x = operands
                y, updates = apply(name, variables, x)
                return weight * y, {c: updates.get(c, {}) for c in mutable}

            def closed(operands, opened=opened):
                y, updates = jax.eval_shape(opened, operands)
                kept = {c: operands[1][c] if updates[c] else {} for c in updates}
                return jnp.zeros(y.shape, y.dtype), kept

            y, updates = switch(gate.astype(jnp.int32), [closed, opened], (weight, own, x))
            self._put(updates)
            total += y
        return total

    def _explicit(self, options, train: bool):
        """`(variables, mutable collections, apply)`: branches of a conditional take and return variables, see `switch`.

        `apply(name, variables, x)` runs an option and returns its output and `{collection: {name: updated}}`.
        """
        collections = {c: v for c, v in self.variables.items() if v}
        mutable = [c for c in collections if c != "params" and self.is_mutable_collection(c)]
        rngs = {r: self.make_rng(r) for r in self.scope.rngs if r != "params"}

        def apply(name, variables, x):
            own = {c: v[name] for c, v in variables.items() if name in v}
            y, updates = options[name](parent=None).apply(own, x, train, mutable=mutable, rngs=rngs)
            return y, {c: {name: updated} for c, updated in updates.items()}

        return collections, mutable, apply

    def _put(self, updates):
        for collection, tree in updates.items():
            for name, value in tree.items():
                self.put_variable(collection, name, value)


def switch(index: chex.Array, branches: Sequence[Callable], operands: Any) -> Any:
    """`lax.switch` whose gradient recomputes the branch taken, instead of storing the residuals of every branch."""
    traced = [jax.jit(branch, inline=True) for branch in branches]  # once for both

    @jax.custom_vjp
    def run(index, operands):
        return lax.switch(index, traced, operands)

    def forward(index, operands):
        return lax.switch(index, traced, operands), (index, operands)

    def backward(residuals, cotangent):
        index, operands = residuals
        pullbacks = [lambda o, c, branch=branch: jax.vjp(branch, o)[1](c)[0] for branch in branches]
        return None, lax.switch(index, pullbacks, operands, cotangent)

    run.defvjp(forward, backward)
    return run(index, operands)


@jax.custom_vjp
def _guarded(chosen: chex.Array, tree: Any) -> Any:
    """`tree`, whose gradient is 0 unless `chosen`, also where that of what was computed of it is no number."""
    return tree


def _keep_chosen(chosen, gradient):
    keep = lambda g: g if g.dtype == jax.dtypes.float0 else jnp.where(chosen, g, jnp.zeros_like(g))
    return None, jax.tree.map(keep, gradient)


_guarded.defvjp(lambda chosen, tree: (tree, chosen), _keep_chosen)


def opened(decision: Decision) -> int | chex.Array:
    """A decision whose gates, if it has any, have become weights of 0: for options that cost nothing to compute."""
    return jnp.where(decision.gates, decision.weights, 0) if isinstance(decision, Gated) else decision


def width(decision: Decision, widths: Sequence[int]) -> tuple[int, float | chex.Array]:
    """A choice of width: `(features, mask)` for `y = Layer(features)(x) * mask`.

    A static decision gives a layer of just that width and a mask of 1; otherwise the layer has the largest width and
    `mask` `[features]` silences the rest (a mixture of masks for a float decision).
    """
    if is_static(decision):
        check.integer("decision", int(decision), least=0, most=len(widths) - 1, because="the options of width")
        return widths[decision], 1.0
    _enough(decision, len(widths), "a width")
    decision = opened(decision)
    features = max(widths)
    masks = jnp.arange(features) < jnp.asarray(widths)[:, None]
    masks = masks.astype(jnp.float32)
    return features, (decision @ masks if jnp.ndim(decision) == 1 else masks[decision])


def check_decisions(decisions: Mapping[str, Decision], named: Mapping[str, Sequence[Any]], alike: str) -> None:
    """Raises `InputError` for decisions that are not those of a network.

    Args:
      decisions: of any kind.
      named: what the network leaves to decide -> its options.
      alike: what space and network must have in common, for the message.
    """
    if set(decisions) != set(named):
        raise InputError(
            f"decisions: the network leaves {', '.join(named) or 'nothing'} to decide, the space has "
            f"{', '.join(decisions)}; give both the same {alike}."
        )
    for name, decision in decisions.items():
        n = len(named[name])
        _enough(decision, n, "the network")
        if is_static(decision):
            check.integer(f"decision of {name}", int(decision), least=0, most=n - 1)
        elif jnp.ndim(opened(decision)) == 1 and len(opened(decision)) != n:
            raise InputError(f"decision of {name}: expected {n} weights, got {len(opened(decision))}.")


def joint(a: int | chex.Array, b: int | chex.Array, sizes: tuple[int, int]) -> int | chex.Array:
    """Two decisions as one among all pairs of options, those of `b` fastest."""
    if jnp.ndim(a) == jnp.ndim(b) == 0:
        return a * sizes[1] + b
    weights = (
        d if jnp.ndim(d) == 1 else jax.nn.one_hot(d, n, dtype=jnp.float32) for d, n in zip((a, b), sizes, strict=True)
    )
    return jnp.outer(*weights).reshape(-1)


def exists(decision: Decision, depths: Sequence[int], i: int) -> Decision:
    """A choice of depth: the decision, for a `Choice` of (identity, layer), whether layer `i` (from 0) is there."""
    there = np.asarray(depths) > i
    if is_static(decision):
        check.integer("decision", int(decision), least=0, most=len(depths) - 1, because="the options of depth")
        return int(there[decision])
    _enough(decision, len(depths), "a depth")
    there = jnp.asarray(there)
    if isinstance(decision, Gated):
        gates = jnp.stack([(decision.gates & ~there).any(), (decision.gates & there).any()])
        return Gated(exists(decision.weights, depths, i), gates)
    if jnp.ndim(decision) == 1:
        return jnp.stack([(decision * ~there).sum(), (decision * there).sum()])
    return there[decision].astype(jnp.int32)
