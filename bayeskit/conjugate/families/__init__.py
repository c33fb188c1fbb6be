"""Natural families: how priors become natural parameters, and what the sum of contributions makes of them.

Each family owns the way from (prior, summed contributions) to the posterior, one log normaliser, and draws. Shapes are
``(batch, *dims of the latent)``; contributions are added to the natural parameters (a bound is lifted to the largest of
them), nothing else is ever done to them.
"""

from bayeskit.conjugate.families.base import Array, NaturalFamily, Naturals, Wrap, joins, merge
from bayeskit.conjugate.families.beta import BetaFamily, UniformFamily
from bayeskit.conjugate.families.beta_binomial import BetaBinomialFamily
from bayeskit.conjugate.families.choose import natural_family
from bayeskit.conjugate.families.dirichlet import DirichletFamily
from bayeskit.conjugate.families.gamma import GammaFamily
from bayeskit.conjugate.families.normal import NormalFamily
from bayeskit.conjugate.families.pareto import ParetoFamily
from bayeskit.conjugate.families.totals import TotalGain, total_gain
from bayeskit.conjugate.families.von_mises import VonMisesFamily
from bayeskit.conjugate.families.wishart import WishartFamily

__all__ = [
    "Array",
    "BetaBinomialFamily",
    "BetaFamily",
    "DirichletFamily",
    "GammaFamily",
    "NaturalFamily",
    "Naturals",
    "NormalFamily",
    "ParetoFamily",
    "TotalGain",
    "UniformFamily",
    "VonMisesFamily",
    "WishartFamily",
    "Wrap",
    "joins",
    "merge",
    "natural_family",
    "total_gain",
]
