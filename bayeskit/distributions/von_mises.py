"""The von Mises family: angles."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import i0e, i1e, roots_legendre

from bayeskit.distributions.base import Array, Distribution
from bayeskit.distributions.domains import Parameter, nonnegative, real
from bayeskit.distributions.inversion import invert_tails

__all__ = ["VonMises"]

_LOG_TWO_PI = 1.8378770664093453
_NODES, _WEIGHTS = roots_legendre(48)
_NODES, _WEIGHTS = 0.5 * (_NODES + 1.0), 0.5 * _WEIGHTS


class VonMises(Distribution):
    r"""Von Mises distribution of an angle in radians, around `mu` with concentration `kappa`.

    .. math:: p(x) = \frac{e^{\kappa \cos(x - \mu)}}{2 \pi I_0(\kappa)}, \quad -\pi \le x \le \pi

    Parameters
    ----------
    mu : number, DataArray or expression
        Direction, any real number; whole turns make no difference.
    kappa : number, DataArray or expression
        Concentration, zero (uniform on the circle) or positive; for a large one ``1 / kappa`` is the variance.

    Raises
    ------
    ParameterError
        Where `mu` is not finite, or `kappa` is negative or not finite.

    Notes
    -----
    Mean and variance are those of the circle, which do not depend on where it is cut: the mean is `mu`, brought to
    -pi..pi, and the variance is the mean squared angle to `mu`, measured the short way round. (For ``mu=0`` these are
    the ordinary moments; else the average of draws near the cut is not the mean direction.) Distribution function,
    quantiles and intervals are those on the line from -pi to pi.

    References
    ----------
    K. V. Mardia and P. E. Jupp, "Directional statistics", 2000, section 3.5.4.

    Examples
    --------
    >>> from bayeskit.distributions import VonMises
    >>> d = VonMises(0.5, 4)
    >>> [round(float(v), 3) for v in (d.mean(), d.sd(), d.cdf(0.5), d.log_prob(0.5))]
    [0.5, 0.546, 0.5, -0.263]
    """

    parameters = (Parameter("mu", real), Parameter("kappa", nonnegative))
    support = "-pi..pi"

    def __init__(self, mu: Any, kappa: Any) -> None:
        self._assign(mu=mu, kappa=kappa)

    def _log_prob(self, x: Array, mu: Array, kappa: Array) -> Array:
        with np.errstate(all="ignore"):
            half = np.sin(0.5 * (x - mu))
            # cos - 1 = -2 sin^2 of the half: what i0e leaves of I0, and no cancellation near mu
            result = -2.0 * kappa * half * half - np.log(i0e(kappa)) - _LOG_TWO_PI
            return np.where((x >= -np.pi) & (x <= np.pi), result, -np.inf)

    def _sample(self, rng: np.random.Generator, shape: tuple[int, ...], mu: Array, kappa: Array) -> Array:
        return np.clip(rng.vonmises(_wrapped(mu), kappa, shape), -np.pi, np.pi)

    def _mean(self, mu: Array, kappa: Array) -> Array:
        return _wrapped(mu)

    def _var(self, mu: Array, kappa: Array) -> Array:
        with np.errstate(all="ignore"):
            end = _reach(np.zeros(()), np.asarray(kappa, dtype=float))
            total = np.zeros(np.shape(end))
            for node, weight in zip(_NODES, _WEIGHTS, strict=True):
                angle = node * end
                total = total + weight * angle * angle * np.exp(-2.0 * kappa * np.sin(0.5 * angle) ** 2)
            return total * end / (np.pi * i0e(kappa))

    def _resultant(self, mu: Array, kappa: Array) -> tuple[Array, Array]:
        """Expected cosine and sine: the mean direction of a mixture is that of their averages."""
        length = i1e(kappa) / i0e(kappa)
        return length * np.cos(mu), length * np.sin(mu)

    def _squares_about(self, point: Array, mu: Array, kappa: Array) -> Array:
        """Expected squared angle to any point, the short way round."""
        away = np.abs(_wrapped(mu - point))
        start = np.asarray(np.pi - away)
        with np.errstate(all="ignore"):
            end = np.maximum(start, _reach(start, kappa))
            beyond = np.zeros(np.broadcast_shapes(start.shape, np.shape(end)))
            for node, weight in zip(_NODES, _WEIGHTS, strict=True):  # u - 2 pi is the short way where u is above pi
                angle = start + node * (end - start)
                beyond = beyond + weight * (start - angle) * np.exp(-2.0 * kappa * np.sin(0.5 * angle) ** 2)
            cut = 2.0 * beyond * (end - start) / i0e(kappa)
        return away * away + self._var(mu, kappa) + np.where(end > start, cut, 0.0)

    def _mode(self, mu: Array, kappa: Array) -> Array:
        return _wrapped(mu)

    def _cdf(self, x: Array, mu: Array, kappa: Array) -> Array:
        return _tails(x, mu, kappa)[0]

    def _sf(self, x: Array, mu: Array, kappa: Array) -> Array:
        return _tails(x, mu, kappa)[1]

    def _quantile(self, q: Array, mu: Array, kappa: Array) -> Array:
        q = np.asarray(q, dtype=float)
        return self._solve(q, 1.0 - q, mu, kappa)

    def _log_isf(self, log_tail: Array, mu: Array, kappa: Array) -> Array:
        return self._solve(-np.expm1(log_tail), np.exp(log_tail), mu, kappa)

    def _solve(self, below: Array, above: Array, mu: Array, kappa: Array) -> Array:
        shape = np.broadcast_shapes(np.shape(below), np.shape(mu), np.shape(kappa))
        x = invert_tails(
            lambda x: _tails(x, mu, kappa),
            lambda x: np.exp(self._log_prob(x, mu, kappa)),
            below,
            above,
            np.full(shape, -np.pi),
            np.pi,
        )
        return np.where(np.less_equal(below, 0), -np.pi, np.where(np.less_equal(above, 0), np.pi, x))

    def _bounds(self, mu: Array, kappa: Array) -> tuple[float, float]:
        return -np.pi, np.pi


def _wrapped(mu: Array) -> Array:
    """The same direction between -pi and pi; an angle that is there already is not touched."""
    return np.where(np.abs(mu) <= np.pi, mu, mu - 2.0 * np.pi * np.round(np.divide(mu, 2.0 * np.pi)))


def _reach(start: Array, kappa: Array) -> Array:
    """Angle at which the log density has dropped by 40 from its value at `start`; pi where it never does."""
    return 2.0 * np.arcsin(np.sqrt(np.minimum(np.sin(0.5 * start) ** 2 + 20.0 / kappa, 1.0)))


def _mass(start: Array, end: Array, kappa: Array) -> Array:
    """Probability of an arc, by angles from mu on one side of it, right relative to itself: one Gauss rule."""
    end = np.maximum(start, np.minimum(end, _reach(start, kappa)))
    width = end - start
    total = np.zeros(np.shape(width))
    for node, weight in zip(_NODES, _WEIGHTS, strict=True):
        total += weight * np.exp(-2.0 * kappa * np.sin(0.5 * (start + node * width)) ** 2)
    return total * width / (2.0 * np.pi * i0e(kappa))


def _tails(x: Array, mu: Array, kappa: Array) -> tuple[Array, Array]:
    """Probabilities below and above `x`, sums of arcs in which nothing cancels.

    For ``mu < 0`` the circle is reflected. Then the line from -pi has three parts: what lies beyond the cut as seen
    from mu (angles from `cut` up to pi), the rest below mu, and what is above mu (up to `cut`).
    """
    x, centre, kappa = np.broadcast_arrays(np.clip(x, -np.pi, np.pi), _wrapped(mu), np.asarray(kappa, dtype=float))
    flip = centre < 0
    angle = np.where(flip, centre - x, x - centre)
    cut = np.pi - np.abs(centre)
    beyond, below_mu = angle < -np.pi, (angle < 0) & (angle >= -np.pi)
    distance = np.where(beyond, angle + 2.0 * np.pi, np.abs(angle))
    with np.errstate(all="ignore"):
        # the first arc: from the cut where x is below mu, else from x to the cut
        start = np.where(beyond | below_mu, cut, distance)
        end = np.where(beyond, distance, np.where(below_mu, np.pi, cut))
        first = _mass(start, end, kappa)
        lower, upper = np.where(beyond, first, 1.0 - first), np.where(beyond, 1.0 - first, first)
        if np.any(below_mu):
            lower = np.where(below_mu, first + _mass(distance, np.full_like(cut, np.pi), kappa), lower)
            near = _mass(np.zeros_like(cut), cut, kappa) + _mass(np.zeros_like(cut), distance, kappa)
            upper = np.where(below_mu, near, upper)
    return np.where(flip, upper, lower), np.where(flip, lower, upper)
