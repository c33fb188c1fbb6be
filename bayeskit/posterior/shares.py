"""Linear forms of the shares of a Dirichlet: a beta where they have two weights, exact moments in any case."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Never

import numpy as np

from bayeskit.distributions.base import Distribution
from bayeskit.distributions.beta import Beta
from bayeskit.distributions.domains import Parameter, nonnegative, real
from bayeskit.distributions.elementary import Affine
from bayeskit.distributions.transformed import transformed
from bayeskit.errors import RefusedError

__all__ = ["ShareMoments", "of_shares"]

Array = np.ndarray


class ShareMoments(Distribution):
    """Mean and variance of a quantity whose distribution has no closed form; all else is refused.

    Parameters
    ----------
    mean, variance : number or DataArray
        The moments.
    why : str
        What the refusals say.

    Examples
    --------
    >>> moments = ShareMoments(0.5, 0.04, "The derived 'd' is no share")
    >>> float(moments.sd())
    0.2
    >>> moments.quantile(0.5)
    Traceback (most recent call last):
    bayeskit.errors.RefusedError: The derived 'd' is no share, so it has a mean and a variance but ...
    """

    parameters = (Parameter("mean", real), Parameter("variance", nonnegative))

    def __init__(self, mean: Any, variance: Any, why: str) -> None:
        self._assign(mean=mean, variance=variance)
        object.__setattr__(self, "_why", why)

    def _mean(self, mean: Array, variance: Array) -> Array:
        return mean

    def _var(self, mean: Array, variance: Array) -> Array:
        return variance

    def _refuse(self, what: str) -> Never:
        raise RefusedError(
            f"{self.__dict__['_why']}, so it has a mean and a variance but no {what} in closed form. Use sample() of "
            "the posterior, which draws it."
        )


def of_shares(alpha: Array, weights: Array, offset: Array, label: Callable[[Array], Any], why: str) -> Distribution:
    r"""Return what is known of ``weights @ x + offset``, x Dirichlet(alpha).

    With two weights, :math:`l < h`, it is :math:`l + (h - l) s` with a share s, a beta; else, with
    :math:`m = \alpha / A` and :math:`\bar w = \sum_k w_k m_k`, the moments are

    .. math:: \bar w + c, \qquad \frac{1}{A + 1} \sum_k m_k (w_k - \bar w)^2 .

    Parameters
    ----------
    alpha : ndarray
        Concentrations ``(plates, K)``.
    weights : ndarray
        ``(cells, plates, K)``.
    offset : ndarray
        ``(cells,)``.
    label : callable
        From an array over the cells to a number or a DataArray.
    why : str
        What refusals of anything but moments say.

    Examples
    --------
    >>> one = np.array([[[1.0, 0.0, 0.0]]])
    >>> of_shares(np.array([[1.0, 2.0, 3.0]]), one, np.zeros(1), lambda v: float(v[0]), "")
    Beta(1.0, 5.0)
    >>> both = np.array([[[1.0, -1.0, 0.0]]])
    >>> of_shares(np.array([[1.0, 2.0, 3.0]]), both, np.zeros(1), lambda v: round(float(v[0]), 4), "")
    ShareMoments(-0.1667, 0.0675)
    """
    share = _as_share(alpha, weights)
    if share is not None:
        inside, rest, low, high = share
        scale, shift = high - low, low + offset
        if np.all(scale == 1) and not np.any(shift):
            return Beta(label(inside), label(rest))
        return transformed(Beta(label(inside), label(rest)), Affine(label(scale), label(shift)))
    total = alpha.sum(axis=-1, keepdims=True)
    m = alpha / total
    centre = (weights * m).sum(axis=-1, keepdims=True)
    variance = ((weights - centre) ** 2 * m / (total + 1.0)).sum(axis=(-2, -1))
    return ShareMoments(label(centre.sum(axis=(-2, -1)) + offset), label(variance), why)


def _as_share(alpha: Array, weights: Array) -> tuple[Array, Array, Array, Array] | None:
    """Concentrations inside and outside a share and its two weights, by cell; None where some cell has no such form."""
    touched = (weights != 0).any(axis=-1)
    if not np.all(touched.sum(axis=-1) == 1):
        return None
    plate = touched.argmax(axis=-1)
    own, w = alpha[plate], weights[np.arange(len(weights)), plate]
    # An entry of concentration zero is zero for sure, whatever its weight.
    low = np.where(own > 0, w, np.inf).min(axis=-1)
    high = np.where(own > 0, w, -np.inf).max(axis=-1)
    inside = w == high[:, None]
    if not np.all(low < high) or not np.all(inside | (w == low[:, None]) | (own == 0)):
        return None
    first = np.where(inside, own, 0.0).sum(axis=-1)
    return first, np.where(inside, 0.0, own).sum(axis=-1), low, high
