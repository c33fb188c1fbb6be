"""Monomials in order of their degree, and polynomials of them, against products and sums written out."""

from __future__ import annotations

import numpy as np
import pytest

from bayeskit.inference.core import monomials as module
from bayeskit.inference.core.monomials import exponents, made_of, monomials, polynomial


def test_monomials_of_any_making():
    made = np.array([[0, 0], [0, 1], [1, 0], [1, 1], [2, 1]])
    np.testing.assert_allclose(monomials(made, np.array([[2.0], [3.0]]))[:, 0], [1, 2, 3, 4, 6, 9])


@pytest.mark.parametrize(("variables", "degree"), [(1, 5), (2, 4), (3, 6), (5, 3)])
def test_all_monomials_are_made_once_in_order_of_their_degree(variables, degree):
    made = made_of(variables, degree)
    powers = exponents(made, variables)
    every = {p for p in np.ndindex(*(degree + 1,) * variables) if sum(p) <= degree}
    assert {tuple(p) for p in powers.tolist()} == every
    assert len(powers) == len(every)
    assert (np.diff(powers.sum(axis=1)) >= 0).all()
    y = np.random.default_rng(variables).normal(size=(variables, 7))
    expected = np.prod(y[None] ** powers[:, :, None], axis=1)
    np.testing.assert_allclose(monomials(made, y), expected, rtol=1e-13, atol=1e-300)


@pytest.mark.parametrize("at_once", [1, 100, 10_000])
def test_polynomials_in_any_number_of_parts(monkeypatch, at_once):
    monkeypatch.setattr(module, "AT_ONCE", at_once)
    rng = np.random.default_rng(0)
    made, y = made_of(3, 4), rng.normal(size=(3, 37))
    coefficients = rng.normal(size=len(made) + 1)
    expected = np.einsum("t,tn->n", coefficients, np.prod(y[None] ** exponents(made, 3)[:, :, None], axis=1))
    np.testing.assert_allclose(polynomial(made, coefficients, y), expected, rtol=1e-10, atol=1e-10)
