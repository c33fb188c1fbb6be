r"""Counts that are added up with their exposures: one count of the sum says of the parameter what all of them do.

With rates :math:`c_i \lambda` and trials :math:`n_i`

.. math:: \prod_i \mathrm{Poisson}(y_i \mid c_i \lambda) = K\, \mathrm{Poisson}(Y \mid C \lambda), \qquad
          \prod_i \mathrm{Binomial}(y_i \mid n_i, p) = K\, \mathrm{Binomial}(Y \mid N, p)

with sums Y, C and N and a constant K that is free of the parameter; vectors of counts likewise.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import gammaln, xlogy

from bayeskit.expressions import Constant, Expression
from bayeskit.model.problem import Factor
from bayeskit.statistics.moments import Moments
from bayeskit.statistics.precision import split_known

Array = np.ndarray
_LARGEST = 1e7  # beyond it, sums of log factorials lose 1e-10 of the evidence
_TABLE = 65_536  # log factorials up to here are looked up


def _log_factorial(k: Array) -> Array:
    if k.size and k.max() < _TABLE and k.min() >= 0 and k.size > _TABLE // 8:
        table = gammaln(np.arange(int(k.max()) + 1) + 1.0)
        return table[k if k.dtype.kind == "i" else k.astype(np.int64)]
    return gammaln(k + 1.0)


def _poisson(y: Sequence[Array], c: Array) -> Array:
    return xlogy(y[0], c) - _log_factorial(y[0])


def _binomial(y: Sequence[Array], n: Array) -> Array:
    return _log_factorial(n) - _log_factorial(y[0]) - _log_factorial(n - y[0])


def _multinomial(y: Sequence[Array], n: Array) -> Array:
    return _log_factorial(n) - sum(_log_factorial(k) for k in y)


@dataclass(frozen=True)
class Exposed:
    """A family whose counts add up.

    Attributes
    ----------
    parameter : str
        The parameter that the exposure is, or is a factor of.
    carrier : callable
        The part of the log density that is free of the other parameters, of entries of the value and the exposure.
    """

    parameter: str
    carrier: Callable[[Sequence[Array], Array], Array]

    def numbers(self, *entries: Array) -> tuple[Array, ...]:
        """Return the numbers to add up: counts, exposures, carriers."""
        *y, c = (np.ascontiguousarray(k) for k in entries)  # entries of vectors lie apart
        with np.errstate(all="ignore"):
            return (*(k.astype(float) for k in y), c.astype(float), self.carrier(y, c))

    def added_up(self, moments: Moments) -> tuple[Array, Array, float]:
        """Return the counts ``(*groups, cells, entries)``, the exposures, and the log of the constant K."""
        *y, c, carrier = (moments.count * m for m in moments.means)
        y = [np.rint(k) for k in y]
        c = np.rint(c) if self.parameter == "n" else c
        with np.errstate(all="ignore"):
            constant = float((carrier - self.carrier(y, c)).sum())
        return np.stack(y, axis=-1), c, constant

    def keeps_digits(self, values: Array, exposure: Array) -> bool:
        """Whether counts are so small that the constant is not lost in what cancels: log factorials of them."""
        counts = exposure if self.parameter == "n" else values
        return bool(np.fmax.reduce(counts, axis=None, initial=0) < _LARGEST)  # missing ones are NaN


EXPOSED = {
    "Poisson": Exposed("mu", _poisson),
    "Binomial": Exposed("n", _binomial),
    "Multinomial": Exposed("n", _multinomial),
}


def split_exposure(
    factor: Factor, rows: Sequence[str], known: Mapping[str, Array]
) -> tuple[Exposed, Expression, tuple[Expression, ...]] | None:
    """Return how a factor's counts add up, their exposure, and the parameters without it; None where they do not."""
    kind = EXPOSED.get(factor.distribution.family)
    if kind is None:
        return None
    names = [p.name for p in factor.distribution.parameters]
    place = names.index(kind.parameter)
    exposure, rest = split_known(factor.parameters[place], known.keys())
    if kind.parameter == "n":
        if rest is not None or not (factor.event or set(exposure.dims) & set(rows)):
            return None
    elif rest is None or not set(exposure.dims) & set(rows):
        return None
    left = Constant(1) if rest is None else rest
    return kind, exposure, (*factor.parameters[:place], left, *factor.parameters[place + 1 :])
