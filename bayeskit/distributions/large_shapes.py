r"""Quantiles of betas and gammas whose parameters are so large that they are nearly normal.

Inverses of the incomplete beta function end their search early: at parameters of 1e15 they are off by a sixth of a
standard deviation. There the expansion of Cornish and Fisher in skewness :math:`\gamma` and excess :math:`\kappa`,

.. math:: w = z + \frac{z^2 - 1}{6} \gamma + \frac{z^3 - 3 z}{24} \kappa - \frac{2 z^3 - 5 z}{36} \gamma^2,

errs by the cube of the skewness: 1e-11 standard deviations at 1e8, and less above.
Source: Abramowitz and Stegun (1972), Handbook of Mathematical Functions, 26.2.49.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

__all__ = ["LARGE_SHAPE", "large_beta", "large_gamma", "where_large"]

LARGE_SHAPE = 1e8


def where_large(
    value: Any, least: Any, quantile: Callable[..., Any], normal: Callable[[], Any], *shapes: Any
) -> np.ndarray:
    """Return `value`, but ``quantile(normal(), *shapes)`` where the least of the shapes is large.

    Parameters
    ----------
    value : array
        Quantiles that hold for shapes of any other size.
    least : array
        The least of the shapes.
    quantile : callable
        `large_beta` or `large_gamma`.
    normal : callable
        Returns the standard normal quantiles of the probabilities.
    shapes : arrays
        Of the family.
    """
    if not np.max(least, initial=0.0) > LARGE_SHAPE:
        return np.asarray(value)
    with np.errstate(all="ignore"):
        z = normal()
        return np.where((least > LARGE_SHAPE) & np.isfinite(z), quantile(z, *shapes), value)


def large_beta(z: Any, a: Any, b: Any) -> Any:
    """Return the value of a beta at a standard normal quantile.

    Examples
    --------
    >>> float(large_beta(0.0, 1e15, 1e15))
    0.5
    """
    total = a + b
    mean, sd = a / total, np.sqrt(a / total) * np.sqrt(b / total) / np.sqrt(total + 1.0)
    skewness = 2.0 * ((b - a) / (total + 2.0)) * np.sqrt((total + 1.0) / a / b)
    excess = 6.0 * ((a - b) / a * ((a - b) / b) * (total + 1.0) / (total + 2.0) - 1.0) / (total + 3.0)
    return np.clip(mean + sd * _cornish_fisher(z, skewness, excess), 0.0, 1.0)


def large_gamma(z: Any, shape: Any) -> Any:
    """Return the value of a gamma of rate one at a standard normal quantile.

    Examples
    --------
    >>> float(large_gamma(1.0, 1e16) - 1e16)
    100000000.0
    """
    root = np.sqrt(shape)
    return shape + root * _cornish_fisher(z, 2.0 / root, 6.0 / shape)


def _cornish_fisher(z: Any, skewness: Any, excess: Any) -> Any:
    second = (z * z - 3.0) * z * excess / 24.0 - (2.0 * z * z - 5.0) * z * skewness * skewness / 36.0
    return z + (z * z - 1.0) * skewness / 6.0 + second
