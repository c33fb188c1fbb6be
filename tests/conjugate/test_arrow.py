"""Arrow systems against dense algebra, and against fractions where scales are extreme."""

from fractions import Fraction

import numpy as np
import pytest

from bayeskit.conjugate import arrow as arrow_module
from bayeskit.conjugate.arrow import (
    Arrow,
    Priors,
    backward,
    cholesky,
    factor,
    factor_under,
    forward,
    forward_matrix,
)
from bayeskit.testing import assert_moments
from tests.conjugate.exact_algebra import eliminate

WIDE = [(0, 0), (3, 1), (4, 2), (2, 3), (3, 8)]
SHAPES = [(*wide, r, b) for wide in WIDE for r in (0, 1, 5, 20) for b in (1, 4) if wide[1] or r]


def random_arrow(groups, k, r, batch, seed=0):
    """A positive definite arrow: the Gram matrix of rows that touch one group each."""
    rng = np.random.default_rng(seed)
    rows = max(2 * (k + 1), (2 * r) // max(groups, 1) + 2)
    n = max(groups, 1)
    W = rng.normal(size=(batch, n, rows, k)) if groups else np.zeros((batch, n, rows, 0))
    Z = rng.normal(size=(batch, n, rows, r))
    W_t = np.swapaxes(W, -1, -2)
    D = (np.swapaxes(Z, -1, -2) @ Z).sum(axis=1) + 0.1 * np.eye(r)
    hw, hd = rng.normal(size=(batch, groups, k)), rng.normal(size=(batch, r))
    A, C = W_t @ W + 0.1 * np.eye(k), W_t @ Z
    return Arrow(A[:, :groups], C[:, :groups], D, hw, hd)


def dense(arrow, c):
    """One chain's matrix and right-hand side."""
    groups, k = arrow.hw.shape[1:]
    r = arrow.hd.shape[-1]
    P = np.zeros((groups * k + r,) * 2)
    for g in range(groups):
        at = slice(g * k, (g + 1) * k)
        P[at, at], P[at, groups * k :], P[groups * k :, at] = arrow.A[c, g], arrow.C[c, g], arrow.C[c, g].T
    P[groups * k :, groups * k :] = arrow.D[c]
    return P, np.concatenate([arrow.hw[c].ravel(), arrow.hd[c]])


def joined(wide, rest, c):
    return np.concatenate([wide[c].ravel(), rest[c]])


@pytest.mark.parametrize(("groups", "k", "r", "batch"), SHAPES)
def test_against_dense_algebra(groups, k, r, batch):
    arrow = random_arrow(groups, k, r, batch)
    system = factor(arrow)
    wide, rest = system.solve()
    var_wide, var_rest = system.variances()
    assert wide.shape == (batch, groups, k)
    assert rest.shape == (batch, r)
    rng = np.random.default_rng(1)
    e_wide, e_rest = rng.normal(size=wide.shape), rng.normal(size=rest.shape)
    vv = np.full(batch, 2.5)
    for c in range(batch):
        P, h = dense(arrow, c)
        mean = np.linalg.solve(P, h)
        np.testing.assert_allclose(joined(wide, rest, c), mean, rtol=1e-10, atol=1e-12)
        np.testing.assert_allclose(system.log_det()[c], np.linalg.slogdet(P)[1], rtol=1e-12)
        np.testing.assert_allclose(system.quadratic()[c], h @ mean, rtol=1e-10)
        np.testing.assert_allclose(system.gain(vv)[c], h @ mean - 2.5, rtol=1e-10)
        np.testing.assert_allclose(joined(var_wide, var_rest, c), np.diag(np.linalg.inv(P)), rtol=1e-10)
        e = joined(e_wide, e_rest, c)
        np.testing.assert_allclose(system.squared_distance(e_wide, e_rest)[c], e @ P @ e, rtol=1e-10)


@pytest.mark.parametrize(("groups", "k", "r"), [(0, 0, 4), (3, 2, 0), (3, 1, 2), (2, 3, 2)])
def test_draws_have_the_covariance(groups, k, r):
    arrow = random_arrow(groups, k, r, 1, seed=2)
    rng = np.random.default_rng(3)
    wide, rest = factor(arrow).solve(rng.standard_normal((8000, groups, k)), rng.standard_normal((8000, r)))
    x = np.concatenate([wide.reshape(8000, -1), rest], axis=1)
    P, h = dense(arrow, 0)
    cov = np.linalg.inv(P)
    e = x - cov @ h
    assert_moments(x[None], cov @ h, np.sqrt(np.diag(cov)))
    assert_moments((e[:, :, None] * e[:, None, :])[None], cov)


@pytest.mark.parametrize("many", [0, 10**6])
@pytest.mark.parametrize("k", [1, 2, 3, 9])
def test_triangles(k, many, monkeypatch):
    monkeypatch.setattr(arrow_module, "_MANY", many)
    rng = np.random.default_rng(k)
    L = np.tril(rng.normal(size=(4, 2, k, k))) + 3 * np.eye(k)
    B, b = rng.normal(size=(4, 2, k, 3)), rng.normal(size=(4, 2, k))
    np.testing.assert_allclose(L @ forward_matrix(L, B), B, atol=1e-12)
    np.testing.assert_allclose((L @ forward(L, b)[..., None])[..., 0], b, atol=1e-12)
    np.testing.assert_allclose((np.swapaxes(L, -1, -2) @ backward(L, b)[..., None])[..., 0], b, atol=1e-12)
    np.testing.assert_allclose(forward(L[:1, :1], b), forward(np.broadcast_to(L[:1, :1], L.shape), b))
    np.testing.assert_allclose(backward(L, b[:1, :1]), backward(L, np.broadcast_to(b[:1, :1], b.shape)))


@pytest.mark.parametrize("k", [1, 2, 3, 5])
def test_cholesky_refuses_what_is_not_positive_definite(k):
    good = np.stack([np.eye(k) + 0.3, 2 * np.eye(k)])
    np.testing.assert_allclose(cholesky(good), np.linalg.cholesky(good), rtol=1e-14)
    for bad in (-1.0, 0.0, np.nan):
        for i in range(k):
            matrices = good.copy()
            matrices[1, i, i] = bad
            with pytest.raises(np.linalg.LinAlgError):
                cholesky(matrices)
    if k > 1:
        with pytest.raises(np.linalg.LinAlgError):
            cholesky(np.full((1, k, k), 2.0) - np.eye(k))


def test_an_indefinite_rest_is_refused():
    arrow = random_arrow(3, 2, 2, 2)
    with pytest.raises(np.linalg.LinAlgError):
        factor(Arrow(arrow.A, 10 * arrow.C, arrow.D, arrow.hw, arrow.hd))
    with pytest.raises(np.linalg.LinAlgError):
        factor(Arrow(-arrow.A, arrow.C, arrow.D, arrow.hw, arrow.hd))


# ---- priors whose precision goes to zero or to infinity -----------------------------------------------------
SCALES = [1e-8, 1e-5, 1e-2, 1.0, 1e2, 1e5, 1e8]


def augmented(arrow, vv):
    batch, r = arrow.hd.shape
    E = np.zeros((batch, r + 1, r + 1))
    E[:, :r, :r], E[:, :r, r], E[:, r, :r], E[:, r, r] = arrow.D, arrow.hd, arrow.hd, vv
    return arrow.A, np.concatenate([arrow.C, arrow.hw[..., None]], axis=-1), E


def exact_sum(arrow, priors):
    """Log determinant, mean and net gain of the sum of a system and the priors of its wide part, in fractions."""
    P, h = (np.vectorize(Fraction)(m) for m in dense(arrow, 0))
    groups, k, _ = priors.B.shape
    net = Fraction(0)
    for g in range(groups):
        for i in range(k):
            row = [Fraction(0)] * (groups * k) + [-Fraction(x) for x in priors.B[g, i]]
            row[g * k + i] = Fraction(1)
            q, b = Fraction(priors.Q[0, g, i]), Fraction(priors.b[g, i])
            row = np.array(row)
            P, h, net = P + q * np.outer(row, row), h + q * b * row, net - q * b * b
    log_det, x = eliminate(P.tolist(), h.tolist())
    net += sum(a * b for a, b in zip(h, x, strict=True))
    return log_det, np.array([float(v) for v in x]), float(net)


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize(("k", "r"), [(1, 1), (1, 3), (2, 2), (3, 2)])
def test_priors_of_any_precision(scale, k, r):
    rng = np.random.default_rng(5)
    arrow = random_arrow(4, k, r, 1, seed=6)
    spread = scale * np.array([1.0, 3.0, 1e-3])[:k]
    Q = np.broadcast_to(spread**-2.0, (1, 4, k))
    B = np.zeros((4, k, r))
    B[:, np.arange(k), np.arange(k) % r] = 1.0
    priors = Priors(B, rng.normal(size=(4, k)), Q)
    system = factor_under(priors, *augmented(arrow, 7.0))
    log_det, mean, net = exact_sum(arrow, priors)
    np.testing.assert_allclose(system.log_det(), log_det, rtol=1e-12)
    np.testing.assert_allclose(joined(*system.solve(), 0), mean, rtol=1e-8)
    np.testing.assert_allclose(system.gain(np.array([np.nan])), net - 7.0, rtol=1e-9)


def test_eliminating_a_sum_knows_when_it_lost_digits():
    for scale, exact in [(1.0, True), (1e-8, False)]:
        q = scale**-2.0
        n, one = 5.0, np.ones((1, 4, 1, 1))
        arrow = Arrow((n + q) * one, -q * one, np.full((1, 1, 1), 4 * q), one[..., 0], np.zeros((1, 1)))
        try:
            assert factor(arrow).is_exact(arrow.D) is exact
        except np.linalg.LinAlgError:
            assert not exact
