"""A distribution cut by bounds."""

from __future__ import annotations

from typing import Any

import numpy as np

from bayeskit.distributions import quadrature, truncated_counts
from bayeskit.distributions.base import Array, Distribution
from bayeskit.distributions.domains import Parameter, extended_real
from bayeskit.distributions.parameters import read_value, show_value, validate_value
from bayeskit.distributions.tails import log_difference
from bayeskit.errors import ParameterError

__all__ = ["Truncated"]


class Truncated(Distribution):
    r"""Distribution restricted to values between two bounds, both included.

    .. math:: p(x) = \frac{p_0(x)}{P_0(lower \le x \le upper)}, \quad lower \le x \le upper

    The normaliser counts: where a parameter is unknown, it is part of the density. It is taken from the nearer tail,
    in logs, so that a normal restricted to (37, inf) is as good as one restricted to (-1, 1).

    Parameters
    ----------
    dist : Distribution
        A proper univariate distribution with a distribution function.
    lower, upper : number, DataArray or expression, optional
        The bounds; nothing given is no bound.

    Raises
    ------
    ParameterError
        Where `dist` is not such a distribution, or nothing of its support lies between the bounds.

    Examples
    --------
    >>> from bayeskit.distributions import Normal, Poisson, Truncated
    >>> d = Truncated(Normal(0, 1), lower=8)
    >>> [round(float(v), 4) for v in (d.mean(), d.quantile(0.5), d.log_prob(8), d.log_prob(7))]
    [8.1213, 8.0849, 2.0946, -inf]
    >>> round(float(Truncated(Poisson(1), lower=1).mean()), 4)
    1.582
    """

    def __init__(self, dist: Distribution, lower: Any = None, upper: Any = None) -> None:
        if not isinstance(dist, Distribution) or dist.event_ndim or not dist.is_proper:
            raise ParameterError(
                f"Truncated must be given a proper univariate distribution. Got {dist!r}. For a flat prior between "
                "bounds write Flat(lower, upper)."
            )
        given: dict[str, Any] = {"dist": dist}
        canonical = dict(dist.canonical)
        for name, stated, bound, absent in zip(
            ("lower", "upper"), self._bound_names(dist), (lower, upper), (-np.inf, np.inf), strict=True
        ):
            if bound is None:
                canonical[stated] = absent
                continue
            value = read_value(bound, Parameter(name, extended_real), "Truncated")
            validate_value(value, Parameter(name, extended_real), "Truncated")
            given[name] = canonical[stated] = value
        self._keep(given, canonical)

    @staticmethod
    def _bound_names(dist: Distribution) -> tuple[str, str]:
        # A uniform has parameters of these names already.
        taken = {parameter.name for parameter in dist.parameters}
        return ("at_least", "at_most") if "lower" in taken else ("lower", "upper")

    @property
    def base(self) -> Distribution:
        """Distribution that is cut."""
        base: Distribution = self.given["dist"]
        return base

    @property
    def parameters(self) -> tuple[Parameter, ...]:  # type: ignore[override]
        """Parameters of the base, then the two bounds."""
        lower, upper = self._bound_names(self.base)
        return (
            *self.base.parameters,
            Parameter(lower, extended_real, default=-np.inf),
            Parameter(upper, extended_real, default=np.inf),
        )

    @property
    def discrete(self) -> bool:  # type: ignore[override]
        """Whether values are whole numbers."""
        return self.base.discrete

    @property
    def support(self) -> str:  # type: ignore[override]
        """Where values of the base lie."""
        return self.base.support

    @property
    def joint_condition(self) -> str:  # type: ignore[override]
        """What the parameters must satisfy together."""
        own = f"{self.base.joint_condition}, and " if self.base.joint_condition else ""
        return own + "lower < upper with part of the support between them"

    @property
    def support_text(self) -> str:
        """Where values lie, as it completes "must lie in ..."."""
        ends = [
            f"{sign} {show_value(self.given[k])}" for k, sign in (("lower", ">="), ("upper", "<=")) if k in self.given
        ]
        return f"{self.base.support_text} ({' and '.join(ends)})" if ends else self.base.support_text

    def __repr__(self) -> str:
        bounds = "".join(
            f", {name}={show_value(self.given[name])}" for name in ("lower", "upper") if name in self.given
        )
        return f"Truncated({self.base}{bounds})"

    # --- the mass between two points ------------------------------------------------------------------------------

    def _ends(self, params: tuple[Any, ...]) -> tuple[Any, Any, Any]:
        """Parameters of the base, and the bounds as the arguments of a distribution function: (low, high]."""
        *own, lower, upper = params
        return (own, np.ceil(lower) - 1.0, np.floor(upper)) if self.discrete else (own, lower, upper)

    def _log_mass(self, low: Any, high: Any, own: Any) -> tuple[Any, Any]:
        """Log of the base's probability of (low, high], and whether it was taken from the upper tail."""
        base = self.base
        if np.all(np.isposinf(high)):
            return base._log_sf(low, *own), np.asarray(True)
        if np.all(np.isneginf(low)):
            return base._log_cdf(high, *own), np.asarray(False)
        above, below = base._log_sf(low, *own), base._log_cdf(high, *own)
        upper = above < below
        from_above = log_difference(above, base._log_sf(high, *own))
        from_below = log_difference(below, base._log_cdf(low, *own))
        return np.where(upper, from_above, from_below), upper

    def _log_normaliser(self, params: tuple[Any, ...]) -> Any:
        own, low, high = self._ends(params)
        with np.errstate(all="ignore"):
            total = self._log_mass(low, high, own)[0]
            return truncated_counts.corrected(self.base, total, low, high, own) if self.discrete else total

    # --- kernels --------------------------------------------------------------------------------------------------

    def _log_prob(self, x: Array, *params: Any) -> Array:
        *own, lower, upper = params
        result = self.base._log_prob(x, *own)
        inside = (x >= lower) & (x <= upper)
        with np.errstate(invalid="ignore"):
            total = self._log_normaliser(params)
            # No mass that a double can hold lies between the bounds: as if outside, never an infinite density.
            return np.where(inside & (result > -np.inf) & (total > -np.inf), result - total, -np.inf)

    def _sample(self, rng: np.random.Generator, shape: tuple[int, ...], *params: Any) -> Array:
        # Open at both ends: 0 is a value of random(), and its logarithm none of a quantile.
        return np.broadcast_to(self._quantile(rng.uniform(2.0**-54, 1.0, shape), *params), shape).copy()

    def _quantile(self, q: Any, *params: Any) -> Array:
        own, low, high = self._ends(params)
        q = np.asarray(q, dtype=float)
        with np.errstate(all="ignore"):
            total, upper = self._log_mass(low, high, own)
            value = self._from_tail(np.log1p(-q), np.log(q), total, upper, low, high, own)
            if self.discrete:
                value = truncated_counts.quantile(self.base, value, q, total, low, high, own)
        # The ends exactly, not through a tail and back.
        least, greatest = self._bounds(*params)
        return np.where(q <= 0, least, np.where(q >= 1, greatest, value))

    def _log_quantile(self, log_q: Any, *params: Any) -> Array:
        own, low, high = self._ends(params)
        with np.errstate(all="ignore"):
            total, upper = self._log_mass(low, high, own)
            return self._from_tail(np.log1p(-np.exp(log_q)), log_q, total, upper, low, high, own)

    def _log_isf(self, log_tail: Any, *params: Any) -> Array:
        own, low, high = self._ends(params)
        with np.errstate(all="ignore"):
            total, upper = self._log_mass(low, high, own)
            return self._from_tail(log_tail, np.log1p(-np.exp(log_tail)), total, upper, low, high, own)

    def _from_tail(
        self, log_above: Any, log_below: Any, total: Any, upper: Any, low: Any, high: Any, own: Any
    ) -> Array:
        """Value with given shares of the mass above and below it, through the tail that the bounds lie in."""
        value: Any = np.nan
        if np.any(upper):
            tail = np.logaddexp(log_above + total, self.base._log_sf(high, *own))
            value = self.base._log_isf(np.minimum(tail, 0.0), *own)
        if not np.all(upper):
            tail = np.logaddexp(log_below + total, self.base._log_cdf(low, *own))
            value = np.where(upper, value, self.base._log_quantile(np.minimum(tail, 0.0), *own))
        start = low + 1.0 if self.discrete else low
        return np.clip(value, start, high)

    def _log_cdf(self, x: Any, *params: Any) -> Array:
        own, low, high = self._ends(params)
        with np.errstate(all="ignore"):
            inside = np.clip(np.floor(x) if self.discrete else x, low, high)
            return np.where(inside > low, self._part(low, inside, own) - self._log_normaliser(params), -np.inf)

    def _log_sf(self, x: Any, *params: Any) -> Array:
        own, low, high = self._ends(params)
        with np.errstate(all="ignore"):
            inside = np.clip(np.floor(x) if self.discrete else x, low, high)
            return np.where(inside < high, self._part(inside, high, own) - self._log_normaliser(params), -np.inf)

    def _part(self, low: Any, high: Any, own: Any) -> Any:
        total = self._log_mass(low, high, own)[0]
        return truncated_counts.corrected(self.base, total, low, high, own) if self.discrete else total

    def _cdf(self, x: Any, *params: Any) -> Array:
        return np.minimum(np.exp(self._log_cdf(x, *params)), 1.0)

    def _sf(self, x: Any, *params: Any) -> Array:
        return np.minimum(np.exp(self._log_sf(x, *params)), 1.0)

    def _mean(self, *params: Any) -> Array:
        return self._mean_and_variance(*params)[0]

    def _var(self, *params: Any) -> Array:
        return self._mean_and_variance(*params)[1]

    def _mean_and_variance(self, *params: Any) -> tuple[Array, Array]:
        if not self.discrete:
            return quadrature.mean_and_variance(self, *params)
        own, low, high = self._ends(params)
        with np.errstate(all="ignore"):
            return truncated_counts.mean_and_variance(self.base, low, high, own)

    def _moment_order(self, *params: Any) -> Any:
        *own, lower, upper = params
        lowest, highest = self.base._bounds(*own)
        cut = (np.isfinite(lower) | np.isfinite(lowest)) & (np.isfinite(upper) | np.isfinite(highest))
        return np.where(cut, np.inf, self.base._moment_order(*own))

    def _mode(self, *params: Any) -> Array:
        """Return the mode of the base if it lies between the bounds, else the nearer bound: for one peak."""
        *own, lower, upper = params
        if self.discrete:
            lower, upper = np.ceil(lower), np.floor(upper)
        return np.clip(self.base._mode(*own), lower, upper)

    def _tilted_mode(self, k: float, *params: Any) -> Array:
        """Where ``x**k p(x)`` is greatest, for one peak."""
        *own, lower, upper = params
        return np.clip(self.base._tilted_mode(k, *own), lower, upper)

    def _bounds(self, *params: Any) -> tuple[Array, Array]:
        *own, lower, upper = params
        if self.discrete:
            lower, upper = np.ceil(lower), np.floor(upper)
        lowest, highest = self.base._bounds(*own)
        return np.maximum(lower, lowest), np.minimum(upper, highest)

    def _outside(self, x: Any, *params: Any) -> Array:
        *own, lower, upper = params
        return self.base._outside(x, *own) | ~((x >= lower) & (x <= upper))

    def _joint_invalid(self, *params: Any) -> Array:
        *own, lower, upper = params
        least, greatest = self._bounds(*params)
        empty = least > greatest if self.discrete else ~(np.less(least, greatest) & np.less(lower, upper))
        return self.base._joint_invalid(*own) | empty
