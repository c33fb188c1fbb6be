"""The table of rules: what one child contributes to the natural parameters of its parent.

A row says, for a parent in a natural family and a child whose parameter depends on it in some form, what each cell of
the child adds. Plates, indices and designs are not here: ``linear_form`` and ``power_form`` read them, ``pull_back``
sums them.

Forms
-----
identity
    The parameter is an element of the parent.
share
    The parameter is an element of the parent or one minus it (then the two contributions change places).
power
    ``parameter ** exponent = c * u``, with ``u`` a power of the parent. The row contributes ``(a, b)``, that is
    ``a log u - b u``, to the log density.
linear
    The parameter is ``c * x + offset``. The row contributes ``(P, h)``, that is ``h x - P x**2 / 2``.
matrix
    The parameter is ``c`` times the parent, a matrix.
angle
    The parameter is ``c * x + offset`` with ``c`` one or minus one: an angle.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy.special import gammaln, i0e, xlogy

Array = np.ndarray
_LARGE = 1e6  # a count whose log factorial has lost digits that matter
Others = dict[str, Any]
LOG_2PI = float(np.log(2 * np.pi))


@dataclass(frozen=True)
class Rule:
    """One row: how a child contributes to its parent.

    Attributes
    ----------
    prior : str
        The natural family of the parent: Beta, BetaBinomial, Dirichlet, Gamma, Normal, Pareto, VonMises, Wishart,
        InverseWishart.
    child, parameter : str
        Family of the child, and its canonical parameter that depends on the parent.
    form : str
        How it may depend on it: see the module.
    contribution : callable
        From (value, other parameters by name, coefficient) to a tuple of arrays.
    base : callable
        The part of the child's log density that does not depend on the parent; evidences need it.
    exponent : float
        For the form power: ``parameter ** exponent`` is proportional to ``u``.
    formula, source : str
        What the row says in symbols, and where it can be read.
    times : str
        Another parameter of the child that multiplies the exponent; none where it is empty.
    fixed : mapping
        Numbers that other parameters of the child must be.
    population : str
        A parameter of the child that must be the largest value of the parent, whose row then holds for one child cell
        an element: a second sample is not of the population that the first has left.
    """

    prior: str
    child: str
    parameter: str
    form: str
    contribution: Callable[[Array, Others, Any], tuple[Any, ...]]
    base: Callable[[Array, Others, Any], Any]
    formula: str
    source: str
    exponent: float = 1.0
    times: str = ""
    fixed: Mapping[str, float] = field(default_factory=dict)
    population: str = ""

    @property
    def through(self) -> str:
        """The parameter, raised to the power in which the row is linear."""
        if self.times:
            return f"{self.parameter} ** {'-' if self.exponent < 0 else ''}{self.times}"
        return self.parameter if self.exponent == 1 else f"{self.parameter} ** {self.exponent:g}"

    @property
    def of_logs(self) -> bool:
        """Whether the row is that of the logs of the child's values."""
        return self.form == "linear" and self.child == "LogNormal"

    def centred(self, value: Array, offset: Array) -> Array:
        """Return a child's value as the row reads it: of a linear form or an angle, less the offset."""
        if self.form not in ("linear", "angle"):
            return value
        return (np.log(value) if self.of_logs else value) - offset

    def log_jacobian(self, value: Array) -> Any:
        """Return what makes the row's density of what it reads one of the child's value."""
        return -np.log(value) if self.of_logs else 0.0


def _log_choose(n: Any, k: Any) -> Any:
    from bayeskit.distributions.gammafunctions import log_choose

    return log_choose(n, k)


def _multinomial_base(y: Array, o: Others, c: Any) -> Any:
    if np.max(y, initial=0) < _LARGE:
        return gammaln(y.sum(axis=-1) + 1) - gammaln(y + 1).sum(axis=-1)
    return _log_choose(np.cumsum(y, axis=-1), y).sum(axis=-1)  # which subtracts no large numbers


def _square(residual: Array) -> Array:
    return residual * residual


def _outer(residual: Array) -> Array:
    return residual[..., :, None] * residual[..., None, :]


_BDA = "Gelman et al. (2013), Bayesian Data Analysis, 3rd ed."
_FINK = "Fink (1997), A Compendium of Conjugate Priors"

