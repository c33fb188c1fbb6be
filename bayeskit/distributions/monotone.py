"""The distribution of a strictly monotone function of a variable."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import digamma, expit, polygamma

from bayeskit.distributions import quadrature
from bayeskit.distributions.base import Array, Distribution
from bayeskit.distributions.beta import Beta
from bayeskit.distributions.domains import Parameter, real
from bayeskit.distributions.elementary import Affine, Exp, Log, LogExpit, Logit, Ndtri, NdtriExpit, Odds, Step, as_step
from bayeskit.distributions.gamma import Gamma
from bayeskit.distributions.gammadraws import SMALLEST
from bayeskit.distributions.inverse_gamma import InverseGamma
from bayeskit.distributions.labelled import aligned
from bayeskit.distributions.log_odds import LogOdds
from bayeskit.distributions.parameters import same_value, show_value
from bayeskit.errors import ParameterError

if TYPE_CHECKING:
    from bayeskit.distributions.moment_orders import Tail

__all__ = ["Monotone"]


class Monotone(Distribution):
    r"""Distribution of ``g(x)`` where x follows a distribution and g is strictly monotone.

    .. math:: p(y) = p_x(g^{-1}(y)) \left|\frac{d}{dy} g^{-1}(y)\right|

    Density, distribution function, quantiles and draws are those of x, moved; moments are closed forms where they are
    known, and else quadrature over the quantiles. Whether they exist is read from the tails of x.

    Parameters
    ----------
    base : Distribution
        A proper continuous univariate distribution with known parameters.
    *steps : str or Step
        The functions that make up g, the first one first: "exp", "log", "log1p", "expm1", "expit", "logit", "odds",
        "ndtr", "ndtri", "tanh", "negative", "sqrt", "square", "reciprocal", or ``Affine(scale, shift)`` and
        ``ToPower(exponent)`` of `bayeskit.distributions.elementary`.

    Raises
    ------
    ParameterError
        Where `base` is not such a distribution, or a step is not defined, or not monotone, on all of its support.

    Examples
    --------
    >>> from bayeskit.distributions import Beta, Monotone
    >>> odds = Monotone(Beta(8, 4), "odds")
    >>> odds
    Monotone(Beta(8, 4), odds)
    >>> [round(float(v), 4) for v in (odds.mean(), odds.sd(), odds.quantile(0.5), odds.cdf(1))]
    [2.6667, 2.2111, 2.0883, 0.1133]
    """

    def __init__(self, base: Distribution, *steps: str | Step) -> None:
        if isinstance(base, Monotone):
            steps = (*base.steps, *steps)
            base = base.base
        if not isinstance(base, Distribution) or base.event_ndim or base.discrete:
            raise ParameterError(f"Monotone must be given a continuous distribution of numbers. Got {base!r}.")
        if not base.is_known or not base.is_proper:
            raise ParameterError(
                f"Monotone must be given a proper distribution whose parameters are numbers. Got {base!r}. In a model, "
                "write the function with m.derived."
            )
        chain = tuple(as_step(step) for step in steps)
        canonical = dict(base.canonical)
        for i, step in enumerate(chain):
            if isinstance(step, Affine):
                canonical |= {f"scale_{i}": step.scale, f"shift_{i}": step.shift}
        self._keep({"base": base, "steps": chain}, canonical)
        self._check_domains()

    @property
    def base(self) -> Distribution:
        """Distribution of the variable that g is a function of."""
        base: Distribution = self.given["base"]
        return base

    @property
    def steps(self) -> tuple[Step, ...]:
        """Functions that g is made of, the first one first."""
        steps: tuple[Step, ...] = self.given["steps"]
        return steps

    @property
    def parameters(self) -> tuple[Parameter, ...]:  # type: ignore[override]
        """Parameters of the base, then scale and shift of each line."""
        lines = [i for i, step in enumerate(self.steps) if isinstance(step, Affine)]
        return (*self.base.parameters, *(Parameter(f"{n}_{i}", real) for i in lines for n in ("scale", "shift")))

    @property
    def support(self) -> str:  # type: ignore[override]
        """Where values lie."""
        frame = aligned(self)
        lower, upper = (np.unique(end) for end in self._bounds(*frame.arrays))
        if lower.size > 1 or upper.size > 1:
            return "the image of " + self.base.support
        return f"{lower.item():g}..{upper.item():g}"

    def _arguments(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        return (self.base, *self.steps), {}

    def __repr__(self) -> str:
        return f"Monotone({', '.join(str(part) for part in (self.base, *self.steps))})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Monotone):
            return NotImplemented
        same = self.base == other.base and self._shape == other._shape
        return same and all(same_value(value, other.canonical[name]) for name, value in self.canonical.items())

    __hash__ = Distribution.__hash__

    @property
    def _shape(self) -> list[Any]:
        """The steps without the numbers of the lines, which are parameters."""
        return [(type(step), getattr(step, "exponent", None)) for step in self.steps]

    def _check_domains(self) -> None:
        """Refuse a step that is not defined wherever its argument may be."""
        frame = aligned(self)
        ends = self.base._bounds(*frame.arrays[: len(self.base.parameters)])
        with np.errstate(all="ignore"):
            for step, args in self._walk(self.steps, frame.arrays[len(self.base.parameters) :]):
                low, high = np.minimum(*ends), np.maximum(*ends)
                if not (np.all(low >= step.domain[0]) and np.all(high <= step.domain[1])):
                    raise ParameterError(
                        f"The argument of {step} must lie in {step.domain[0]:g}..{step.domain[1]:g}. Got values from "
                        f"{show_value(np.min(low))} to {show_value(np.max(high))} in {self}."
                    )
                ends = (step.forward(low, *args), step.forward(high, *args))

    # --- what the kernels work with: the log odds in place of a probability, where these are asked for ------------

    @cached_property
    def _law(self) -> Distribution:
        return LogOdds(*self.base.canonical.values()) if self._through_odds else self.base

    @cached_property
    def _chain(self) -> tuple[Step, ...]:
        if not self._through_odds:
            return self.steps
        first = {Logit: (), Odds: (Exp(),), Ndtri: (NdtriExpit(),), Log: (LogExpit(),)}[type(self.steps[0])]
        return (*first, *self.steps[1:])

    @property
    def _through_odds(self) -> bool:
        return type(self.base) is Beta and bool(self.steps) and isinstance(self.steps[0], Log | Logit | Ndtri | Odds)

    @cached_property
    def _increasing(self) -> bool:
        return sum(not step.increasing for step in self.steps) % 2 == 0

    def _split(self, params: tuple[Any, ...]) -> tuple[tuple[Any, ...], list[tuple[Step, tuple[Any, ...]]]]:
        """Parameters of the base, and each step with its own."""
        count = len(self.base.parameters)
        return params[:count], list(self._walk(self._chain, params[count:]))

    @staticmethod
    def _walk(chain: tuple[Step, ...], numbers: Any) -> Iterator[tuple[Step, tuple[Any, ...]]]:
        rest = iter(numbers)
        for step in chain:
            yield step, ((next(rest), next(rest)) if isinstance(step, Affine) else ())

    def _forward(self, x: Any, params: tuple[Any, ...]) -> Any:
        with np.errstate(all="ignore"):
            for step, args in self._split(params)[1]:
                x = step.forward(x, *args)
        return x

    def _inverse(self, y: Any, params: tuple[Any, ...]) -> Any:
        with np.errstate(all="ignore"):
            y = np.clip(y, *self._bounds(*params))
            for step, args in reversed(self._split(params)[1]):
                y = step.inverse(y, *args)
        return y

    # --- kernels ---------------------------------------------------------------------------------------------------

    def _log_prob(self, y: Array, *params: Array) -> Array:
        own, chain = self._split(params)
        lower, upper = self._bounds(*params)
        inside = (y >= lower) & (y <= upper) & np.isfinite(y)
        with np.errstate(all="ignore"):
            value, log_slope = np.where(inside, y, self._quantile(np.asarray(0.5), *params)), 0.0
            for step, args in reversed(chain):
                x = step.inverse(value, *args)
                log_slope = log_slope + step.log_slope(x, value, *args)
                value = x
            result = self._law._log_prob(value, *own) - log_slope
            if self._through_odds:  # odds of zero are a value, with infinite log odds
                result = np.where(np.isfinite(value), result, self.base._log_prob(expit(value), *own))
            return np.where(inside, result, -np.inf)

    def _sample(self, rng: np.random.Generator, shape: tuple[int, ...], *params: Array) -> Array:
        own, _ = self._split(params)
        lower, upper = self._bounds(*params)
        # Inside the support, where a double has no room between a value and an end of it.
        least = np.where(lower == 0, SMALLEST, np.nextafter(lower, np.inf))
        greatest = np.where(upper == 0, -SMALLEST, np.nextafter(upper, -np.inf))
        return np.clip(self._forward(self._law._sample(rng, shape, *own), params), least, greatest)

    def _cdf(self, y: Array, *params: Array) -> Array:
        return self._tail("_cdf", "_sf", y, params, 0.0, 1.0)

    def _sf(self, y: Array, *params: Array) -> Array:
        return self._tail("_sf", "_cdf", y, params, 1.0, 0.0)

    def _log_cdf(self, y: Array, *params: Array) -> Array:
        return self._tail("_log_cdf", "_log_sf", y, params, -np.inf, 0.0)

    def _log_sf(self, y: Array, *params: Array) -> Array:
        return self._tail("_log_sf", "_log_cdf", y, params, 0.0, -np.inf)

    def _tail(self, same: str, other: str, y: Any, params: tuple[Any, ...], below: float, above: float) -> Array:
        own, _ = self._split(params)
        lower, upper = self._bounds(*params)
        with np.errstate(all="ignore"):
            value = getattr(self._law, same if self._increasing else other)(self._inverse(y, params), *own)
        return np.where(y <= lower, below, np.where(y >= upper, above, value))

    def _quantile(self, q: Array, *params: Array) -> Array:
        own, _ = self._split(params)
        lower, upper = self._bounds(*params)
        with np.errstate(all="ignore"):
            if self._increasing:
                value = np.clip(self._forward(self._law._quantile(q, *own), params), lower, upper)
            else:
                value = self._log_quantile(np.log(q), *params)
        return np.where(np.less_equal(q, 0), lower, np.where(np.greater_equal(q, 1), upper, value))

    def _log_quantile(self, log_q: Array, *params: Array) -> Array:
        return self._from_log_tail(log_q, params, upper=not self._increasing)

    def _log_isf(self, log_tail: Array, *params: Array) -> Array:
        return self._from_log_tail(log_tail, params, upper=self._increasing)

    def _from_log_tail(self, log_tail: Any, params: tuple[Any, ...], upper: bool) -> Array:
        """Value whose argument has a tail probability, in its upper or its lower tail."""
        own, _ = self._split(params)
        beta = type(self._law) is Beta
        law = LogOdds(*self.base.canonical.values()) if beta else self._law  # the more accurate way to tails of a beta
        x = law._log_isf(log_tail, *own) if upper else law._log_quantile(log_tail, *own)
        return np.clip(self._forward(expit(x) if beta else x, params), *self._bounds(*params))

    def _bounds(self, *params: Array) -> tuple[Array, Array]:
        own, _ = self._split(params)
        first, second = (self._forward(np.asarray(end, dtype=float), params) for end in self._law._bounds(*own))
        return (first, second) if self._increasing else (second, first)

    def _outside(self, y: Array, *params: Array) -> Array:
        own, _ = self._split(params)
        lower, upper = self._bounds(*params)
        inside = (y >= lower) & (y <= upper) & np.isfinite(y)
        return ~inside | self._law._outside(self._inverse(y, params), *own)

    # --- moments -----------------------------------------------------------------------------------------------------

    def _mean(self, *params: Array) -> Array:
        return self._mean_and_variance(*params)[0]

    def _var(self, *params: Array) -> Array:
        return self._mean_and_variance(*params)[1]

    def _mean_and_variance(self, *params: Array) -> tuple[Array, Array]:
        own, chain = self._split(params)
        with np.errstate(all="ignore"):
            closed = _closed_moments(self._law, own, chain)
            if closed is not None:
                return closed
            if self._law.tabulated:
                return self._over_nodes(own[0], params)
            low1, low2, high1, high2 = (tail.is_finite(m) for tail in self._tails(params) for m in (1, 2))
            if np.any(np.isnan(low1 + low2 + high1 + high2)):
                self._refuse("moments that are known to exist")
            mean, variance = quadrature.mean_and_variance(self, *params)
            none = (low1 == 0) & (high1 == 0)
            mean = np.where(none, np.nan, np.where(low1 == 0, -np.inf, np.where(high1 == 0, np.inf, mean)))
            finite = (low2 == 1) & (high2 == 1)
            # Quantiles that run out of digits near an end of the base: never an infinity that is not there.
            if np.any((low1 == 1) & (high1 == 1) & ~np.isfinite(mean) | finite & ~np.isfinite(variance)):
                self._refuse("moments that doubles can hold")
            return mean, np.where(none, np.nan, np.where(finite, variance, np.inf))

    def _over_nodes(self, cell: Array, params: tuple[Any, ...]) -> tuple[Array, Array]:
        """Moments of a function of a tabulated variable, over the nodes of that."""
        law: Any = self._law
        mean = law._expect(lambda x, *own: self._forward(x, own), cell, *params)
        centre = np.where(np.isfinite(mean), mean, 0.0)
        variance = law._expect(lambda x, c, *own: (self._forward(x, own) - c) ** 2, cell, centre, *params)
        return mean, np.where(np.isfinite(mean), variance, np.where(np.isnan(mean), np.nan, np.inf))

    def _tails(self, params: tuple[Any, ...]) -> list[Tail]:
        """Lower and upper tail of y."""
        from bayeskit.distributions.moment_orders import tails_of, through

        own, chain = self._split(params)
        result = []
        for tail, end in zip(tails_of(self._law, *own), self._law._bounds(*own), strict=True):
            for step, args in chain:
                tail, end = through(step, tail, end, *args), step.forward(np.asarray(end, dtype=float), *args)
            result.append(tail)
        return result if self._increasing else result[::-1]

    def _moment_order(self, *params: Array) -> Any:
        order: Any = np.inf
        for tail in self._tails(params):
            if tail.kind == "unknown" or (tail.kind == "power" and np.any(np.isnan(tail.k))):
                return 0.0 if np.ndim(order) == 0 else np.zeros_like(order)
            order = np.minimum(order, tail.k) if tail.kind == "power" else order
        return order

    def _mode(self, *params: Array) -> Array:
        """Return the most probable value of a line, of a logarithm, and of log odds and odds."""
        own, chain = self._split(params)
        lines = chain
        peak: Any = None
        if chain and isinstance(chain[0][0], Log):
            peak, lines = np.log(self._law._tilted_mode(1.0, *own)), chain[1:]
        elif isinstance(self._law, LogOdds) and chain and isinstance(chain[0][0], Exp):
            peak, lines = np.maximum(own[0] - 1.0, 0.0) / (own[1] + 1.0), chain[1:]
        if any(not isinstance(step, Affine) for step, _ in lines):
            return self._refuse("mode in closed form")
        peak = self._law._mode(*own) if peak is None else peak
        for step, args in lines:
            peak = step.forward(peak, *args)
        return peak


def _closed_moments(
    law: Distribution, own: tuple[Any, ...], chain: list[tuple[Step, tuple[Any, ...]]]
) -> tuple[Array, Array] | None:
    """Mean and variance where they have a formula: lines, logarithms of gammas and betas, odds."""
    if not chain:
        return law._mean(*own), law._var(*own)
    step, args = chain[-1]
    if isinstance(step, Affine):
        inner = _closed_moments(law, own, chain[:-1])
        return None if inner is None else (args[0] * inner[0] + args[1], args[0] ** 2 * inner[1])
    if len(chain) > 1:
        return None
    a: Any
    b: Any
    a, b = own if len(own) == 2 else (np.nan, np.nan)
    if isinstance(step, Log) and isinstance(law, Gamma | InverseGamma):
        log_mean = digamma(a) - np.log(b)
        return (log_mean if isinstance(law, Gamma) else -log_mean), polygamma(1, a)
    if isinstance(step, LogExpit) and isinstance(law, LogOdds):
        return digamma(a) - digamma(a + b), polygamma(1, a) - polygamma(1, a + b)
    if isinstance(step, Exp) and isinstance(law, LogOdds):
        variance = np.where(b > 2, a * (a + b - 1.0) / ((b - 2.0) * (b - 1.0) ** 2), np.inf)
        return np.asarray(np.where(b > 1, a / (b - 1.0), np.inf)), variance
    return None
