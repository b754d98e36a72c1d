"""Follows what a function really does, into the branch of a conditional that is taken and through every loop."""

from collections.abc import Callable
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import Literal


def total_over(
    fun: Callable,
    params: Any,
    x: chex.Array,
    zero: chex.Array,
    *,
    of_operation: Callable = lambda eqn, values: None,
    of_parameter: Callable = lambda path, value: None,
) -> chex.Array:
    """What is summed over the operations of `fun(params, x)` that run, and the parameters that these read.

    Args:
      fun: traceable; values that it closes over, a genome say, may be traced.
      params: a pytree.
      x: input.
      zero: what to add to.
      of_operation: `(equation, values of its operands) -> ` what to add for an operation that is not a call or a loop,
        or None for nothing.
      of_parameter: `(path, value) -> ` what to add for a leaf of `params`, once. Of one whose rows a loop runs over,
        once for each row; a leaf that several branches read counts in each.
    """
    closed = jax.make_jaxpr(fun)(params, x)
    leaves = jax.tree_util.tree_leaves_with_path(params)
    owners = [path for path, _ in leaves] + [None]
    follow = _Follower(of_operation, of_parameter)
    args = [leaf for _, leaf in leaves] + [x]
    return follow.run(closed, args, owners, zero, set())[1]


class _Follower:
    def __init__(self, of_operation, of_parameter):
        self.of_operation, self.of_parameter = of_operation, of_parameter

    def run(self, closed, args, owners, total, seen):
        """`(outputs, total)`; `owners` says which parameter an argument is, `seen` which were counted."""
        jaxpr = closed.jaxpr
        values = dict(zip((*jaxpr.constvars, *jaxpr.invars), (*closed.consts, *args), strict=True))
        owner = {var: o for var, o in zip(jaxpr.invars, owners, strict=True) if o is not None}
        read = lambda var: var.val if isinstance(var, Literal) else values[var]
        whose = lambda var: None if isinstance(var, Literal) else owner.get(var)
        for eqn in jaxpr.eqns:
            operands, of = [read(v) for v in eqn.invars], [whose(v) for v in eqn.invars]
            step = {"cond": self._cond, "scan": self._scan, "while": self._while}.get(eqn.primitive.name)
            inner = next((eqn.params[k] for k in ("jaxpr", "call_jaxpr", "fun_jaxpr") if k in eqn.params), None)
            if step:
                outputs, total = step(eqn.params, operands, of, total, seen)
            elif inner is not None:
                inner = inner if hasattr(inner, "consts") else jax.extend.core.ClosedJaxpr(inner, ())
                outputs, total = self.run(inner, operands, of, total, seen)
            else:
                if _moves(eqn) and None not in of:
                    owner[eqn.outvars[0]] = of[0]
                else:
                    total = self._parameters(operands, of, total, seen)
                total = _plus(total, self.of_operation(eqn, operands))
                outputs = eqn.primitive.bind(*operands, **eqn.params)
                outputs = outputs if eqn.primitive.multiple_results else [outputs]
            values.update(zip(eqn.outvars, outputs, strict=True))
        return [read(v) for v in jaxpr.outvars], total

    def _parameters(self, operands, owners, total, seen):
        for value, path in zip(operands, owners, strict=True):
            if path is not None and path not in seen:
                seen.add(path)
                total = _plus(total, self.of_parameter(path, value))
        return total

    def _cond(self, params, operands, owners, total, seen):
        def taken(branch):
            return lambda total, *args: self.run(branch, args, owners[1:], total, set(seen))

        return jax.lax.switch(operands[0], [taken(b) for b in params["branches"]], total, *operands[1:])

    def _scan(self, params, operands, owners, total, seen):
        n, c = _constants_and_carry(params)
        consts, carry, rows = operands[:n], operands[n : n + c], operands[n + c :]
        total = self._parameters(consts, owners[:n], total, seen)
        own = [None] * (n + c) + [None if o in seen else o for o in owners[n + c :]]
        seen.update(o for o in owners[n + c :] if o is not None)

        def body(carry, row):
            carry, total = carry
            outputs, total = self.run(params["jaxpr"], [*consts, *carry, *row], own, total, set())
            return (outputs[:c], total), outputs[c:]

        length, reverse = params["length"], params["reverse"]
        (carry, total), rows = jax.lax.scan(body, (carry, total), rows, length=length, reverse=reverse)
        return [*carry, *rows], total

    def _while(self, params, operands, owners, total, seen):
        n, m = params["cond_nconsts"], params["body_nconsts"]
        total = self._parameters(operands[: n + m], owners[: n + m], total, seen)
        on, consts, carry = operands[:n], operands[n : n + m], operands[n + m :]
        none = [None] * (len(carry) + max(n, m))

        def condition(state):
            return self.run(params["cond_jaxpr"], [*on, *state[0]], none[: n + len(carry)], state[1], set())[0][0]

        def body(state):
            args = [*consts, *state[0]]
            return self.run(params["body_jaxpr"], args, none[: len(args)], state[1], set())

        carry, total = jax.lax.while_loop(condition, body, (list(carry), total))
        return carry, total


def _constants_and_carry(params) -> tuple[int, int]:
    """How many of a scan's operands are constants, and how many the carry."""
    if "ft_in" in params:  # from JAX 0.11 on
        constants, carry, _ = params["ft_in"].unpack()
        return len(constants), len(carry)
    return params["num_consts"], params["num_carry"]


def _moves(eqn) -> bool:
    """Whether all that comes out is all that goes in, in another shape or beside each other."""
    names = ("reshape", "squeeze", "expand_dims", "broadcast_in_dim", "stack", "concatenate", "transpose")
    return eqn.primitive.name in names and eqn.outvars[0].aval.size == sum(v.aval.size for v in eqn.invars)


def _plus(total, more):
    return total if more is None else total + jnp.asarray(more, total.dtype)


def mean_multiplications(jaxpr) -> float:
    """Of all matrix products and convolutions, of conditionals the mean over their branches."""
    total = 0.0
    for eqn in jaxpr.eqns:
        inner = [getattr(each, "jaxpr", each) for each in jax.tree.leaves(list(eqn.params.values()), is_leaf=_is_jaxpr)]
        inner = [mean_multiplications(each) for each in inner if hasattr(each, "eqns")]
        times = 1 / len(inner) if eqn.primitive.name == "cond" else eqn.params.get("length", 1)
        total += multiplications(eqn) + times * sum(inner)
    return total


def _is_jaxpr(value) -> bool:
    return hasattr(value, "eqns") or hasattr(value, "jaxpr")


def multiplications(eqn) -> int:
    """Of a matrix product or a convolution; 0 of anything else."""
    shapes = [v.aval.shape for v in eqn.invars]
    if eqn.primitive.name == "dot_general":
        (contracted, _), _ = eqn.params["dimension_numbers"]
        return int(np.prod(eqn.outvars[0].aval.shape) * np.prod([shapes[0][i] for i in contracted]))
    if eqn.primitive.name == "conv_general_dilated":
        features = eqn.params["dimension_numbers"].rhs_spec[0]
        return int(np.prod(eqn.outvars[0].aval.shape) * np.prod(shapes[1]) // shapes[1][features])
    return 0
