r"""Inverse distribution functions as tables of cubics, for many draws of each density.

Between the quantiles of neighbouring multiples of :math:`1/m` the inverse is the cubic through both with the slopes
:math:`1 / f` there (Hermite's). Its error falls with the fourth power of the distance, so that a table with every
second quantile tells what it is; where it is not small, above all in the tails, another way must be found.

Source: Hoermann and Leydold (2003), Continuous random variate generation by fast numerical inversion, ACM Transactions
on Modeling and Computer Simulation 13, sec. 3.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["InverseTable", "inverse_table"]

Array = np.ndarray
_SAFETY = 4.0


@dataclass(frozen=True, eq=False)
class InverseTable:
    """Quantiles of cells.

    Attributes
    ----------
    cubics : ndarray
        Coefficients of the intervals, those of one cell together: ``(cells * m, 4)``.
    error : ndarray
        Estimated error of the quantiles in each, ``(cells, m)``; infinite where it is not known.
    """

    cubics: Array
    error: Array

    def __call__(self, p: Array, tolerance: Array) -> tuple[Array, Array]:
        """Return quantiles of p ``(cells, n)``, and which of them have a larger error than ``tolerance (cells, 1)``."""
        cells, m = self.error.shape
        scaled = p * m
        interval = scaled.astype(np.int64)
        z = scaled - interval
        interval += m * np.arange(cells)[:, None]
        a, b, c, d = np.moveaxis(np.take(self.cubics, interval, axis=0), -1, 0)
        return a + z * (b + z * (c + z * d)), np.take(self.error > tolerance, interval)


def inverse_table(quantiles: Array, density: Array) -> InverseTable:
    """Tabulate inverse distribution functions.

    Parameters
    ----------
    quantiles, density : ndarray
        Of the probabilities ``1/m ... (m - 1)/m``, m even, and the densities there: ``(cells, m - 1)``.

    Examples
    --------
    >>> p = np.arange(1, 32) / 32
    >>> table = inverse_table(np.sqrt(p)[None], 2 * np.sqrt(p)[None])  # the larger of two uniform numbers
    >>> x, rough = table(np.array([[0.01, 0.25, 0.81]]), 1e-4)
    >>> x[~rough].round(6), rough
    (array([0.5, 0.9]), array([[ True, False, False]]))
    """
    cells, m = len(quantiles), quantiles.shape[1] + 1
    cubics, error = np.full((cells, m, 4), np.nan), np.full((cells, m), np.inf)
    with np.errstate(all="ignore"):
        slope = 1.0 / (m * density)
        step, left, right = np.diff(quantiles, axis=1), slope[:, :-1], slope[:, 1:]
        cubics[:, 1:-1] = np.stack(
            [quantiles[:, :-1], left, 3 * step - 2 * left - right, left + right - 2 * step], axis=-1
        )
        (before, start), (middle, _), (after, end) = (
            (quantiles[:, i : m - 5 + i : 2], slope[:, i : m - 5 + i : 2]) for i in (1, 2, 3)
        )
        missed = np.abs(0.5 * (before + after) + 0.25 * (start - end) - middle) * (_SAFETY / 16)
    error[:, 2:-2] = np.repeat(np.where(np.isfinite(missed), missed, np.inf), 2, axis=1)
    cubics[np.isinf(error)] = np.nan
    return InverseTable(cubics.reshape(-1, 4), error)
