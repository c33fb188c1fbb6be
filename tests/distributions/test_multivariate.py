"""Vector and matrix families: against scipy.stats, quadrature, draws, batches with bad matrices, edges and labels."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import xarray as xr
from scipy import integrate, stats

from bayeskit.distributions import (
    Bernoulli,
    Dirichlet,
    InverseWishart,
    MvNormal,
    MvStudentT,
    Normal,
    Ordered,
    Wishart,
)
from bayeskit.distributions.matrices import cholesky, solve_lower, solve_upper
from bayeskit.distributions.transforms import transform_of
from bayeskit.errors import ParameterError, RefusedError

RNG = np.random.default_rng(11)
COV = np.array([[2.0, 0.6, -0.3], [0.6, 1.0, 0.2], [-0.3, 0.2, 0.5]])
TAU = np.linalg.inv(COV)
TAU = (TAU + TAU.T) / 2
FACTOR = np.linalg.cholesky(COV)
MU = np.array([0.5, -1.0, 2.0])
ALPHA = np.array([0.8, 2.0, 3.5])
_NORMAL, _T = stats.multivariate_normal(MU, COV), stats.multivariate_t(MU, COV, df=7)
_MEANS, _SDS = MU, np.sqrt(np.diag(COV))

# name: (distribution, log density, the scipy families of its entries or None)
_NORMALS = [stats.norm(m, s) for m, s in zip(_MEANS, _SDS, strict=True)]
_TS = [stats.t(7, m, s) for m, s in zip(_MEANS, _SDS, strict=True)]
VECTORS = {
    "MvNormal cov": (MvNormal(MU, COV), _NORMAL.logpdf, _NORMALS),
    "MvNormal tau": (MvNormal(MU, tau=TAU), _NORMAL.logpdf, _NORMALS),
    "MvNormal cholesky": (MvNormal(MU, cholesky=FACTOR), _NORMAL.logpdf, _NORMALS),
    "MvStudentT cov": (MvStudentT(7, MU, COV), _T.logpdf, _TS),
    "MvStudentT tau": (MvStudentT(7, MU, tau=TAU), _T.logpdf, _TS),
    "MvStudentT cholesky": (MvStudentT(7, MU, cholesky=FACTOR), _T.logpdf, _TS),
    "Dirichlet": (
        Dirichlet(ALPHA),
        lambda x: stats.dirichlet.logpdf(x.T, ALPHA),
        [stats.beta(a, ALPHA.sum() - a) for a in ALPHA],
    ),
}
MATRICES = {
    "Wishart scale": (Wishart(6.5, COV), stats.wishart(6.5, COV)),
    "Wishart rate": (Wishart(6.5, rate=TAU), stats.wishart(6.5, COV)),
    "InverseWishart": (InverseWishart(9.5, COV), stats.invwishart(9.5, COV)),
}


def parameters(distribution):
    """The canonical parameters as arrays."""
    return [np.asarray(value, dtype=float) for value in distribution.canonical.values()]


@pytest.mark.parametrize("name", VECTORS)
class TestVectors:
    def test_log_density(self, name):
        distribution, log_density, _ = VECTORS[name]
        x = distribution.sample(20, seed=1)
        np.testing.assert_allclose(distribution.log_prob(x), log_density(x.values), rtol=1e-9, atol=1e-10)

    def test_entries(self, name):
        distribution, _, entries = VECTORS[name]
        np.testing.assert_allclose(distribution.mean(), [entry.mean() for entry in entries], rtol=1e-12)
        np.testing.assert_allclose(distribution.var(), [entry.var() for entry in entries], rtol=1e-12)
        x = distribution.sample(5, seed=2)
        expected = np.stack([entry.cdf(x.values[:, k]) for k, entry in enumerate(entries)], axis=-1)
        np.testing.assert_allclose(distribution.cdf(x), expected, rtol=1e-9)
        levels = np.array([0.01, 0.4, 0.975])
        expected = [entry.ppf(levels) for entry in entries]
        np.testing.assert_allclose(distribution.quantile(levels), expected, rtol=1e-9)

    def test_draws(self, name):
        distribution, _, _ = VECTORS[name]
        draws = distribution.sample(20_000, seed=4)
        assert draws.dims == ("draw", "event")
        mean, var = distribution.mean().values, distribution.var().values
        np.testing.assert_array_less(np.abs(draws.mean("draw") - mean), 5 * np.sqrt(var / 20_000))
        spread = (draws.values - mean) ** 2
        np.testing.assert_array_less(np.abs(spread.mean(0) - var), 5 * spread.std(0) / np.sqrt(20_000))

    def test_joint_spread_of_draws(self, name):
        """Products of two entries average to their covariance."""
        distribution, _, _ = VECTORS[name]
        draws, mean = distribution.sample(20_000, seed=6).values, distribution.mean().values
        if name == "Dirichlet":
            total = ALPHA.sum()
            covariance = (np.diag(mean) - np.outer(mean, mean)) / (total + 1)
        else:
            covariance = COV * (7 / 5 if "Student" in name else 1)
        products = (draws - mean)[:, :, None] * (draws - mean)[:, None, :]
        error = 5 * products.std(axis=0) / np.sqrt(len(draws))
        np.testing.assert_array_less(np.abs(products.mean(axis=0) - covariance), error)


@pytest.mark.parametrize("name", MATRICES)
class TestMatrices:
    def test_log_density(self, name):
        distribution, twin = MATRICES[name]
        x = distribution.sample(10, seed=1)
        assert x.dims == ("draw", "event", "event_")
        np.testing.assert_allclose(distribution.log_prob(x), twin.logpdf(np.moveaxis(x.values, 0, -1)), rtol=1e-9)

    def test_moments_and_draws(self, name):
        distribution, twin = MATRICES[name]
        np.testing.assert_allclose(distribution.mean(), twin.mean(), rtol=1e-9)
        np.testing.assert_allclose(distribution.var(), twin.var(), rtol=1e-9)
        np.testing.assert_allclose(distribution.mode(), twin.mode(), rtol=1e-9)
        draws = distribution.sample(20_000, seed=4).values
        np.testing.assert_array_equal(draws, np.swapaxes(draws, -1, -2))
        mean, var = distribution.mean().values, distribution.var().values
        np.testing.assert_array_less(np.abs(draws.mean(axis=0) - mean), 5 * np.sqrt(var / len(draws)))
        spread = (draws - mean) ** 2
        np.testing.assert_array_less(np.abs(spread.mean(0) - var), 5 * spread.std(0) / np.sqrt(len(draws)))

    def test_outside(self, name):
        distribution, _ = MATRICES[name]
        bad = np.diag([1.0, -1.0, 2.0])
        assert float(distribution.log_prob(bad)) == -np.inf
        outside = distribution._outside(np.stack([bad, COV, np.triu(COV)]), *parameters(distribution))
        assert outside.tolist() == [True, False, True]
        with pytest.raises(RefusedError, match="has no distribution function"):
            distribution.cdf(COV)


class TestNormalisation:
    def test_dirichlet(self):
        d = Dirichlet([1.5, 2.0, 3.0])

        def density(y, x):
            return np.exp(d._log_prob(np.array([x, y, 1 - x - y]), np.array([1.5, 2.0, 3.0])))

        assert integrate.dblquad(density, 0, 1, 0, lambda x: 1 - x)[0] == pytest.approx(1, abs=1e-6)

    def test_elliptical(self):
        cov = np.array([[1.0, 0.4], [0.4, 0.5]])
        x = np.linspace(-12, 12, 601)
        grid = np.stack(np.meshgrid(x, x, indexing="ij"), axis=-1)
        cell = (x[1] - x[0]) ** 2
        assert np.exp(MvNormal(0, cov)._log_prob(grid, 0.0, cov)).sum() * cell == pytest.approx(1, abs=1e-10)
        tau = np.linalg.inv(cov)
        assert np.exp(MvNormal(0, tau=cov)._log_prob(grid, 0.0, tau)).sum() * cell == pytest.approx(1, abs=1e-10)

    def test_wishart_of_one_is_gamma(self):
        x = np.array([[1.7]])
        expected = stats.gamma(2.5, scale=2 * 0.8).logpdf(1.7)
        assert float(Wishart(5, [[0.8]]).log_prob(x)) == pytest.approx(expected)
        assert float(Wishart(5, rate=[[1.25]]).log_prob(x)) == pytest.approx(expected)
        expected = stats.invgamma(2.5, scale=0.4).logpdf(1.7)
        assert float(InverseWishart(5, [[0.8]]).log_prob(x)) == pytest.approx(expected)

    def test_ordered(self):
        d = Ordered(Normal(0, 1), size=2)
        x = np.linspace(-8, 8, 801)
        grid = np.stack(np.meshgrid(x, x, indexing="ij"), axis=-1)
        total = np.exp(d._log_prob(grid, 0.0, 1.0)).sum() * (x[1] - x[0]) ** 2
        # twice the cells above the diagonal, and those on it, are all cells of the square
        diagonal = np.exp(2 * stats.norm.logpdf(x)).sum() * (x[1] - x[0]) ** 2
        assert total + diagonal == pytest.approx(1, abs=1e-10)


class TestBatches:
    def test_triangular_solves(self):
        factors = np.linalg.cholesky(COV + 0.1 * np.arange(4)[:, None, None, None] * np.eye(3))
        right = RNG.normal(size=(1, 5, 3, 2))
        for factor in (factors, factors[:1], factors[0, 0]):
            expected = np.broadcast_to(right, (*np.broadcast_shapes(factor.shape[:-2], (1, 5)), 3, 2))
            np.testing.assert_allclose(factor @ solve_lower(factor, right), expected, atol=1e-13)
            transposed = np.swapaxes(factor, -1, -2)
            np.testing.assert_allclose(transposed @ solve_upper(factor, right), expected, atol=1e-13)

    @pytest.mark.parametrize("form", ["cov", "tau", "cholesky"])
    @pytest.mark.parametrize("student", [False, True])
    def test_plates_agree_with_one_at_a_time(self, form, student):
        covariances = COV + 0.2 * np.arange(4)[:, None, None, None] * np.eye(3)
        matrix = {
            "cov": covariances,
            "tau": np.linalg.inv(covariances),
            "cholesky": np.linalg.cholesky(covariances),
        }[form]
        x, mu = RNG.normal(size=(1, 6, 3)), RNG.normal(size=(4, 1, 3))
        family = MvStudentT(5, 0, **{form: np.eye(3)}) if student else MvNormal(0, **{form: np.eye(3)})
        params = (np.array([[5.0]]), mu, matrix) if student else (mu, matrix)
        value = family._log_prob(x, *params)
        for i, j in np.ndindex(4, 6):
            twin = (
                stats.multivariate_t(mu[i, 0], covariances[i, 0], df=5)
                if student
                else stats.multivariate_normal(mu[i, 0], covariances[i, 0])
            )
            assert value[i, j] == pytest.approx(twin.logpdf(x[0, j]), rel=1e-9)
        assert family._sample(np.random.default_rng(1), (4, 6), *params).shape == (4, 6, 3)

    def test_a_bad_matrix_spoils_its_own_entry_only(self):
        bad = np.diag([1.0, -1.0, 1.0])
        matrices = np.stack([COV, bad, 2 * COV])
        for family, x in (
            (MvNormal(0, np.eye(3)), MU),
            (MvNormal(0, tau=np.eye(3)), MU),
        ):
            value = family._log_prob(x, np.zeros(3), matrices)
            assert np.isfinite(value).tolist() == [True, False, True] and value[1] == -np.inf
        value = MvStudentT(3, 0, np.eye(3))._log_prob(MU, 3.0, np.zeros(3), matrices)
        assert value[1] == -np.inf and np.isfinite(value[[0, 2]]).all()
        for family in (Wishart(5, COV), Wishart(5, rate=COV), InverseWishart(5, COV)):
            value = family._log_prob(COV, 5.0, matrices)
            assert value[1] == -np.inf and np.isfinite(value[[0, 2]]).all()
            value = family._log_prob(matrices, 5.0, COV)
            assert value[1] == -np.inf and np.isfinite(value[[0, 2]]).all()
        assert np.isnan(cholesky(matrices)[1]).all()

    def test_wishart_plates(self):
        nu = np.array([[4.0], [6.0]])
        for family in (Wishart(5, COV), Wishart(5, rate=COV), InverseWishart(5, COV)):
            draws = family._sample(np.random.default_rng(1), (2, 3), nu, COV)
            assert draws.shape == (2, 3, 3, 3)
            value = family._log_prob(draws, nu, COV)
            again = family._log_prob(draws[1, 2], 6.0, COV)
            assert value.shape == (2, 3) and value[1, 2] == pytest.approx(again)

    def test_dirichlet_plates(self):
        alpha = RNG.random((4, 1, 3)) + 0.5
        x = RNG.dirichlet(np.ones(3), size=(1, 5))
        value = Dirichlet([1, 1])._log_prob(x, alpha)
        assert value.shape == (4, 5)
        assert value[2, 3] == pytest.approx(stats.dirichlet.logpdf(x[0, 3], alpha[2, 0]))


class TestEdges:
    def test_structural_zeros_of_a_dirichlet(self):
        d, smaller = Dirichlet([2, 0, 3]), Dirichlet([2, 3])
        assert float(d.log_prob([0.4, 0, 0.6])) == pytest.approx(float(smaller.log_prob([0.4, 0.6])))
        assert float(d.log_prob([0.4, 0.1, 0.5])) == -np.inf
        assert (d.sample(50, seed=1).isel(event=1) == 0).all()
        np.testing.assert_allclose(d.mode(), [1 / 3, 0, 2 / 3])
        np.testing.assert_allclose(d.cdf([0.3, 0.0, 0.5]).values[[0, 2]], smaller.cdf([0.3, 0.5]))
        assert float(d.cdf([0.3, 0.0, 0.5])[1]) == 1 and float(d.quantile(0.9)[1]) == 0
        assert float(Dirichlet([5000, 0, 7]).log_prob([0.999, 0, 0.001])) == pytest.approx(
            float(stats.beta(5000, 7).logpdf(0.999))
        )

    def test_borders_of_the_simplex(self):
        assert float(Dirichlet([1, 1, 1]).log_prob([0, 0.5, 0.5])) == pytest.approx(np.log(2))
        assert float(Dirichlet([2, 1, 1]).log_prob([0, 0.5, 0.5])) == -np.inf
        assert float(Dirichlet([0.5, 1, 1]).log_prob([0, 0.5, 0.5])) == np.inf
        assert float(Dirichlet([0.5, 2, 1]).log_prob([0, 0, 1])) == -np.inf
        for outside in ([0.5, 0.6, 0.1], [-0.1, 0.6, 0.5]):
            assert float(Dirichlet([1, 1, 1]).log_prob(outside)) == -np.inf

    def test_large_and_small_concentrations(self):
        peak = float(Dirichlet([1e15, 3e15]).log_prob([0.25, 0.75]))
        assert peak == pytest.approx(-0.5 * np.log(2 * np.pi * 0.25 * 0.75 / 4e15), rel=1e-12)
        assert float(Dirichlet([600.0, 500.0]).log_prob([0.5, 0.5])) == pytest.approx(stats.beta(600, 500).logpdf(0.5))
        draws = Dirichlet([1e-4, 1e-4]).sample(4000, seed=1)
        assert np.isfinite(draws).all()
        first = (draws.isel(event=0) > 0.5).values
        assert abs(first.mean() - 0.5) < 5 * 0.5 / np.sqrt(first.size)

    def test_moments_that_do_not_exist(self):
        assert np.isnan(MvStudentT(1, 0, COV).mean()).all()
        assert np.isinf(MvStudentT(2, 0, COV).var()).all()
        assert np.isinf(np.diag(InverseWishart(3.5, COV).mean())).all()
        assert np.isinf(InverseWishart(5, COV).var()).all()
        assert np.isnan(Wishart(3, COV).mode()).all()

    @pytest.mark.parametrize(
        ("build", "sentence"),
        [
            (lambda: MvNormal(0, [[1, 2], [2, 1]]), "'cov' of MvNormal must be a symmetric positive definite matrix"),
            (lambda: MvNormal(0, [[1, 0.5], [0, 1]]), "'cov' of MvNormal must be a symmetric positive definite"),
            (lambda: MvNormal(0, cholesky=[[1, 1], [0, 1]]), "'cholesky' of MvNormal must be a lower triangular"),
            (lambda: MvNormal(0), r"MvNormal must be given \(mu, cov\) or \(mu, tau\) or \(mu, cholesky\). Got 'mu'"),
            (lambda: MvNormal(0, COV, tau=TAU), "Got 'mu', 'cov', 'tau'"),
            (lambda: MvNormal([1, 2], COV), "MvNormal must satisfy mu of the size of the matrix"),
            (lambda: MvNormal(0, np.stack([COV, COV])), "'cov' of MvNormal must be one matrix"),
            (lambda: MvStudentT(0, MU, COV), "'nu' of MvStudentT must be positive. Got 0"),
            (lambda: Wishart(1.5, COV), "Wishart must satisfy nu > d - 1"),
            (lambda: InverseWishart(2, COV), "InverseWishart must satisfy nu > d - 1"),
            (lambda: Dirichlet([1, -1]), "'alpha' of Dirichlet must be zero or positive, and not all zero"),
            (lambda: Dirichlet([0, 0]), "'alpha' of Dirichlet must be zero or positive, and not all zero"),
            (lambda: Ordered(Bernoulli(0.5)), "Ordered must be given a univariate continuous distribution"),
            (lambda: Ordered(Normal(0, 1), size=0), "'size' of Ordered must be a whole number, one or more. Got 0"),
        ],
    )
    def test_errors_are_sentences(self, build, sentence):
        with pytest.raises(ParameterError, match=sentence):
            build()


class TestOrdered:
    def test_order_statistics(self):
        d = Ordered(Normal(1, 2), size=3)
        draws = d.sample(20_000, seed=3)
        assert draws.dims == ("draw", "event") and (draws.diff("event") > 0).all()
        levels = d.cdf(draws).values
        error = 5 * levels.std(axis=0) / np.sqrt(len(levels))
        np.testing.assert_array_less(np.abs(levels.mean(axis=0) - 0.5), error)
        x = d.quantile(0.3)
        np.testing.assert_allclose(d.cdf(x), 0.3)
        assert x.dims == ("event",)

    def test_size_comes_from_the_instance_or_the_caller(self):
        d = Ordered(Normal(0, 1))
        with pytest.raises(RefusedError, match="has no size yet"):
            d.sample(3)
        draws = d._sample(np.random.default_rng(1), (4, 2), np.zeros((4, 1)), 1.0, event_shape=(5,))
        assert draws.shape == (4, 2, 5)
        assert d._log_prob(draws, np.zeros((4, 1)), 1.0).shape == (4, 2)
        assert d._outside(draws[..., ::-1], np.zeros((4, 1)), np.ones((4, 1))).all()

    def test_values(self):
        d = Ordered(Normal(0, tau=4), size=2)
        assert str(d) == "Ordered(Normal(0, tau=4), size=2)" and str(Ordered(Normal(0, 1))) == "Ordered(Normal(0, 1))"
        assert pickle.loads(pickle.dumps(d)) == d and d != Ordered(Normal(0, 1), size=2)
        assert d != Normal(0, tau=4) and Normal(0, tau=4) != d
        assert d.is_proper and "increasing" in d.support_text


class TestValues:
    @pytest.mark.parametrize("name", [*VECTORS, *MATRICES])
    def test_pickled_and_equal(self, name):
        distribution = (VECTORS | MATRICES)[name][0]
        again = pickle.loads(pickle.dumps(distribution))
        assert again == distribution and hash(again) == hash(distribution)
        np.testing.assert_array_equal(again.mean(), distribution.mean())

    def test_labels(self):
        assert Dirichlet([1, 2, 3]).mean().dims == ("event",)
        alpha = xr.DataArray(np.ones((2, 3)), dims=("arm", "kind"), coords={"kind": ["x", "y", "z"]})
        assert Dirichlet(alpha).mean().dims == ("arm", "kind")
        assert list(Dirichlet(alpha).eti().coords["kind"].values) == ["x", "y", "z"]
        cov = xr.DataArray(np.stack([COV, 2 * COV]), dims=("group", "k", "k_"))
        mu = xr.DataArray(MU, dims="k", coords={"k": ["a", "b", "c"]})
        d = MvNormal(mu, cov)
        assert d.var().dims == ("group", "k") and d.log_prob(mu).dims == ("group",)
        assert d.quantile([0.1, 0.9]).dims == ("group", "k", "quantile")
        assert d.sample(3, seed=1).dims == ("draw", "group", "k")
        assert MvNormal(0, cov).mean().dims == ("group", "k") and MvNormal(0, cov).mean().shape == (2, 3)
        assert Wishart(4, cov).mean().dims == ("group", "k", "k_")
        nu = xr.DataArray([4.0, 5.0], dims="row")
        assert MvStudentT(nu, mu, cov).var().dims == ("row", "group", "k")
        assert InverseWishart(nu, COV).sample(2, seed=1).dims == ("draw", "row", "event", "event_")
        inner = xr.DataArray([0.0, 1.0], dims="group")
        assert Ordered(Normal(inner, 1), size=3).sample(2, seed=1).dims == ("draw", "group", "event")

    def test_symmetric_intervals(self):
        d = MvNormal(MU, COV)
        np.testing.assert_allclose(d.hdi(0.5), d.eti(0.5))
        np.testing.assert_allclose(d.mode(), MU)
        assert d.hdi().dims == ("event", "ci_bound")
        with pytest.raises(RefusedError, match="narrowest"):
            Dirichlet([1, 2]).hdi()

    def test_transforms_are_chosen_by_support(self):
        for distribution, kind in [
            (MvNormal(MU, COV), "Identity"),
            (Dirichlet([1, 1]), "StickBreaking"),
            (Wishart(5, COV), "CholeskyLogDiagonal"),
            (Ordered(Normal(0, 1), size=3), "Increasing"),
            (Normal(0, 1), "Identity"),
        ]:
            transform = transform_of(distribution, *parameters(distribution))
            assert type(transform).__name__ == kind
            x = distribution.sample(4, seed=1).values
            np.testing.assert_allclose(transform.inverse(transform.forward(x)), x, rtol=1e-9, atol=1e-12)
            assert transform.log_jacobian(transform.forward(x)).shape == (4,)
        with pytest.raises(RefusedError, match="Bernoulli must be continuous"):
            transform_of(Bernoulli(0.5), 0.5)
