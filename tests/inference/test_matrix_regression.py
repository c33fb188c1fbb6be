"""Regressions of vectors, in closed form: against the matrix t, against each other, and against a sweep."""

from __future__ import annotations

import arviz as az
import numpy as np
import pytest
from scipy import stats

import bayeskit as bk
from bayeskit.errors import ImproperError

N, K, D, NU = 15, 3, 2, 5.0
PSI = np.array([[2.0, 0.2], [0.2, 1.0]])
V = np.array([[2.0, 0.3, 0.0], [0.3, 1.0, 0.1], [0.0, 0.1, 3.0]])
M = np.arange(6.0).reshape(K, D) / 3


def data(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(N, K))
    return X, X @ rng.normal(size=(K, D)) + rng.multivariate_normal(np.zeros(D), PSI, size=N)


def observe(m: bk.Model, B, sigma):
    X = m.data("X", dims=("obs", "k"))
    return m.observed("Y", bk.MvNormal(X @ B, sigma), dims=("obs", "d"))


def regression(prior=lambda sigma: bk.MatrixNormal(M, V, sigma), **options) -> bk.Model:
    m = bk.Model()
    sigma = m.latent("Sigma", bk.InverseWishart(NU, PSI), dims="d")
    observe(m, m.latent("B", prior(sigma), dims=("k", "d")), sigma)
    return m


def test_evidence_is_a_matrix_t():
    X, Y = data()
    posterior = regression().condition({"X": X, "Y": Y})
    said = "exact; matrix-normal-inverse-Wishart: 'B' and 'Sigma' jointly, every row scaled by 'Sigma'"
    assert said in " ".join(posterior.explain().split())
    expected = bk.MatrixStudentT(NU - D + 1, X @ M, np.eye(N) + X @ V @ X.T, PSI).log_prob(Y)
    assert posterior.log_evidence() == pytest.approx(float(expected), rel=1e-12)


def test_posterior_is_matrix_normal_inverse_wishart():
    """The formulas of Rossi, Allenby and McCulloch (2005), sec. 2.8.5."""
    X, Y = data(1)
    posterior = regression().condition({"X": X, "Y": Y})
    precision = X.T @ X + np.linalg.inv(V)
    centre = np.linalg.solve(precision, X.T @ Y + np.linalg.solve(V, M))
    left, pulled = Y - X @ centre, centre - M
    scale = PSI + left.T @ left + pulled.T @ np.linalg.solve(V, pulled)
    B, sigma = posterior["B"], posterior["Sigma"]
    assert B.dims == ("k", "d") and sigma.dims == ("d", "d_")
    np.testing.assert_allclose(sigma.mean(), scale / (NU + N - D - 1), rtol=1e-10)
    expected = bk.MatrixStudentT(NU + N - D + 1, centre, np.linalg.inv(precision), scale)
    np.testing.assert_allclose(B.mean(), centre, rtol=1e-10)
    np.testing.assert_allclose(B.log_prob(M), expected.log_prob(M), rtol=1e-10)
    spread = np.sqrt(np.outer(np.diag(np.linalg.inv(precision)), np.diag(scale)) / (NU + N - D + 1))
    np.testing.assert_allclose(B.quantile(0.9), stats.t(NU + N - D + 1, centre, spread).ppf(0.9), rtol=1e-9)
    values = {"B": M, "Sigma": PSI}
    joint = stats.invwishart(NU + N, scale).logpdf(PSI)
    joint += stats.matrix_normal(centre, np.linalg.inv(precision), PSI).logpdf(M)
    assert float(posterior.log_prob(values)) == pytest.approx(joint, rel=1e-10)


def test_draws_are_joint():
    X, Y = data(2)
    posterior = regression().condition({"X": X, "Y": Y})
    drawn = posterior.sample(4000, seed=1)["posterior"]
    for name in ("B", "Sigma"):
        x, exact = drawn[name].values.reshape(-1, *drawn[name].shape[2:]), posterior[name]
        assert np.all(np.abs(x.mean(axis=0) - exact.mean()) < 5 * x.std(axis=0) / np.sqrt(len(x)))
    b = drawn["B"].values.reshape(-1, K, D) - posterior["B"].mean().values
    squared = b[:, 0, 0] * b[:, 2, 1]
    rows, columns = (np.asarray(posterior["B"].canonical[n]) for n in ("rowcov", "colcov"))
    expected = rows[0, 2] * columns[0, 1] / (float(posterior["B"].canonical["nu"]) - 2)
    assert abs(squared.mean() - expected) < 5 * squared.std() / np.sqrt(len(squared))


