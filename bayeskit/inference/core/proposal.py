r"""Proposals for a small core: mixtures of skewed multivariate t, fitted to weighted draws.

A component is :math:`u = c + F\, s(z)`, with :math:`z` from a multivariate t of :math:`\nu` degrees of freedom,
:math:`F` lower triangular, and in every coordinate

.. math:: s_\varepsilon(z) = \sinh(\operatorname{arsinh} z + \varepsilon)
          = z \cosh\varepsilon + \sqrt{1 + z^2} \sinh\varepsilon,

the skewing of Jones and Pewsey (2009, Biometrika 96): smooth, of slope :math:`e^{\pm\varepsilon}` in its two tails,
inverted by :math:`-\varepsilon`. The posteriors of log scales and log concentrations are skewed one coordinate at a
time; where mixtures of symmetric t reach an acceptance of 0.4 on six of them, one skewed component reaches 0.8.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import gammaln, stdtrit

from bayeskit.distributions.products import product

Array = np.ndarray

# Degrees of freedom that are tried.
DOFS = np.array([3.0, 5.0, 8.0, 16.0, 40.0])
# The wide component: its share, its degrees of freedom, and how much wider it is: so much that a share of the density
# at its centre is left, but between two factors of standard deviations. Weights are then bounded in practice; its
# coordinates have a tail each, for where one log scale is far out the others mostly are not.
WIDE, WIDE_DOF = 0.04, 2.0
AT_CENTRE, LEAST_WIDER, MOST_WIDER = 1 / 12, 1.5, 2.25
# Tail probabilities whose quantiles fit the location, scale and skewness of a coordinate; the largest skewness.
TAILS = np.array([0.05, 0.1, 0.2])
MOST = 0.95  # of tanh(skewness): the slopes of the tails are then as 1 to 39
# Where a density is looked at along an axis, in standard deviations.
SCAN = np.linspace(-5.0, 5.0, 21)
# Variances of the fitted skewness and log scale of a coordinate, times the number of draws they are fitted to.
SKEW_NOISE, SCALE_NOISE = 4.5, 0.7
# Draws with weights and heavy tails are noisier than their effective size says, by about this factor.
DOUBT = 2.0
# Mean and variance of sqrt(1 + z^2) for a standard normal z: those of a skewed coordinate follow from them.
ROOT_MEAN, ROOT_VARIANCE = 1.3545, 0.1653
# Components at most, rounds of EM, and the gain in the mean log density at which they end.
COMPONENTS = 6
AT_ONCE = 250_000  # numbers held at once: they stay in cache
ROUNDS = 12
# The share of the mass, where the fit is lowest below the target, that another component is made from.
GROUP = 0.25
GAIN = 2e-3


@dataclass(frozen=True)
class Drawn:
    """Draws from a proposal.

    Attributes
    ----------
    vectors : Array
        ``(n, d)``.
    log_density : Array
        That of the draws, but for the log of ``share``: ``(n,)``.
    log_candidate : Array
        That of the candidates they were chosen from, at the draws: ``(n,)``.
    share : float
        Of the candidates, how many were chosen.
    """

    vectors: Array
    log_density: Array
    log_candidate: Array
    share: float


@dataclass(frozen=True)
class TMixture:
    r"""A mixture of skewed multivariate t distributions.

    Attributes
    ----------
    weights : Array
        ``(K,)``, summing to 1.
    centres : Array
        :math:`c`, ``(K, d)``: the means of components that are not skewed.
    factors : Array
        :math:`F`, lower triangular ``(K, d, d)``.
    skews : Array
        :math:`\varepsilon`, ``(K, d)``; zero for the ordinary t.
    dofs : Array
        :math:`\nu`, ``(K,)``.
    apart : Array
        Whether the coordinates of :math:`z` are independent t each, ``(K,)`` of bool: no elliptic tail, but a cross.
    """

    weights: Array
    centres: Array
    factors: Array
    skews: Array
    dofs: Array
    apart: Array

    def parts(self, u: Array) -> tuple[Array, Array]:
        r"""Return the log densities of the components times their weights, and :math:`z^\top z`: ``(K, n)`` both."""
        d = u.shape[1]
        y = np.matmul(np.linalg.inv(self.factors), u.T - self.centres[:, :, None])  # (K, d, n): sums run along draws
        stretch: Array | float = 0.0
        if self.skews.any():
            sinh, cosh = np.sinh(self.skews)[:, :, None], np.cosh(self.skews)[:, :, None]
            root = np.sqrt(y * y + 1)
            stretch = np.log(np.prod(cosh - sinh * (y / root), axis=1))
            y *= cosh
            root *= sinh
            y -= root
        y *= y
        squares = y.sum(axis=1)
        nu = self.dofs
        one = nu + d if not self.apart.any() else np.where(self.apart, nu + 1, nu + d)
        kernel = np.log1p(squares / nu[:, None])
        for k in np.flatnonzero(self.apart):
            kernel[k] = np.log1p(y[k] / nu[k]).sum(axis=0)
        constant = (gammaln(one / 2) - gammaln(nu / 2)) * np.where(self.apart, d, 1) - 0.5 * d * np.log(nu * math.pi)
        constant += np.log(self.weights) - np.log(np.diagonal(self.factors, axis1=1, axis2=2)).sum(axis=1)
        return constant[:, None] + stretch - 0.5 * one[:, None] * kernel, squares

    def log_density(self, u: Array) -> Array:
        """Log density at points ``(n, d)``: ``(n,)``."""
        step = max(1, AT_ONCE // self.centres.size)
        if len(u) <= step:
            return _log_sum(self.parts(u)[0])
        return np.concatenate([_log_sum(self.parts(u[i : i + step])[0]) for i in range(0, len(u), step)])

    def drawn(self, rng: np.random.Generator, n: int) -> Drawn:
        """Return ``n`` draws with their log densities."""
        u = self.sample(rng, n)
        log_density = self.log_density(u)
        return Drawn(u, log_density, log_density, 1.0)

    def spread(self) -> tuple[Array, Array]:
        """Return the mean of the centres, and their covariance plus the mean of the squared factors."""
        middle = self.weights @ self.centres
        off = self.centres - middle
        within = np.einsum("k,kij,klj->il", self.weights, self.factors, self.factors)
        return middle, within + (off.T * self.weights) @ off

    def sample(self, rng: np.random.Generator, n: int) -> Array:
        """Draw ``(n, d)`` independent points."""
        labels = np.searchsorted(np.cumsum(self.weights)[:-1], rng.random(n), side="right")
        nu = self.dofs[labels]
        u = rng.standard_normal((n, self.centres.shape[1])).T.copy()  # sums run along draws
        u *= np.sqrt(nu / rng.chisquare(nu))
        for k in range(len(self.weights)):
            mine = np.flatnonzero(labels == k)
            z = rng.standard_t(self.dofs[k], (len(mine), len(u))).T if self.apart[k] else u.take(mine, axis=1)
            if self.skews[k].any():
                root = np.sqrt(z * z + 1)
                root *= np.sinh(self.skews[k])[:, None]
                z = z * np.cosh(self.skews[k])[:, None] + root
            u[:, mine] = product(self.factors[k], z) + self.centres[k][:, None]
        return u.T


def _joint(weights: Array, centres: Array, factors: Array, skews: Array, dofs: Array) -> TMixture:
    """A mixture of multivariate components only."""
    return TMixture(weights, centres, factors, skews, dofs, np.zeros(len(weights), bool))


def mixture(log_masses: Array, centres: Array, covariances: Array) -> TMixture:
    """Return t components about centres ``(K, d)``, with weights proportional to masses ``(K,)``."""
    weights = np.exp(log_masses - log_masses.max())
    k, d = centres.shape
    nu = DOFS[2 if d <= 3 else 3 if d <= 8 else 4]  # in many dimensions a t of few degrees is far from any Gaussian
    return _joint(weights / weights.sum(), centres, np.linalg.cholesky(covariances), np.zeros((k, d)), np.full(k, nu))


def scanned(log_density: Callable[[Array], Array], fit: TMixture) -> TMixture:
    """Return the components with locations, scales and skewness read off the density along their axes.

    One call evaluates the density at SCAN standard deviations along every axis of every component. It costs as much as
    a small pilot and lifts the acceptance of skewed cores (six log-gamma of shape 1/2: from 0.18 to 0.78) at once.
    """
    k, d = fit.centres.shape
    steps = np.swapaxes(fit.factors, 1, 2)[:, None] * SCAN[:, None, None]  # (K, scan, axis, d)
    values = log_density((fit.centres[:, None, None] + steps).reshape(-1, d)).reshape(k, len(SCAN), d)
    top = values.max(axis=1, keepdims=True)
    w = np.exp(values - np.where(np.isfinite(top), top, 0.0))
    w += np.where(np.isfinite(top), 0.0, np.exp(-0.5 * SCAN[:, None] ** 2))  # no axis is lost where all is outside
    normal = weighted_quantiles(SCAN[None], np.exp(-0.5 * SCAN**2))
    centres, factors, skews = fit.centres.copy(), fit.factors.copy(), fit.skews.copy()
    for i in range(k):
        _, unit, _ = matched(normal, fit.dofs[i])  # what a Gaussian would get
        shift, scale, skews[i] = matched(weighted_quantiles(np.tile(SCAN, (d, 1)), w[i].T), fit.dofs[i])
        centres[i] += factors[i] @ shift
        factors[i] *= scale / unit
    return replace(fit, centres=centres, factors=factors, skews=skews)


def defended(fit: TMixture) -> TMixture:
    """Return the mixture with a wide component added: heavy tails about all components together, skewed as they are."""
    middle, covariance = fit.spread()
    wider = min(max(AT_CENTRE ** (-1 / len(middle)), LEAST_WIDER), MOST_WIDER)
    return TMixture(
        np.append((1 - WIDE) * fit.weights, WIDE),
        np.vstack([fit.centres, middle]),
        np.concatenate([fit.factors, wider * np.linalg.cholesky(covariance)[None]]),
        np.vstack([fit.skews, fit.weights @ fit.skews]),
        np.append(fit.dofs, WIDE_DOF),
        np.append(fit.apart, True),
    )


def refitted(fit: TMixture, u: Array, log_target: Array, log_weights: Array) -> TMixture:
    r"""Return a mixture nearer to the density that weighted draws ``(n, d)`` stand for; more components if it pays.

    EM on the weighted draws with the latent label and scale of each averaged over (Cappé, Douc, Guillin, Marin, Robert
    2008, Statistics and Computing 18). Where the draws of largest weight under the fit make up a part that a component
    of its own serves better, it is added (as in Hoogerheide, Opschoor, van Dijk 2012, Journal of Econometrics 171), if
    the gain in the weighted log likelihood is more than BIC asks. Where no draw has met the target, it is drawn in.
    """
    if not np.isfinite(log_weights).any():
        return replace(fit, factors=0.3 * fit.factors)
    w = tempered(log_weights, least=4.0 * u.shape[1] + 20)
    size = 1 / float(w @ w)
    inside = w > 1e-3 / len(w)  # the others together weigh less than 0.001
    u, w, log_target = u[inside], w[inside], log_target[inside]
    fit, value = _em(fit, u, w, size)
    d = u.shape[1]
    price = (0.5 * d * (d + 1) + 2 * d + 2) * 0.5 * math.log(size) / size
    while len(fit.weights) < COMPONENTS:
        more = _added(fit, u, w, log_target)
        better, gained = _em(more, u, w, size)
        if len(better.weights) <= len(fit.weights) or gained < value + price:
            return fit
        fit, value = better, gained
    return fit


def tempered(log_weights: Array, least: float) -> Array:
    """Return normalised weights, raised to the largest power <= 1 that leaves an effective size of ``least``.

    Flattened weights move a fit part of the way, where the proposal is still poor (Koblents and Míguez 2015,
    Statistics and Computing 25).
    """
    log_weights = log_weights - log_weights.max()
    least = min(least, 0.5 * np.count_nonzero(np.isfinite(log_weights)))
    low, high, power = 0.0, 1.0, 1.0
    for _ in range(12):
        w = np.exp(power * log_weights)
        w /= w.sum()
        enough = 1 / (w @ w) >= least
        if enough and power == 1.0:
            return w
        low, high = (power, high) if enough else (low, power)
        power = 0.5 * (low + high)
    w = np.exp(max(low, 1e-3) * log_weights)
    return w / w.sum()


def _em(fit: TMixture, u: Array, w: Array, size: float) -> tuple[TMixture, float]:
    """EM from a mixture, and the mean log density that it reached; what lowers it is not kept."""
    parts, squares = fit.parts(u)
    total = _log_sum(parts)
    value = float(w @ total)
    for _ in range(ROUNDS):
        shares = np.exp(parts - total) * w
        new = _maximised(fit, u, shares, squares, size)
        parts, squares = new.parts(u)
        total = _log_sum(parts)
        gained = float(w @ total) - value
        if not gained > 0 and len(new.weights) == len(fit.weights):
            break
        fit, value = new, value + gained
        if gained < GAIN:
            break
    return fit, value


def _maximised(fit: TMixture, u: Array, shares: Array, squares: Array, size: float) -> TMixture:
    """One M step; components that are left with too few draws are dropped."""
    d = u.shape[1]
    masses = shares.sum(axis=1)
    kept = masses * size > d + 2
    kept[np.argmax(masses)] = True
    rows = np.flatnonzero(kept)
    components = []
    for k in rows:
        own = shares[k] > 1e-4 * masses[k] / len(u)
        components.append(_component(fit, k, u[own], shares[k, own], squares[k, own], masses[k] * size))
    centres, factors, skews, dofs = (np.array(column) for column in zip(*components, strict=True))
    return _joint(masses[rows] / masses[rows].sum(), centres, factors, skews, dofs)


def _component(
    fit: TMixture, k: int | np.integer, u: Array, share: Array, squares: Array, size: float
) -> tuple[Array, Array, Array, float]:
    """Centre, factor, skews and degrees of freedom of one component, from its shares of the weights.

    The axes are those of a covariance that is robust as a t's is (a draw counts by (nu + d) / (nu + z'z)). Along the
    axes, quantiles are matched, once for every number of degrees of freedom next to the one before.
    """
    nu, skew = fit.dofs[k], fit.skews[k]
    spread = np.sqrt(np.cosh(skew) ** 2 + ROOT_VARIANCE * np.sinh(skew) ** 2)
    mean = fit.centres[k] + fit.factors[k] @ (ROOT_MEAN * np.sinh(skew))
    pulled = share * ((nu + u.shape[1]) / (nu + squares))
    middle, factor = _shrunk(u, share, pulled, mean, fit.factors[k] * spread, size)
    quantiles = weighted_quantiles(np.linalg.inv(factor) @ (u - middle).T, share)
    near = int(np.argmin(np.abs(DOFS - nu)))
    dofs = DOFS[max(near - 1, 0) : near + 2]
    tried = [matched(quantiles, dof, (1 / spread, skew), size) for dof in dofs]
    shifts, scales, tilts = (np.stack(column) for column in zip(*tried, strict=True))
    each = _joint(np.ones(len(dofs)), middle + shifts @ factor.T, factor * scales[:, None], tilts, dofs)
    values = each.parts(u)[0] @ share
    if not (values > -np.inf).any():
        return fit.centres[k], fit.factors[k], skew, nu
    best = int(np.nanargmax(values))
    return each.centres[best], each.factors[best], tilts[best], float(dofs[best])


def _shrunk(u: Array, share: Array, pulled: Array, centre: Array, before: Array, size: float) -> tuple[Array, Array]:
    r"""Weighted mean of draws and a factor of their covariance, shrunk to what was known before.

    In units of what was known, a covariance :math:`S` of :math:`n` draws has noise of about :math:`(d^2 + d) / n` in
    :math:`\|S - I\|^2`, a mean has :math:`d / n` in its squared length: as much of either as may be noise is given up
    (James and Stein 1961; Ledoit and Wolf 2004, Journal of Multivariate Analysis 88).
    """
    d = u.shape[1]
    y = (u - centre) @ np.linalg.inv(before).T
    middle = pulled @ y / pulled.sum()
    off = y - middle
    change = (off.T * pulled) @ off / share.sum() - np.eye(d)
    change = _believed(change, DOUBT * (d * d + d) / size)
    return centre + before @ _believed(middle, DOUBT * d / size), before @ np.linalg.cholesky(np.eye(d) + change)


def _believed(change: Array, noise: float) -> Array:
    """What is left of a change when the squared length that noise gives it is taken off."""
    return change * max(0.0, 1 - noise / (float(np.sum(change**2)) + 1e-300))


def weighted_quantiles(y: Array, w: Array) -> Array:
    """Quantiles of every row of ``y (d, n)`` at TAILS, 1/2 and 1 - TAILS: ``(7, d)``; weights ``(n,)`` or as y."""
    levels = np.concatenate([TAILS, [0.5], 1 - TAILS[::-1]])
    order = np.argsort(y, axis=1)
    y = np.take_along_axis(y, order, axis=1)
    w = w[order] if w.ndim == 1 else np.take_along_axis(w, order, axis=1)
    below = np.cumsum(w, axis=1)
    below -= 0.5 * w
    below /= w.sum(axis=1, keepdims=True)
    return np.stack([np.interp(levels, below[j], y[j]) for j in range(len(y))], axis=1)


def matched(
    quantiles: Array, nu: float, before: tuple[Array, Array] | None = None, size: float = np.inf
) -> tuple[Array, Array, Array]:
    r"""Shift, scale and skewness of a skewed t in every coordinate, from quantiles ``(7, d)``.

    With :math:`q = \sinh a` the upper quantile of t, the distances from the median :math:`M` to the upper and to the
    lower quantile of :math:`m + \sigma s_\varepsilon(z)` have the ratio :math:`R`, where

    .. math:: \tanh \varepsilon = \frac{R - 1}{R + 1} \Big/ \tanh \frac a2, \qquad
              \sigma = \frac{U - L}{2 \cosh \varepsilon \sinh a}, \qquad m = M - \sigma \sinh \varepsilon.

    The mean over the levels is taken. Changes from the scale and skewness ``before`` are believed as far as they exceed
    the noise of quantiles of ``size`` draws.
    """
    count = len(TAILS)
    lower, median, upper = quantiles[:count], quantiles[count], quantiles[:count:-1]
    width = np.maximum(upper - lower, 1e-12)
    a = np.arcsinh(-stdtrit(nu, TAILS))[:, None]
    tilt = np.clip(np.mean((upper + lower - 2 * median) / width / np.tanh(a / 2), axis=0), -MOST, MOST)
    skew, reach = np.arctanh(tilt), np.mean(width / (2 * np.sinh(a)), axis=0)
    if before is not None:
        d = len(skew)
        skew = before[1] + _believed(skew - before[1], SKEW_NOISE * d / size)
        known = before[0] * np.cosh(before[1])
        change = np.clip(np.log(reach / known), -3.0, 3.0)  # no axis collapses at once
        reach = known * np.exp(_believed(change, SCALE_NOISE * d / size))
    scale = reach / np.cosh(skew)
    return median - scale * np.sinh(skew), scale, skew


def _added(fit: TMixture, u: Array, w: Array, log_target: Array) -> TMixture:
    """Add a component where the target is most above the fit: half of the draws there, parted across their length."""
    excess = log_target - fit.log_density(u)
    order = np.argsort(-excess)
    group = order[: max(int(np.searchsorted(np.cumsum(w[order]), GROUP)), 2)]
    middle, covariance = _moments(u[group], w[group])
    longest = np.linalg.eigh(covariance)[1][:, -1]
    side = (u[group] - middle) @ longest > 0
    if w[group] @ side < 0.5 * w[group].sum():
        side = ~side
    mass = float(w[group] @ side)
    half, whole = _moments(u[group[side]], w[group[side]]), _moments(u, w)[1]
    return _joint(
        np.append((1 - mass) * fit.weights, mass),
        np.vstack([fit.centres, half[0]]),
        np.concatenate([fit.factors, np.linalg.cholesky(half[1] + 0.05 * whole)[None]]),
        np.vstack([fit.skews, np.zeros(u.shape[1])]),
        np.append(fit.dofs, DOFS[2]),
    )


def _moments(u: Array, w: Array) -> tuple[Array, Array]:
    """Weighted mean and covariance of draws ``(n, d)``."""
    middle = w @ u / w.sum()
    off = u - middle
    return middle, (off.T * w) @ off / w.sum()


def _log_sum(parts: Array) -> Array:
    """Log of the sum of exponentials over the first axis."""
    if len(parts) == 1:
        return parts[0]
    top = parts.max(axis=0)
    return top + np.log(np.exp(parts - top).sum(axis=0))
