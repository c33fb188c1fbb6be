"""The steps of a sweep: each updates some latents given the rest, for all chains at once.

A step is pure in the state and the generator; what it learns while tuning is carried outside of it and then frozen.
"""

from bayeskit.inference.steps.conjugate import ConjugateStep, EnumerateStep, HalfTStep
from bayeskit.inference.steps.gaussian import GaussianStep
from bayeskit.inference.steps.metropolis import MetropolisStep
from bayeskit.inference.steps.protocol import Step
from bayeskit.inference.steps.slice import SliceStep

__all__ = [
    "ConjugateStep",
    "EnumerateStep",
    "GaussianStep",
    "HalfTStep",
    "MetropolisStep",
    "SliceStep",
    "Step",
]
