"""How a parameter hangs on a predictor: log odds, a probit or a log link, as it may be written."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from bayeskit.expressions import Expression
from bayeskit.expressions.nodes import Apply, Constant
from bayeskit.expressions.structure import Index
from bayeskit.model.problem import Factor


@dataclass(frozen=True)
class Link:
    """The kind of a link, ``"logit"``, ``"probit"`` or ``"log"``, and the predictor in it."""

    kind: str
    predictor: Expression


_PARAMETER = {"Bernoulli": "p", "Binomial": "p", "Poisson": "mu", "Categorical": "", "Multinomial": ""}


def link_of(factor: Factor, known: Collection[str]) -> tuple[Link, tuple[str, ...]] | None:
    """Return the link of a factor and the dims its predictor is laid along; None where there is none that is known."""
    family = factor.distribution.family
    names = [p.name for p in factor.distribution.parameters]
    if family not in _PARAMETER:
        return None
    if "logit" in names:
        return Link("logit", factor.parameter("logit")), factor.layouts[names.index("logit")]
    name = _PARAMETER[family]
    if name not in names:
        return None
    parameter = factor.parameter(name)
    if family == "Poisson":
        predictor = log_of(parameter, set(known))
        link = None if predictor is None else Link("log", predictor)
    else:
        link = link_of_probability(parameter)
    return None if link is None else (link, factor.plates)


def link_of_probability(p: Expression) -> Link | None:
    """Return the link of ``expit(x)``, ``ndtr(x)``, ``1 - either`` or ``1 / (1 + exp(x))``."""
    p = _pushed(p)
    if not isinstance(p, Apply):
        return None
    if p.function == "expit":
        return Link("logit", p.args[0])
    if p.function == "ndtr":
        return Link("probit", p.args[0])
    if p.function == "subtract" and _is_one(p.args[0]):
        inner = link_of_probability(p.args[1])
        return None if inner is None else Link(inner.kind, -inner.predictor)
    if p.function in ("divide", "true_divide") and _is_one(p.args[0]):
        below = p.args[1]
        if isinstance(below, Apply) and below.function == "add":
            one, other = below.args if _is_one(below.args[0]) else below.args[::-1]
            other = _pushed(other)
            if _is_one(one) and isinstance(other, Apply) and other.function == "exp":
                return Link("logit", -other.args[0])
    return None


def log_of(mean: Expression, known: set[str]) -> Expression | None:
    """Return the log of a product of exponentials and of known numbers (zeros among them), or None."""
    if mean.variables <= known:
        return Apply(np.log, (mean,))
    mean = _pushed(mean)
    if not isinstance(mean, Apply):
        return None
    name, args = mean.function, mean.args
    if name == "exp":
        return args[0]
    if name in ("multiply", "divide", "true_divide"):
        left, right = (log_of(a, known) for a in args)
        if left is None or right is None:
            return None
        return left + right if name == "multiply" else left - right
    powers = {"sqrt": 0.5, "square": 2.0, "reciprocal": -1.0}
    exponent = args[1] if name == "power" and args[1].variables <= known else powers.get(name)
    base = None if exponent is None or args[0].variables <= known else log_of(args[0], known)
    return None if base is None else base * exponent


def _pushed(expression: Expression) -> Expression:
    """Return ``f(table)[i]`` as ``f(table[i])``."""
    if not isinstance(expression, Index):
        return expression
    table = _pushed(expression.table)
    if not isinstance(table, Apply):
        return expression

    def pick(argument: Expression) -> Expression:
        here = {d: i for d, i in expression.indices.items() if d in argument.dims}
        return Index(argument, here) if here else argument

    return Apply(table.ufunc, tuple(pick(a) for a in table.args))


def _is_one(expression: Expression) -> bool:
    return isinstance(expression, Constant) and expression.value.ndim == 0 and expression.value == 1
