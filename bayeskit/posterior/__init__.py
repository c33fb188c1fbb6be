"""Posteriors: exact answers, draws, export to a DataTree, prediction, and sampling from a bare log density."""

from bayeskit.posterior.comparison import BayesFactor, bayes_factor
from bayeskit.posterior.density import metropolis
from bayeskit.posterior.posterior import Posterior, condition
from bayeskit.posterior.simulation import simulate
from bayeskit.statistics.sufficient import SufficientStatistics, summarize

__all__ = [
    "BayesFactor",
    "Posterior",
    "SufficientStatistics",
    "bayes_factor",
    "condition",
    "metropolis",
    "simulate",
    "summarize",
]
