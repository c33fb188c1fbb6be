"""Monotone functions of variables, as the plainest distribution there is of them."""

from __future__ import annotations

import numpy as np

from bayeskit.distributions.base import Distribution
from bayeskit.distributions.beta import Beta
from bayeskit.distributions.closed_steps import closed_step
from bayeskit.distributions.elementary import (
    Affine,
    Exp,
    Expit,
    Expm1,
    Log,
    Log1p,
    Logit,
    Ndtr,
    Ndtri,
    Odds,
    Step,
    ToPower,
    as_step,
)
from bayeskit.distributions.monotone import Monotone
from bayeskit.distributions.power import Power
from bayeskit.distributions.uniform import Uniform

__all__ = ["transformed"]

_UNDONE = {(Exp, Log), (Log, Exp), (Expit, Logit), (Logit, Expit), (Ndtr, Ndtri), (Ndtri, Ndtr), (Log1p, Expm1),
           (Expm1, Log1p)}  # fmt: skip
_FUSED: dict[tuple[type[Step], type[Step]], type[Step]] = {
    (Odds, Log): Logit, (Logit, Exp): Odds, (Expit, Odds): Exp,
}  # fmt: skip


def transformed(base: Distribution, *steps: str | Step) -> Distribution:
    """Return the distribution of a monotone function of a variable: a family of its own where there is one.

    Parameters
    ----------
    base : Distribution
        As for `Monotone`.
    *steps : str or Step
        As for `Monotone`.

    Examples
    --------
    >>> from bayeskit.distributions import Beta, Gamma, Normal
    >>> transformed(Normal(1, 2), "exp"), transformed(Beta(2, 3), Affine(-1, 1))
    (LogNormal(1, 2), Beta(3, 2))
    >>> transformed(Gamma(3, 2), "reciprocal", Affine(5)), transformed(Beta(2, 3), "odds", "log")
    (InverseGamma(3, 10), Monotone(Beta(2, 3), logit))
    """
    result = base
    for step in steps:
        result = _after(result, as_step(step))
    return result


def _after(base: Distribution, step: Step) -> Distribution:
    if isinstance(base, Monotone) and base.steps:
        inner, last = Monotone(base.base, *base.steps[:-1]) if len(base.steps) > 1 else base.base, base.steps[-1]
        if (type(last), type(step)) in _UNDONE:
            return inner
        if (type(last), type(step)) in _FUSED:
            return _after(inner, _FUSED[type(last), type(step)]())
        if isinstance(last, Affine) and isinstance(step, Affine):
            return _after(inner, Affine(step.scale * last.scale, step.scale * last.shift + step.shift))
        if type(inner) is Beta and isinstance(step, Log1p) and _is_negative(last):  # log(1 - x), accurate near x = 1
            return _after(Beta(inner.canonical["beta"], inner.canonical["alpha"]), Log())
        if isinstance(last, ToPower) and isinstance(step, ToPower):
            exponent = last.exponent * step.exponent
            return inner if exponent == 1.0 else _after(inner, ToPower(exponent))
        return Monotone(base, step)
    if isinstance(step, Logit | Odds) and isinstance(base, Uniform) and base == Uniform(0, 1):
        base = Beta(1, 1)
    found = closed_step(base, step)
    if found is not None:
        return found
    if type(base) is Beta and isinstance(step, Affine) and np.ndim(step.scale) == np.ndim(step.shift) == 0:
        if step.scale == -step.shift and step.scale < 0:  # c - c x is c (1 - x), near its zero too
            return Monotone(Beta(base.canonical["beta"], base.canonical["alpha"]), Affine(step.shift, 0.0))
    if isinstance(base, Power) and isinstance(step, Log):
        return _after(_after(base.base, step), Affine(base.exponent, 0.0))
    return Monotone(base, step)


def _is_negative(step: Step) -> bool:
    return isinstance(step, Affine) and np.ndim(step.scale) == np.ndim(step.shift) == 0 and (
        step.scale == -1 and step.shift == 0
    )  # fmt: skip
