"""Mixtures over nodes: against sums written out, and scipy."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import xarray as xr
from scipy import special, stats

from bayeskit.distributions import (
    Beta,
    Dirichlet,
    Exponential,
    Gamma,
    HalfCauchy,
    InverseGamma,
    LogNormal,
    Monotone,
    MvNormal,
    MvStudentT,
    Normal,
    Poisson,
    Power,
    StudentT,
    Truncated,
)
from bayeskit.distributions.mixture import NODE, Mixture, over_nodes
from bayeskit.errors import ParameterError, RefusedError
from bayeskit.inference.core.line import integrate_line

LEVELS = np.array([1e-8, 1e-3, 0.025, 0.4, 0.5, 0.8, 0.975, 1 - 1e-5])
NODES, CELLS = 15, 5
RNG = np.random.default_rng(4)
WEIGHTS = RNG.dirichlet(np.full(NODES, 0.5))
SHAPE = 10 ** RNG.uniform(-0.5, 1.5, (NODES, CELLS))
RATE = 10 ** RNG.uniform(-1, 1, (NODES, 1))
PLACE = RNG.normal(size=(NODES, CELLS))
SCALE = 10 ** RNG.uniform(-1.5, 0.5, (NODES, 1))


def at_nodes(values, *dims):
    return xr.DataArray(np.asarray(values, dtype=float), dims=(NODE, *dims))


def by_cell(values):
    return at_nodes(values, "g")


def by_node(values):
    return at_nodes(values[:, 0])


# the base, and the distribution function and density of its nodes at x of shape (cells, levels)
CASES = {
    "Normal": (Normal(by_cell(PLACE), by_node(SCALE)), stats.norm(PLACE[..., None], SCALE[..., None])),
    "StudentT": (
        StudentT(by_node(RATE + 2.5), by_cell(PLACE), by_node(SCALE)),
        stats.t(RATE[..., None] + 2.5, PLACE[..., None], SCALE[..., None]),
    ),
    "Gamma": (Gamma(by_cell(SHAPE), by_node(RATE)), stats.gamma(SHAPE[..., None], scale=1 / RATE[..., None])),
    "InverseGamma": (
        InverseGamma(by_cell(SHAPE + 2.1), by_node(RATE)),
        stats.invgamma(SHAPE[..., None] + 2.1, scale=RATE[..., None]),
    ),
    "Beta": (Beta(by_cell(SHAPE), by_node(RATE + 1)), stats.beta(SHAPE[..., None], RATE[..., None] + 1)),
    "LogNormal": (
        LogNormal(by_cell(PLACE), by_node(SCALE)), stats.lognorm(SCALE[..., None], scale=np.exp(PLACE)[..., None]),
    ),
    "Exponential": (Exponential(by_cell(SHAPE)), stats.expon(scale=1 / SHAPE[..., None])),
}  # fmt: skip


@pytest.mark.parametrize(("base", "law"), CASES.values(), ids=CASES)
class TestNumbers:
    def test_quantiles_and_distribution_function(self, base, law):
        mixture = Mixture(base, WEIGHTS)
        assert mixture.dims == ("g",)
        x = mixture.quantile(LEVELS)
        assert x.dims == ("g", "quantile")
        found = np.einsum("i,igq->gq", WEIGHTS, law.cdf(x.values))
        np.testing.assert_allclose(found, np.broadcast_to(LEVELS, found.shape), rtol=1e-8, atol=1e-10)
        np.testing.assert_allclose(mixture.cdf(x.drop_vars("quantile")), found, rtol=1e-10)
        np.testing.assert_allclose(mixture.eti(0.6).sel(ci_bound="upper"), mixture.quantile(0.8))

    def test_upper_tail(self, base, law):
        mixture = Mixture(base, WEIGHTS)
        cell = np.arange(CELLS)
        x = mixture._log_isf(np.log(1e-12), cell)
        found = np.einsum("i,igq->gq", WEIGHTS, law.sf(x[:, None]))[:, 0]
        np.testing.assert_allclose(found, 1e-12, rtol=1e-6)
        np.testing.assert_allclose(mixture._sf(x, cell), found, rtol=1e-6)

    def test_density(self, base, law):
        mixture = Mixture(base, WEIGHTS)
        x = mixture.quantile(LEVELS)
        found = np.einsum("i,igq->gq", WEIGHTS, law.pdf(x.values))
        np.testing.assert_allclose(mixture.log_prob(x.drop_vars("quantile")), np.log(found), rtol=1e-9, atol=1e-9)

    def test_moments(self, base, law):
        mixture = Mixture(base, WEIGHTS)
        m, v = (np.broadcast_to(part[..., 0], (NODES, CELLS)) for part in (law.mean(), law.var()))
        mean = WEIGHTS @ m
        np.testing.assert_allclose(mixture.mean(), mean, rtol=1e-10)
        np.testing.assert_allclose(mixture.var(), WEIGHTS @ v + WEIGHTS @ (m - mean) ** 2, rtol=1e-9)
        np.testing.assert_allclose(mixture.sd() ** 2, mixture.var())

    def test_narrowest_interval(self, base, law):
        mixture = Mixture(base, WEIGHTS)
        found = mixture.hdi(0.7).values
        below = 0.3 * special.expit(np.linspace(-30.0, 12.0, 85))
        widths = (mixture.quantile(below + 0.7).values - mixture.quantile(below).values).min(axis=1)
        width = found[:, 1] - found[:, 0]
        assert (width <= widths * (1 + 1e-9)).all()
        np.testing.assert_allclose(width, widths, rtol=2e-2)
        ends = mixture.cdf(xr.DataArray(found, dims=("g", "end"))).values
        np.testing.assert_allclose(ends[:, 1] - ends[:, 0], 0.7, rtol=0, atol=1e-9)

    def test_draws(self, base, law):
        mixture = Mixture(base, WEIGHTS)
        x = mixture.sample(4000, seed=3)
        assert x.dims == ("draw", "g")
        levels = np.einsum("i,igq->gq", WEIGHTS, law.cdf(x.values.T))
        assert min(stats.kstest(row, "uniform").pvalue for row in levels) > 1e-4
        # cells have nodes of their own
        assert abs(np.corrcoef(levels[0], levels[1])[0, 1]) < 5 / np.sqrt(4000)


@pytest.mark.parametrize(
    ("base", "cdf"),
    [
        (Power(InverseGamma(by_cell(SHAPE), by_node(RATE)), 0.5),
         lambda x: special.gammaincc(SHAPE[..., None], RATE[..., None] / x**2)),
        (Truncated(InverseGamma(by_cell(SHAPE), by_node(RATE)), upper=2.0),
         lambda x: special.gammaincc(SHAPE[..., None], RATE[..., None] / x)
         / special.gammaincc(SHAPE[..., None], RATE[..., None] / 2.0)),
        (Power(Truncated(Gamma(by_cell(SHAPE), by_node(RATE)), upper=4.0), -0.5),
         lambda x: 1 - special.gammainc(SHAPE[..., None], RATE[..., None] * x**-2.0)
         / special.gammainc(SHAPE[..., None], RATE[..., None] * 4.0)),
    ],
    ids=["power", "truncated", "both"],
)  # fmt: skip
def test_wrapped_families(base, cdf):
    x = Mixture(base, WEIGHTS).quantile(LEVELS[1:-1])
    found = np.einsum("i,igq->gq", WEIGHTS, cdf(x.values))
    np.testing.assert_allclose(found, np.broadcast_to(LEVELS[1:-1], found.shape), rtol=0, atol=1e-9)


def test_weights_of_their_own_for_every_cell():
    weights = RNG.dirichlet(np.ones(NODES), CELLS).T
    base, law = CASES["Normal"]
    mixture = Mixture(base, at_nodes(weights, "g"))
    np.testing.assert_allclose(mixture.mean(), (weights * PLACE).sum(axis=0), rtol=1e-12)
    x = mixture.quantile(LEVELS)
    found = np.einsum("ig,igq->gq", weights, law.cdf(x.values))
    np.testing.assert_allclose(found, np.broadcast_to(LEVELS, found.shape), rtol=1e-8, atol=1e-10)
    draws = mixture.sample(4000, seed=9)
    levels = np.einsum("ig,igq->gq", weights, law.cdf(draws.values.T))
    assert min(stats.kstest(row, "uniform").pvalue for row in levels) > 1e-4
    np.testing.assert_allclose(Mixture(base, 5 * weights).mean(), mixture.mean())  # an array, and not normalised


def test_counts():
    rates = 10 ** RNG.uniform(-1, 1.5, (NODES, CELLS))
    mixture = Mixture(Poisson(by_cell(rates)), WEIGHTS)
    q = mixture.quantile([0.05, 0.5, 0.99]).values
    below = np.einsum("i,igq->gq", WEIGHTS, stats.poisson(rates[..., None]).cdf(q - 1))
    reached = np.einsum("i,igq->gq", WEIGHTS, stats.poisson(rates[..., None]).cdf(q))
    assert (reached >= [0.05, 0.5, 0.99]).all() and (below < [0.05, 0.5, 0.99]).all()
    low, high = np.moveaxis(mixture.hdi(0.8).values, -1, 0)
    held = np.einsum("i,ig->g", WEIGHTS, stats.poisson(rates).cdf(high) - stats.poisson(rates).cdf(low - 1))
    assert (held >= 0.8 - 1e-12).all()
    with pytest.raises(RefusedError, match="Mixture has no mode"):
        mixture.mode()


class TestVectors:
    factor = RNG.normal(size=(NODES, CELLS, 3, 3))
    cov = factor @ np.swapaxes(factor, -1, -2) + 0.1 * np.eye(3)
    centre = RNG.normal(size=(NODES, CELLS, 3))
    roots = np.sqrt(np.diagonal(cov, axis1=-2, axis2=-1))

    def normal(self):
        return MvNormal(at_nodes(self.centre, "g", "k"), at_nodes(self.cov, "g", "k", "k_"))

    def test_entries(self):
        mixture = Mixture(self.normal(), WEIGHTS)
        assert mixture.dims == ("g", "k")
        x = mixture.quantile(LEVELS)
        assert x.dims == ("g", "k", "quantile")
        each = stats.norm(self.centre[..., None], self.roots[..., None]).cdf(x.values)
        found = np.einsum("i,igkq->gkq", WEIGHTS, each)
        np.testing.assert_allclose(found, np.broadcast_to(LEVELS, found.shape), rtol=1e-7, atol=1e-10)
        np.testing.assert_allclose(mixture.cdf(x.sel(quantile=0.4)), 0.4, rtol=1e-9)
        mean = np.einsum("i,igk->gk", WEIGHTS, self.centre)
        np.testing.assert_allclose(mixture.mean(), mean, rtol=1e-10)
        spread = np.einsum("i,igk->gk", WEIGHTS, self.roots**2 + (self.centre - mean) ** 2)
        np.testing.assert_allclose(mixture.var(), spread, rtol=1e-10)

    def test_joint_density_and_draws(self):
        mixture = Mixture(self.normal(), WEIGHTS)
        x = RNG.normal(size=(CELLS, 3))
        each = [[stats.multivariate_normal(self.centre[i, g], self.cov[i, g]).logpdf(x[g]) for g in range(CELLS)]
                for i in range(NODES)]  # fmt: skip
        expected = special.logsumexp(np.array(each) + np.log(WEIGHTS)[:, None], axis=0)
        np.testing.assert_allclose(mixture.log_prob(xr.DataArray(x, dims=("g", "k"))), expected, rtol=1e-10)
        draws = mixture.sample(4000, seed=2)
        assert draws.dims == ("draw", "g", "k")
        levels = mixture.cdf(draws).transpose("draw", ...).values.reshape(4000, -1)
        assert min(stats.kstest(column, "uniform").pvalue for column in levels.T) > 1e-4
        # entries of one vector come from one node: their covariance is that of the mixture
        mean = mixture.mean().values
        shift = self.centre - mean
        whole = np.einsum("i,igkl->gkl", WEIGHTS, self.cov + shift[..., :, None] * shift[..., None, :])
        found = np.einsum("dgk,dgl->gkl", draws.values - mean, draws.values - mean) / 4000
        product = np.einsum("dgk,dgl->dgkl", draws.values - mean, draws.values - mean).std(axis=0) / np.sqrt(4000)
        assert (np.abs(found - whole) < 5 * product).all()

    def test_others(self):
        nu = 3.0 + 5 * RATE[:, 0]
        t = Mixture(
            MvStudentT(at_nodes(nu), at_nodes(self.centre, "g", "k"), at_nodes(self.cov, "g", "k", "k_")), WEIGHTS
        )
        x = t.quantile([0.01, 0.7]).values
        each = stats.t(nu[:, None, None, None], self.centre[..., None], self.roots[..., None]).cdf(x)
        found = np.einsum("i,igkq->gkq", WEIGHTS, each)
        np.testing.assert_allclose(found, np.broadcast_to([0.01, 0.7], found.shape), rtol=0, atol=1e-10)
        alpha = 10 ** RNG.uniform(-0.5, 1, (NODES, CELLS, 4))
        shares = Mixture(Dirichlet(at_nodes(alpha, "g", "k")), WEIGHTS)
        x = shares.quantile([0.0, 0.01, 0.7, 1.0]).values
        rest = alpha.sum(axis=-1, keepdims=True) - alpha
        found = np.einsum("i,igkq->gkq", WEIGHTS, special.betainc(alpha[..., None], rest[..., None], x))
        np.testing.assert_allclose(found, np.broadcast_to([0.0, 0.01, 0.7, 1.0], found.shape), rtol=0, atol=1e-10)
        with pytest.raises(RefusedError, match="no narrowest interval"):
            shares.hdi()


class TestInfiniteMoments:
    def test_of_a_node(self):
        base = StudentT(at_nodes([1.5, 4.0]), at_nodes([0.0, 1.0]), 1)
        assert Mixture(base, [0.1, 0.9]).mean() == pytest.approx(0.9)
        assert Mixture(base, [1e-9, 1.0]).var() == np.inf
        assert Mixture(base, [0.0, 1.0]).var() == 2.0
        assert Mixture(HalfCauchy(at_nodes([1.0, 2.0])), [1, 1]).mean() == np.inf
        assert np.isnan(Mixture(StudentT(at_nodes([1.0, 3.0]), 0, 1), [1, 1]).mean())

    @pytest.mark.parametrize(("groups", "finite"), [(4, False), (5, True)])
    def test_of_what_was_integrated_over(self, groups, finite):
        """The mean of few groups under a flat prior on their spread: its variance hangs on the spread's tail."""
        y = np.linspace(-3, 4, groups)

        def log_density(u):  # of the log of tau; each y has variance 1 + tau^2
            variance = 1 + np.exp(2 * u)
            return u - 0.5 * (groups - 1) * np.log(variance) - 0.5 * ((y - y.mean()) ** 2).sum() / variance

        with np.errstate(over="ignore"):
            line = integrate_line(log_density, np.zeros(1))
        sd = np.sqrt((1 + np.exp(2 * line.nodes[:, 0])) / groups)
        base = Normal(y.mean(), at_nodes(sd))
        found = Mixture(base, line.panels).var().item()
        assert Mixture(base, line.panels.probabilities[:, 0]).var().item() < 1e4  # the nodes alone do not know
        if finite:
            second = line.mean(np.exp(2 * line.nodes))[0]
            assert found == pytest.approx((1 + second) / groups, rel=1e-9)
        else:
            assert found == np.inf


