r"""What importance weights tell: how heavy their tail is, the evidence, and the acceptance of independence proposals.

All functions take the logarithms of the weights :math:`w_i = \tilde\pi(u_i) / q(u_i)` of draws :math:`u_i` from a
proposal :math:`q`; :math:`-\infty` is allowed, :math:`w` need not be normalised.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

Array = np.ndarray

# A proposal is refused below this acceptance, ...
LEAST_ACCEPTANCE = 0.15
# ... and above this Pareto k, if what the heaviest weight lets one expect unseen is not a small share of the mass,
MOST_PARETO_K = 0.7
MOST_UNSEEN = 0.05
# or where the halves of its draws disagree about the evidence by so many standard errors.
MOST_DISAGREEMENT = 5.0

# Below this many weights in the tail a generalised Pareto distribution cannot be fitted.
SMALLEST_TAIL = 5
# Weights of which none is so many times the mean have no tail.
NEARLY_EQUAL = 5.0


@dataclass(frozen=True)
class Verdict:
    """What log weights say of a proposal; ``reason`` is empty where nothing is wrong with it."""

    acceptance: float
    pareto_k: float
    log_evidence: float
    log_evidence_se: float
    reason: str


def judged(log_weights: Array, most: float = MOST_PARETO_K, tail: Array | None = None) -> Verdict:
    r"""Judge a proposal by the log weights of draws from it.

    ``tail`` are the log weights whose largest say how heavy the tail is, where others than ``log_weights`` do.

    A Pareto :math:`\hat k` above ``most`` is let pass only where the tail beyond the heaviest weight, which is
    about :math:`W_{(n)} / (1 - \hat k)` of the mass (20 times the heaviest at most), is no more than MOST_UNSEEN.
    """
    rate, k = acceptance(log_weights), pareto_k(log_weights if tail is None else tail)
    value, error = evidence(log_weights)
    weights, top = scaled(log_weights)
    share = 1.0 if top == -np.inf else float(weights.max() / weights.sum())
    unseen = share / max(1 - k, 0.05)
    half = len(log_weights) // 2
    (one, e1), (two, e2) = evidence(log_weights[:half]), evidence(log_weights[half:])
    if top == -np.inf or rate < LEAST_ACCEPTANCE:
        reason = f"of independent proposals no more than {rate:.1%} would be accepted"
    elif k > most and unseen > MOST_UNSEEN:
        reason = f"the weights of the proposals have too heavy a tail (Pareto k = {k:.2f}), so that parts may be unseen"
    elif abs(one - two) > MOST_DISAGREEMENT * math.hypot(e1, e2) + 1e-9:
        reason = f"two halves of the draws disagree about the log evidence ({one:.2f} and {two:.2f})"
    else:
        reason = ""
    return Verdict(rate, k, value, error, reason)


def scaled(log_weights: Array) -> tuple[Array, float]:
    """Return the weights over their largest, and the log of that one: ``-inf`` (with zeros) where all are zero."""
    largest = float(np.max(log_weights, initial=-np.inf))
    if largest == -np.inf:
        return np.zeros(len(log_weights)), largest
    return np.exp(log_weights - largest), largest


def evidence(log_weights: Array) -> tuple[float, float]:
    r"""Return the log of the mean weight, and its Monte Carlo standard error.

    The mean weight is an unbiased estimate of :math:`Z = \int \tilde\pi`; by the delta method the standard error of its
    logarithm is the coefficient of variation of the mean,
    :math:`\operatorname{sd}(w) / (\bar w \sqrt n)`.
    """
    weights, largest = scaled(log_weights)
    if largest == -np.inf:
        return -np.inf, np.inf
    mean = float(weights.mean())
    error = float(weights.std(ddof=1)) / (mean * math.sqrt(len(weights))) if len(weights) > 1 else np.inf
    return largest + math.log(mean), error


def acceptance(log_weights: Array) -> float:
    r"""Return the acceptance that independence Metropolis-Hastings is to expect of these proposals.

    In equilibrium the current point has density :math:`\pi \propto w q` and the next is proposed from :math:`q`, so
    that (Tierney 1994, section 2.3.3)

    .. math:: \operatorname{E} \min(1, w'/w) = \sum_i W_i \frac{1}{n - 1} \sum_{j \ne i} \min(1, w_j / w_i)
              = \frac{2}{n - 1} \sum_{k=1}^n (n - k) W_{(k)},

    where :math:`W_i = w_i / \sum w` and :math:`W_{(1)} \le \dots \le W_{(n)}`: one sort, not all pairs.
    """
    weights, largest = scaled(log_weights)
    n = len(weights)
    if largest == -np.inf or n < 2:
        return 0.0
    weights.sort()
    below = np.cumsum(weights)
    return float(2 * below[:-1].sum() / ((n - 1) * below[-1]))


def pareto_k(log_weights: Array) -> float:
    r"""Return the shape :math:`\hat k` of a generalised Pareto distribution fitted to the largest weights.

    The weights have :math:`1/k` moments: above 0.5 their variance is infinite, above 0.7 no practical number of draws
    makes their mean reliable (Vehtari, Simpson, Gelman, Yao, Gabry 2024, JMLR 25(72)). As there, the tail is the
    :math:`\min(n/5, 3\sqrt n)` largest, and the estimate is drawn towards 0.5 as if by ten more observations. Where
    none is more than a few times the mean there is no tail to speak of, and the shape is 0.5 at most.

    Returns
    -------
    float
        NaN where there are too few weights for a fit, ``inf`` where too few of them are positive, ``-inf`` where the
        largest are all equal.
    """
    weights, _ = scaled(log_weights)
    n = len(weights)
    tail = math.ceil(min(n / 5, 3 * math.sqrt(n)))
    if tail < SMALLEST_TAIL:
        return np.nan
    if np.count_nonzero(weights) <= tail:
        return np.inf
    weights.sort()
    excess = weights[-tail:] - weights[-tail - 1]
    if excess[-1] <= 1e-12 * weights[-1]:  # all alike but for rounding
        return -np.inf
    k = (tail * _pareto_shape(np.maximum(excess, 1e-300)) + 10 * 0.5) / (tail + 10)
    return min(k, 0.5) if weights[-1] * n < NEARLY_EQUAL * weights.sum() else k


def _pareto_shape(excess: Array) -> float:
    r"""Shape of a generalised Pareto distribution, from sorted positive excesses over its origin.

    Zhang and Stephens (2009, Technometrics 51): with :math:`\theta = k / \sigma`, the profile likelihood is
    :math:`n (\log(-\theta / k(\theta)) - k(\theta) - 1)`, with their
    :math:`k(\theta) = \operatorname{mean} \log(1 - \theta x)`; its mean over a grid of quantiles of a prior that is
    scaled by the data replaces the maximum.
    """
    n = len(excess)
    grid = 30 + int(math.sqrt(n))
    quartile = excess[int(n / 4 + 0.5) - 1]
    theta = 1 / excess[-1] + (1 - np.sqrt(grid / (np.arange(1, grid + 1) - 0.5))) / (3 * quartile)
    shape = np.log1p(-theta[:, None] * excess).mean(axis=1)
    profile = n * (np.log(-theta / shape) - shape - 1)
    weights = np.exp(profile - profile.max())
    best = float(weights @ theta / weights.sum())
    return float(np.log1p(-best * excess).mean())
