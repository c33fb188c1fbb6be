"""Monomials of several variables, each made of one of fewer factors by one multiplication."""

from __future__ import annotations

import numpy as np

Array = np.ndarray

AT_ONCE = 240_000  # monomials made at once: they stay in cache, and are too few for BLAS to take threads for


def made_of(variables: int, degree: int) -> Array:
    """Return how the monomials up to a degree are made, in order of their degree, and those of one by their last axis.

    Returns
    -------
    array (terms - 1, 2)
        Of every monomial but the first, which is 1: the place of the one it is made from, and the axis it is
        multiplied by.
    """
    made: list[tuple[int, int]] = []
    last = [(0, 0)]  # those of one degree less: their place, and the least axis they may be multiplied by
    for _ in range(degree):
        more = [(place, axis) for axis in range(variables) for place, least in last if least <= axis]
        last = [(place, axis) for place, (_, axis) in enumerate(more, start=len(made) + 1)]
        made += more
    return np.array(made, dtype=np.int64).reshape(-1, 2)


def monomials(made: Array, y: Array) -> Array:
    """Return the monomials of points ``(variables, n)``: ``(terms, n)``."""
    return _filled(np.empty((len(made) + 1, y.shape[1])), _runs(made), y)


def polynomial(made: Array, coefficients: Array, y: Array) -> Array:
    """Return the values of a polynomial ``(terms,)`` at points ``(variables, n)``: ``(n,)``."""
    step, runs = max(1, AT_ONCE // len(coefficients)), _runs(made)
    terms = np.empty((len(coefficients), min(step, y.shape[1])))
    values = np.empty(y.shape[1])
    for start in range(0, len(values), step):
        here = y[:, start : start + step]
        np.matmul(coefficients, _filled(terms[:, : here.shape[1]], runs, here), out=values[start : start + step])
    return values


def _filled(terms: Array, runs: list[tuple[int, int, int, int]], y: Array) -> Array:
    """Return room for the monomials of points, filled with them."""
    terms[0] = 1.0
    for start, stop, before, axis in runs:
        np.multiply(terms[before : before + stop - start], y[axis], out=terms[start:stop])
    return terms


def _runs(made: Array) -> list[tuple[int, int, int, int]]:
    """Return neighbours that are made of neighbours: where they start and stop, what the first is made of."""
    runs: list[tuple[int, int, int, int]] = []
    start, first, axis = 1, -1, -1
    for place, (before, by) in enumerate(made.tolist(), start=1):
        # A run must not be made of itself.
        if by == axis and before == first + place - start and before < start:
            runs[-1] = (start, place + 1, first, axis)
        else:
            start, first, axis = place, before, by
            runs.append((start, place + 1, first, axis))
    return runs


def exponents(made: Array, variables: int) -> Array:
    """Return the exponents of the monomials: ``(terms, variables)``."""
    out = np.zeros((len(made) + 1, variables), dtype=np.int64)
    for i, (before, axis) in enumerate(made.tolist(), start=1):
        out[i] = out[before]
        out[i, axis] += 1
    return out