def test_mode():
    base, law = CASES["Normal"]
    mixture = Mixture(base, WEIGHTS)
    grid = np.linspace(-4, 4, 20_001)
    density = np.einsum("i,igq->gq", WEIGHTS, law.pdf(grid))
    np.testing.assert_allclose(mixture.mode(), grid[density.argmax(axis=1)], rtol=0, atol=4e-4)
    assert Mixture(Exponential(at_nodes([1.0, 2.0])), [1, 1]).mode() == 0.0


def test_narrowest_interval_of_two_peaks():
    mixture = Mixture(Normal(at_nodes([0, 6]), at_nodes([1, 0.3])), [0.4, 0.6])
    half = 0.3 * special.ndtri(0.5 + 0.5 * 0.5 / 0.6)
    np.testing.assert_allclose(mixture.hdi(0.5), [6 - half, 6 + half], rtol=0, atol=1e-6)


def test_scales_and_weights_of_any_size():
    """Nodes that weigh nothing do not spoil the brackets, and tiny units nothing at all."""
    sd = np.array([1e-3, 1.0, 2.0, 1e9]) * 1e-9
    weights = np.array([1e-22, 0.5, 0.5, 1e-18])
    mixture = Mixture(Normal(0.0, at_nodes(sd)), weights)
    x = mixture.quantile([0.01, 0.5, 0.9]).values
    found = weights @ special.ndtr(x / sd[:, None])
    np.testing.assert_allclose(found, [0.01, 0.5, 0.9], rtol=0, atol=1e-10)
    assert abs(x[1]) < 1e-18


