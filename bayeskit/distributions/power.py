"""The distribution of a power of a positive variable."""

from __future__ import annotations

from typing import Any

import numpy as np

from bayeskit.distributions import quadrature
from bayeskit.distributions.base import Array, Distribution
from bayeskit.distributions.domains import Parameter
from bayeskit.distributions.gammadraws import LARGEST, SMALLEST
from bayeskit.errors import ParameterError

__all__ = ["Power"]

# Below this squared coefficient of variation a difference of raw moments cancels too much.
_CONCENTRATED = 1e-3


class Power(Distribution):
    r"""Distribution of ``x**exponent`` where x follows a distribution of positive numbers.

    .. math:: p(y) = \frac{1}{|k|} y^{1/k - 1} p_x(y^{1/k}), \quad y = x^k

    A standard deviation whose variance is InverseGamma(2, 3) is ``Power(InverseGamma(2, 3), 0.5)``.

    Parameters
    ----------
    base : Distribution
        A continuous univariate family of positive numbers.
    exponent : float
        Any number but zero.

    Raises
    ------
    ParameterError
        Where `base` is not such a distribution, or the exponent is zero or not a number.

    Examples
    --------
    >>> from bayeskit.distributions import InverseGamma, Power
    >>> sd = Power(InverseGamma(3, 2), 0.5)
    >>> [round(float(v), 4) for v in (sd.mean(), sd.quantile(0.5), sd.mode())]
    [0.94, 0.8648, 0.7559]
    """

    support = "the positive numbers"

    def __init__(self, base: Distribution, exponent: float) -> None:
        if not isinstance(base, Distribution) or base.event_ndim or base.discrete or not _is_positive(base):
            raise ParameterError(
                f"Power must be given a continuous distribution of positive numbers. Got {base!r}. Only there is every "
                "power defined."
            )
        if not isinstance(exponent, int | float | np.number) or not np.isfinite(exponent) or exponent == 0:
            raise ParameterError(f"Parameter 'exponent' of Power must be a number other than zero. Got {exponent!r}.")
        self._keep({"base": base, "exponent": exponent}, dict(base.canonical))

    @property
    def parameters(self) -> tuple[Parameter, ...]:  # type: ignore[override]
        """Parameters of the base, for the exponent is not one that varies."""
        return self.base.parameters

    @property
    def base(self) -> Distribution:
        """Distribution of the variable that is raised to the power."""
        base: Distribution = self.given["base"]
        return base

    @property
    def exponent(self) -> float:
        """The power."""
        return float(self.given["exponent"])

    @property
    def is_proper(self) -> bool:
        """Whether the base is proper."""
        return self.base.is_proper

    def __repr__(self) -> str:
        return f"Power({self.base}, {self.given['exponent']})"

    def _root(self, y: Any) -> Any:
        with np.errstate(all="ignore"):
            return np.maximum(y, 0.0) ** (1.0 / self.exponent)

    def _raise(self, x: Any) -> Any:
        with np.errstate(all="ignore"):
            return np.asarray(x) ** self.exponent

    def _log_prob(self, y: Array, *params: Array) -> Array:
        k = self.exponent
        with np.errstate(all="ignore"):
            result = self.base._log_prob(self._root(y), *params) - np.log(abs(k)) + (1.0 / k - 1.0) * np.log(y)
            return np.where((y > 0) & (y < np.inf), result, -np.inf)

    def _sample(self, rng: np.random.Generator, shape: tuple[int, ...], *params: Array) -> Array:
        return np.clip(self._raise(self.base._sample(rng, shape, *params)), SMALLEST, LARGEST)

    def _mean(self, *params: Array) -> Array:
        if self._has_moments:
            return self.base._raw_moment(self.exponent, *params)
        return self._by_quadrature(*params)[0]

    def _var(self, *params: Array) -> Array:
        if not self._has_moments:
            return self._by_quadrature(*params)[1]
        with np.errstate(all="ignore"):
            first = np.asarray(self.base._raw_moment(self.exponent, *params))
            second = np.asarray(self.base._raw_moment(2.0 * self.exponent, *params))
            variance = np.where(np.isposinf(second), np.inf, second - first * first)
            small = np.asarray(variance < _CONCENTRATED * first * first)
            if small.any():
                cells = [np.broadcast_to(param, small.shape)[small] for param in params]
                variance[small] = quadrature.mean_and_variance(self, *cells)[1]
        return variance

    @property
    def _has_moments(self) -> bool:
        return type(self.base)._raw_moment is not Distribution._raw_moment

    def _by_quadrature(self, *params: Array) -> tuple[Array, Array]:
        # At a negative power the moments hang on the density near zero, which only a formula knows.
        return quadrature.mean_and_variance(self, *params) if self.exponent > 0 else self._refuse("known moments")

    def _raw_moment(self, k: float, *params: Array) -> Array:
        """Expected ``y**k``."""
        return self.base._raw_moment(k * self.exponent, *params)

    def _moment_order(self, *params: Array) -> Any:
        return self.base._moment_order(*params) / self.exponent if self.exponent > 0 else np.inf

    def _mode(self, *params: Array) -> Array:
        return self._raise(self.base._tilted_mode(1.0 - self.exponent, *params))

    def _tilted_mode(self, k: float, *params: Array) -> Array:
        """Where ``y**k p(y)`` is greatest."""
        return self._raise(self.base._tilted_mode(1.0 - self.exponent + k * self.exponent, *params))

    def _cdf(self, y: Array, *params: Array) -> Array:
        kernel = self.base._cdf if self.exponent > 0 else self.base._sf
        return kernel(self._root(y), *params)

    def _sf(self, y: Array, *params: Array) -> Array:
        kernel = self.base._sf if self.exponent > 0 else self.base._cdf
        return kernel(self._root(y), *params)

    def _log_cdf(self, y: Array, *params: Array) -> Array:
        kernel = self.base._log_cdf if self.exponent > 0 else self.base._log_sf
        return kernel(self._root(y), *params)

    def _log_sf(self, y: Array, *params: Array) -> Array:
        kernel = self.base._log_sf if self.exponent > 0 else self.base._log_cdf
        return kernel(self._root(y), *params)

    def _quantile(self, q: Array, *params: Array) -> Array:
        if self.exponent > 0:
            return self._raise(self.base._quantile(q, *params))
        with np.errstate(divide="ignore"):
            return self._raise(self.base._log_isf(np.log(q), *params))

    def _log_quantile(self, log_q: Array, *params: Array) -> Array:
        kernel = self.base._log_quantile if self.exponent > 0 else self.base._log_isf
        return self._raise(kernel(log_q, *params))

    def _log_isf(self, log_tail: Array, *params: Array) -> Array:
        kernel = self.base._log_isf if self.exponent > 0 else self.base._log_quantile
        return self._raise(kernel(log_tail, *params))

    def _bounds(self, *params: Array) -> tuple[Array, Array]:
        lower, upper = self.base._bounds(*params)
        ends = (self._raise(np.asarray(end, dtype=float)) for end in (lower, upper))
        first, second = ends
        return (first, second) if self.exponent > 0 else (second, first)

    def _outside(self, y: Array, *params: Array) -> Array:
        return ~((y > 0) & (y < np.inf)) | self.base._outside(self._root(y), *params)

    def _joint_invalid(self, *params: Array) -> Array:
        return self.base._joint_invalid(*params)


def _is_positive(base: Distribution) -> bool:
    """Whether a univariate family has no mass below zero, as far as its parameters are known."""
    if not base.is_known:
        return "positive" in base.support or "from 0" in base.support or base.support in ("0..1", "lower..upper")
    from bayeskit.distributions.labelled import aligned

    return bool(np.all(np.asarray(base._bounds(*aligned(base).arrays)[0]) >= 0))
