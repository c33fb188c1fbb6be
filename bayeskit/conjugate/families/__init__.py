"""Natural families: how priors become natural parameters, and what the sum of contributions makes of them.

Each family owns the way from (prior, summed contributions) to the posterior, one log normaliser, and draws. Shapes are
``(batch, *dims of the latent)``; contributions are added to the natural parameters, nothing else is ever done to them.
"""

from bayeskit.conjugate.families.base import Array, NaturalFamily, Naturals, Wrap
from bayeskit.conjugate.families.beta import BetaFamily, UniformFamily
from bayeskit.conjugate.families.choose import natural_family
from bayeskit.conjugate.families.dirichlet import DirichletFamily
from bayeskit.conjugate.families.gamma import GammaFamily
from bayeskit.conjugate.families.normal import NormalFamily
from bayeskit.conjugate.families.wishart import WishartFamily

__all__ = [
    "Array",
    "BetaFamily",
    "DirichletFamily",
    "GammaFamily",
    "NaturalFamily",
    "Naturals",
    "NormalFamily",
    "UniformFamily",
    "WishartFamily",
    "Wrap",
    "natural_family",
]
