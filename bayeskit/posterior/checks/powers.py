r"""Priors to a power: :math:`p(\theta)^a`, normalised, is for most families a member of the same or of a wider one.

Source: Kallioinen et al. (2024), Detecting and diagnosing prior and likelihood sensitivity with power-scaling,
Statistics and Computing 34, 57, table 1.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from bayeskit import distributions as d
from bayeskit.errors import ParameterError, RefusedError
from bayeskit.expressions import Constant
from bayeskit.model.problem import Environment, Factor

Array = np.ndarray
Powered = tuple[type, dict[str, Any]]


def _t(nu: Array, sigma: Array, a: float) -> tuple[Array, Array]:
    """Return degrees of freedom and scale of a t to a power: ``(1 + x**2 / (nu s**2)) ** (-a (nu + 1) / 2)``."""
    more = a * (nu + 1) - 1
    return more, sigma * np.sqrt(nu / more)


def _student(a: float, nu: Array, mu: Array, sigma: Array) -> Powered:
    nu, sigma = _t(nu, sigma, a)
    return d.StudentT, {"nu": nu, "mu": mu, "sigma": sigma}


def _half_student(a: float, nu: Array, sigma: Array) -> Powered:
    nu, sigma = _t(nu, sigma, a)
    return d.HalfStudentT, {"nu": nu, "sigma": sigma}


def _log_normal(a: float, mu: Array, sigma: Array) -> Powered:
    return d.LogNormal, {"mu": mu + sigma**2 * (1 - a) / a, "sigma": sigma / np.sqrt(a)}


def _categorical(a: float, p: Array) -> Powered:
    return d.Categorical, {"p": p**a / (p**a).sum(axis=-1, keepdims=True)}


# From the power and the canonical parameters to the family and the parameters of the density to that power.
FAMILIES: Mapping[str, Callable[..., Powered]] = {
    "Normal": lambda a, mu, sigma: (d.Normal, {"mu": mu, "sigma": sigma / np.sqrt(a)}),
    "HalfNormal": lambda a, sigma: (d.HalfNormal, {"sigma": sigma / np.sqrt(a)}),
    "LogNormal": _log_normal,
    "StudentT": _student,
    "HalfStudentT": _half_student,
    "Cauchy": lambda a, alpha, beta: _student(a, np.ones(()), alpha, beta),
    "HalfCauchy": lambda a, beta: _half_student(a, np.ones(()), beta),
    "Laplace": lambda a, mu, b: (d.Laplace, {"mu": mu, "b": b / a}),
    "Exponential": lambda a, lam: (d.Exponential, {"lam": a * lam}),
    "Gamma": lambda a, alpha, beta: (d.Gamma, {"alpha": a * (alpha - 1) + 1, "beta": a * beta}),
    "ChiSquared": lambda a, nu: (d.Gamma, {"alpha": a * (nu / 2 - 1) + 1, "beta": np.full(np.shape(nu), a / 2)}),
    "InverseGamma": lambda a, alpha, beta: (d.InverseGamma, {"alpha": a * (alpha + 1) - 1, "beta": a * beta}),
    "Beta": lambda a, alpha, beta: (d.Beta, {"alpha": a * (alpha - 1) + 1, "beta": a * (beta - 1) + 1}),
    "Dirichlet": lambda a, alpha: (d.Dirichlet, {"alpha": np.where(alpha > 0, a * (alpha - 1) + 1, 0.0)}),
    "Categorical": _categorical,
    "Bernoulli": lambda a, p: (d.Bernoulli, {"p": p**a / (p**a + (1 - p) ** a)}),
}


def powered_prior(factor: Factor, env: Environment, a: float) -> Factor:
    """Return a prior with known parameters to a power, as a factor.

    Raises
    ------
    RefusedError
        Where the family has no power of its kind, or the power is improper.
    """
    old = factor.distribution
    if old.family in ("Uniform", "Flat", "DiscreteUniform"):
        return factor
    if old.family not in FAMILIES or not old.is_proper:
        why = "is improper" if not old.is_proper else "to a power is no distribution that is known here"
        raise RefusedError(
            f"The sensitivity to the prior of '{factor.name}' is not known in closed form: {old} {why}. Name other "
            f"priors by prior=, or use arviz.psense_summary on draws with include=('log_prior', 'log_likelihood')."
        )
    arrays = factor.parameter_arrays(env)
    family, values = FAMILIES[old.family](a, *(np.asarray(v, dtype=float) for v in arrays))
    layout = dict(zip([p.name for p in old.parameters], factor.layouts, strict=True))
    try:
        new = family(**{n: _labelled(v, layout.get(n, factor.plates)) for n, v in values.items()})
    except ParameterError as error:
        raise RefusedError(
            f"The prior {old} of '{factor.name}' to the power {a:g} is improper, so that the sensitivity to it is not "
            "defined. Name other priors by prior=."
        ) from error
    layouts = tuple(layout.get(p.name, factor.plates) for p in new.parameters)
    parameters = tuple(
        Constant(_full(values[p.name], lay, factor), lay) for p, lay in zip(new.parameters, layouts, strict=True)
    )
    return replace(factor, distribution=new, parameters=parameters, layouts=layouts)


def _labelled(value: Array, dims: tuple[str, ...]) -> Any:
    """Return a parameter as the constructor takes it: a number, or an array with dims."""
    import xarray as xr

    if value.size == 1:
        return float(value.reshape(()))
    own = value[0] if value.ndim > len(dims) else value
    return xr.DataArray(own, dims=dims)


def _full(value: Array, dims: tuple[str, ...], factor: Factor) -> Array:
    own = value[0] if value.ndim > len(dims) else value
    return np.broadcast_to(own, [factor.sizes[n] for n in dims])
