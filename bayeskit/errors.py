"""Every exception and warning of bayeskit.

A message is one sentence (what, of which variable, must be what, what it got) and one line of advice.
"""

__all__ = [
    "BayeskitError",
    "DataError",
    "DecisionError",
    "ImproperError",
    "ModelError",
    "ParameterError",
    "RefusedError",
    "SamplingWarning",
    "SupportError",
]


class BayeskitError(Exception):
    """Base of every error bayeskit raises on purpose."""


class ModelError(BayeskitError, ValueError):
    """A model statement that cannot be accepted, refused when it is written."""


class ParameterError(BayeskitError, ValueError):
    """A distribution parameter outside its domain, missing, or given twice."""


class DataError(BayeskitError, ValueError):
    """Data that do not fit the model: absent, of the wrong dims or labels, or not finite."""


class SupportError(DataError):
    """A value outside the support of its distribution."""


class ImproperError(BayeskitError, ValueError):
    """A posterior (or an evidence) that does not exist because a prior is improper."""


class RefusedError(BayeskitError, ValueError):
    """A request (method, step, exact marginal) that cannot be honoured; the message says why."""


class DecisionError(BayeskitError, ValueError):
    """A utility or a loss of the wrong shape, or an unknown action."""


class SamplingWarning(UserWarning):
    """Something about a sampling run that the user must act on."""
