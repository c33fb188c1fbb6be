"""``power_form``: whether an expression is ``coefficient * target[positions] ** exponent``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from bayeskit.expressions.linear import ONE, NotLinear, Position
from bayeskit.expressions.nodes import Apply, Constant, Environment, Expression, Variable
from bayeskit.expressions.structure import Index


@dataclass(frozen=True)
class PowerForm:
    """``coefficient * target[positions] ** (exponent * times)``; positions as in ``linear.Term``.

    ``times`` is one, but where the exponent is computed from other variables, as in ``rate ** (-1 / alpha)``.
    """

    coefficient: Expression
    exponent: float
    positions: Mapping[str, Position]
    times: Expression = ONE


class NotPower(NotLinear):
    """Why an expression is no power of the target, and the subexpression that makes it so."""


_ROOTS = {"sqrt": 0.5, "square": 2.0, "reciprocal": -1.0, "cbrt": 1.0 / 3.0}


def power_form(expression: Expression, target: str, *, computed: bool = False) -> PowerForm | NotPower:
    """Return how ``expression`` is a power of ``target``, or why it is not one.

    The form holds where the target is positive: ``sqrt(square(x))`` is ``x`` for a scale, not for negative numbers.
    An exponent that is computed from other variables is read where it is ``computed`` that is asked for.
    """
    form = _read(expression, target)
    if isinstance(form, PowerForm) and form.exponent == 0:
        return NotPower(f"does not depend on '{target}', whose powers cancel", str(expression))
    if isinstance(form, PowerForm) and form.times is not ONE and not computed:
        return NotPower(f"is no power of '{target}'", str(expression))
    return form


def cancelled(expression: Expression, known: Environment) -> float | None:
    """Return the one number that an expression is, where its unknown variables cancel; None where it is not one.

    Examples
    --------
    >>> import numpy as np
    >>> from bayeskit.expressions import Variable
    >>> a, t = Variable("a", ()), Variable("t", ("obs",))
    >>> cancelled((-1 / a) * (2 * a), {}), cancelled(t / t * a, {"t": np.array([[1.0, 2.0]])})
    (-2.0, None)
    """
    for name in sorted(expression.variables - known.keys()):
        form = _read(expression, name)
        if isinstance(form, NotPower) or form.exponent != 0 or form.times is not ONE:
            return None
        expression = form.coefficient
    values = np.asarray(expression.evaluate(known), dtype=float)
    if not values.size or not np.all(np.abs(values - values.flat[0]) <= 1e-13 * np.abs(values.flat[0])):
        return None
    return round(float(values.flat[0]), 12)


def _read(expression: Expression, target: str) -> PowerForm | NotPower:
    if target not in expression.variables:
        return NotPower(f"does not contain '{target}'", str(expression))
    if isinstance(expression, Variable):
        return PowerForm(ONE, 1.0, {d: d for d in expression.dims})
    if isinstance(expression, Index):
        return _index(expression, target)
    if isinstance(expression, Apply):
        return _apply(expression, target)
    return NotPower(f"is no power of '{target}'", str(expression))


def _index(node: Index, target: str) -> PowerForm | NotPower:
    if any(target in i.variables for i in node.indices.values()):
        return NotPower(f"has '{target}' in its own index", str(node))
    form = _read(node.table, target)
    if isinstance(form, NotPower):
        return form

    def pick(value: Expression) -> Expression:
        chosen = {d: i for d, i in node.indices.items() if d in value.dims}
        return Index(value, chosen) if chosen else value

    positions = {d: node.indices.get(p, p) if isinstance(p, str) else pick(p) for d, p in form.positions.items()}
    return PowerForm(pick(form.coefficient), form.exponent, positions, pick(form.times))


def _apply(node: Apply, target: str) -> PowerForm | NotPower:
    name, args = node.function, node.args
    if name in _ROOTS:
        return _raised(_read(args[0], target), _ROOTS[name])
    if name == "power" and target not in args[1].variables:
        number = isinstance(args[1], Constant) and args[1].value.ndim == 0
        form = _read(args[0], target)
        return _raised(form, float(args[1].value)) if number else _raised_by(form, args[1])  # type: ignore[attr-defined]
    if name in ("multiply", "divide", "true_divide"):
        return _product(node, target, 1.0 if name == "multiply" else -1.0)
    return NotPower(f"is no power of '{target}'", str(node))


def _raised(form: PowerForm | NotPower, exponent: float) -> PowerForm | NotPower:
    if isinstance(form, NotPower):
        return form
    coefficient = ONE if form.coefficient is ONE else form.coefficient**exponent
    return PowerForm(coefficient, form.exponent * exponent, form.positions, form.times)


def _raised_by(form: PowerForm | NotPower, exponent: Expression) -> PowerForm | NotPower:
    if isinstance(form, NotPower):
        return form
    coefficient = ONE if form.coefficient is ONE else form.coefficient**exponent
    times = exponent if form.times is ONE else form.times * exponent
    return PowerForm(coefficient, form.exponent, form.positions, times)


def _product(node: Apply, target: str, sign: float) -> PowerForm | NotPower:
    left, right = node.args
    if target not in left.variables:
        form = _raised(_read(right, target), sign)
        return form if isinstance(form, NotPower) else _scaled(form, left)
    form = _read(left, target)
    if isinstance(form, NotPower):
        return form
    if target not in right.variables:
        return _scaled(form, right if sign > 0 else ONE / right)
    other = _raised(_read(right, target), sign)
    if isinstance(other, NotPower):
        return other
    if not _same(form.positions, other.positions):
        return NotPower(f"contains different elements of '{target}'", str(node))
    if form.times is not ONE or other.times is not ONE:
        return NotPower(f"is a product of powers of '{target}' whose exponents are no numbers", str(node))
    return PowerForm(
        other.coefficient if form.coefficient is ONE else form.coefficient * other.coefficient,
        form.exponent + other.exponent,
        form.positions,
    )


def _same(a: Mapping[str, Position], b: Mapping[str, Position]) -> bool:
    """Whether two forms touch the same elements (expressions are compared by identity: == builds a comparison)."""
    return all(p is b[d] or (isinstance(p, str) and isinstance(b[d], str) and p == b[d]) for d, p in a.items())


def _scaled(form: PowerForm, factor: Expression) -> PowerForm:
    coefficient = factor if form.coefficient is ONE else form.coefficient * factor
    return PowerForm(coefficient, form.exponent, form.positions, form.times)
