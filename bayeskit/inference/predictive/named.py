r"""Predictive distributions of conjugate pairs that have a name in the field.

One row a pair, where the general density of `bayeskit.conjugate.predictive` is of a known family: for it moments and
quantiles have formulas. A gamma parent is read as :math:`u \sim \mathrm{Gamma}(s, r)` with the child's parameter, to
the rule's exponent, :math:`c\,u`. Sources: Bernardo and Smith (1994), Bayesian Theory, app. A.2; Johnson, Kotz and
Balakrishnan (1994), Continuous Univariate Distributions, ch. 20 and 25.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from bayeskit.conjugate.families import GammaFamily
from bayeskit.inference.predictive.cells import Cells, Labeller

if TYPE_CHECKING:
    from bayeskit.distributions import Distribution

Array = np.ndarray
Named = Callable[[Cells, Labeller], "Distribution | None"]


def named(cells: Cells, label: Labeller) -> Distribution | None:
    """Return the predictive under its own name, or None where it has none."""
    rule = cells.contribution.rule
    row = _ROWS.get((rule.prior, rule.child))
    return None if row is None else row(cells, label)


def _shares(cells: Cells) -> tuple[Array, Array]:
    a, b = cells.naturals[:2]
    return (b, a) if cells.contribution.swapped else (a, b)


def _bernoulli(cells: Cells, label: Labeller) -> Distribution:
    from bayeskit.distributions import Bernoulli

    a, b = _shares(cells)
    return Bernoulli(label(a / (a + b)))


def _binomial(cells: Cells, label: Labeller) -> Distribution:
    from bayeskit.distributions import BetaBinomial

    a, b = _shares(cells)
    return BetaBinomial(label(cells.others["n"]), label(a), label(b))


def _categorical(cells: Cells, label: Labeller) -> Distribution:
    from bayeskit.distributions import Categorical

    (alpha,) = cells.naturals
    return Categorical(label(alpha / alpha.sum(axis=-1, keepdims=True), 1, category=True))


def _multinomial(cells: Cells, label: Labeller) -> Distribution:
    from bayeskit.distributions import DirichletMultinomial

    return DirichletMultinomial(label(cells.others["n"]), label(cells.naturals[0], 1))


def _rates(cells: Cells) -> tuple[Array, Array] | None:
    """Shape and rate of the power of the parent that the row is linear in; None where that is no gamma."""
    family = cells.family
    assert isinstance(family, GammaFamily)
    p, a, b = np.broadcast_arrays(*cells.naturals)
    if family.truncated:
        return None
    if cells.contribution.exponent < 0:
        p, a, b = -p, b, a
    return None if np.any(b) else (p, 0.5 * a)


def _gamma_row(row: Callable[[Cells, Labeller, Array, Array], Distribution]) -> Named:
    def read(cells: Cells, label: Labeller) -> Distribution | None:
        found = _rates(cells)
        return None if found is None else row(cells, label, *found)

    return read


def _poisson(cells: Cells, label: Labeller, s: Array, r: Array) -> Distribution:
    from bayeskit.distributions import NegativeBinomial

    return NegativeBinomial(label(cells.coefficient * s / r), label(s))


def _lomax(label: Labeller, s: Array, scale: Array) -> Distribution:
    """Lomax: ``log(1 + y / scale)`` is exponential with rate s."""
    from bayeskit.distributions import Exponential
    from bayeskit.distributions.elementary import Affine
    from bayeskit.distributions.transformed import transformed

    return transformed(Exponential(label(s)), "expm1", Affine(label(scale)))


def _exponential(cells: Cells, label: Labeller, s: Array, r: Array) -> Distribution:
    return _lomax(label, s, r / cells.coefficient)


def _pareto(cells: Cells, label: Labeller, s: Array, r: Array) -> Distribution:
    from bayeskit.distributions.elementary import Affine
    from bayeskit.distributions.transformed import transformed

    return transformed(_lomax(label, s, r / cells.coefficient), "exp", Affine(label(cells.others["m"])))


def _beta_prime(label: Labeller, a: Array, b: Array, scale: Array) -> Distribution:
    """Scaled beta prime: the odds of a Beta(a, b)."""
    from bayeskit.distributions import Beta
    from bayeskit.distributions.elementary import Affine
    from bayeskit.distributions.transformed import transformed

    return transformed(Beta(label(a), label(b)), "odds", Affine(label(scale)))


def _gamma(cells: Cells, label: Labeller, s: Array, r: Array) -> Distribution:
    return _beta_prime(label, cells.others["alpha"], s, r / cells.coefficient)


def _inverse_gamma(cells: Cells, label: Labeller, s: Array, r: Array) -> Distribution:
    return _beta_prime(label, s, cells.others["alpha"], cells.coefficient / r)


def _spread(cells: Cells, s: Array, r: Array) -> Array:
    return np.asarray(np.sqrt(r / (s * cells.coefficient)))


def _normal(cells: Cells, label: Labeller, s: Array, r: Array) -> Distribution:
    from bayeskit.distributions import StudentT

    return StudentT(label(2 * s), label(cells.others["mu"]), label(_spread(cells, s, r)))


def _log_normal(cells: Cells, label: Labeller, s: Array, r: Array) -> Distribution:
    from bayeskit.distributions.transformed import transformed

    return transformed(_normal(cells, label, s, r), "exp")


def _half_normal(cells: Cells, label: Labeller, s: Array, r: Array) -> Distribution:
    from bayeskit.distributions import HalfStudentT

    return HalfStudentT(label(2 * s), label(_spread(cells, s, r)))


def _wishart(cells: Cells, label: Labeller) -> Distribution:
    from bayeskit.distributions import MvStudentT

    nu, R = cells.naturals
    nu = nu - R.shape[-1] + 1
    c = cells.coefficient if cells.family.name == "InverseWishart" else 1.0 / cells.coefficient
    scale = np.asarray(c / nu)[..., None, None]
    mean = np.broadcast_to(cells.others["mu"], (*cells.others["mu"].shape[:-1], R.shape[-1]))
    return MvStudentT(label(nu), label(mean, 1), label(R * scale, 2, matrix=True))


_ROWS: dict[tuple[str, str], Named] = {
    ("Beta", "Bernoulli"): _bernoulli,
    ("Beta", "Binomial"): _binomial,
    ("Dirichlet", "Categorical"): _categorical,
    ("Dirichlet", "Multinomial"): _multinomial,
    ("Gamma", "Poisson"): _gamma_row(_poisson),
    ("Gamma", "Exponential"): _gamma_row(_exponential),
    ("Gamma", "Gamma"): _gamma_row(_gamma),
    ("Gamma", "InverseGamma"): _gamma_row(_inverse_gamma),
    ("Gamma", "Pareto"): _gamma_row(_pareto),
    ("Gamma", "Normal"): _gamma_row(_normal),
    ("Gamma", "LogNormal"): _gamma_row(_log_normal),
    ("Gamma", "HalfNormal"): _gamma_row(_half_normal),
    ("Wishart", "MvNormal"): _wishart,
    ("InverseWishart", "MvNormal"): _wishart,
}
