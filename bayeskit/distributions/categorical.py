"""The categorical family."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from bayeskit.distributions import parameters as reading
from bayeskit.distributions.base import Array
from bayeskit.distributions.domains import Parameter, real, simplex
from bayeskit.distributions.integers import category_draws, integer_quantile, masked, take_category
from bayeskit.distributions.variants import Variants
from bayeskit.errors import RefusedError

if TYPE_CHECKING:
    from xarray import DataArray

__all__ = ["Categorical", "log_softmax", "softmax"]


def log_softmax(logit: Array) -> Array:
    """Log probabilities along the last axis."""
    shifted = logit - np.max(logit, axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def softmax(logit: Array) -> Array:
    """Probabilities along the last axis."""
    weights = np.exp(logit - np.max(logit, axis=-1, keepdims=True))
    return weights / weights.sum(axis=-1, keepdims=True)


class Categorical(Variants):
    r"""Categorical distribution: one of K categories, coded 0..K-1.

    .. math:: P(x) = p_x = \frac{\exp \ell_x}{\sum_k \exp \ell_k}

    Parameters
    ----------
    p : row of numbers, DataArray or expression
        Probabilities, along the last dim, that sum to 1; zeros are categories that never come.
    logit : row of numbers, DataArray or expression, optional
        Log probabilities up to a constant (softmax), instead of `p`; right however far apart.

    Raises
    ------
    ParameterError
        Where `p` is not a row of probabilities, `logit` is not finite, or not exactly one of them is given.

    Notes
    -----
    Moments, distribution function and quantiles are those of the codes.

    Examples
    --------
    >>> from bayeskit.distributions import Categorical
    >>> d = Categorical([0.2, 0.5, 0.3])
    >>> float(d.mode()), float(d.log_prob(1).round(4))
    (1.0, -0.6931)
    >>> d.sample(4, seed=1).values
    array([1, 2, 0, 2])
    """

    variants = ((Parameter("p", simplex, event_ndim=1),), (Parameter("logit", real, event_ndim=1),))
    parameters = variants[0]
    discrete = True

    def __init__(self, p: Any = None, *, logit: Any = None) -> None:
        self._assign(p=p, logit=logit)

    @property
    def support_text(self) -> str:
        """Where values lie, as it completes "must lie in ..."."""
        value = next(iter(self.canonical.values()))
        shape = () if reading.is_expression(value) else np.shape(value)
        return f"0..{shape[-1] - 1}" if shape else "0..K-1, where K is the number of categories"

    def _p(self, p: Array) -> Array:
        return softmax(p) if "logit" in self.canonical else p

    def _log_prob(self, x: Array, p: Array) -> Array:
        p = np.asarray(p, dtype=float)
        x = np.asarray(x)
        outside = self._outside(x, p)
        codes = (np.where(outside, 0, x) if outside.any() else x).astype(np.intp)
        with np.errstate(divide="ignore"):
            if "logit" in self.canonical:
                top = np.max(p, axis=-1, keepdims=True)
                value = take_category(p, codes) - (top[..., 0] + np.log(np.exp(p - top).sum(axis=-1)))
            elif p.size <= x.size:  # logs of the smaller of the two
                value = take_category(np.log(p), codes)
            else:
                value = np.log(take_category(p, codes))
        return masked(value, outside)

    def _sample(self, rng: np.random.Generator, shape: tuple[int, ...], p: Array) -> Array:
        return category_draws(rng, shape, self._p(p))

    def _mean(self, p: Array) -> Array:
        p = self._p(p)
        return p @ np.arange(p.shape[-1])

    def _var(self, p: Array) -> Array:
        p = self._p(p)
        codes = np.arange(p.shape[-1])
        return (p * (codes - (p @ codes)[..., None]) ** 2).sum(axis=-1)

    def _mode(self, p: Array) -> Array:
        return np.argmax(p, axis=-1).astype(float)

    def _cdf(self, x: Array, p: Array) -> Array:
        levels = np.cumsum(self._p(p), axis=-1)
        levels = levels / levels[..., -1:]
        codes = np.clip(np.floor(x), 0, p.shape[-1] - 1).astype(np.intp)
        return np.where(np.less(x, 0), 0.0, take_category(levels, codes))

    def _quantile(self, q: Array, p: Array) -> Array:
        return integer_quantile(lambda k: self._cdf(k, p), q, 0.0, p.shape[-1] - 1.0)

    def _bounds(self, p: Array) -> tuple[Any, Any]:
        # NaN stands for probabilities that are not known yet, of whatever number
        return 0.0, np.where(np.isnan(p[..., 0]), np.nan, np.shape(p)[-1] - 1.0)

    def hdi(self, prob: float = 0.89) -> DataArray:
        """Refused: codes have no order in which an interval is narrow."""
        raise RefusedError(
            "Categorical has no narrowest interval, for its codes are names and not amounts. Use mode() or sample()."
        )
