"""Counts shifted by a whole number: the successes in a population of which some have been seen."""

from __future__ import annotations

from typing import Any

import numpy as np

from bayeskit.distributions.base import Array, Distribution
from bayeskit.distributions.domains import Parameter, integer
from bayeskit.errors import ParameterError

__all__ = ["Shifted"]


class Shifted(Distribution):
    r"""Distribution of ``x + shift`` where x follows a distribution of counts.

    .. math:: P(y) = P_x(y - s)

    Parameters
    ----------
    base : Distribution
        A discrete univariate family.
    shift : number or DataArray
        A whole number.

    Raises
    ------
    ParameterError
        Where `base` is not such a distribution, or the shift is not a whole number.

    Examples
    --------
    >>> from bayeskit.distributions import BetaBinomial
    >>> d = Shifted(BetaBinomial(10, 1, 1), 3)
    >>> d, float(d.mean()), float(d.quantile(0.0)), float(d.log_prob(2))
    (Shifted(BetaBinomial(10, 1, 1), 3), 8.0, 3.0, -inf)
    """

    discrete = True

    def __init__(self, base: Distribution, shift: Any) -> None:
        if not isinstance(base, Distribution) or base.event_ndim or not base.discrete:
            raise ParameterError(f"Shifted must be given a discrete distribution of one number. Got {base!r}.")
        if np.any(integer.outside(np.asarray(shift, dtype=float))):
            raise ParameterError(f"Parameter 'shift' of Shifted must be a whole number. Got {shift!r}.")
        self._keep({"base": base, "shift": shift}, {**base.canonical, "shift": shift})

    @property
    def parameters(self) -> tuple[Parameter, ...]:  # type: ignore[override]
        """Parameters of the base, and the shift."""
        return (*self.base.parameters, Parameter("shift", integer))

    @property
    def base(self) -> Distribution:
        """Distribution of the count before it is shifted."""
        base: Distribution = self.given["base"]
        return base

    @property
    def support(self) -> str:  # type: ignore[override]
        """Where values lie, as it completes "must lie in ..."."""
        return f"{self.base.support}, shifted"

    def __repr__(self) -> str:
        from bayeskit.distributions.parameters import show_value

        return f"Shifted({self.base}, {show_value(self.given['shift'])})"

    def _log_prob(self, y: Array, *params: Array) -> Array:
        return self.base._log_prob(y - params[-1], *params[:-1])

    def _sample(self, rng: np.random.Generator, shape: tuple[int, ...], *params: Array) -> Array:
        return self.base._sample(rng, shape, *params[:-1]) + np.asarray(params[-1]).astype(np.int64)

    def _mean(self, *params: Array) -> Array:
        return self.base._mean(*params[:-1]) + params[-1]

    def _var(self, *params: Array) -> Array:
        return self.base._var(*params[:-1])

    def _mode(self, *params: Array) -> Array:
        return self.base._mode(*params[:-1]) + params[-1]

    def _cdf(self, y: Array, *params: Array) -> Array:
        return self.base._cdf(y - params[-1], *params[:-1])

    def _sf(self, y: Array, *params: Array) -> Array:
        return self.base._sf(y - params[-1], *params[:-1])

    def _quantile(self, q: Array, *params: Array) -> Array:
        return self.base._quantile(q, *params[:-1]) + params[-1]

    def _log_cdf(self, y: Array, *params: Array) -> Array:
        return self.base._log_cdf(y - params[-1], *params[:-1])

    def _log_sf(self, y: Array, *params: Array) -> Array:
        return self.base._log_sf(y - params[-1], *params[:-1])

    def _log_quantile(self, log_q: Array, *params: Array) -> Array:
        return self.base._log_quantile(log_q, *params[:-1]) + params[-1]

    def _log_isf(self, log_tail: Array, *params: Array) -> Array:
        return self.base._log_isf(log_tail, *params[:-1]) + params[-1]

    def _bounds(self, *params: Array) -> tuple[Array, Array]:
        lower, upper = self.base._bounds(*params[:-1])
        return lower + params[-1], upper + params[-1]