def test_ways_of_writing_agree():
    """Precision or covariance; matrix normal, vectors or both sides turned round; rows observed alone or together."""
    X, Y = data(3)
    root = np.linalg.cholesky(V)
    whole = regression().condition({"X": X, "Y": Y})
    for prior in (
        lambda s: bk.MatrixNormal(M, rowtau=np.linalg.inv(V), colcov=s),
        lambda s: bk.MatrixNormal(M, rowchol=root, colcov=s),
    ):
        other = regression(prior).condition({"X": X, "Y": Y})
        assert other.log_evidence() == pytest.approx(whole.log_evidence(), rel=1e-10)
        np.testing.assert_allclose(other["B"].sd(), whole["B"].sd(), rtol=1e-9)
    m = bk.Model()  # the precision, Wishart, with the same density
    T = m.latent("T", bk.Wishart(NU, rate=PSI), dims="d")
    X_ = m.data("X", dims=("obs", "k"))
    B = m.latent("B", bk.MatrixNormal(M, V, coltau=T), dims=("k", "d"))
    m.observed("Y", bk.MvNormal(X_ @ B, tau=T), dims=("obs", "d"))
    assert m.condition({"X": X, "Y": Y}).log_evidence() == pytest.approx(whole.log_evidence(), rel=1e-10)
    m = bk.Model()  # rows correlated: whitened on both sides
    U = 0.5 * np.eye(N) + 0.5
    L = np.linalg.cholesky(U)
    sigma = m.latent("Sigma", bk.InverseWishart(NU, PSI), dims="d")
    X_ = m.data("X", dims=("obs", "k"))
    B = m.latent("B", bk.MatrixNormal(M, V, sigma), dims=("k", "d"))
    m.observed("Y", bk.MatrixNormal(X_ @ B, U, sigma), dims=("obs", "d"))
    turned = m.condition({"X": L @ X, "Y": L @ Y})
    jacobian = -D * np.log(np.diag(L)).sum()
    assert turned.log_evidence() == pytest.approx(whole.log_evidence() + jacobian, rel=1e-10)
    np.testing.assert_allclose(turned["B"].mean(), whole["B"].mean(), rtol=1e-9)


def test_rows_with_variances_of_their_own():
    """A diagonal covariance of rows leaves them where they are."""
    X, Y = data(4)
    u = np.linspace(0.5, 3, N)
    m = bk.Model()
    sigma = m.latent("Sigma", bk.InverseWishart(NU, PSI), dims="d")
    X_ = m.data("X", dims=("obs", "k"))
    B = m.latent("B", bk.MatrixNormal(M, V, sigma), dims=("k", "d"))
    m.observed("Y", bk.MatrixNormal(X_ @ B, np.diag(u), sigma), dims=("obs", "d"))
    expected = bk.MatrixStudentT(NU - D + 1, X @ M, np.diag(u) + X @ V @ X.T, PSI).log_prob(Y)
    assert m.condition({"X": X, "Y": Y}).log_evidence() == pytest.approx(float(expected), rel=1e-11)


def test_several_means_and_vectors_as_rows():
    """An intercept with a prior of its own, coefficients as vectors by row, and a matrix with the axes turned."""
    X, Y = data(5)
    x = X[:, 0]
    m = bk.Model()
    sigma = m.latent("Sigma", bk.InverseWishart(NU, PSI), dims="d")
    X_, x_ = m.data("X", dims=("obs", "k")), m.data("x", dims="obs")
    a = m.latent("a", bk.MvNormal(1.0, sigma / 4), dims="d")
    B = m.latent("B", bk.MvNormal(0, 2 * sigma), dims=("k", "d"))
    c = m.latent("c", bk.MvNormal(0, sigma), dims="d")
    m.observed("Y", bk.MvNormal(a + X_ @ B + c * x_, sigma), dims=("obs", "d"))
    posterior = m.condition({"X": X, "x": x, "Y": Y})
    spread = np.eye(N) + 0.25 + 2 * X @ X.T + np.outer(x, x)
    expected = bk.MatrixStudentT(NU - D + 1, np.ones((N, D)), spread, PSI).log_prob(Y)
    assert posterior.log_evidence() == pytest.approx(float(expected), rel=1e-11)
    assert posterior["a"].family == "MvStudentT" and posterior["B"].dims == ("k", "d")
    drawn = posterior.sample(3000, seed=2)["posterior"]
    for name in ("a", "B", "c"):
        x = drawn[name].values.reshape(-1, *drawn[name].shape[2:])
        assert np.all(np.abs(x.mean(axis=0) - posterior[name].mean()) < 5 * x.std(axis=0) / np.sqrt(len(x)))
        assert np.all(np.abs(x.std(axis=0) / posterior[name].sd() - 1) < 0.1)


def test_flat_coefficients():
    """B is then t about least squares; the Bayes factor of two rows against each other needs no constant."""
    X, Y = data(6)
    posterior = regression(lambda s: bk.Flat()).condition({"X": X, "Y": Y})
    centre = np.linalg.lstsq(X, Y, rcond=None)[0]
    left = Y - X @ centre
    scale, df = PSI + left.T @ left, NU + N - K - D + 1
    np.testing.assert_allclose(posterior["B"].mean(), centre, rtol=1e-10)
    spread = np.sqrt(np.outer(np.diag(np.linalg.inv(X.T @ X)), np.diag(scale)) / df)
    np.testing.assert_allclose(posterior["B"].quantile(0.1), stats.t(df, centre, spread).ppf(0.1), rtol=1e-9)
    assert posterior["B"].event_ndim == 0
    np.testing.assert_allclose(posterior["Sigma"].mean(), scale / (NU + N - K - D - 1), rtol=1e-10)
    with pytest.raises(ImproperError, match="do not determine"):
        regression(lambda s: bk.Flat()).condition({"X": X[:2], "Y": Y[:2]}).log_evidence()


