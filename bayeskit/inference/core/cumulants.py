"""Sums over rows of what makes a log-concave regression cost: cumulants at many proposals at once.

A row's log density is a part that is linear in the unknowns, which is summed once, less a *cumulant* of its linear
predictor: log(1 + exp eta) for log odds, exp eta for counts, -log Phi(eta) for a probit. Predictors are made block by
block, small enough to stay in cache, by one matrix product for many proposals; and a sum of logs is taken as the log
of a product of sixteen, so that a row costs one exponential and a multiplication.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from scipy.special import expit, log_ndtr, ndtr

Array = np.ndarray
Slopes = tuple[Array, Array, Array | None]

_BLOCK = 65_536  # predictors made at once: half a megabyte
_PROPOSALS = 256  # proposals handled at once
_RUN = 16  # factors of one product
_SMALLEST = 1e-290  # a product below has lost digits
_MOST = 2_000_000  # numbers of a design weighted at once
_HALF_LOG_TWO_PI = 0.9189385332046727


class Kernel(Protocol):
    """The cumulant of one kind of row, summed over a slice of the rows.

    Predictors ``eta`` are ``(contrasts, rows, batch)``; all but a softmax have one contrast.
    """

    def fast(self, eta: Array, rows: slice) -> Array:
        """Return the sum ``(batch,)``, of an `eta` that may be overwritten; not finite where it broke down."""

    def careful(self, eta: Array, rows: slice) -> Array:
        """Return the same sum where `fast` broke down."""

    def slopes(self, eta: Array, rows: slice) -> Slopes:
        """Return the derivatives by the predictors ``(contrasts, rows)`` of one point.

        The first, a diagonal and a root (or None): the second derivative of a row is ``diag(diagonal) - root root'``.
        """


class Softmax:
    r"""Log odds of any number of categories against a reference: :math:`w \log(1 + \sum_c \exp \eta_c)`.

    Parameters
    ----------
    weight : float or array (rows,)
        Trials of every row; one number where all have the same, which is faster.
    """

    def __init__(self, weight: float | Array) -> None:
        self.weight = weight

    def fast(self, eta: Array, rows: slice) -> Array:
        """Return the sum; infinite where an exponential or a product overflows."""
        np.exp(eta, out=eta)
        odds = eta[0] if len(eta) == 1 else np.add.reduce(eta, axis=0)
        if isinstance(self.weight, float):
            odds += 1.0
            return self.weight * _log_product(odds)
        return self.weight[rows] @ np.log1p(odds, out=odds)

    def careful(self, eta: Array, rows: slice) -> Array:
        """Return the sum with the largest predictor taken out."""
        return _weighted(self.weight, log_one_plus(eta), rows)

    def slopes(self, eta: Array, rows: slice) -> Slopes:
        """Return w p, and w times the covariance of the categories."""
        weight = self.weight if isinstance(self.weight, float) else self.weight[rows]
        if len(eta) == 1:
            p = expit(eta)
            return weight * p, weight * p * expit(-eta), None
        p = np.exp(eta - log_one_plus(eta))
        return weight * p, weight * p, np.sqrt(weight) * p


class Exponential:
    r"""Counts with a log link: :math:`\exp \eta`, the exposure being part of the predictor."""

    def fast(self, eta: Array, rows: slice) -> Array:
        """Return the sum; infinite where a mean overflows, which it then is."""
        return np.add.reduce(np.exp(eta, out=eta), axis=(0, 1))

    careful = fast

    def slopes(self, eta: Array, rows: slice) -> Slopes:
        """Return the mean twice."""
        mean = np.exp(eta)
        return mean, mean, None


class Probit:
    r"""Successes of a probit: :math:`-w \log \Phi(\eta)`; a failure is a success of the opposite predictor.

    Parameters
    ----------
    weight : float or array (rows,)
        Trials of every row; one number where all have the same, which is faster.
    """

    def __init__(self, weight: float | Array) -> None:
        self.weight = weight

    def fast(self, eta: Array, rows: slice) -> Array:
        """Return the sum; infinite where a product underflows."""
        if isinstance(self.weight, float):
            return -self.weight * _log_product(ndtr(eta[0], out=eta[0]))
        return -(self.weight[rows] @ log_ndtr(eta[0], out=eta[0]))

    def careful(self, eta: Array, rows: slice) -> Array:
        """Return the sum of logs."""
        return -_weighted(self.weight, log_ndtr(eta[0]), rows)

    def slopes(self, eta: Array, rows: slice) -> Slopes:
        """Return the derivatives, by the inverse Mills ratio."""
        weight = self.weight if isinstance(self.weight, float) else self.weight[rows]
        first, second = probit_slopes(eta)
        return weight * first, weight * second, None


class ProbitCounts:
    r"""Failures and successes of a probit: :math:`-f \log \Phi(-\eta) - s \log \Phi(\eta)`, of one tail of it.

    Parameters
    ----------
    counts : array (2, rows)
        Failures, then successes.
    """

    def __init__(self, counts: Array) -> None:
        self.counts = counts

    def fast(self, eta: Array, rows: slice) -> Array:
        """Return the sum; infinite or NaN where a tail underflows."""
        failures, successes = self.counts[:, rows, None]
        x = eta[0]
        tail = ndtr(-np.abs(x))
        tail[tail < _SMALLEST] = 0.0
        in_tail = np.where(x < 0.0, successes, failures)
        value = in_tail * np.log(tail)
        value += (failures + successes - in_tail) * np.log1p(-tail)
        return -np.add.reduce(value, axis=0)

    def careful(self, eta: Array, rows: slice) -> Array:
        """Return the sum of logs of both tails."""
        failures, successes = self.counts[:, rows]
        return -(failures @ log_ndtr(-eta[0]) + successes @ log_ndtr(eta[0]))

    def slopes(self, eta: Array, rows: slice) -> Slopes:
        """Return the derivatives, by the inverse Mills ratios."""
        failures, successes = self.counts[:, rows]
        down, down2 = probit_slopes(-eta)
        up, up2 = probit_slopes(eta)
        return successes * up - failures * down, successes * up2 + failures * down2, None


def probit_slopes(eta: Array) -> tuple[Array, Array]:
    r"""Return the first and second derivative of :math:`-\log\Phi(\eta)`: -m and m (m + eta), m = phi / Phi."""
    ratio = np.exp(-0.5 * eta * eta - log_ndtr(eta) - _HALF_LOG_TWO_PI)
    return -ratio, np.clip(ratio * (ratio + eta), 0.0, 1.0)


def log_one_plus(eta: Array) -> Array:
    """Return log(1 + sum of exp(eta) over the first axis) without overflow."""
    if len(eta) == 1:
        return np.maximum(eta[0], 0.0) + np.log1p(np.exp(-np.abs(eta[0])))
    top = np.maximum(eta.max(axis=0), 0.0)
    return top + np.log(np.exp(-top) + np.exp(eta - top).sum(axis=0))


def _weighted(weight: float | Array, values: Array, rows: slice) -> Array:
    return weight * values.sum(axis=0) if isinstance(weight, float) else weight[rows] @ values


def _log_product(values: Array) -> Array:
    """Return the sum of logs over the first axis; not finite where a product leaves the range of numbers."""
    whole = len(values) // _RUN * _RUN
    rest = np.multiply.reduce(values[whole:], axis=0)
    rest[rest < _SMALLEST] = 0.0
    total = np.log(rest, out=rest)
    if whole:
        products = np.multiply.reduce(values[:whole].reshape(_RUN, -1), axis=0)
        products[products < _SMALLEST] = 0.0
        total += np.add.reduce(np.log(products, out=products).reshape(-1, values.shape[1]), axis=0)
    return total


class Part:
    """Rows of one kind: their design and their cumulant.

    Parameters
    ----------
    design : array (contrasts, rows, unknowns + 1)
        The last column is the offset.
    kernel : Kernel
        Their cumulant.
    """

    def __init__(self, design: Array, kernel: Kernel) -> None:
        self.design, self.kernel = np.ascontiguousarray(design), kernel

    def total(self, points: Array) -> Array:
        """Return the sum of the cumulants at some points ``(unknowns + 1, batch)``: ``(batch,)``."""
        contrasts, n, _ = self.design.shape
        batch = points.shape[1]
        step = min(n, max(_RUN, _BLOCK // (contrasts * batch) // _RUN * _RUN))
        buffer = np.empty(contrasts * step * batch)
        result = np.zeros(batch)
        for start in range(0, n, step):
            rows = slice(start, min(start + step, n))
            block = self.design[:, rows]
            shape = (contrasts, block.shape[1], batch)
            eta = np.matmul(block, points, out=buffer[: np.prod(shape)].reshape(shape))
            value = self.kernel.fast(eta, rows)
            broken = ~np.isfinite(value)
            if broken.any():
                value[broken] = self.kernel.careful(block @ points[:, broken], rows)
            result += value
        return result

    def derivatives(self, point: Array) -> tuple[Array, Array]:
        """Return the gradient and the Hessian of the sum at a point ``(unknowns + 1,)``, the offset among them."""
        contrasts, n, width = self.design.shape
        gradient, hessian = np.zeros(width), np.zeros((width, width))
        step = max(1, _MOST // (contrasts * width))
        for start in range(0, n, step):
            rows = slice(start, min(start + step, n))
            block = self.design[:, rows]
            flat = block.reshape(-1, width)
            first, diagonal, root = self.kernel.slopes(block @ point, rows)
            gradient += first.reshape(-1) @ flat
            hessian += (flat.T * diagonal.reshape(-1)) @ flat
            if root is not None:
                common = np.einsum("cn,cnk->nk", root, block)
                hessian -= common.T @ common
        return gradient, hessian


def total(parts: list[Part], linear: Array, points: Array) -> Array:
    """Return ``linear' point`` less the cumulants of all parts.

    Parameters
    ----------
    parts : list of Part
        The rows.
    linear : array (unknowns + 1,)
        What the rows add that is linear in the unknowns; the last number goes with the offset, and is a constant.
    points : array (batch, unknowns)
        Where.

    Returns
    -------
    array (batch,)
    """
    result = np.empty(len(points))
    with np.errstate(all="ignore"):
        for start in range(0, len(points), _PROPOSALS):
            here = points[start : start + _PROPOSALS]
            augmented = np.ones((here.shape[1] + 1, len(here)))
            augmented[:-1] = here.T
            value = linear @ augmented
            for part in parts:
                value -= part.total(augmented)
            result[start : start + _PROPOSALS] = value
    return result
