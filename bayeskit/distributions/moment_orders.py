r"""Which moments of a transformed variable exist: its tails, followed through each step by rule.

Towards an end of its support a variable has one of these tails, :math:`t \to \infty` or :math:`\epsilon \to 0`:

=================  =================================================  ========================
``end``            :math:`P(|x - e| < \epsilon) \sim \epsilon^k`      at a finite end e
``power``          :math:`P(|x| > t) \sim t^{-k}`                     moments below order k
``exponential``    :math:`-\log P(|x| > t) \sim k t^r`                all moments
``log``            :math:`\log |x|` is exponential with r > 1         all moments
=================  =================================================  ========================

up to slower factors. k may be infinite (faster than any power), and nan where it is not known.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from bayeskit.distributions import elementary as el

if TYPE_CHECKING:
    from bayeskit.distributions.base import Distribution

__all__ = ["Tail", "tails_of", "through"]

_HALF_LINES: dict[
    str, Callable[..., tuple[Any, str, Any, float]]
] = {  # the tail at zero, and the one at infinity: kind, k, r
    "Gamma": lambda a, b: (a, "exponential", b, 1.0),
    "Exponential": lambda lam: (1.0, "exponential", lam, 1.0),
    "ChiSquared": lambda nu: (0.5 * nu, "exponential", 0.5, 1.0),
    "InverseGamma": lambda a, b: (np.inf, "power", a, 1.0),
    "LogNormal": lambda mu, s: (np.inf, "log", 0.5 / s**2, 2.0),
    "HalfNormal": lambda s: (1.0, "exponential", 0.5 / s**2, 2.0),
    "HalfStudentT": lambda nu, s: (1.0, "power", nu, 1.0),
    "HalfCauchy": lambda b: (1.0, "power", 1.0, 1.0),
    "Pareto": lambda a, m: (1.0, "power", a, 1.0),
}
_LINES: dict[str, Callable[..., tuple[str, Any, float]]] = {  # both tails
    "Normal": lambda mu, s: ("exponential", 0.5 / s**2, 2.0),
    "StudentT": lambda nu, mu, s: ("power", nu, 1.0),
    "Cauchy": lambda a, b: ("power", 1.0, 1.0),
    "Laplace": lambda mu, b: ("exponential", 1.0 / b, 1.0),
    "Logistic": lambda mu, s: ("exponential", 1.0 / s, 1.0),
}


@dataclass(frozen=True)
class Tail:
    """How probable values near one end are: see the table above.

    Attributes
    ----------
    kind : str
        "end", "power", "exponential", "log" or "unknown".
    k : array_like
        The order or the rate, by cell.
    r : float
        Power in the exponent.
    sharp : bool
        Whether the moment of order k itself is infinite for sure.
    """

    kind: str
    k: Any = np.nan
    r: float = 1.0
    sharp: bool = True

    def is_finite(self, order: float) -> Any:
        """Whether the moment of an order exists, as far as this tail goes: 1.0, 0.0, or nan for unknown."""
        if self.kind == "unknown":
            return np.nan
        if self.kind != "power":
            return 1.0
        k = np.asarray(self.k, dtype=float)
        known = np.where(k > order, 1.0, np.where((k < order) | self.sharp, 0.0, np.nan))
        return np.where(np.isnan(k), np.nan, known)


UNKNOWN = Tail("unknown")


def tails_of(distribution: Distribution, *params: Any) -> tuple[Tail, Tail]:
    """Return the lower and the upper tail of a univariate continuous family; unknown where no rule says.

    Examples
    --------
    >>> from bayeskit.distributions import InverseGamma
    >>> tails_of(InverseGamma(3, 2), 3.0, 2.0)[1].is_finite(2).item()
    1.0
    """
    name = distribution.family
    with np.errstate(all="ignore"):
        if name in _LINES:
            tail = Tail(*_LINES[name](*params))
            return tail, tail
        if name in _HALF_LINES:
            near, kind, k, r = _HALF_LINES[name](*params)
            return Tail("end", near), Tail(kind, k, r)
        if name in ("Beta", "Uniform"):
            low, high = params if name == "Beta" else (1.0, 1.0)
            return Tail("end", low), Tail("end", high)
        if name == "LogOdds":
            return Tail("exponential", params[0]), Tail("exponential", params[1])
        if name == "GeneralizedInverseGaussian":
            return _gig(*params)
        if name == "Truncated":
            return _truncated(distribution, params)
        if name == "Power":
            return _power(distribution, params)
        if name in ("Tabulated", "Mixture"):
            tails: tuple[Tail, Tail] = distribution._line_tails(*params)  # type: ignore[attr-defined]
            return tails
        lower, upper = distribution._bounds(*params)
    return _plain(lower), _plain(upper)


def _plain(end: Any) -> Tail:
    return Tail("end") if np.all(np.isfinite(end)) else UNKNOWN


def _gig(p: Any, a: Any, b: Any) -> tuple[Tail, Tail]:
    near = Tail("end", np.where(np.greater(b, 0), np.inf, p))
    if np.all(np.greater(a, 0)):
        return near, Tail("exponential", 0.5 * np.asarray(a), sharp=False)
    return near, Tail("power", -np.asarray(p)) if not np.any(a) else UNKNOWN


def _truncated(distribution: Any, params: tuple[Any, ...]) -> tuple[Tail, Tail]:
    *own, lower, upper = params
    ends = distribution.base._bounds(*own)
    cuts = (np.greater(lower, ends[0]), np.less(upper, ends[1]))
    result = []
    for tail, cut, end in zip(tails_of(distribution.base, *own), cuts, ends, strict=True):
        # The density at a cut is positive; where only some cells are cut off a tail, there is no one rule.
        if tail.kind == "end" and np.all(np.isfinite(end)):
            result.append(replace(tail, k=np.where(cut, 1.0, tail.k)))
        else:
            result.append(Tail("end", 1.0) if np.all(cut) else UNKNOWN if np.any(cut) else tail)
    return result[0], result[1]


def _power(distribution: Any, params: tuple[Any, ...]) -> tuple[Tail, Tail]:
    step = el.ToPower(distribution.exponent)
    ends = distribution.base._bounds(*params)
    lower, upper = (
        through(step, tail, end) for tail, end in zip(tails_of(distribution.base, *params), ends, strict=True)
    )
    return (lower, upper) if step.increasing else (upper, lower)


def through(step: el.Step, tail: Tail, end: Any, *args: Any) -> Tail:
    """Return the tail of a step's value, at the image of an end with a tail.

    Parameters
    ----------
    step : Step
        The function.
    tail : Tail
        The tail of its argument.
    end : array_like
        Where that tail is.
    *args : array_like
        Parameters of the step.

    Examples
    --------
    A reciprocal has a power tail where its argument may be near zero:

    >>> through(el.ToPower(-1.0), Tail("end", 2.5), 0.0)
    Tail(kind='power', k=2.5, r=1.0, sharp=True)
    """
    if tail.kind == "unknown":
        return _bounded(step, tail, end)
    if isinstance(step, el.Affine):
        return replace(tail, k=tail.k / np.abs(args[0]) ** tail.r) if tail.kind == "exponential" else tail
    if isinstance(step, el.ToPower):
        return _raised(step.exponent, tail, end)
    if tail.kind == "end":
        return _from_end(step, tail, end)
    if isinstance(step, el.Exp | el.Expm1):
        return _exponential(tail) if np.all(np.isposinf(end)) else _vanishing(tail, 1.0)
    if isinstance(step, el.Tanh):
        return _vanishing(replace(tail, k=tail.k / 2.0**tail.r) if tail.kind == "exponential" else tail, 1.0)
    if isinstance(step, el.LogExpit) and np.all(np.isneginf(end)):
        return tail
    if isinstance(step, el.Expit | el.LogExpit):
        return _vanishing(tail, 1.0)
    if isinstance(step, el.NdtriExpit):
        return replace(tail, k=0.5 * np.asarray(tail.k), r=2.0, sharp=False)  # of log odds, which are exponential
    if isinstance(step, el.Ndtr):
        return replace(_vanishing(tail, 2.0), sharp=False)
    if isinstance(step, el.Log | el.Log1p):
        return _logarithm(tail)
    return UNKNOWN


def _bounded(step: el.Step, tail: Tail, end: Any) -> Tail:
    """An unknown tail is an end of unknown order where the step is bounded there."""
    infinite = np.isinf(end)
    bounded = isinstance(step, el.Expit | el.Ndtr | el.Tanh) and np.all(infinite)
    bounded = bounded or (isinstance(step, el.Exp | el.Expm1) and np.all(np.isneginf(end)))
    bounded = bounded or (isinstance(step, el.ToPower) and step.exponent < 0 and np.all(np.isposinf(end)))
    return Tail("end") if bounded else tail


def _at(end: Any, point: float) -> bool | None:
    """Whether an end is at a point in all cells (True), in none (False), or in some (None)."""
    there = np.equal(end, point)
    return True if np.all(there) else None if np.any(there) else False


def _raised(exponent: float, tail: Tail, end: Any) -> Tail:
    size = abs(exponent)
    if tail.kind == "end":
        zero = _at(end, 0.0)
        if zero is None:
            return UNKNOWN
        kind = "power" if zero and exponent < 0 else "end"
        return replace(tail, kind=kind, k=tail.k / size if zero else tail.k)
    if exponent < 0:
        return replace(tail, kind="end", k=tail.k / size if tail.kind == "power" else np.inf)
    if tail.kind == "power":
        return replace(tail, k=tail.k / size)
    return replace(tail, r=tail.r / size) if tail.kind == "exponential" else replace(tail, k=tail.k / size**tail.r)


def _from_end(step: el.Step, tail: Tail, end: Any) -> Tail:
    """A finite end, where a step is smooth or has its pole."""
    poles = {el.Log: (0.0,), el.Log1p: (-1.0,), el.Logit: (0.0, 1.0), el.Ndtri: (0.0, 1.0), el.Odds: (1.0,)}
    found = [_at(end, pole) for pole in poles.get(type(step), ())]
    if None in found:
        return UNKNOWN
    if True not in found:
        return tail
    if np.any(np.equal(tail.k, 0)):  # slower than any power: no class of ours
        return Tail("power", 0.0) if isinstance(step, el.Odds) and np.all(np.equal(tail.k, 0)) else UNKNOWN
    if isinstance(step, el.Odds):
        return replace(tail, kind="power")
    if isinstance(step, el.Ndtri):
        return replace(tail, kind="exponential", k=0.5 * np.asarray(tail.k), r=2.0, sharp=False)
    return replace(tail, kind="exponential", r=1.0)


def _order(tail: Tail, critical: float) -> Any:
    """Order of ``exp(-x**critical)`` of an infinite tail: infinite, k or zero as it is lighter, equal or heavier."""
    if tail.kind == "exponential" and np.isclose(tail.r, critical, rtol=1e-12, atol=0.0):
        return tail.k
    if tail.kind == "exponential" and tail.r > critical:
        return np.inf
    return np.where(np.isinf(tail.k), np.nan, 0.0)


def _exponential(tail: Tail) -> Tail:
    if tail.kind == "exponential" and tail.r > 1.0 + 1e-12:
        return replace(tail, kind="log")
    return replace(tail, kind="power", k=_order(tail, 1.0), r=1.0)


def _vanishing(tail: Tail, critical: float) -> Tail:
    k = _order(tail, critical)
    return replace(tail, kind="end", k=k if critical == 1.0 else 2.0 * np.asarray(k), r=1.0)


def _logarithm(tail: Tail) -> Tail:
    if tail.kind == "log":
        return replace(tail, kind="exponential")
    if tail.kind == "exponential":
        return replace(tail, k=np.inf, r=1.0)
    return UNKNOWN if np.any(np.equal(tail.k, 0)) else replace(tail, kind="exponential", r=1.0)
