"""Domains: where a parameter may lie. A domain is a sentence fragment and a vectorised check."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "Domain",
    "Parameter",
    "anything",
    "extended_real",
    "integer",
    "nonnegative",
    "nonnegative_integer",
    "open_unit",
    "positive",
    "positive_definite",
    "positive_definite_or_zero",
    "positive_integer",
    "real",
    "simplex",
    "unit",
]

Array = NDArray[Any]


@dataclass(frozen=True)
class Domain:
    """A set of values: its name, how a message says it, and who is outside.

    Parameters
    ----------
    name : str
        Short name, for the reader of code.
    text : str
        Completes the sentence "must be ...".
    outside : callable
        From an array to a mask, True outside the domain; it consumes the last `event_ndim` axes.
    event_ndim : int
        How many trailing axes one value of the domain has: 0 for numbers, 1 for the simplex, 2 for matrices.

    Examples
    --------
    >>> from bayeskit.distributions.domains import positive
    >>> positive.outside(np.array([1.0, 0.0, -2.0])).tolist()
    [False, True, True]
    """

    name: str
    text: str
    outside: Callable[[Array], Array] = field(repr=False)
    event_ndim: int = 0


@dataclass(frozen=True)
class Parameter:
    """One parameter of a family: a row of data from which everything is validated.

    Parameters
    ----------
    name : str
        As the user writes it.
    domain : Domain
        Where it may lie.
    event_ndim : int
        Axes of the parameter that belong to one event: 1 for the `alpha` of a Dirichlet, 2 for a covariance.
    default : float, optional
        Used where the user gives nothing.
    advice : str
        The sentence added to an error about this parameter.
    zero_is_improper : bool
        Whether zero, though allowed, makes the prior improper (`Gamma(0, 0)`).
    axis : int, optional
        For a matrix along one axis of an event that is no square itself: which (`rowcov` of a MatrixNormal: 0).

    Examples
    --------
    >>> from bayeskit.distributions.domains import Parameter, positive
    >>> Parameter("sigma", positive).invalid(np.array([1.0, -1.0])).tolist()
    [False, True]
    """

    name: str
    domain: Domain
    event_ndim: int = 0
    default: float | None = None
    advice: str = ""
    zero_is_improper: bool = False
    axis: int | None = None

    def invalid(self, value: Array) -> Array:
        """Say where a parameter is outside its domain.

        Parameters
        ----------
        value : ndarray
            Shape ``(*plates, *event)``.

        Returns
        -------
        ndarray of bool
            Shape ``plates``.
        """
        mask = self.domain.outside(value)
        extra = self.event_ndim - self.domain.event_ndim
        return np.any(mask, axis=tuple(range(-extra, 0))) if extra > 0 else mask


def _not_positive_definite(x: Array) -> Array:
    if x.ndim < 2 or x.shape[-1] != x.shape[-2]:
        return np.ones(x.shape[:-2], dtype=bool)
    finite = np.isfinite(x).all(axis=(-2, -1))
    safe = np.where(finite[..., None, None], x, np.eye(x.shape[-1]))
    scale = np.abs(safe).max(axis=(-2, -1))
    skew = np.abs(safe - np.swapaxes(safe, -1, -2)).max(axis=(-2, -1)) > 1e-8 * scale
    return ~finite | skew | (np.linalg.eigvalsh(safe)[..., 0] <= 0)


def _not_simplex(x: Array) -> Array:
    # NaN compares false, so each test is written as "not inside".
    return ~((x >= 0).all(axis=-1) & (np.abs(x.sum(axis=-1) - 1) <= 1e-6))


def _integer_from(start: float) -> Callable[[Array], Array]:
    return lambda x: ~(np.isfinite(x) & (x >= start) & (x == np.floor(x)))


anything = Domain("anything", "a number", lambda x: np.zeros(np.shape(x), dtype=bool))
real = Domain("real", "a finite number", lambda x: ~np.isfinite(x))
extended_real = Domain("extended_real", "a number or infinite", np.isnan)
positive = Domain("positive", "positive", lambda x: ~(np.isfinite(x) & (x > 0)))
nonnegative = Domain("nonnegative", "zero or positive", lambda x: ~(np.isfinite(x) & (x >= 0)))
unit = Domain("unit", "between 0 and 1", lambda x: ~((x >= 0) & (x <= 1)))
open_unit = Domain("open_unit", "strictly between 0 and 1", lambda x: ~((x > 0) & (x < 1)))
integer = Domain("integer", "a whole number", _integer_from(-np.inf))
nonnegative_integer = Domain("nonnegative_integer", "a whole number, zero or more", _integer_from(0))
positive_integer = Domain("positive_integer", "a whole number, one or more", _integer_from(1))
simplex = Domain("simplex", "probabilities that sum to 1", _not_simplex, event_ndim=1)
positive_definite = Domain(
    "positive_definite", "a symmetric positive definite matrix", _not_positive_definite, event_ndim=2
)
positive_definite_or_zero = Domain(
    "positive_definite_or_zero",
    "a symmetric positive definite matrix, or zero",
    lambda x: _not_positive_definite(x) & ~(x == 0).all(axis=(-2, -1)),
    event_ndim=2,
)