def test_update_is_conditioning_on_all():
    X, Y = data(7)
    whole = regression().condition({"X": X, "Y": Y})
    later = regression().condition({"X": X[:6], "Y": Y[:6]}).update({"X": X[6:], "Y": Y[6:]})
    assert later.log_evidence() == pytest.approx(whole.log_evidence(), rel=1e-10)
    np.testing.assert_allclose(later["B"].sd(), whole["B"].sd(), rtol=1e-9)


def test_exact_and_swept_agree():
    X, Y = data(8)
    posterior = regression().condition({"X": X, "Y": Y})
    swept = posterior.sample(1000, tune=200, method="gibbs", seed=3)["posterior"]
    for name in ("B", "Sigma"):
        error = swept[name].mean(("chain", "draw")).values - posterior[name].mean().values
        assert np.all(np.abs(error) < 5 * az.mcse(swept)[name].values)


def test_known_covariance_of_columns():
    """A matrix normal prior and rows of numbers: one Gaussian block."""
    X, Y = data(9)
    m = bk.Model()
    X_ = m.data("X", dims=("obs", "k"))
    B = m.latent("B", bk.MatrixNormal(M, V, PSI), dims=("k", "d"))
    m.observed("Y", bk.Normal(X_ @ B, 0.7), dims=("obs", "d"))
    posterior = m.condition({"X": X, "Y": Y})
    design = np.kron(X, np.eye(D))
    cov = design @ np.kron(V, PSI) @ design.T + 0.49 * np.eye(N * D)
    expected = stats.multivariate_normal((X @ M).ravel(), cov).logpdf(Y.ravel())
    assert posterior.log_evidence() == pytest.approx(expected, rel=1e-10)
    gain = np.kron(V, PSI) @ design.T @ np.linalg.solve(cov, (Y - X @ M).ravel())
    np.testing.assert_allclose(posterior["B"].mean(), M + gain.reshape(K, D), rtol=1e-9)


def test_what_is_not_of_this_form_is_said():
    X, Y = data(10)
    m = bk.Model()
    sigma = m.latent("Sigma", bk.InverseWishart(NU, PSI), dims="d")
    B = m.latent("B", bk.Normal(0, 10), dims=("k", "d"))
    observe(m, B, sigma)
    text = " ".join(m.condition({"X": X, "Y": Y}).explain().split())
    assert "'B' ~ Normal(0, 10) does not scale with 'Sigma'" in text
    m = bk.Model()
    sigma = m.latent("Sigma", bk.InverseWishart(NU, PSI), dims="d")
    B = m.latent("b", bk.MvNormal(0, 3 * sigma), dims="d")
    w = m.data("w", dims=("obs", "d"))
    m.observed("Y", bk.MvNormal(w * B, sigma), dims=("obs", "d"))
    text = " ".join(m.condition({"w": np.abs(Y), "Y": Y}).explain().split())
    assert "the mean of 'Y' is not a known multiple of 'b', vector by vector" in text


@pytest.mark.parametrize("kind", ["exact", "collapsed", "gibbs"])
def test_densities_of_draws_are_joint(kind):
    """``lp`` is the log density of data and draws, each factor once, whatever was made of a matrix normal."""
    X, Y = data(11)
    m = bk.Model()
    X_ = m.data("X", dims=("obs", "k"))
    if kind == "collapsed":
        s = m.latent("s", bk.HalfNormal(1))
        B = m.latent("B", bk.MatrixNormal(M, V, PSI), dims=("k", "d"))
        m.observed("Y", bk.Normal(X_ @ B, s), dims=("obs", "d"))
    else:
        s = m.latent("s", bk.InverseWishart(NU, PSI), dims="d")
        B = m.latent("B", bk.MatrixNormal(M, V, s), dims=("k", "d"))
        m.observed("Y", bk.MvNormal(X_ @ B, s), dims=("obs", "d"))
    posterior = m.condition({"X": X, "Y": Y})
    tree = posterior.sample(5, tune=5, chains=2, seed=1, method=kind)
    for chain, draw in ((0, 0), (1, 4)):
        own = {n: tree["posterior"][n].values[chain, draw] for n in ("s", "B")}
        if kind == "collapsed":
            expected = stats.norm(X @ own["B"], own["s"]).logpdf(Y).sum() + stats.halfnorm.logpdf(own["s"])
            expected += stats.matrix_normal(M, V, PSI).logpdf(own["B"])
        else:
            rows = zip(Y, X @ own["B"], strict=True)
            expected = sum(stats.multivariate_normal(mean, own["s"]).logpdf(y) for y, mean in rows)
            expected += stats.matrix_normal(M, V, own["s"]).logpdf(own["B"])
            expected += stats.invwishart(NU, PSI).logpdf(own["s"])
        assert tree["sample_stats"]["lp"].values[chain, draw] == pytest.approx(expected, rel=1e-9)
