"""Families of distributions: parameters, support, log density, draws, moments and quantiles."""

from bayeskit.distributions.base import Distribution, Domain, Parameter
from bayeskit.distributions.bernoulli import Bernoulli
from bayeskit.distributions.beta_binomial import BetaBinomial
from bayeskit.distributions.binomial import Binomial
from bayeskit.distributions.categorical import Categorical
from bayeskit.distributions.dirichlet import Dirichlet
from bayeskit.distributions.dirichlet_multinomial import DirichletMultinomial
from bayeskit.distributions.discrete_uniform import DiscreteUniform
from bayeskit.distributions.geometric import Geometric
from bayeskit.distributions.inverse_wishart import InverseWishart
from bayeskit.distributions.multinomial import Multinomial
from bayeskit.distributions.mv_normal import MvNormal
from bayeskit.distributions.mv_student_t import MvStudentT
from bayeskit.distributions.negative_binomial import NegativeBinomial
from bayeskit.distributions.normal import Normal
from bayeskit.distributions.ordered import Ordered
from bayeskit.distributions.poisson import Poisson
from bayeskit.distributions.wishart import Wishart

__all__ = [
    "Bernoulli",
    "BetaBinomial",
    "Binomial",
    "Categorical",
    "Dirichlet",
    "DirichletMultinomial",
    "DiscreteUniform",
    "Distribution",
    "Domain",
    "Geometric",
    "InverseWishart",
    "Multinomial",
    "MvNormal",
    "MvStudentT",
    "NegativeBinomial",
    "Normal",
    "Ordered",
    "Parameter",
    "Poisson",
    "Wishart",
]
