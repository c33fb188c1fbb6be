"""Families of distributions: parameters, support, log density, draws, moments and quantiles."""

from bayeskit.distributions.base import Distribution, Domain, Parameter
from bayeskit.distributions.normal import Normal

__all__ = [
    "Distribution",
    "Domain",
    "Normal",
    "Parameter",
]