def test_functions_of_it():
    mixture = Mixture(Gamma(at_nodes([2.0, 5.0]), at_nodes([1.0, 3.0])), [1, 3])
    logs = Monotone(mixture, "log")
    expected = (special.digamma(2) + 3 * (special.digamma(5) - np.log(3))) / 4
    assert logs.mean().item() == pytest.approx(expected, rel=1e-6)
    assert Monotone(mixture, "reciprocal").mean().item() == pytest.approx((1 + 3 * 3 / 4) / 4, rel=1e-6)
    assert Monotone(mixture, "reciprocal").var() == np.inf  # as that of its first node


class TestLabels:
    def test_dims_and_coordinates(self):
        names = ["x", "y", "z"]
        mean = xr.DataArray(np.zeros((2, 3)), dims=(NODE, "g"), coords={"g": names})
        mixture = Mixture(Normal(mean, at_nodes([1.0, 2.0])), [1, 1])
        assert list(mixture.mean().coords["g"].values) == names
        scalar = Mixture(Normal(at_nodes([0.0, 1.0]), 1), [1, 1])
        assert scalar.mean().dims == () and scalar.sample(3, seed=1).dims == ("draw",)

    def test_an_axis_of_nodes_before_the_dims_of_a_variable(self):
        def wrap(array, scale=1.0):
            return xr.DataArray(scale * np.asarray(array), dims="g", coords={"g": ["x", "y"]})

        found = over_nodes(wrap)(np.arange(6.0).reshape(3, 2), scale=2.0)
        assert found.dims == (NODE, "g") and list(found.coords["g"].values) == ["x", "y"]
        np.testing.assert_array_equal(found, np.arange(6.0).reshape(3, 2))
        assert over_nodes(lambda a: float(np.ravel(a)[0]))(np.arange(3.0)).dims == (NODE,)

    def test_prints_compares_and_pickles(self):
        base, _ = CASES["Normal"]
        mixture = Mixture(base, WEIGHTS)
        assert repr(mixture) == "Mixture(of 15 Normal)"
        assert repr(Mixture(TestVectors().normal(), WEIGHTS)) == "Mixture(of 15 MvNormal)"
        assert mixture == Mixture(base, WEIGHTS)
        assert mixture != Mixture(base, WEIGHTS[::-1].copy())
        np.testing.assert_array_equal(pickle.loads(pickle.dumps(mixture)).quantile(0.3), mixture.quantile(0.3))

    @pytest.mark.parametrize(
        ("base", "weights"),
        [
            (Normal(0, 1), [1.0]),
            (Normal(at_nodes([0.0, 1.0]), 1), [1.0, 2.0, 3.0]),
            (Normal(at_nodes([0.0, 1.0]), 1), [1.0, -1.0]),
            (Normal(at_nodes([0.0, 1.0]), 1), [0.0, 0.0]),
            (Normal(at_nodes([0.0, 1.0]), 1), xr.DataArray([1.0, 1.0], dims="other")),
        ],
        ids=["no nodes", "too many", "negative", "zero", "another dim"],
    )
    def test_what_does_not_fit(self, base, weights):
        with pytest.raises(ParameterError, match="Mixture"):
            Mixture(base, weights)


def test_many_cells_go_in_chunks():
    import tracemalloc

    nodes, cells = 40, 20_000
    mean = RNG.normal(size=(nodes, cells))
    base = Normal(at_nodes(mean, "g"), at_nodes(np.linspace(0.5, 2, nodes)))
    tracemalloc.start()
    mixture = Mixture(base, np.ones(nodes))
    before = tracemalloc.get_traced_memory()[0]
    tracemalloc.reset_peak()
    mixture.mean(), mixture.sd()
    x = mixture.quantile([0.055, 0.945]).values
    peak = tracemalloc.get_traced_memory()[1] - before
    tracemalloc.stop()
    assert peak < 40e6  # against 6.4e6 for one array of all nodes
    some = slice(0, cells, 501)
    found = special.ndtr((x[None, some] - mean[:, some, None]) / np.linspace(0.5, 2, nodes)[:, None, None]).mean(axis=0)
    np.testing.assert_allclose(found, np.broadcast_to([0.055, 0.945], found.shape), rtol=0, atol=1e-10)
