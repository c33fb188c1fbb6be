"""What draws of a known target must satisfy, in multiples of their own Monte Carlo error."""

import math

import numpy as np
from arviz_stats.base import array_stats
from scipy import stats

LIMIT = 5.0
KS_LEVEL = 1e-3


def errors_in_mcse(draws, mean, variance):
    """Errors of mean and variance of `draws` (chain, draw), in standard errors."""
    squares = (draws - mean) ** 2
    return tuple(
        abs(values.mean() - expected) / array_stats.mcse(values, chain_axis=0, draw_axis=1, method="mean")
        for values, expected in ((draws, mean), (squares, variance))
    )


def ks_p_value(draws, cdf):
    """P-value of the Kolmogorov-Smirnov test on draws thinned until they are as good as independent."""
    ess = array_stats.ess(draws, chain_axis=0, draw_axis=1, method="mean")
    step = max(1, math.ceil(2 * draws.size / ess))
    return stats.kstest(draws[:, ::step].ravel(), cdf).pvalue


def is_right(draws, distribution):
    """Whether draws (chain, draw) agree with a scipy distribution in mean, variance and cdf."""
    mean, variance = distribution.stats("mv")
    errors = errors_in_mcse(draws, float(mean), float(variance))
    return max(errors) < LIMIT and ks_p_value(draws, distribution.cdf) > KS_LEVEL


def collect(step, x, draws):
    """Apply `step` repeatedly; (chain, draw, ...)."""
    kept = []
    for _ in range(draws):
        x = step(x)
        kept.append(x)
    return np.stack(kept, axis=1)
