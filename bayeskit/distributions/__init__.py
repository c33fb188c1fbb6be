"""Families of distributions: parameters, support, log density, draws, moments and quantiles."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bayeskit.distributions.base import Distribution, Domain, Parameter
from bayeskit.distributions.bernoulli import Bernoulli
from bayeskit.distributions.beta import Beta
from bayeskit.distributions.beta_binomial import BetaBinomial
from bayeskit.distributions.binomial import Binomial
from bayeskit.distributions.categorical import Categorical
from bayeskit.distributions.cauchy import Cauchy, HalfCauchy
from bayeskit.distributions.dirichlet import Dirichlet
from bayeskit.distributions.dirichlet_multinomial import DirichletMultinomial
from bayeskit.distributions.discrete_uniform import DiscreteUniform
from bayeskit.distributions.exponential import ChiSquared, Exponential
from bayeskit.distributions.g_prior import GPrior
from bayeskit.distributions.gamma import Gamma
from bayeskit.distributions.generalized_inverse_gaussian import GeneralizedInverseGaussian
from bayeskit.distributions.geometric import Geometric
from bayeskit.distributions.half_normal import HalfNormal
from bayeskit.distributions.hypergeometric import Hypergeometric
from bayeskit.distributions.inverse_gamma import InverseGamma
from bayeskit.distributions.inverse_gaussian import InverseGaussian
from bayeskit.distributions.inverse_wishart import InverseWishart
from bayeskit.distributions.laplace import Laplace, Logistic
from bayeskit.distributions.log_normal import LogNormal
from bayeskit.distributions.matrix_normal import MatrixNormal, MatrixStudentT
from bayeskit.distributions.multinomial import Multinomial
from bayeskit.distributions.mv_normal import MvNormal
from bayeskit.distributions.mv_student_t import MvStudentT
from bayeskit.distributions.negative_binomial import NegativeBinomial
from bayeskit.distributions.normal import Normal
from bayeskit.distributions.ordered import Ordered
from bayeskit.distributions.poisson import Poisson
from bayeskit.distributions.power import Power
from bayeskit.distributions.student_t import HalfStudentT, StudentT
from bayeskit.distributions.truncated import Truncated
from bayeskit.distributions.uniform import Flat, Uniform
from bayeskit.distributions.von_mises import VonMises
from bayeskit.distributions.weibull import Pareto, Weibull
from bayeskit.distributions.wishart import Wishart

if TYPE_CHECKING:
    from bayeskit.distributions.monotone import Monotone

__all__ = [
    "Bernoulli",
    "Beta",
    "BetaBinomial",
    "Binomial",
    "Categorical",
    "Cauchy",
    "ChiSquared",
    "Dirichlet",
    "DirichletMultinomial",
    "DiscreteUniform",
    "Distribution",
    "Domain",
    "Exponential",
    "Flat",
    "GPrior",
    "Gamma",
    "GeneralizedInverseGaussian",
    "Geometric",
    "HalfCauchy",
    "HalfNormal",
    "HalfStudentT",
    "Hypergeometric",
    "InverseGamma",
    "InverseGaussian",
    "InverseWishart",
    "Laplace",
    "LogNormal",
    "Logistic",
    "MatrixNormal",
    "MatrixStudentT",
    "Monotone",
    "Multinomial",
    "MvNormal",
    "MvStudentT",
    "NegativeBinomial",
    "Normal",
    "Ordered",
    "Parameter",
    "Pareto",
    "Poisson",
    "Power",
    "StudentT",
    "Truncated",
    "Uniform",
    "VonMises",
    "Weibull",
    "Wishart",
]


def __getattr__(name: str) -> Any:
    # Posteriors alone make it: what states a model does not wait for its steps and tails.
    if name == "Monotone":
        from bayeskit.distributions.monotone import Monotone

        return Monotone
    raise AttributeError(f"module 'bayeskit.distributions' has no attribute {name!r}", name=name)
