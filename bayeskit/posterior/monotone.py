"""Exact marginals of monotone functions of one latent, read from an expression node by node.

Every node that is a strictly monotone function of one latent has a distribution; the node above it takes one step more.
What is not recognised is refused by name: a false negative costs a simulation, a false positive is wrong.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from bayeskit.distributions.elementary import Affine, Step, ToPower
from bayeskit.distributions.labelled import aligned
from bayeskit.distributions.transformed import transformed
from bayeskit.errors import ParameterError
from bayeskit.expressions import Constant, Expression, Variable
from bayeskit.expressions.structure import Apply, Index
from bayeskit.model.problem import Problem

if TYPE_CHECKING:
    from bayeskit.distributions import Distribution

Array = np.ndarray

_NAMED = {"exp", "log", "log1p", "expm1", "expit", "logit", "ndtr", "ndtri", "tanh", "negative"}
_SCALED: dict[str, tuple[str | Step, ...]] = {  # the same function up to a factor
    "log2": ("log", Affine(1.0 / np.log(2.0))),
    "log10": ("log", Affine(1.0 / np.log(10.0))),
    "exp2": (Affine(np.log(2.0)), "exp"),
    "log_expit": ("expit", "log"),
}
_POWERS = {"sqrt": 0.5, "square": 2.0, "reciprocal": -1.0, "cbrt": 1.0 / 3.0}


class NotMonotone(Exception):
    """Why an expression is not a monotone function of one latent that can be read; names the subexpression."""


def monotone_marginal(
    problem: Problem, expression: Expression, name: str, base: Distribution, label: Callable[[Expression], Any]
) -> Distribution:
    """Return the distribution of an elementwise monotone function of a latent.

    Parameters
    ----------
    problem : Problem
        Supplies the known values.
    expression : Expression
        What is read.
    name : str
        The latent.
    base : Distribution
        Its marginal.
    label : callable
        From a known expression to its value, a number or a DataArray.

    Raises
    ------
    NotMonotone
        Naming the subexpression that is not.
    """
    if base.event_ndim or base.discrete:
        raise NotMonotone(f"the marginal of '{name}' is {base.family}, not of one continuous number")
    if getattr(base, "base", base).family == "VonMises":
        raise NotMonotone(f"'{name}' is a direction, whose mean and variance are those of the circle")
    dims = problem.latents[name].variable.dims
    if dims and set(expression.dims) != set(dims):
        raise NotMonotone(f"{expression} has the dims {expression.dims}, and '{name}' has {dims}")
    return Reader(name, base, label).read(expression)


class Reader:
    """Reads the distribution of an expression of one latent, node by node."""

    def __init__(self, name: str, base: Distribution, label: Callable[[Expression], Any]) -> None:
        self.name, self.base, self.label = name, base, label

    def _argument(self, node: Expression) -> Expression:
        return next(child for child in node.children() if self.touches(child))

    def touches(self, node: Expression) -> bool:
        """Whether a node depends on what is unknown."""
        return self.name in node.variables

    def read(self, node: Expression) -> Distribution:
        """Return the distribution of a node."""
        if isinstance(node, Variable):
            return self.base
        if not isinstance(node, Apply):
            raise self._refuse(node)
        touched = [arg for arg in node.args if self.touches(arg)]
        if len(touched) > 1:
            return self._twice(node)
        inner = self.read(touched[0])
        try:
            return self._step(node, inner)
        except ParameterError:
            raise self._refuse(node) from None

    def _refuse(self, node: Expression, why: str = "") -> NotMonotone:
        return NotMonotone(f"{node} is not known to be a monotone function of '{self.name}'{why}")

    def _step(self, node: Apply, inner: Distribution) -> Distribution:
        function = node.function
        if function == "positive":
            return inner
        if function in _NAMED:
            return transformed(inner, function)
        if function in _SCALED:
            return transformed(inner, *_SCALED[function])
        if function in _POWERS:
            return self._raised(node, inner, _POWERS[function])
        if len(node.args) != 2:
            raise self._refuse(node)
        first = self.touches(node.args[0])
        value = self.label(node.args[1] if first else node.args[0])
        return self._binary(node, inner, value, first)

    def _binary(self, node: Apply, inner: Distribution, value: Any, first: bool) -> Distribution:
        function = node.function
        if function == "add":
            return transformed(inner, Affine(1.0, value))
        if function == "subtract":
            return transformed(inner, Affine(1.0, -value) if first else Affine(-1.0, value))
        if function == "multiply":
            return transformed(inner, Affine(value))
        if function in ("divide", "true_divide"):
            _nonzero(value)
            return transformed(inner, Affine(1.0 / value)) if first else self._over(node, inner, value)
        if function == "power" and first:
            if np.ndim(value):
                raise self._refuse(node)
            return self._raised(node, inner, float(value))
        if function == "power" and np.all(np.asarray(value) > 0):
            return transformed(inner, Affine(np.log(value)), "exp")
        raise self._refuse(node)

    def _over(self, node: Expression, inner: Distribution, value: Any) -> Distribution:
        return transformed(self._raised(node, inner, -1.0), Affine(value))

    def _raised(self, node: Expression, inner: Distribution, exponent: float) -> Distribution:
        """A power of numbers of one sign; of negative ones where the exponent is whole."""
        if exponent == 0 or not np.isfinite(exponent):
            raise self._refuse(node, ", for the power is constant")
        if exponent == 1.0:
            return inner
        lower, upper = inner._bounds(*aligned(inner).arrays)
        if np.all(np.asarray(lower) >= 0):
            return transformed(inner, ToPower(exponent))
        whole = float(exponent).is_integer()
        if not whole or not np.all(np.asarray(upper) <= 0):
            raise self._refuse(node, f", for {self._argument(node)} may be negative")
        positive = transformed(inner, "negative", ToPower(exponent))
        return positive if exponent % 2 == 0 else transformed(positive, "negative")

    def _twice(self, node: Apply) -> Distribution:
        """Odds ``x / (1 - x)`` and log odds ``log(x) - log(1 - x)``, and each the other way round."""
        left, right = node.args if len(node.args) == 2 else (node, node)
        odds = node.function in ("divide", "true_divide")
        if odds or node.function == "subtract":
            for one, other, turned in ((left, right, False), (right, left, True)):
                x, rest = (one, _complement(other)) if odds else (_log_of(one), _log_of_complement(other))
                if x is not None and rest is not None and _same(x, rest):
                    return self._odds(node, x, "odds" if odds else "logit", turned)
        raise self._refuse(node, f", for '{self.name}' stands in it twice")

    def _odds(self, node: Expression, x: Expression, step: str, turned: bool) -> Distribution:
        inner = self.read(x)
        try:
            if not turned:
                return transformed(inner, step)
            # Turned round, they are those of 1 - x.
            return transformed(inner, Affine(-1.0, 1.0), step)
        except ParameterError:
            raise self._refuse(node, f", for {x} may lie outside 0..1") from None


def _nonzero(value: Any) -> None:
    if np.any(np.asarray(value) == 0):
        raise ParameterError("A monotone quotient must not have a zero.")


def _complement(node: Expression) -> Expression | None:
    """Return x where the node is ``1 - x``."""
    if isinstance(node, Apply) and node.function == "subtract" and _is_one(node.args[0]):
        return node.args[1]
    return None


def _is_one(node: Expression) -> bool:
    return isinstance(node, Constant) and node.value.ndim == 0 and bool(node.value == 1)


def _log_of(node: Expression) -> Expression | None:
    return node.args[0] if isinstance(node, Apply) and node.function == "log" else None


def _log_of_complement(node: Expression) -> Expression | None:
    """Return x where the node is ``log(1 - x)`` or ``log1p(-x)``."""
    if not isinstance(node, Apply):
        return None
    if node.function == "log":
        return _complement(node.args[0])
    negated = node.args[0] if node.function == "log1p" else None
    return negated.args[0] if isinstance(negated, Apply) and negated.function == "negative" else None


def _same(a: Expression, b: Expression) -> bool:
    """Whether two expressions are the same, node by node (== would build a comparison)."""
    if a is b:
        return True
    if isinstance(a, Variable) and isinstance(b, Variable):
        return a.name == b.name
    if isinstance(a, Constant) and isinstance(b, Constant):
        return a.dims == b.dims and a.value.shape == b.value.shape and bool(np.all(a.value == b.value))
    if isinstance(a, Apply) and isinstance(b, Apply) and a.function == b.function:
        return len(a.args) == len(b.args) and all(map(_same, a.args, b.args))
    if isinstance(a, Index) and isinstance(b, Index) and a.indices.keys() == b.indices.keys():
        return _same(a.table, b.table) and all(_same(i, b.indices[d]) for d, i in a.indices.items())
    return False
