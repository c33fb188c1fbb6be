"""Which natural family a prior belongs to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from bayeskit.conjugate.families.base import NaturalFamily
from bayeskit.conjugate.families.beta import BetaFamily, UniformFamily
from bayeskit.conjugate.families.beta_binomial import beta_binomial_family
from bayeskit.conjugate.families.dirichlet import DirichletFamily, DirichletTableFamily
from bayeskit.conjugate.families.gamma import gamma_family
from bayeskit.conjugate.families.normal import NormalFamily
from bayeskit.conjugate.families.pareto import pareto_family
from bayeskit.conjugate.families.von_mises import von_mises_family
from bayeskit.conjugate.families.wishart import WishartFamily

if TYPE_CHECKING:
    from bayeskit.distributions import Distribution


def natural_family(distribution: Distribution, rule_prior: str, exponents: set[float]) -> NaturalFamily | str:
    """Return the natural family of a prior for children of one kind, or why there is none.

    Parameters
    ----------
    distribution : Distribution
        The prior.
    rule_prior : str
        The natural family that the children's rows ask for.
    exponents : set of float
        For the Gamma and Pareto families: the powers of the latent in which the children are linear
        (``u = x**exponent``).
    """
    name, inner = distribution.family, distribution
    bounds: list[tuple[Any, Any]] = []
    while name == "Truncated":
        bounds.append((inner.given.get("lower"), inner.given.get("upper")))
        inner = inner.base  # type: ignore[attr-defined]
        name = inner.family
    if name in ("Flat", "Uniform"):
        bounds.append((inner.canonical["lower"], inner.canonical["upper"]))
    if any(_is_unknown(b) for pair in bounds for b in pair):
        return f"the bounds of {distribution} are not known numbers"
    lower, upper = _narrowest(bounds)
    if rule_prior == "Normal":
        return _normal_family(name, lower, upper)
    if rule_prior == "Gamma":
        return gamma_family(distribution, name, lower, upper, exponents)
    if rule_prior == "Pareto":
        return pareto_family(distribution, name, lower, upper, exponents)
    if rule_prior == "VonMises":
        return von_mises_family(distribution, name, lower, upper)
    if rule_prior == "BetaBinomial":
        return beta_binomial_family(distribution, name)
    if rule_prior == "Beta" and distribution.family == "Uniform" and (lower, upper) == (0.0, 1.0):
        return UniformFamily()
    if distribution.family != rule_prior:
        return f"{distribution} is not a {rule_prior} distribution"
    if rule_prior == "Beta":
        return BetaFamily()
    if rule_prior == "Dirichlet":
        return DirichletFamily() if distribution.event_ndim == 1 else DirichletTableFamily()
    return WishartFamily(rule_prior, rate="rate" in distribution.canonical)


def _normal_family(name: str, lower: float | None, upper: float | None) -> NaturalFamily | str:
    if name in ("Normal", "Uniform", "Flat"):
        return NormalFamily(name, lower, upper)
    if name in ("HalfNormal", "Exponential"):
        return NormalFamily(name, 0.0 if lower is None else max(lower, 0.0), upper)
    return f"{name} is not a normal distribution, cut or flat"


def _narrowest(bounds: list[tuple[Any, Any]]) -> tuple[float | None, float | None]:
    """Return the largest lower and the smallest upper bound; None where there is none."""
    lower = max((float(np.asarray(low)) for low, _ in bounds if low is not None), default=-np.inf)
    upper = min((float(np.asarray(high)) for _, high in bounds if high is not None), default=np.inf)
    return (None if lower == -np.inf else lower), (None if upper == np.inf else upper)


def _is_unknown(bound: Any) -> bool:
    return bound is not None and (hasattr(bound, "evaluate") or hasattr(bound, "dims") or np.ndim(bound) > 0)
