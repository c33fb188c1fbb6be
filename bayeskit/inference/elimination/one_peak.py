"""Whether the conditional of one number is known to have one peak, read from its prior and its children.

A quadrature about a mode sees nothing of another one. What is accepted has a log density that is concave, or nearly
so, in the latent on its unconstrained scale: a linear predictor, under the link that the parameter of the family goes
with. What is not recognised is refused: a false negative costs speed, a false positive is wrong.
"""

from __future__ import annotations

import numpy as np

from bayeskit.expressions import Expression
from bayeskit.expressions.linear import NotLinear, linear_form
from bayeskit.expressions.nodes import Apply
from bayeskit.inference.conjugacy import Refusal
from bayeskit.inference.core.links import link_of_probability, log_of
from bayeskit.inference.elementwise import Elementwise
from bayeskit.model.problem import Factor, Latent

PEAKED = frozenset({"StudentT", "Cauchy", "Laplace"})  # a peak or a corner at their location, besides that of the rows
_PRIORS = PEAKED | {
    "Normal", "LogNormal", "Logistic", "Flat", "Uniform", "Beta", "Gamma", "Exponential", "ChiSquared", "InverseGamma",
    "Weibull", "HalfNormal", "HalfCauchy", "HalfStudentT",
}  # fmt: skip
_PROBABILITY, _POSITIVE, _LOCATION = ("linear", "probability"), ("linear", "log"), ("linear",)
_FORMS: dict[str, dict[str, tuple[str, ...]]] = {
    "Bernoulli": {"p": _PROBABILITY, "logit": _LOCATION},
    "Binomial": {"p": _PROBABILITY, "logit": _LOCATION},
    "Geometric": {"p": _PROBABILITY},
    "Poisson": {"mu": _POSITIVE},
    "NegativeBinomial": {"mu": _POSITIVE, "alpha": _POSITIVE, "p": _PROBABILITY},
    "BetaBinomial": {"alpha": _POSITIVE, "beta": _POSITIVE},
    "Normal": {"mu": _LOCATION, "sigma": _POSITIVE},
    "LogNormal": {"mu": _LOCATION, "sigma": _POSITIVE},
    "Laplace": {"mu": _LOCATION, "b": _POSITIVE},
    "Logistic": {"mu": _LOCATION},
    "Gamma": {"alpha": _POSITIVE, "beta": _POSITIVE},
    "InverseGamma": {"alpha": _POSITIVE, "beta": _POSITIVE},
    "Exponential": {"lam": _POSITIVE},
    "Weibull": {"beta": _POSITIVE},
    "HalfNormal": {"sigma": _POSITIVE},
    "Beta": {"alpha": _POSITIVE, "beta": _POSITIVE},
}


def more_peaks(conditional: Elementwise) -> Refusal | None:
    """Return why a conditional may have several peaks, or None where it is known to have one."""
    latent = conditional.latent
    prior = latent.prior.distribution
    if prior.family not in _PRIORS:
        return Refusal(f"{prior} is not a prior under which its conditional is known to have one peak")
    for factor, _ in conditional.children:
        reason = _of_child(factor, latent)
        if reason is not None:
            return Refusal(f"given '{factor.name}' its conditional is not known to have one peak: {reason}")
    return None


def _of_child(factor: Factor, latent: Latent) -> str | None:
    name, family = latent.name, factor.distribution.family
    forms = _FORMS.get(family, {})
    if name in factor.value.variables:
        return "it is what is distributed"
    names = [p.name for p in factor.distribution.parameters]
    touched = [(p, e) for p, e in zip(names, factor.parameters, strict=True) if name in e.variables]
    if len(touched) > 1:
        return f"it appears in {' and '.join(p for p, _ in touched)}"
    parameter, expression = touched[0]
    if parameter not in forms:
        return f"it appears in the parameter {parameter} of {family}"
    if any(_has_form(form, expression, factor, latent) for form in forms[parameter]):
        return None
    return f"{parameter} = {expression}"


def _has_form(form: str, expression: Expression, factor: Factor, latent: Latent) -> bool:
    """Whether an expression is linear in a latent, or a probability or an exponential of what is."""
    name, inner = latent.name, expression
    if form == "probability":
        link = link_of_probability(expression)
        if link is None:
            return False
        inner = link.predictor
    if form == "log":
        if _is_positive(latent):
            expression = expression.substitute({name: Apply(np.exp, (latent.variable,))})
        log = log_of(expression, set(expression.variables - {name}))
        if log is None:
            return False
        inner = log
    return not isinstance(linear_form(inner, {name}, factor.sizes), NotLinear)


def _is_positive(latent: Latent) -> bool:
    return latent.prior.distribution.family in _POSITIVE_PRIORS


_POSITIVE_PRIORS = frozenset(
    "LogNormal Gamma Exponential ChiSquared InverseGamma Weibull HalfNormal HalfCauchy HalfStudentT".split()
)
