"""The Monte Carlo standard error of a mean over draws, as ArviZ computes it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

MINIMUM_DRAWS = 4
"""Fewer draws than this in a chain say nothing about autocorrelation: the MCSE is then NaN, as in ArviZ."""


def mcse_mean(series: NDArray[np.float64]) -> NDArray[np.float64]:
    r"""Monte Carlo standard error of the mean of each series, autocorrelation included.

    .. math:: \mathrm{MCSE} = s / \sqrt{\mathrm{ESS}}

    with :math:`s` the standard deviation over all draws and ESS the effective sample size for the mean (split chains,
    Geyer's initial monotone sequence) of :func:`arviz_stats.mcse` with ``method="mean"``.

    Parameters
    ----------
    series : ndarray of shape (chain, draw, k)
        One series of draws for each of the k columns.

    Returns
    -------
    ndarray of shape (k,)
        0 for a series that is the same number in every draw; NaN with fewer than 4 draws in a chain.

    References
    ----------
    Vehtari, A., Gelman, A., Simpson, D., Carpenter, B. and Bürkner, P.-C. (2021). Rank-normalization, folding, and
    localization: an improved R-hat. Bayesian Analysis 16(2), 667-718.

    Examples
    --------
    >>> import numpy as np
    >>> from bayeskit.decision.mcse import mcse_mean
    >>> mcse_mean(np.full((4, 100, 1), 2.5))
    array([0.])
    """
    if series.shape[1] < MINIMUM_DRAWS:
        return np.full(series.shape[2], np.nan)
    # ArviZ calls a series constant when its range is below 1e-15 in whatever unit it came: give it unit range.
    lowest = series.min(axis=(0, 1))
    spread = series.max(axis=(0, 1)) - lowest
    answer = np.zeros(series.shape[2])
    for k in np.flatnonzero(spread > 0):
        unit = (series[:, :, k] - lowest[k]) / spread[k]
        answer[k] = spread[k] * arviz_mcse(unit, method="mean")
    return answer


def arviz_mcse(draws: NDArray[np.float64], **how: Any) -> float:
    """ArviZ's MCSE of one series of shape (chain, draw), by its array layer (imported on first use: it is slow)."""
    from arviz_stats.base.array import array_stats

    answer: Any = array_stats.mcse(draws, chain_axis=0, draw_axis=1, **how)
    return float(answer)