RULES: tuple[Rule, ...] = (
    # ---- shares ---------------------------------------------------------------------------------------------------
    Rule("Beta", "Bernoulli", "p", "share",
         lambda y, o, c: (y, 1 - y), lambda y, o, c: 0.0 * y,
         "alpha + sum y, beta + sum (1 - y)", f"{_FINK}, sec. 1.1"),
    Rule("Beta", "Binomial", "p", "share",
         lambda y, o, c: (y, o["n"] - y), lambda y, o, c: _log_choose(o["n"], y),
         "alpha + sum y, beta + sum (n - y)", f"{_BDA}, eq. 2.7"),
    Rule("Beta", "Geometric", "p", "share",
         lambda y, o, c: (np.ones_like(y, dtype=float), y - 1), lambda y, o, c: 0.0 * y,
         "alpha + count, beta + sum (y - 1)", f"{_FINK}, sec. 1.4"),
    Rule("Beta", "NegativeBinomial", "p", "share",
         lambda y, o, c: (o["n"] + 0.0 * y, y), lambda y, o, c: _log_choose(y + o["n"] - 1, y),
         "alpha + sum n, beta + sum y", f"{_FINK}, sec. 1.3"),
    Rule("BetaBinomial", "Hypergeometric", "k", "identity",
         lambda y, o, c: (-o["n"], y, o["n"] - y, y), lambda y, o, c: _log_choose(o["n"], y),
         "as k - y ~ BetaBinomial(N - n, alpha + y, beta + n - y)",
         "Dyer and Pierce (1993), Communications in Statistics 22", population="N"),
    Rule("Dirichlet", "Categorical", "p", "identity",
         lambda y, o, c: (np.ones(y.shape),), lambda y, o, c: 0.0 * y,
         "alpha_k + count of y = k", f"{_BDA}, sec. 3.4"),
    Rule("Dirichlet", "Multinomial", "p", "identity",
         lambda y, o, c: (y,), _multinomial_base,
         "alpha_k + sum y_k", f"{_BDA}, sec. 3.4"),
    # ---- rates and scales: a log u - b u -------------------------------------------------------------------------
    Rule("Gamma", "Poisson", "mu", "power",
         lambda y, o, c: (y, c), lambda y, o, c: xlogy(y, c) - gammaln(y + 1),
         "shape + sum y, rate + sum c", f"{_BDA}, eq. 2.14"),
    Rule("Gamma", "Exponential", "lam", "power",
         lambda y, o, c: (np.ones_like(y), c * y), lambda y, o, c: np.log(c) + 0.0 * y,
         "shape + count, rate + sum c y", f"{_FINK}, sec. 2.3"),
    Rule("Gamma", "Gamma", "beta", "power",
         lambda y, o, c: (o["alpha"] + 0.0 * y, c * y),
         lambda y, o, c: o["alpha"] * np.log(c) + xlogy(o["alpha"] - 1, y) - gammaln(o["alpha"]),
         "shape + sum alpha, rate + sum c y", f"{_FINK}, sec. 2.4"),
    Rule("Gamma", "InverseGamma", "beta", "power",
         lambda y, o, c: (o["alpha"] + 0.0 * y, c / y),
         lambda y, o, c: o["alpha"] * np.log(c) - (o["alpha"] + 1) * np.log(y) - gammaln(o["alpha"]),
         "shape + sum alpha, rate + sum c / y", "change of variables of Gamma with Gamma"),
    Rule("Gamma", "Pareto", "alpha", "power",
         lambda y, o, c: (np.ones_like(y), c * np.log(y / o["m"])),
         lambda y, o, c: np.log(c) - np.log(y),
         "shape + count, rate + sum c log(y / m)", f"{_FINK}, sec. 2.5"),
    Rule("Gamma", "Normal", "sigma", "power",
         lambda y, o, c: (np.full(np.shape(y), 0.5), 0.5 * c * _square(y - o["mu"])),
         lambda y, o, c: 0.5 * (np.log(c) - LOG_2PI) + 0.0 * y,
         "shape + count / 2, rate + sum c (y - mu)^2 / 2", f"{_BDA}, eq. 2.11", exponent=-2.0),
    Rule("Gamma", "LogNormal", "sigma", "power",
         lambda y, o, c: (np.full(np.shape(y), 0.5), 0.5 * c * _square(np.log(y) - o["mu"])),
         lambda y, o, c: 0.5 * (np.log(c) - LOG_2PI) - np.log(y),
         "shape + count / 2, rate + sum c (log y - mu)^2 / 2", f"{_FINK}, sec. 2.9", exponent=-2.0),
    Rule("Gamma", "HalfNormal", "sigma", "power",
         lambda y, o, c: (np.full(np.shape(y), 0.5), 0.5 * c * _square(y)),
         lambda y, o, c: 0.5 * (np.log(c) + np.log(2 / np.pi)) + 0.0 * y,
         "shape + count / 2, rate + sum c y^2 / 2", "Normal with mean 0, folded", exponent=-2.0),
    Rule("Gamma", "Laplace", "b", "power",
         lambda y, o, c: (np.ones(np.shape(y)), c * np.abs(y - o["mu"])),
         lambda y, o, c: np.log(c / 2) + 0.0 * y,
         "shape + count, rate + sum c |y - mu|", f"{_FINK}, sec. 2.10", exponent=-1.0),
    Rule("Gamma", "InverseGaussian", "lam", "power",
         lambda y, o, c: (np.full(np.shape(y), 0.5), 0.5 * c * _square(y / o["mu"] - 1) / y),
         lambda y, o, c: 0.5 * (np.log(c) - LOG_2PI) - 1.5 * np.log(y),
         "shape + count / 2, rate + sum c (y - mu)^2 / (2 mu^2 y)",
         "Banerjee and Bhattacharyya (1979), Technometrics 21"),
    Rule("Gamma", "Weibull", "beta", "power",
         lambda y, o, c: (np.ones(np.shape(y)), c * y ** o["alpha"]),
         lambda y, o, c: np.log(o["alpha"]) + xlogy(o["alpha"] - 1, y) + np.log(c),
         "shape + count, rate + sum c y^alpha", "y^alpha is Exponential(beta^-alpha)", exponent=-1.0, times="alpha"),
    # ---- upper ends: one more, and the largest -------------------------------------------------------------------
    Rule("Pareto", "Uniform", "upper", "power",
         lambda y, o, c: (np.ones(np.shape(y)), y / c),
         lambda y, o, c: np.where(y >= 0, -np.log(c), -np.inf),
         "shape + count, max of m and y / c", "DeGroot (1970), Optimal Statistical Decisions, sec. 9.7",
         fixed={"lower": 0.0}),
    # ---- directions: a cos x + b sin x ----------------------------------------------------------------------------
    Rule("VonMises", "VonMises", "mu", "angle",
         lambda y, o, c: (o["kappa"] * np.cos(y), c * o["kappa"] * np.sin(y)),
         lambda y, o, c: -LOG_2PI - np.log(i0e(o["kappa"])) - o["kappa"] + 0.0 * y,
         "kappa cos(mu) + sum kappa cos(y - offset), kappa sin(mu) + sum c kappa sin(y - offset)",
         "Guttorp and Lockhart (1988), JASA 83"),
    # ---- locations: h x - P x^2 / 2 ------------------------------------------------------------------------------
    Rule("Normal", "Normal", "mu", "linear",
         lambda y, o, c: (c * c / o["sigma"] ** 2, c * y / o["sigma"] ** 2),
         lambda y, o, c: -0.5 * _square(y / o["sigma"]) - np.log(o["sigma"]) - 0.5 * LOG_2PI,
         "precision + sum c^2 / sigma^2, precision * mean + sum c (y - offset) / sigma^2", f"{_BDA}, eq. 2.12"),
    Rule("Normal", "LogNormal", "mu", "linear",
         lambda y, o, c: (c * c / o["sigma"] ** 2, c * y / o["sigma"] ** 2),
         lambda y, o, c: -0.5 * _square(y / o["sigma"]) - np.log(o["sigma"]) - 0.5 * LOG_2PI,
         "as Normal, for log y", f"{_FINK}, sec. 2.9"),
    Rule("Normal", "MvNormal", "mu", "linear",
         lambda y, o, c: (c[..., :, None] * c[..., None, :] * o["tau"], c * (o["tau"] @ y[..., None])[..., 0]),
         lambda y, o, c: 0.0 * y[..., 0],
         "precision + sum A' tau A, precision * mean + sum A' tau (y - offset)", f"{_BDA}, eq. 3.13"),
    # ---- matrices: counts and sums of squares ---------------------------------------------------------------------
    Rule("Wishart", "MvNormal", "tau", "matrix",
         lambda y, o, c: (np.ones(y.shape[:-1]), c * _outer(y - o["mu"])),
         lambda y, o, c: 0.5 * y.shape[-1] * (np.log(c[..., 0, 0]) - LOG_2PI) + 0.0 * y[..., 0],
         "nu + count, rate + sum c (y - mu)(y - mu)'", f"{_BDA}, sec. 3.6"),
    Rule("InverseWishart", "MvNormal", "cov", "matrix",
         lambda y, o, c: (np.ones(y.shape[:-1]), _outer(y - o["mu"]) / c),
         lambda y, o, c: -0.5 * y.shape[-1] * (np.log(c[..., 0, 0]) + LOG_2PI) + 0.0 * y[..., 0],
         "nu + count, scale + sum (y - mu)(y - mu)' / c", f"{_BDA}, sec. 3.6"),
)  # fmt: skip


def find_rule(prior: str, child: str, parameter: str) -> Rule | None:
    """Return the row for a parent's natural family, a child's family and its parameter, or None."""
    for rule in RULES:
        if (rule.prior, rule.child, rule.parameter) == (prior, child, parameter):
            return rule
    return None


def children_of(prior: str) -> list[str]:
    """Return the children a natural family has rows for, as ``Family(parameter)``."""
    return [f"{r.child}({r.parameter})" for r in RULES if r.prior == prior]
