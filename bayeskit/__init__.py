"""bayeskit: Bayesian inference that reads the structure of a model.

State a model with five verbs, bind it to data, and ask the posterior:

>>> import bayeskit as bk
>>> m = bk.Model(coords={"arm": ["A", "B"]})
>>> n = m.data("n", dims="arm")
>>> p = m.latent("p", bk.Beta(1, 1), dims="arm")
>>> y = m.observed("y", bk.Binomial(n, p), dims="arm")
>>> posterior = m.condition({"n": [1000, 1010], "y": [52, 71]})
>>> posterior["p"].mean().values.round(4)
array([0.0529, 0.0711])

Nothing is imported until it is named: `import bayeskit` alone costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from bayeskit._version import __version__ as __version__

if TYPE_CHECKING:  # the same names as in the table below, for type checkers and editors
    from bayeskit import errors as errors
    from bayeskit import testing as testing
    from bayeskit.decision import Decision as Decision
    from bayeskit.decision import bayes_estimate as bayes_estimate
    from bayeskit.decision import decide as decide
    from bayeskit.distributions import Bernoulli as Bernoulli
    from bayeskit.distributions import Beta as Beta
    from bayeskit.distributions import BetaBinomial as BetaBinomial
    from bayeskit.distributions import Binomial as Binomial
    from bayeskit.distributions import Categorical as Categorical
    from bayeskit.distributions import Cauchy as Cauchy
    from bayeskit.distributions import ChiSquared as ChiSquared
    from bayeskit.distributions import Dirichlet as Dirichlet
    from bayeskit.distributions import DirichletMultinomial as DirichletMultinomial
    from bayeskit.distributions import DiscreteUniform as DiscreteUniform
    from bayeskit.distributions import Exponential as Exponential
    from bayeskit.distributions import Flat as Flat
    from bayeskit.distributions import Gamma as Gamma
    from bayeskit.distributions import GeneralizedInverseGaussian as GeneralizedInverseGaussian
    from bayeskit.distributions import Geometric as Geometric
    from bayeskit.distributions import GPrior as GPrior
    from bayeskit.distributions import HalfCauchy as HalfCauchy
    from bayeskit.distributions import HalfNormal as HalfNormal
    from bayeskit.distributions import HalfStudentT as HalfStudentT
    from bayeskit.distributions import Hypergeometric as Hypergeometric
    from bayeskit.distributions import InverseGamma as InverseGamma
    from bayeskit.distributions import InverseGaussian as InverseGaussian
    from bayeskit.distributions import InverseWishart as InverseWishart
    from bayeskit.distributions import Laplace as Laplace
    from bayeskit.distributions import Logistic as Logistic
    from bayeskit.distributions import LogNormal as LogNormal
    from bayeskit.distributions import MatrixNormal as MatrixNormal
    from bayeskit.distributions import MatrixStudentT as MatrixStudentT
    from bayeskit.distributions import Monotone as Monotone
    from bayeskit.distributions import Multinomial as Multinomial
    from bayeskit.distributions import MvNormal as MvNormal
    from bayeskit.distributions import MvStudentT as MvStudentT
    from bayeskit.distributions import NegativeBinomial as NegativeBinomial
    from bayeskit.distributions import Normal as Normal
    from bayeskit.distributions import Ordered as Ordered
    from bayeskit.distributions import Pareto as Pareto
    from bayeskit.distributions import Poisson as Poisson
    from bayeskit.distributions import Power as Power
    from bayeskit.distributions import StudentT as StudentT
    from bayeskit.distributions import Truncated as Truncated
    from bayeskit.distributions import Uniform as Uniform
    from bayeskit.distributions import VonMises as VonMises
    from bayeskit.distributions import Weibull as Weibull
    from bayeskit.distributions import Wishart as Wishart
    from bayeskit.expressions import concat as concat
    from bayeskit.expressions import correlation as correlation
    from bayeskit.expressions import det as det
    from bayeskit.expressions import inverse as inverse
    from bayeskit.expressions import stack as stack
    from bayeskit.inference.options import Conjugate as Conjugate
    from bayeskit.inference.options import Enumerate as Enumerate
    from bayeskit.inference.options import GaussianBlock as GaussianBlock
    from bayeskit.inference.options import Metropolis as Metropolis
    from bayeskit.inference.options import Slice as Slice
    from bayeskit.model import Model as Model
    from bayeskit.posterior import Posterior as Posterior
    from bayeskit.posterior import bayes_factor as bayes_factor
    from bayeskit.posterior import metropolis as metropolis
    from bayeskit.posterior.saving import load as load
    from bayeskit.posterior.saving import load_draws as load_draws
    from bayeskit.statistics.aggregates import Summary as Summary
    from bayeskit.statistics.sufficient import SufficientStatistics as SufficientStatistics

_NAMES_BY_MODULE = {
    "bayeskit.decision": "Decision bayes_estimate decide",
    "bayeskit.distributions": """
        Bernoulli Beta BetaBinomial Binomial Categorical Cauchy ChiSquared Dirichlet DirichletMultinomial
        DiscreteUniform Exponential Flat GPrior Gamma GeneralizedInverseGaussian Geometric HalfCauchy HalfNormal
        HalfStudentT Hypergeometric InverseGamma InverseGaussian InverseWishart Laplace LogNormal Logistic MatrixNormal
        MatrixStudentT Monotone Multinomial MvNormal MvStudentT NegativeBinomial Normal Ordered Pareto Poisson Power
        StudentT Truncated Uniform VonMises Weibull Wishart
    """,
    "bayeskit.expressions": "concat correlation det inverse stack",
    "bayeskit.inference.options": "Conjugate Enumerate GaussianBlock Metropolis Slice",
    "bayeskit.model": "Model",
    "bayeskit.posterior": "Posterior bayes_factor metropolis",
    "bayeskit.posterior.saving": "load load_draws",
    "bayeskit.statistics.aggregates": "Summary",
    "bayeskit.statistics.sufficient": "SufficientStatistics",
}
_MODULE_OF = {name: module for module, names in _NAMES_BY_MODULE.items() for name in names.split()}
_SUBMODULES = ("errors", "testing")

__all__ = ["__version__", *sorted({*_MODULE_OF, *_SUBMODULES})]


def __getattr__(name: str) -> Any:
    if name in _SUBMODULES:
        return import_module(f"bayeskit.{name}")
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'bayeskit' has no attribute {name!r}", name=name, obj=import_module(__name__))
    value = getattr(import_module(_MODULE_OF[name]), name)
    globals()[name] = value  # the next access is an ordinary attribute
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
