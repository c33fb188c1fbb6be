"""Decisions: expected utility, expected loss, value of perfect information, Bayes estimates.

The room sees only draws (xarray) and distributions; it knows no model and no sampler.
"""

from bayeskit.decision.analysis import decide
from bayeskit.decision.estimates import BayesEstimate, bayes_estimate
from bayeskit.decision.result import Decision

__all__ = ["BayesEstimate", "Decision", "bayes_estimate", "decide"]
