"""Gamma draws that do not underflow.

``standard_gamma(0.001)`` is an exact 0 half the time, for the value is below 1e-308; its logarithm is an ordinary
number. If G ~ Gamma(alpha + 1) and U is uniform then ``G * U**(1 / alpha)`` is Gamma(alpha) (G. Marsaglia and
W. Tsang, ACM TOMS 26, 2000, section 6), which is exact in logs.
"""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["LARGEST", "SMALLEST", "log_standard_gamma", "standard_gamma"]

# The least normal double, so that one over it is finite; and the greatest.
SMALLEST = float(np.finfo(float).tiny)
LARGEST = float(np.finfo(float).max)
# Above this shape a draw underflows with probability below 1e-30.
_SAFE_SHAPE = 0.1


def log_standard_gamma(rng: np.random.Generator, alpha: Any, shape: tuple[int, ...]) -> Any:
    """Draw the logarithm of a Gamma(alpha, 1) variable; a shape of zero gives -inf.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of randomness.
    alpha : array_like
        Shape parameter, zero or more; broadcasts to `shape`.
    shape : tuple of int
        Shape of the result.

    Examples
    --------
    >>> draws = log_standard_gamma(np.random.default_rng(1), 0.001, (1000,))
    >>> bool(np.isfinite(draws).all()), bool(draws.min() < -745)
    (True, True)
    """
    alpha = np.asarray(alpha, dtype=float)
    with np.errstate(divide="ignore"):
        return np.log(rng.standard_gamma(alpha + 1.0, shape)) - rng.standard_exponential(shape) / alpha


def standard_gamma(rng: np.random.Generator, alpha: Any, shape: tuple[int, ...]) -> Any:
    """Draw Gamma(alpha, 1) variables that are never zero.

    Parameters are those of `log_standard_gamma`.

    Examples
    --------
    >>> bool((standard_gamma(np.random.default_rng(1), 0.001, (1000,)) > 0).all())
    True
    """
    if np.min(alpha, initial=1.0) >= _SAFE_SHAPE:
        return rng.standard_gamma(alpha, shape)
    return np.maximum(np.exp(log_standard_gamma(rng, alpha, shape)), SMALLEST)
