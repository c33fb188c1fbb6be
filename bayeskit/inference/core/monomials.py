"""Monomials of several variables, each made of one of fewer factors by one multiplication."""

from __future__ import annotations

import numpy as np

Array = np.ndarray


def made_of(variables: int, degree: int) -> Array:
    """Return how the monomials up to a degree are made, in order of their degree.

    Returns
    -------
    array (terms - 1, 2)
        Of every monomial but the first, which is 1: the place of the one it is made from, and the axis it is
        multiplied by.
    """
    made: list[tuple[int, int]] = []
    last = [(0, 0)]  # those of one degree less: their place, and the least axis they may be multiplied by
    for _ in range(degree):
        now = []
        for place, least in last:
            for axis in range(least, variables):
                made.append((place, axis))
                now.append((len(made), axis))
        last = now
    return np.array(made, dtype=np.int64).reshape(-1, 2)


def monomials(made: Array, y: Array) -> Array:
    """Return the monomials of points ``(variables, n)``: ``(terms, n)``."""
    terms = np.empty((len(made) + 1, y.shape[1]))
    terms[0] = 1.0
    for i, (before, axis) in enumerate(made.tolist(), start=1):
        np.multiply(terms[before], y[axis], out=terms[i])
    return terms


def exponents(made: Array, variables: int) -> Array:
    """Return the exponents of the monomials: ``(terms, variables)``."""
    out = np.zeros((len(made) + 1, variables), dtype=np.int64)
    for i, (before, axis) in enumerate(made.tolist(), start=1):
        out[i] = out[before]
        out[i, axis] += 1
    return out
